"""Arrays: which module they belong to, and what the engine asks of them besides products.

The backend is a property of the arrays: NumPy's run on the CPU, CuPy's on the GPU, and
the rest of the engine is the same source for both. No backend class, no global switch.
"""

import functools
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

Array = Any  # numpy.ndarray or cupy.ndarray: the two share no base class
LINE = 64  # bytes of a line of the processor's cache


def xp_of(x: Array) -> ModuleType:
    """The module (numpy or cupy) that the array `x` belongs to."""
    if type(x) is np.ndarray:
        return np
    return sys.modules[type(x).__module__.partition(".")[0]]


def is_on_gpu(x: Any) -> bool:
    """Whether x is a CuPy array; asked without importing CuPy."""
    return type(x).__module__.partition(".")[0] == "cupy"


def to_numpy(x: Array) -> np.ndarray:
    """A NumPy array of the values of `x`; waits for the GPU where there is one."""
    return x.get() if hasattr(x, "get") else np.asarray(x)


def aligned_zeros(n: int, dtype: Any, xp: ModuleType) -> Array:
    """A vector of n zeros that begins with a line of the cache, which NumPy does not see to.

    Products of small matrices, which BLAS reads where they lie, are up to twice as fast so.
    """
    if xp is not np:
        return xp.zeros(n, dtype)
    room = np.zeros(n + LINE // np.dtype(dtype).itemsize, dtype)
    start = -room.ctypes.data % LINE // room.itemsize
    return room[start : start + n]


def fuse(function: Callable[..., Any]) -> Callable[..., Any]:
    """Run an elementwise function as one GPU kernel (`cupy.fuse`); on the CPU it stays as it is."""
    fused: list[Callable[..., Any]] = []

    def call(*args: Any) -> Any:
        if type(args[0]) is np.ndarray:
            return function(*args)
        if not fused:
            fused.append(xp_of(args[0]).fuse(function))
        return fused[0](*args)

    call.__doc__, call.__name__ = function.__doc__, function.__name__
    return call


@functools.lru_cache(maxsize=64)
def _kept_vector(value: int, n: int, dtype: str, xp: ModuleType) -> Array:
    return xp.full(n, value, dtype)


def vector_of(value: int, n: int, like: Array) -> Array:
    """A vector of n equal values, of the dtype and on the device of `like`; it is shared: nobody may write to it."""
    return _kept_vector(value, n, like.dtype.char, xp_of(like))
