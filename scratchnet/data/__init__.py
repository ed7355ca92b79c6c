"""Data sets, one file per source; `fetch` finds or downloads their files. N: examples, C, H, W: channels and pixels."""

from typing import NamedTuple

import numpy as np


class Images(NamedTuple):
    """Labelled pictures, in training and test sets.

    Images are uint8, (N, H, W) grey or (N, C, H, W) colour; labels are int64, (N,), from 0.
    """

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray


class Table(NamedTuple):
    """Measurements (N, F) float64 and classes (N,) int64, which index `classes`; `features` names the columns."""

    values: np.ndarray
    labels: np.ndarray
    features: tuple[str, ...]
    classes: tuple[str, ...]
