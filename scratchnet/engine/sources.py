"""Examples that are not in memory: batches of them are read when they are needed.

Letters: n examples in all, N in a batch.

A source can be asked for any examples, so an epoch's order is the one of the seed, as
for arrays, and a training can be resumed in the middle of an epoch. What can only be
gone through from its beginning is a loader: see loaders.py.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from scratchnet.engine import checks
from scratchnet.errors import DataError


class Source:
    """n examples of one shape; `source[rows]` reads some of them as an array.

    A subclass has `shape`, (n, ...), and `read`, which is called by one thread at a
    time, and not always the same one.
    """

    shape: tuple[int, ...]

    #: Whether all examples may be read at once, for steps that go through them in
    #: memory
    fits: bool = False

    def read(self, rows: np.ndarray) -> np.ndarray:
        """The examples with these numbers (N,), as an array (N, ...)."""
        raise NotImplementedError

    def __getitem__(self, rows: Any) -> np.ndarray:
        return self.read(np.arange(len(self))[rows])

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def ndim(self) -> int:
        return len(self.shape)


class OnDisk(Source):
    """An array on disk, as `np.memmap` and `np.load(..., mmap_mode="r")` give it."""

    def __init__(self, array: np.ndarray) -> None:
        self.array, self.shape = np.asarray(array), array.shape

    def read(self, rows: np.ndarray) -> np.ndarray:
        return self.array[rows]


class Column(Source):
    """A column of a table that gives rows by their numbers, as dictionaries.

    This is how the tables of Hugging Face's `datasets` work.
    """

    def __init__(self, table: Any, name: str) -> None:
        self.table, self.name = table, name
        self.shape = (len(table), *self.read(np.arange(1)).shape[1:])

    def read(self, rows: np.ndarray) -> np.ndarray:
        return checks.array("fit", f"column {self.name}", self.table[rows.tolist()][self.name])


def source_of(x: Any) -> Source | None:
    """The source that x is or can be made, or None."""
    if isinstance(x, Source):
        return x
    return OnDisk(x) if isinstance(x, np.memmap) and x.ndim else None


def columns_of(table: Any) -> tuple[Source, np.ndarray] | None:
    """(x, target) of a table such as those of `datasets`, or None for something else.

    The column of the targets is read at once, the other one when it is needed. Raises
    DataError if it is not clear which columns these are.
    """
    if not (hasattr(table, "with_format") and hasattr(table, "__getitem__") and hasattr(table, "__len__")):
        return None
    try:
        row = table[[0]]
        is_table = isinstance(row, Mapping) and all(len(column) == 1 for column in row.values())
    except Exception:  # it does not take lists of numbers: then it can be iterated over, at best
        return None
    if not is_table:
        return None
    x, target = names_of("fit", row)
    values = table[target]
    return Column(table, x), checks.array(
        "fit", f"column {target}", values[:] if hasattr(values, "__len__") else values
    )


#: What the columns of inputs and of targets are usually called
INPUTS = ("x", "input", "inputs", "image", "images", "img", "pixel_values", "features", "input_ids", "data")
TARGETS = ("label", "labels", "target", "targets", "y", "class", "fine_label")


def names_of(who: str, batch: Mapping[str, Any]) -> tuple[str, str]:
    """Which entries of a dictionary are the inputs and the targets, by their names."""
    targets = [name for name in TARGETS if name in batch]
    others = [name for name in batch if name not in targets]
    inputs = others if len(others) == 1 else [name for name in INPUTS if name in others]
    if len(targets) != 1 or len(inputs) != 1:
        raise DataError(
            f"{who}: of the columns {', '.join(map(str, batch))}, it is not clear which one is x and which one the "
            'target: give pairs, such as ((batch["image"], batch["label"]) for batch in ...), or leave two columns, of '
            "which one is called label"
        )
    return inputs[0], targets[0]
