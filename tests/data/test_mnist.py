"""IDX files and MNIST: equal to torchvision's reader on real files.

Every damage is an error that names the place.
"""

import gzip
import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from scratchnet.data.idx import read_idx
from scratchnet.data.mnist import CLASSES, FILES, load_mnist
from scratchnet.errors import DataError, SettingError

REAL = Path(os.environ.get("SCRATCHNET_DATA", "nowhere")) / "mnist"
real = pytest.mark.skipif(not REAL.is_dir(), reason="needs MNIST: set SCRATCHNET_DATA")


def idx(values):
    """The array as the content of an IDX file."""
    return struct.pack(f">BBBB{values.ndim}I", 0, 0, 8, values.ndim, *values.shape) + values.tobytes()


def compress(content):
    """gzip without the time of day in its header: the same bytes whenever it runs."""
    return gzip.compress(content, mtime=0)


def some_images(n=5):
    return np.random.default_rng(0).integers(0, 256, (n, 28, 28), np.uint8)


def write(folder, train=None, labels=None):
    """A small complete data set of plain files in the folder."""
    for part in ("train", "t10k"):
        (folder / f"{part}-images-idx3-ubyte").write_bytes(idx(some_images() if train is None else train))
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(
            idx(np.arange(5, dtype=np.uint8) if labels is None else labels)
        )
    return folder


def torchvision_mnist():
    """torchvision's data sets, or a skip.

    Its wheel is built for a CUDA torch and does not load its own library beside a
    CPU-only one, so that two operators must be declared first. Where the library does
    load, a second declaration aborts the process: a process of its own tries it.
    """
    torch = pytest.importorskip("torch", reason="needs torch")
    if (
        "torchvision" not in sys.modules
        and subprocess.run([sys.executable, "-c", "import torchvision"], capture_output=True).returncode
    ):
        library = torch.library.Library("torchvision", "DEF")
        library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        torchvision_mnist.library = library  # declared as long as this object lives
    return pytest.importorskip("torchvision.datasets", reason="needs torchvision").MNIST


@real
@pytest.mark.slow
def test_equal_to_torchvision(tmp_path):
    reader = torchvision_mnist()
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name, _, _ in FILES["mnist"]:
        (raw / name.removesuffix(".gz")).write_bytes(gzip.decompress((REAL / name).read_bytes()))
    ours, plain = load_mnist("mnist", REAL), load_mnist("mnist", raw)
    train, test = reader(tmp_path, train=True), reader(tmp_path, train=False)
    theirs = (train.data.numpy(), train.targets.numpy(), test.data.numpy(), test.targets.numpy())
    for a, b, c in zip(ours, plain, theirs, strict=True):
        np.testing.assert_array_equal(a, c, strict=True)
        np.testing.assert_array_equal(b, c, strict=True)


@real
def test_the_published_counts():
    data = load_mnist(data_dir=REAL.parent)
    assert np.bincount(data.train_labels).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(data.test_labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert data.train_images.mean() / 255 == pytest.approx(0.1307, abs=5e-5)


def test_a_small_set_of_plain_files(tmp_path):
    data = load_mnist("fashion-mnist", write(tmp_path))
    np.testing.assert_array_equal(data.train_images, some_images())
    np.testing.assert_array_equal(data.test_labels, np.arange(5), strict=True)
    for path in tmp_path.iterdir():
        path.rename(tmp_path / path.name.replace("-idx", ".idx"))
    np.testing.assert_array_equal(load_mnist("mnist", tmp_path).test_images, some_images())
    assert all(len(names) == 10 for names in CLASSES.values())


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (None, np.zeros(4, np.uint8), r"train-labels.*: 4 labels for the 5 images"),
        (None, np.array([0, 1, 9, 10, 0], np.uint8), r"train-labels.*, byte 11: label 10 is not one of 0 to 9"),
        (np.zeros((0, 28, 28), np.uint8), np.zeros(0, np.uint8), "holds no images"),
        (np.zeros((5, 28, 27), np.uint8), None, r"byte 12: shape \(5, 28, 27\), expected \(any, 28, 28\)"),
        (np.zeros(5, np.uint8), None, r"byte 3: 1 dimensions instead of 3; are images and labels swapped\?"),
    ],
)
def test_files_that_do_not_fit(tmp_path, images, labels, message):
    with pytest.raises(DataError, match=message):
        load_mnist("mnist", write(tmp_path, images, labels))


def test_an_unknown_name():
    with pytest.raises(SettingError, match="there are mnist, fashion-mnist"):
        load_mnist("emnist")


GOOD = idx(some_images())
HEAD = GOOD[:16]
BOMB = compress(struct.pack(">BBBBIII", 0, 0, 8, 3, 60000, 28, 28) + bytes(1 << 26))
HUGE = HEAD[:4] + b"\xff" * 4 + GOOD[8:]
MEMBERS = "bytes follow the end of the compressed data"
DAMAGED = {  # what is wrong: content of the file, and what the message says
    "empty": (b"", "byte 0: ends within the first 4 bytes"),
    "three bytes": (GOOD[:3], "byte 3: ends within the first 4 bytes"),
    "half a header": (GOOD[:15], "byte 15: ends within the header"),
    "a byte too few": (GOOD[:-1], "byte 4: the header announces"),
    "a byte too many": (GOOD + b"x", "byte 3936: data go on after"),
    "another type": (b"\0\0\x09\x03" + GOOD[4:], "byte 0: starts with 00 00 09 03"),
    "a web page": (b"<html>", "byte 0: starts with 3c 68 74 6d"),
    "a huge count": (HUGE, "byte 4: the header announces"),
    "gzip: a huge count": (compress(HUGE), "byte 4: the header announces"),
    "gzip: a byte too few": (compress(GOOD[:-1]), "byte 3935: ends early, 1 of 3920 values are missing"),
    "gzip: a byte too many": (compress(GOOD + b"x"), "byte 3936: data go on after"),
    "gzip: no trailer": (compress(GOOD)[:-9], "the compressed data end early"),
    "gzip: trailer cut": (compress(GOOD)[:-1], "the compressed data end early"),
    "gzip: trailer zeroed": (compress(GOOD)[:-6] + b"\0" * 6, "damaged"),
    "gzip: a byte behind": (compress(GOOD) + b"\0", MEMBERS),
    "gzip: an empty member behind": (compress(GOOD) + compress(b""), MEMBERS),
    "gzip: in two members": (compress(GOOD[:100]) + compress(GOOD[100:]), MEMBERS),
    "gzip: a bomb": (BOMB, "byte 47040016: data go on after"),
}


@pytest.mark.parametrize(("content", "message"), DAMAGED.values(), ids=DAMAGED.keys())
def test_damage_is_named_with_its_place(tmp_path, content, message):
    path = tmp_path / "images"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_idx(path, (None, 28, 28))
    assert str(caught.value).startswith(str(path)) and message in str(caught.value)


def test_what_is_not_a_file(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        read_idx(tmp_path / "nowhere", (None,))
    with pytest.raises(DataError, match="this is not a file"):
        read_idx(tmp_path, (None,))
