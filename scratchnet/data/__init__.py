"""Data sets: one file per source; `fetch` finds or downloads their files.

Letters: N examples; C, H, W channels, rows and columns of a picture.
"""

from typing import Any, NamedTuple

import numpy as np


def outline(value: Any) -> str:
    """A named tuple as a notebook shows it: sizes of its parts, not their contents."""
    parts = []
    for name, part in value._asdict().items():
        words = f"{part.dtype} {part.shape}" if isinstance(part, np.ndarray) else f"{len(part):,}"
        parts.append(f"{name}: {words}")
    return f"{type(value).__name__}({', '.join(parts)})"


class Images(NamedTuple):
    """Labelled pictures, divided into training and test sets.

    Images are uint8, (N, H, W) if grey or (N, C, H, W) in colour; labels are int64,
    (N,), and count from 0.
    """

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray

    def __repr__(self) -> str:
        return outline(self)


class Table(NamedTuple):
    """Measurements (N, F) in float64, and the class of each example (N,) in int64.

    The classes index `classes`; `features` names the columns.
    """

    values: np.ndarray
    labels: np.ndarray
    features: tuple[str, ...]
    classes: tuple[str, ...]

    def __repr__(self) -> str:
        return outline(self)
