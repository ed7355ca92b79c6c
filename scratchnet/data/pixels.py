"""The pixels of many picture files: brought to one size, and kept or read anew.

Letters: n pictures, N of a batch, C colours, S pixels of a side.
"""

import hashlib
import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from scratchnet.data.pictures import NoPicture, header, read_bytes, square, suffixes
from scratchnet.engine.progress import many
from scratchnet.engine.sources import Source
from scratchnet.errors import DataError

SHOWN = 3  # files that a message names
SAMPLE = 500  # pictures that are looked at to find out what the pictures are like
LARGEST_SIDE = 64  # pixels, unless another size is asked for
KEPT = 1 << 29  # bytes of pixels that stay in memory; all others are read anew each time
MOST_THREADS = 4
PIECE = 512  # files at a time


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
