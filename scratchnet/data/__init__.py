"""Data sets: one file per source; `fetch` finds or downloads their files.

Letters: N examples; C, H, W channels, rows and columns of a picture.
"""

from typing import NamedTuple

import numpy as np


class Images(NamedTuple):
    """Labelled pictures, divided into training and test sets.

    Images are uint8, (N, H, W) if grey or (N, C, H, W) in colour; labels are int64,
    (N,), and count from 0.
    """

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray


class Table(NamedTuple):
    """Measurements (N, F) in float64, and the class of each example (N,) in int64.

    The classes index `classes`; `features` names the columns.
    """

    values: np.ndarray
    labels: np.ndarray
    features: tuple[str, ...]
    classes: tuple[str, ...]
