"""CIFAR-10: 50,000 training and 10,000 test pictures in colour, 32 x 32, ten classes.

A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009. We read
the binary version: records of one label byte and 3 x 32 x 32 bytes of pixels. The other
version consists of pickles, and unpickling runs whatever they hold.
"""

import os
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from scratchnet.data import Images
from scratchnet.data.fetch import Remote, download, local_folder
from scratchnet.data.inflate import inflate
from scratchnet.errors import DataError
from scratchnet.files.reading import open_regular

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
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
    folder = local_folder("cifar-10", [*TRAIN, TEST], data_dir)
    if folder is None:
        return read_archive(*download("cifar-10", [ARCHIVE]))
    for place in (folder, folder / FOLDER):
        train = [place / name for name in TRAIN if (place / name).is_file()]
        if train and (place / TEST).is_file():
            return _images([(p, read_records(p)) for p in train], [(place / TEST, read_records(place / TEST))])
    if (folder / ARCHIVE.name).is_file():
        return read_archive(folder / ARCHIVE.name)
    raise DataError(f"{folder}: neither {ARCHIVE.name} nor {TRAIN[0]} with {TEST}")


def read_records(path: Path) -> np.ndarray:
    """The records (N, 3073) in a .bin file, whose size gives their number."""
    try:
        with open_regular(path) as file:
            return _records(f"{path}", file, os.fstat(file.fileno()).st_size)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error


def read_archive(path: Path) -> Images:
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
                    if count > MEMBERS or not 0 <= member.size <= LARGEST:
                        raise DataError(f"{place}: {member.size} bytes in member {count}; not the published archive")
                    content.left = member.size + SLACK
                    name = member.name.removeprefix(f"{FOLDER}/")
                    if name not in (*TRAIN, TEST):
                        continue
                    if name in found or not member.isreg() or member.issparse():
                        raise DataError(f"{place}: appears twice, or is not a plain file")
                    stream = archive.extractfile(member)
                    found[name] = _records(place, stream, member.size)  # type: ignore[arg-type]
            content.left = SLACK
            content.drain()
    except DataError:
        raise
    except (tarfile.TarError, OSError, ValueError, EOFError, OverflowError) as error:
        raise DataError(f"{path}: not a readable tar archive ({error})") from error
    missing = [name for name in (*TRAIN, TEST) if name not in found]
    if missing:
        raise DataError(f"{path}: no {FOLDER}/{missing[0]} in this archive")
    return _images([(path / n, found[n]) for n in TRAIN], [(path / TEST, found[TEST])])


def _records(place: str, file: BinaryIO, size: int) -> np.ndarray:
    if size == 0 or size % RECORD:
        raise DataError(f"{place}: {size} bytes are not a whole number of records of {RECORD} = 1 + 3 · 32 · 32 bytes")
    if size > LARGEST:
        raise DataError(f"{place}: {size} bytes, more than the {LARGEST} of a published file")
    records = np.empty(size, np.uint8)
    filled = 0
    while count := file.readinto(records.data[filled:]):  # type: ignore[attr-defined]
        filled += count
    if filled < size:
        raise DataError(f"{place}, byte {filled}: ends early, {size - filled} of {size} bytes are missing")
    return records.reshape(-1, RECORD)


def _images(*sets: Sequence[tuple[Path, np.ndarray]]) -> Images:
    arrays = []
    for files in sets:
        for path, records in files:
            wrong = np.flatnonzero(records[:, 0] > 9)
            if wrong.size:
                at = wrong[0]
                raise DataError(f"{path}, byte {at * RECORD}: label {records[at, 0]} is not one of 0 to 9")
        arrays.append(np.concatenate([records[:, 1:] for _, records in files]).reshape(-1, 3, 32, 32))
        arrays.append(np.concatenate([records[:, 0] for _, records in files]).astype(np.int64))
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
