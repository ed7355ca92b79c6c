"""How far apart two arrays are, in numbers that can be judged."""

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Difference:
    """The distance of a from b; NaN and infinities in the same places count as equal.

    * `absolute`: max |a − b|
    * `relative`: max |a − b| / |b| over the elements; large but harmless where an
      element of b is nearly 0
    * `norm_relative`: ‖a − b‖ / ‖b‖, the number that is judged: rounding keeps it near
      the machine epsilon
    * `index`: where |a − b| is largest, with `ours` = a and `theirs` = b there
    """

    absolute: float
    relative: float
    norm_relative: float
    index: tuple[int, ...]
    ours: float
    theirs: float


def difference(a: Any, b: Any, noise: float = 0.0) -> Difference:
    """The distance of a from b. Raises ValueError for different shapes.

    `noise` is the size that ‖b‖ must exceed to be more than rounding. Below it, the
    distance is divided by 1 and not by ‖b‖. (The gradient of a bias in front of a batch
    normalisation, for example, is exactly 0, and is computed as 1e-18.)
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if a.shape != b.shape:
        raise ValueError(f"shapes differ: {a.shape} and {b.shape}")
    if a.size == 0:
        return Difference(0.0, 0.0, 0.0, (), 0.0, 0.0)
    with np.errstate(invalid="ignore", over="ignore"):
        distance = np.array(np.abs(a - b))
    distance[(a == b) | (np.isnan(a) & np.isnan(b))] = 0.0
    distance[np.isnan(distance)] = np.inf
    k = np.unravel_index(distance.argmax(), distance.shape)
    scale = np.abs(np.where(np.isfinite(b), b, 0.0))
    relative = np.divide(distance, scale, out=np.where(distance > 0, np.inf, 0.0), where=scale > 0)
    size = np.linalg.norm(scale)
    return Difference(
        float(distance[k]),
        float(relative.max()),
        float(np.linalg.norm(distance) / (size if size > noise else 1.0)),
        tuple(map(int, k)),
        float(a[k]),
        float(b[k]),
    )
