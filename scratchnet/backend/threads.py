"""BLAS threads: whose they are, how many pay off, and that they are given back.

NumPy and SciPy bring a BLAS each, with threads of its own. Their number belongs to the process, not to us: it is
changed while the engine computes, and restored when the last of its calls ends, whichever Python thread made it.
"""

import contextlib
import ctypes
import functools
import math
import operator
import os
import threading
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy.linalg.blas  # noqa: F401  (loads SciPy's BLAS, so that it can be seen)
from threadpoolctl import ThreadpoolController

from scratchnet.errors import SettingError

MOST_THREADS = 10_000  # more than any machine has cores; BLAS takes a C int
LARGE = 50_000_000  # multiplications from which on a product may have several threads, which NumPy has and SciPy not
KEPT = 10.0  # seconds that a probe speaks for; it takes a tenth of one, and a machine may become busy


class Library(NamedTuple):
    """A BLAS library: how many threads it has, and a way to set that."""

    threads: Callable[[], int]
    set_threads: Callable[[int], Any]
    is_scipys: bool
    is_per_thread: bool  # it keeps a number for each Python thread, as MKL and OpenMP do, and not one for the process


def _library(found: Any) -> Library:
    """SciPy's own library lies in the folder scipy.libs, or scipy/.dylibs; any other counts as NumPy's."""
    is_scipys = any(part.startswith("scipy") for part in Path(found.filepath).parts[-3:-1])
    is_per_thread = found.internal_api == "mkl" or getattr(found, "threading_layer", "") == "openmp"
    if found.internal_api == "openblas" and not is_per_thread:
        # asked directly, because threadpoolctl obeys one Python thread alone, and takes ten times as long
        library = ctypes.PyDLL(found.filepath)
        for before, after in product(("", "scipy_"), ("", "64_", "_64")):
            get = getattr(library, f"{before}openblas_get_num_threads{after}", None)
            set_ = getattr(library, f"{before}openblas_set_num_threads{after}", None)
            if get is not None and set_ is not None:
                set_.restype = None
                return Library(get, set_, is_scipys, is_per_thread)
    return Library(found.get_num_threads, found.set_num_threads, is_scipys, is_per_thread)


LIBRARIES = [_library(found) for found in ThreadpoolController().select(user_api="blas").lib_controllers]
PER_THREAD = [library for library in LIBRARIES if library.is_per_thread]


def numpys_threads() -> int:
    """The threads that NumPy's products have now."""
    numpys = [library for library in LIBRARIES if not library.is_scipys] or LIBRARIES
    return max((library.threads() for library in numpys), default=1)


_lock = threading.Lock()
_wanted: dict[int, int] = {}  # how many BLAS threads each Python thread that computes now has asked for
_before: list[int] = []  # what every library had when the first of them began


class blas_threads:
    """Run a block with this many BLAS threads, and restore what was before, after an exception too. It costs 2 to 5 µs.

    They are NumPy's: SciPy's BLAS, which changes weights in place, has one meanwhile. After their work threads look out
    for more for a while, and those of two libraries get in each other's way: a step of 784-2000-10 took 65 ms on four
    cores, where one core takes 7.5.

    OpenBLAS has one number for the whole process, so other Python threads meet it too. Where several of them run such
    a block at a time, the smallest number holds, and the last to end restores what was before the first.
    """

    __slots__ = ("me", "mine", "outer", "threads")

    def __init__(self, threads: int) -> None:
        self.threads = threads

    def __enter__(self) -> None:
        self.me = me = threading.get_ident()
        with _lock:
            if not _wanted:
                _before.clear()
                for library in LIBRARIES:
                    _before.append(library.threads())
            self.mine = [library.threads() for library in PER_THREAD] if PER_THREAD else None
            self.outer = _wanted.get(me)
            _wanted[me] = self.threads
            _share(self.threads if len(_wanted) == 1 else min(_wanted.values()))

    def __exit__(self, *error: object) -> None:
        with _lock:
            if self.outer is None:
                _wanted.pop(self.me, None)
            else:
                _wanted[self.me] = self.outer
            if _wanted:
                _share(min(_wanted.values()))
            else:
                for library, threads in zip(LIBRARIES, _before):
                    library.set_threads(threads)
            if self.mine is not None:
                for library, threads in zip(PER_THREAD, self.mine):
                    library.set_threads(threads)


def _share(threads: int) -> None:
    """Give the threads to NumPy's products, and SciPy one."""
    for library in LIBRARIES:
        library.set_threads(1 if library.is_scipys else threads)


def _after_fork() -> None:
    """In a forked child there is one Python thread: no other's block will ever end here, and nobody holds the lock."""
    global _lock  # noqa: PLW0603
    _lock = threading.Lock()
    for other in _wanted.keys() - {threading.get_ident()}:
        with blas_threads(1):  # whose end then restores what was, if it is the last
            del _wanted[other]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def threads_for(work: Callable[[Any], float], x: Any) -> contextlib.AbstractContextManager[None]:
    """A block of one call from outside, such as a step, with as many BLAS threads as pay off for it.

    `work(x)` is the floating-point work of its largest product; what a probe of that size found is kept for KEPT
    seconds. In a block of `blas_threads`, such as `fit`, this has been decided already.
    """
    if threading.get_ident() in _wanted:
        return contextlib.nullcontext()
    operations = work(x)
    if operations < 2 * LARGE:
        return blas_threads(1)
    return blas_threads(_probed(math.ceil(math.log2(operations)), _cores(), time.perf_counter() // KEPT))


@functools.lru_cache(maxsize=64)
def _probed(power: int, cores: int, period: float) -> int:
    return _probe(2.0**power, cores)


def choose_threads(threads: str | int, operations: float) -> int:
    """The number of BLAS threads for the option `auto` or a number.

    `operations` is the floating-point work of the largest product of a step. Below 10⁸ waking a second
    thread costs more than it saves, so `auto` takes one; above, a probe of that size decides, because
    on a busy machine several threads can be ten times slower than one. They have to be much faster,
    since a step has more parts than products and the machine may become busier. `auto` takes all
    cores, or as many threads as BLAS was allowed, for instance by OPENBLAS_NUM_THREADS, or one.
    """
    if not isinstance(threads, str) or threads != "auto":
        try:
            n = int(threads) if isinstance(threads, str) else operator.index(threads)
        except (ValueError, TypeError):
            n = 0
        if not 1 <= n <= MOST_THREADS or isinstance(threads, bool):
            raise SettingError(f"threads '{' '.join(str(threads).split())[:60]}': give auto or a number from 1")
        return n
    return 1 if operations < 2 * LARGE else _probe(operations, _cores())


def _cores() -> int:
    """The most threads that may be taken."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, numpys_threads())


def _probe(operations: float, cores: int) -> int:
    """All cores or one: what is faster, by far, for a product of so many operations."""
    if cores == 1:
        return 1
    side = max(64, round((min(operations, 4e8) / 2) ** (1 / 3)))
    A = np.ones((side, side), np.float32)
    times = {1: np.inf, cores: np.inf}
    for _ in range(3):
        for n in (1, cores):
            with blas_threads(n):
                np.dot(A, A)
                start = time.perf_counter()
                for _ in range(3):
                    np.dot(A, A)
                times[n] = min(times[n], time.perf_counter() - start)
        if times[cores] > 3 * times[1]:
            break  # the machine is busy, and another try would take long
    return cores if times[cores] < 0.6 * times[1] else 1
