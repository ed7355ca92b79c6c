"""CIFAR-10 and CIFAR-100: 50,000 training and 10,000 test pictures in colour, 32 x 32.

A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009. We read
the binary version: records of one label byte, or of two in CIFAR-100, and 3 x 32 x 32
bytes of pixels. The other version consists of pickles, and unpickling runs whatever
they hold.
"""

import os
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from scratchnet.data import Images
from scratchnet.data.fetch import Remote, download, local_folder
from scratchnet.data.inflate import inflate
from scratchnet.errors import DataError, SettingError
from scratchnet.files.reading import open_regular

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
#: The 20 groups of CIFAR-100, of five classes each, and the 100 classes
COARSE = (
    "aquatic mammals", "fish", "flowers", "food containers", "fruit and vegetables", "household electrical devices",
    "household furniture", "insects", "large carnivores", "large man-made outdoor things",
    "large natural outdoor scenes", "large omnivores and herbivores", "medium-sized mammals",
    "non-insect invertebrates", "people", "reptiles", "small mammals", "trees", "vehicles 1", "vehicles 2",
)  # fmt: skip
FINE = (
    "apple", "aquarium fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle", "bottle",
    "bowl", "boy", "bridge", "bus", "butterfly", "camel", "can", "castle", "caterpillar", "cattle",
    "chair", "chimpanzee", "clock", "cloud", "cockroach", "couch", "crab", "crocodile", "cup", "dinosaur",
    "dolphin", "elephant", "flatfish", "forest", "fox", "girl", "hamster", "house", "kangaroo", "keyboard",
    "lamp", "lawn mower", "leopard", "lion", "lizard", "lobster", "man", "maple tree", "motorcycle", "mountain",
    "mouse", "mushroom", "oak tree", "orange", "orchid", "otter", "palm tree", "pear", "pickup truck", "pine tree",
    "plain", "plate", "poppy", "porcupine", "possum", "rabbit", "raccoon", "ray", "road", "rocket",
    "rose", "sea", "seal", "shark", "shrew", "skunk", "skyscraper", "snail", "snake", "spider",
    "squirrel", "streetcar", "sunflower", "sweet pepper", "table", "tank", "telephone", "television", "tiger",
    "tractor", "train", "trout", "tulip", "turtle", "wardrobe", "whale", "willow tree", "wolf", "woman", "worm",
)  # fmt: skip
RECORD = 1 + 3 * 32 * 32
LARGEST = 10_000 * RECORD  # size of a published file
FOLDER = "cifar-10-batches-bin"
TRAIN = tuple(f"data_batch_{i}.bin" for i in range(1, 6))
TEST = "test_batch.bin"
ARCHIVE = Remote(
    "cifar-10-binary.tar.gz",
    170052171,
    "sha256:c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    (
        "https://storage.googleapis.com/s4tf-hosted-binaries/datasets/CIFAR10/cifar-10-binary.tar.gz",
        "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",  # the origin, slow
    ),
)


class Form(NamedTuple):
    """How one of the two data sets is published."""

    dataset: str
    folder: str  # in the archive
    train: tuple[str, ...]
    test: str
    kinds: tuple[int, ...]  # how many classes each label byte of a record tells apart
    largest: int  # bytes of the largest file
    archive: Remote

    @property
    def record(self) -> int:
        """Bytes of a record."""
        return len(self.kinds) + 3 * 32 * 32


CIFAR10 = Form("cifar-10", FOLDER, TRAIN, TEST, (10,), LARGEST, ARCHIVE)
CIFAR100 = Form(
    "cifar-100", "cifar-100-binary", ("train.bin",), "test.bin", (20, 100), 50_000 * (2 + 3 * 32 * 32),
    Remote(
        "cifar-100-binary.tar.gz",
        168513733,
        "sha256:58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
        ("https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",),
    ),
)  # fmt: skip
LABELS = {"coarse": COARSE, "fine": FINE}  # of CIFAR-100, in the order of a record's bytes
MEMBERS = 20  # the published archive has nine
SLACK = 2 * tarfile.RECORDSIZE  # what may lie between two members: headers and padding, read in blocks


def load_cifar10(data_dir: str | Path | None = None) -> Images:
    """The pictures: images (N, 3, 32, 32) uint8, labels (N,) in 0..9.

    Looks for the published archive, or the .bin files from it, in `data_dir` (or its
    subfolder cifar-10) and $SCRATCHNET_DATA; then looks in the cache; then downloads.
    In a folder of your own, some of the five training files may be missing. Raises
    DataError with the byte offset if a file is damaged, and NotAvailable if it is in
    none of these places.
    """
    return _load(CIFAR10, 0, data_dir)


def load_cifar100(data_dir: str | Path | None = None, labels: str = "fine") -> Images:
    """The pictures of CIFAR-100: images (N, 3, 32, 32) uint8, labels (N,).

    `labels` are "fine", classes 0..99, or "coarse", their groups 0..19; the names are
    FINE and COARSE of this module. The files are looked for as by `load_cifar10`, in
    cifar-100. Raises the same errors.
    """
    if labels not in LABELS:
        raise SettingError(f"load_cifar100: labels must be fine or coarse, not {labels!r}")
    return _load(CIFAR100, list(LABELS).index(labels), data_dir)


