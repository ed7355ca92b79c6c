"""Arrays: which module they belong to, and what the engine needs besides products.

The backend is a property of the arrays: NumPy's live on the CPU, CuPy's on the GPU, and
the rest of the engine is the same code for both. There is no backend class and no
global switch.
"""

import functools
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

Array = Any  # numpy.ndarray or cupy.ndarray: the two share no base class
LINE = 64  # bytes in one line of the processor's cache


def xp_of(x: Array) -> ModuleType:
    """The module (numpy or cupy) that the array `x` belongs to."""
    if type(x) is np.ndarray:
        return np
    return sys.modules[type(x).__module__.partition(".")[0]]


def is_on_gpu(x: Any) -> bool:
    """Whether x is a CuPy array; does not import CuPy."""
    return type(x).__module__.partition(".")[0] == "cupy"


def to_numpy(x: Array) -> np.ndarray:
    """The values of `x` as a NumPy array; waits for the GPU if x is on one."""
    return x.get() if hasattr(x, "get") else np.asarray(x)


def aligned_zeros(n: int, dtype: Any, xp: ModuleType) -> Array:
    """A vector of n zeros that starts at the beginning of a cache line.

    NumPy does not see to that. Products of small matrices, which BLAS reads where they
    are, can be twice as fast with it.
    """
    if xp is not np:
        return xp.zeros(n, dtype)
    room = np.zeros(n + LINE // np.dtype(dtype).itemsize, dtype)
    start = -room.ctypes.data % LINE // room.itemsize
    return room[start : start + n]


def fuse(function: Callable[..., Any]) -> Callable[..., Any]:
    """Run an elementwise function as one GPU kernel; unchanged on the CPU."""
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
    """A vector of n equal values, with the dtype and on the device of `like`.

    It is shared: nobody may write to it.
    """
    return _kept_vector(value, n, like.dtype.char, xp_of(like))
