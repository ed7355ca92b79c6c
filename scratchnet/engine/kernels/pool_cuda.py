"""Pools on a GPU: one kernel forward and one back (pool.cu).

Letters as in layers/pool.py.
"""

from math import prod
from typing import Any

from scratchnet.backend.arrays import Array, xp_of
from scratchnet.engine.kernels.nvrtc import kernel
from scratchnet.engine.layers.pool import AvgPool2d, Choice, Extreme, Pool
from scratchnet.engine.learner import Learner

THREADS = 256  # of a block
MOST_TAPS = 256  # whose numbers fit into a byte


def choose(layer: Choice, x: Array, y: Array, code: Array | None, learn: Learner | None) -> None:
    """`Choice.choose`."""
    if taps(layer) > MOST_TAPS:
        return type(layer).choose(layer, x, y, code, learn)
    args = whole(x), y.size, *sizes(layer, x, y)
    out = y, 0 if code is None else code
    if isinstance(layer, Extreme):
        launch("choose", y.size, *args, 1 if layer.which == "maximum" else -1, *out)
    else:
        launch("median", y.size, *args, *out)
    return None


def give_back(layer: Choice, delta: Array, code: Array, dx: Array, learn: Learner) -> None:
    """`Choice.give_back`."""
    if taps(layer) > MOST_TAPS:
        return type(layer).give_back(layer, delta, code, dx, learn)
    launch("give_back", dx.size, whole(delta), code, dx.size, *sizes(layer, dx, delta), 0, dx)
    return None


def average(layer: AvgPool2d, x: Array, y: Array) -> None:
    """`AvgPool2d.average`."""
    launch("average", y.size, whole(x), y.size, *sizes(layer, x, y), taps(layer), y)


def spread(layer: AvgPool2d, delta: Array, dx: Array) -> None:
    """`AvgPool2d.spread`."""
    launch("give_back", dx.size, whole(delta), 0, dx.size, *sizes(layer, dx, delta), taps(layer), dx)


def whole(a: Array) -> Array:
    """`a` without gaps between its elements."""
    return xp_of(a).ascontiguousarray(a)


def sizes(layer: Pool, image: Array, places: Array) -> list[int]:
    """H, W, P, Q, N, and k, s, p along both axes."""
    return [*image.shape[1:3], *places.shape[1:], *(n for w in layer.window for n in (w.k, w.s, w.p))]


def taps(layer: Pool) -> int:
    return prod(w.k for w in layer.window)


def launch(name: str, size: int, *args: Any) -> None:
    """A thread for each of `size` numbers."""
    if size:
        a = args[0]
        kernel(xp_of(a), "pool", name, str(a.dtype))((-(-size // THREADS),), (THREADS,), args)