def _load(form: Form, label: int, data_dir: str | Path | None) -> Images:
    """The pictures, with the label in this byte of every record."""
    folder = local_folder(form.dataset, [*form.train, form.test], data_dir)
    if folder is None:
        (path,) = download(form.dataset, [form.archive])
        return read_archive(path, form, label)
    for place in (folder, folder / form.folder):
        paths = [place / name for name in form.train if (place / name).is_file()]
        test = place / form.test
        if paths and test.is_file():
            train = [(path, read_records(path, form)) for path in paths]
            return _images(form, label, train, [(test, read_records(test, form))])
    if (folder / form.archive.name).is_file():
        return read_archive(folder / form.archive.name, form, label)
    raise DataError(f"{folder}: neither {form.archive.name} nor {form.train[0]} with {form.test}")


def read_records(path: Path, form: Form = CIFAR10) -> np.ndarray:
    """The records (N, bytes) in a .bin file, whose size gives their number."""
    try:
        with open_regular(path) as file:
            return _records(form, f"{path}", file, os.fstat(file.fileno()).st_size)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error


def read_archive(path: Path, form: Form = CIFAR10, label: int = 0) -> Images:
    """The pictures in the published archive, whose members are read without unpacking.

    Whatever differs from the published archive is refused as soon as it is seen: a
    member that is too large, missing, repeated or not a plain file, more data than the
    members announce, a damaged gzip member or a second one.
    """
    found: dict[str, np.ndarray] = {}
    try:
        with open_regular(path) as file:
            content: Any = _Budget(path, inflate(path, file))
            with tarfile.open(fileobj=content, mode="r|") as archive:
                for count, member in enumerate(archive, 1):
                    place = f"{path}, {member.name!r:.80}"
                    if count > MEMBERS or not 0 <= member.size <= form.largest:
                        raise DataError(f"{place}: {member.size} bytes in member {count}; not the published archive")
                    content.left = member.size + SLACK
                    name = member.name.removeprefix(f"{form.folder}/")
                    if name not in (*form.train, form.test):
                        continue
                    if name in found or not member.isreg() or member.issparse():
                        raise DataError(f"{place}: appears twice, or is not a plain file")
                    stream = archive.extractfile(member)
                    found[name] = _records(form, place, stream, member.size)  # type: ignore[arg-type]
            content.left = SLACK
            content.drain()
    except DataError:
        raise
    except (tarfile.TarError, OSError, ValueError, EOFError, OverflowError) as error:
        raise DataError(f"{path}: not a readable tar archive ({error})") from error
    missing = [name for name in (*form.train, form.test) if name not in found]
    if missing:
        raise DataError(f"{path}: no {form.folder}/{missing[0]} in this archive")
    train = [(path / name, found[name]) for name in form.train]
    return _images(form, label, train, [(path / form.test, found[form.test])])


def _records(form: Form, place: str, file: BinaryIO, size: int) -> np.ndarray:
    record = form.record
    if size == 0 or size % record:
        raise DataError(
            f"{place}: {size} bytes are not a whole number of records of {record} = {len(form.kinds)} + 3 · 32 · 32 "
            "bytes"
        )
    if size > form.largest:
        raise DataError(f"{place}: {size} bytes, more than the {form.largest} of a published file")
    records = np.empty(size, np.uint8)
    filled = 0
    while count := file.readinto(records.data[filled:]):  # type: ignore[attr-defined]
        filled += count
    if filled < size:
        raise DataError(f"{place}, byte {filled}: ends early, {size - filled} of {size} bytes are missing")
    return records.reshape(-1, record)


def _images(form: Form, label: int, *sets: Sequence[tuple[Path, np.ndarray]]) -> Images:
    """The pictures of the sets, with this byte of the labels of every record."""
    arrays, first = [], len(form.kinds)
    for files in sets:
        for path, records in files:
            wrong = np.argwhere(records[:, :first] >= np.array(form.kinds))
            if len(wrong):
                at, byte = wrong[0]
                raise DataError(
                    f"{path}, byte {at * form.record + byte}: label {records[at, byte]} is not one of 0 to "
                    f"{form.kinds[byte] - 1}"
                )
        arrays.append(np.concatenate([records[:, first:] for _, records in files]).reshape(-1, 3, 32, 32))
        arrays.append(np.concatenate([records[:, label] for _, records in files]).astype(np.int64))
    return Images(*arrays)


class _Budget:
    """A readable stream over pieces of bytes that delivers at most `left` bytes.

    It sits between the file and tarfile, so that neither a decompression bomb nor a
    giant header is decompressed or kept in memory.
    """

    def __init__(self, path: Path, pieces: Iterator[bytes]) -> None:
        self.path, self.pieces, self.rest, self.left = path, pieces, memoryview(b""), SLACK

    def read(self, count: int) -> bytes:
        parts = []
        while count and (piece := self.rest or memoryview(next(self.pieces, b""))):
            parts.append(piece[:count])
            self.rest = piece[count:]
            count -= len(parts[-1])
            self.left -= len(parts[-1])
            if self.left < 0:
                raise DataError(f"{self.path}: holds more data than its members announce; not the published archive")
        return b"".join(parts)

    def drain(self) -> None:
        """Read to the end, because the checksum comes last."""
        while self.read(1 << 16):
            pass
