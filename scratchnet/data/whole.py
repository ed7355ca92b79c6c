"""Pictures for a network that was trained on whole pictures, and not on drawn digits.

Letters: N pictures, C colours, S pixels of a side.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from scratchnet.data.pictures import read_bytes, square
from scratchnet.engine.layers import Sequential
from scratchnet.errors import CheckpointError, ShapeError
from scratchnet.files.tensorfile import short
from scratchnet.models.network import check_work

LARGEST_SIDE = 4096  # pixels
LARGEST_MEAN, LEAST_STD = 1e3, 1e-6  # of pixels from 0 to 1


class Whole(NamedTuple):
    """Inputs are (pixels/255 − mean) / std, for pixels (C, S, S), mean and std (C,)."""

    shape: tuple[int, ...]
    mean: np.ndarray
    std: np.ndarray

    def read(self, path: Path) -> np.ndarray:
        """The picture in a file as the network sees it: bytes (C, S, S).

        Raises DataError.
        """
        return square(read_bytes(path), str(path), self.shape[1], self.shape[0] == 1)

    def inputs(self, pixels: np.ndarray) -> np.ndarray:
        """Pixels (N, C, S, S) as inputs."""
        return (pixels.astype(np.float32) / 255 - self.mean[:, None, None]) / self.std[:, None, None]


def whole_input(net: Sequential) -> Whole | None:
    """What a network for whole pictures takes, or None if it is of another kind.

    Raises CheckpointError if what its file says of it cannot be.
    """
    about: Any = net.info.get("input")
    if not isinstance(about, dict) or not {"shape", "mean", "std"} <= set(about):
        return None
    shape, mean, std = about["shape"], about["mean"], about["std"]
    right = isinstance(shape, (list, tuple)) and len(shape) == 3 and all(type(n) is int for n in shape)
    if not right or shape[0] not in (1, 3) or shape[1] != shape[2] or not 1 <= shape[1] <= LARGEST_SIDE:
        return None  # a table's network has a mean and a deviation too
    if not all(_numbers(values, shape[0]) for values in (mean, std)) or min(std) < LEAST_STD:
        raise CheckpointError(f"this model's mean {short(mean)} and deviation {short(std)} make no pictures: damaged?")
    try:
        outputs = net.shapes_from(tuple(shape))[-1]
    except ShapeError as e:
        raise CheckpointError(f"this model does not take the pictures that it says, {short(shape)}: {e}") from None
    if len(outputs) != 1:
        raise CheckpointError(f"this model gives {short(outputs)} numbers, and not one for each class")
    check_work(net, tuple(shape))
    return Whole(tuple(shape), np.array(mean, np.float32), np.array(std, np.float32))


def _numbers(values: Any, n: int) -> bool:
    return (
        isinstance(values, (list, tuple)) and len(values) == n
        and all(type(v) in (int, float) and abs(v) <= LARGEST_MEAN for v in values)
    )  # fmt: skip
