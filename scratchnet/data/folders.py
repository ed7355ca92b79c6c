"""A folder of pictures of one's own: a sub-folder for each class.

Letters: n pictures, N of a batch, C colours, S pixels of a side, K classes.

    animals/cat/*.png, animals/dog/*.jpg               one set, or
    animals/train/cat/*, ..., animals/test/dog/*       sets that somebody has divided

A sub-folder may have sub-folders of its own. What is hidden is passed over.
"""

import hashlib
import itertools
import os
import unicodedata
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scratchnet.data.pictures import NoPicture, header, read_bytes, square, suffixes
from scratchnet.data.spreadsheet import in_order
from scratchnet.engine.progress import many
from scratchnet.engine.sources import Source
from scratchnet.errors import DataError

#: How folders of sets that somebody has divided are called
PARTS = {"train": "train", "training": "train", "test": "test", "testing": "test",
         "valid": "valid", "val": "valid", "validation": "valid"}  # fmt: skip
LONGEST_NAME = 100  # characters of a class's name, as it is shown in tables and pictures
SHOWN = 3  # files that a message names
SAMPLE = 500  # pictures that are looked at to find out what the pictures are like
MOST_FILES = 2_000_000
LARGEST_SIDE = 64  # pixels, unless another size is asked for
KEPT = 1 << 29  # bytes of pixels that stay in memory; all others are read anew each time
MOST_THREADS = 4
PIECE = 512  # files at a time


@dataclass(frozen=True)
class Folder:
    """The files of a folder, the class of each (n,), and the set that each is in."""

    path: Path
    classes: tuple[str, ...]
    files: list[Path]
    labels: np.ndarray
    parts: list[str]  # "train", "valid" or "test"; "" where nobody has divided them


def find(path: Path) -> Folder:
    """All files in the sub-folders of a folder. Raises DataError, SettingError."""
    if not path.is_dir():
        raise DataError(f"{path}: this is a file, and not a folder" if path.exists() else f"{path}: no such folder")
    inside = {PARTS[folder.name.lower()]: folder for folder in _folders(path) if folder.name.lower() in PARTS}
    divided = "train" in inside and len(inside) > 1 and bool(_folders(inside["train"]))
    sets = inside if divided else {"": path}
    top = sets.get("train", path)
    names = sorted(map(_name, _folders(top)), key=in_order)
    if len(names) < 2:
        found = f"only {names[0]}" if names else "none"
        raise DataError(f"{top}: every class needs a sub-folder with its pictures, two at least, but there is {found}")
    for name in names:
        if not name.isprintable() or len(name) > LONGEST_NAME:
            shown = name[:40].encode("unicode_escape").decode()
            raise DataError(f"{top}: the folder {shown} cannot be a class's name: give it one that can be printed, "
                            f"of {LONGEST_NAME} characters at most")  # fmt: skip
    files, labels, parts = list[Path](), list[int](), list[str]()
    for part, folder in sets.items():
        for within in sorted(_folders(folder), key=lambda sub: in_order(_name(sub))):
            if _name(within) not in names:
                raise DataError(f"{within}: there is no class {within.name} in {top}")
            here = list(itertools.islice(_files(within), MOST_FILES + 1 - len(files)))
            if len(files) + len(here) > MOST_FILES:
                raise DataError(f"{path}: more than {MOST_FILES:,} files: is this the folder that was meant?")
            if not here and part in ("", "train"):
                raise DataError(f"{within}: there are no pictures in this folder: put some there, or remove it")
            files += here
            labels += [names.index(_name(within))] * len(here)
            parts += [part] * len(here)
    return Folder(path, tuple(names), files, np.array(labels, np.int64), parts)


def pictures_in(folder: Path) -> list[Path]:
    """All files in a folder and its sub-folders that are called as pictures are.

    Sub-folders of these are not looked into. Raises DataError if there are no pictures.
    """
    known = suffixes()
    here = [folder, *_folders(folder)]
    found = [path for sub in here for path in _entries(sub) if path.suffix.lower() in known and not path.is_dir()]
    if not found:
        raise DataError(f"{folder}: there are no pictures in this folder")
    return found


def _folders(path: Path) -> list[Path]:
    return [entry for entry in _entries(path) if entry.is_dir()]


def _name(folder: Path) -> str:
    """A folder's name; an é is one character, however the file system writes it."""
    return unicodedata.normalize("NFC", folder.name)


def _entries(path: Path) -> list[Path]:
    """What is in a folder and not hidden, in the order of the names."""
    try:
        names = sorted(os.listdir(path))
    except OSError as e:
        raise DataError(f"{path}: cannot be read: {e.strerror}") from None
    return [path / name for name in names if not name.startswith((".", "__MACOSX"))]


def _files(path: Path, above: tuple[tuple[int, int], ...] = ()) -> Iterator[Path]:
    """All files in a folder and below it; a link back to a folder above ends there."""
    here = path.stat()
    me = (here.st_dev, here.st_ino)
    if me in above:
        return
    for entry in _entries(path):
        if entry.is_dir():
            yield from _files(entry, (*above, me))
        elif entry.is_file() or entry.is_symlink():
            yield entry


