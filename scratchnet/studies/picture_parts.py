"""A folder of pictures, divided into what a run trains, validates and tests on."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from scratchnet.data.folders import find
from scratchnet.data.pictures import DEGREES, turned
from scratchnet.data.pixels import Pictures, Pixels, damaged_in_words, in_words, looks
from scratchnet.engine.crossvalidation import stratified_split
from scratchnet.engine.progress import many
from scratchnet.errors import DataError, SettingError
from scratchnet.studies.per_class import MOST_IN_A_TABLE

if TYPE_CHECKING:
    from scratchnet.studies.images import Options

Watch = Callable[[Iterable[Any]], Iterable[Any]]
TEST_SHARE, VALID_SHARE = 0.2, 0.1  # of all pictures, and of those that are not the test


class Parts:
    """What a run trains, validates and tests on, by the numbers of the files."""

    def __init__(self, o: "Options", watch: Watch = iter) -> None:
        """Read the folder and divide it. Raises SettingError, DataError."""
        if o.folder is None:
            raise SettingError("images needs --folder DIR, a folder with a sub-folder of pictures for each class")
        found = find(o.folder)
        size, grey = looks(found.files)
        pixels = Pixels(found.files, o.size or size, o.grey or grey, watch)
        if pixels.damaged and o.damaged == "stop":
            raise DataError(f"{damaged_in_words(pixels)}: mend or remove what is damaged, or give --damaged skip")
        self.folder, self.pixels, self.classes, self.labels = o.folder, pixels, found.classes, found.labels
        good, part = np.flatnonzero(pixels.good), np.array(found.parts)[pixels.good]
        self._need_enough(good, part)
        train, valid, test = (good[np.isin(part, names)] for names in (("", "train"), "valid", "test"))
        if not len(test):
            train, test = self._set_aside(train, TEST_SHARE, o.seed)
        if not len(valid):
            train, valid = self._set_aside(train, VALID_SHARE, o.seed)
        self.train, self.valid, self.test = train, valid, test
        self.mean, self.std = pixels.statistics(train)

    def _need_enough(self, good: np.ndarray, part: np.ndarray) -> None:
        """Raise DataError for a class with too few pictures to set some aside."""
        least = 1 + ("test" not in part) + ("valid" not in part)
        for k, name in enumerate(self.classes):
            n = int((self.labels[good[part != "test"]] == k).sum())
            if n < least:
                raise DataError(
                    f"{self.folder}: the class {name} has {many(n, 'picture')} to train on, and {least} at least are "
                    "needed, since some are set aside"
                )

    def _set_aside(self, files: np.ndarray, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
        rest, chosen = stratified_split(self.labels[files], share, seed)
        return files[rest], files[chosen]

    def inputs(self, files: np.ndarray, turns: tuple[float, ...] = (0.0,)) -> tuple[Pictures, np.ndarray]:
        """(x, labels) of these files, which come once for each turn, in degrees."""

        def turn(pixels: np.ndarray, time: np.ndarray) -> np.ndarray:
            out = pixels.copy()
            for k, degrees in enumerate(turns):
                if degrees and (time == k).any():
                    out[time == k] = turned(pixels[time == k], degrees)
            return out

        x = Pictures(self.pixels, files, self.mean, self.std, turn if len(turns) > 1 else None, len(turns))
        return x, np.tile(self.labels[files], len(turns))

    def training(self, o: "Options") -> tuple[Pictures, np.ndarray]:
        """(x, labels) to train on."""
        return self.inputs(self.train, (0.0, DEGREES, -DEGREES) if o.augment == "rotate" else (0.0,))

    def say(self, say: Callable[[str], None]) -> None:
        """Tell what was found out about the folder."""
        counts = np.bincount(self.labels[self.pixels.good], minlength=len(self.classes))
        each = ", ".join(f"{name} {n:,}" for name, n in zip(self.classes, counts.tolist(), strict=True))
        few = len(self.classes) <= MOST_IN_A_TABLE
        side = self.pixels.side
        say(
            f"{self.folder}: {many(int(counts.sum()), 'picture')} in {len(self.classes)} classes"
            + (f" ({each})" if few else f", from {counts.min():,} to {counts.max():,} in each")
            + f"; {'grey' if self.pixels.grey else 'in colour'}, brought to {side} x {side} pixels"
        )
        if self.pixels.others:
            say(f"left out, since they are no pictures: {in_words([path.name for path in self.pixels.others])}")
        if self.pixels.damaged:
            say(f"left out, since they cannot be read: {damaged_in_words(self.pixels)}")
        say(f"{len(self.train):,} to train on, {len(self.valid):,} for validation, {len(self.test):,} as the test\n")


class Raw:
    """The pixels of some files, read when they are looked at."""

    def __init__(self, pixels: Pixels, files: np.ndarray) -> None:
        self.pixels, self.files = pixels, files

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        return self.pixels.read(self.files[rows])
