"""MNIST and Fashion-MNIST: 60,000 + 10,000 pictures of 28 x 28, in ten classes.

LeCun, Cortes, Burges, "The MNIST database of handwritten digits", 1998. Xiao, Rasul,
Vollgraf, "Fashion-MNIST: a novel image dataset for benchmarking machine learning
algorithms", 2017.
"""

from pathlib import Path

import numpy as np

from scratchnet.data import Images
from scratchnet.data.fetch import Remote, find
from scratchnet.data.idx import read_idx
from scratchnet.errors import DataError, SettingError

__all__ = ["CLASSES", "Images", "load_fashion_mnist", "load_mnist"]

CLASSES = {
    "mnist": tuple("0123456789"),
    "digits": tuple("0123456789"),
    "fashion-mnist": (
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    ),
}

MIRRORS = {
    "mnist": (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
    "fashion-mnist": (
        "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
        "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
    ),
}

# name, size in bytes and SHA-256 of the files as they were published
FILES = {
    "mnist": (
        ("train-images-idx3-ubyte.gz", 9912422, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
        ("train-labels-idx1-ubyte.gz", 28881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
        ("t10k-images-idx3-ubyte.gz", 1648877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
        ("t10k-labels-idx1-ubyte.gz", 4542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
    ),
    "fashion-mnist": (
        ("train-images-idx3-ubyte.gz", 26421880, "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"),
        ("train-labels-idx1-ubyte.gz", 29515, "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"),
        ("t10k-images-idx3-ubyte.gz", 4422102, "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"),
        ("t10k-labels-idx1-ubyte.gz", 5148, "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"),
    ),
}


def load_mnist(name: str = "mnist", data_dir: str | Path | None = None) -> Images:
    """The pictures of `name`: images (N, 28, 28) uint8, labels (N,) in 0..9.

    `name` is "mnist" or "fashion-mnist". Looks in `data_dir` (its subfolder `name`, or
    the folder itself), $SCRATCHNET_DATA and the cache folder, then downloads; files may
    be gzip-compressed or plain. Raises DataError if a file is damaged or does not match
    the others, and NotAvailable, a DataError, if it is in none of these places.
    """
    if name not in FILES:
        raise SettingError(f"no data set {name!r} in IDX files; there are {', '.join(FILES)}")
    files = []
    for file, size, digest in FILES[name]:
        plain = file.removesuffix(".gz")
        # Many copies are named as inside the gzip file, with a dot.
        also = (plain, plain.replace("-idx", ".idx"))
        files.append(Remote(file, size, f"sha256:{digest}", tuple(mirror + file for mirror in MIRRORS[name]), also))
    train_images, train_labels, test_images, test_labels = find(name, files, data_dir)
    return Images(*_pair(train_images, train_labels), *_pair(test_images, test_labels))


def load_fashion_mnist(data_dir: str | Path | None = None) -> Images:
    """The pictures of clothes: images (N, 28, 28) uint8, labels (N,) in 0..9.

    They are looked for, and refused, as by `load_mnist`.
    """
    return load_mnist("fashion-mnist", data_dir)


def _pair(image_path: Path, label_path: Path) -> tuple[np.ndarray, np.ndarray]:
    labels = read_idx(label_path, (None,))
    images = read_idx(image_path, (None, 28, 28))
    if len(images) != len(labels):
        raise DataError(f"{label_path}: {len(labels)} labels for the {len(images)} images in {image_path.name}")
    if not len(images):
        raise DataError(f"{image_path}: holds no images")
    wrong = np.flatnonzero(labels > 9)
    if wrong.size:
        raise DataError(f"{label_path}, byte {8 + wrong[0]}: label {labels[wrong[0]]} is not one of 0 to 9")
    return images, labels.astype(np.int64)