class Pixels:
    """The pixels of many files, brought to one size: bytes (C, S, S).

    Every file is read once at the beginning, which finds those that are damaged or no
    pictures. As many pixels as KEPT allows stay in memory.
    """

    def __init__(
        self, files: Sequence[Path], side: int, grey: bool, watch: Callable[[Iterable], Iterable] = iter
    ) -> None:
        self.files, self.side, self.grey = list(files), side, grey
        self.shape = (1 if grey else 3, side, side)
        n, known = len(self.files), suffixes()
        size = int(np.prod(self.shape))
        self.kept = np.zeros((min(n, KEPT // size), *self.shape), np.uint8)
        self.mean, self.square = np.zeros((n, self.shape[0])), np.zeros((n, self.shape[0]))
        self.good = np.zeros(n, bool)
        self.digests: list[str] = [""] * n
        self.damaged: list[str] = []  # what is wrong with each
        self.others: list[Path] = []  # files that do not claim to be pictures
        with _threads() as pool, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, about files that it can read all the same
            for k in watch(range(0, n, PIECE)):
                for i, found in enumerate(pool.map(self._look, self.files[k : k + PIECE]), k):
                    if isinstance(found, NoPicture) and self.files[i].suffix.lower() not in known:
                        self.others.append(self.files[i])
                    elif isinstance(found, DataError):
                        self.damaged.append(str(found))
                    else:
                        self.digests[i], pixels = found
                        self.good[i] = True
                        values = pixels.reshape(len(pixels), -1) / 255
                        self.mean[i], self.square[i] = values.mean(axis=1), (values * values).mean(axis=1)
                        if i < len(self.kept):
                            self.kept[i] = pixels

    def _look(self, path: Path) -> tuple[str, np.ndarray] | DataError:
        try:
            content = read_bytes(path)
            return hashlib.blake2b(content, digest_size=16).hexdigest(), self._square(content, path)
        except DataError as e:
            return e

    def _square(self, content: bytes, path: Path) -> np.ndarray:
        return square(content, str(path), self.side, self.grey)

    def read(self, numbers: np.ndarray) -> np.ndarray:
        """The pixels of the files with these numbers: bytes (N, C, S, S)."""
        out = np.empty((len(numbers), *self.shape), np.uint8)
        here = numbers < len(self.kept)
        out[here] = self.kept[numbers[here]]
        others = np.flatnonzero(~here)
        if len(others):
            with _threads() as pool:
                for i, pixels in zip(others, pool.map(self._one, numbers[others]), strict=True):
                    out[i] = pixels
        return out

    def _one(self, number: int) -> np.ndarray:
        return self._square(read_bytes(self.files[number]), self.files[number])

    def statistics(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of each colour over these files, from 0 to 1."""
        mean = self.mean[numbers].mean(axis=0)
        std = np.sqrt(np.maximum(self.square[numbers].mean(axis=0) - mean**2, 0))
        return mean, np.where(std > 1e-6, std, 1.0)


class Pictures(Source):
    """Some of the pictures as inputs of a network: (pixels/255 − mean) / std.

    Those of row i are the files `numbers[i]`, changed by `change`, if there is one.
    """

    def __init__(
        self, pixels: Pixels, numbers: np.ndarray, mean: np.ndarray, std: np.ndarray,
        change: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None, times: int = 1,
    ) -> None:  # fmt: skip
        """With `times`, every picture comes so often; `change` is told which time."""
        self.pixels, self.numbers, self.change = pixels, numbers, change
        self.mean, self.std = (np.asarray(v, np.float32)[:, None, None] for v in (mean, std))
        self.shape = (len(numbers) * times, *pixels.shape)

    def read(self, rows: np.ndarray) -> np.ndarray:
        time, place = np.divmod(rows, len(self.numbers))
        pixels = self.pixels.read(self.numbers[place])
        if self.change is not None:
            pixels = self.change(pixels, time)
        x = pixels.astype(np.float32)
        x /= 255
        x -= self.mean
        x /= self.std
        return x


def _threads() -> ThreadPoolExecutor:
    """Pillow reads and resizes without Python's lock, so several threads help."""
    return ThreadPoolExecutor(min(MOST_THREADS, os.cpu_count() or 1), "scratchnet-pictures")


def looks(files: Sequence[Path]) -> tuple[int, bool]:
    """(side, whether all are grey) of the pictures, by some of them.

    The side is the median of the shorter sides, at most LARGEST_SIDE.
    """
    chosen = files[:: -(-len(files) // SAMPLE)]
    sides, greys = [], []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for path in chosen:
            try:
                width, height, grey = header(read_bytes(path))
            except Exception:  # reading the pixels will say what is wrong
                continue
            sides.append(min(width, height))
            greys.append(grey)
    if not sides:
        return LARGEST_SIDE, False
    return min(LARGEST_SIDE, max(1, int(np.median(sides)))), all(greys)


def in_words(paths: Sequence[object]) -> str:
    """A few of them by name."""
    more = f" and {len(paths) - SHOWN:,} more" if len(paths) > SHOWN else ""
    return ", ".join(map(str, paths[:SHOWN])) + more


def damaged_in_words(pixels: Pixels) -> str:
    """What is wrong with the damaged files, the first one with its reason."""
    rest = f"; and {many(len(pixels.damaged) - 1, 'other file')}" if len(pixels.damaged) > 1 else ""
    return pixels.damaged[0] + rest
