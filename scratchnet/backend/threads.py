"""BLAS threads: how many to use, and how to put back what was there.

NumPy and SciPy each bring a BLAS with threads of its own. Their number belongs to the
process, not to us. It is changed while the engine computes, and restored when the last
of its calls ends, whichever Python thread made it.
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
# multiplications from which a product may have several threads
WORTH_THREADS = 50_000_000
# seconds for which a probe counts: it takes a tenth of one, and a machine may become
# busy
PROBE_SECONDS = 10.0


class Library(NamedTuple):
    """A BLAS library: how many threads it has, and how to set that."""

    threads: Callable[[], int]
    set_threads: Callable[[int], Any]
    is_scipys: bool
    # whether it has a number for each Python thread, as MKL and OpenMP do, not one for
    # all
    is_per_thread: bool


def _library(found: Any) -> Library:
    """What threadpoolctl found, as a Library.

    One in the folder scipy.libs or scipy/.dylibs is SciPy's; any other counts as
    NumPy's.
    """
    is_scipys = any(part.startswith("scipy") for part in Path(found.filepath).parts[-3:-1])
    is_per_thread = found.internal_api == "mkl" or getattr(found, "threading_layer", "") == "openmp"
    if found.internal_api == "openblas" and not is_per_thread:
        # called directly: threadpoolctl affects only one Python thread, and takes ten
        # times as long
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
    """How many threads NumPy's products have now."""
    numpys = [library for library in LIBRARIES if not library.is_scipys] or LIBRARIES
    return max((library.threads() for library in numpys), default=1)


_lock = threading.Lock()
# how many BLAS threads each Python thread that computes now has asked for
_wanted: dict[int, int] = {}
_before: list[int] = []  # what every library had when the first of them began


class blas_threads:
    """Run a block with this number of BLAS threads, and then restore what was before.

    It does so after an exception too, and costs 2 to 5 µs. The threads are NumPy's;
    SciPy's BLAS, which changes weights in place, has one meanwhile. Idle BLAS threads
    spin for a while to wait for more work, so two pools would fight for the cores: a
    step of 784-2000-10 took 65 ms on four cores, where one core takes 7.5.

    OpenBLAS has one number for the whole process, so it applies to other Python threads
    too. If several of them run such a block at the same time, the smallest number
    holds, and the last one to end restores what was before the first.
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
    """Give these threads to NumPy's products, and one to SciPy's."""
    for library in LIBRARIES:
        library.set_threads(1 if library.is_scipys else threads)


def _after_fork() -> None:
    """Forget the other Python threads in a forked child, where they do not exist.

    None of their blocks would ever end, and one of them may have held the lock.
    """
    global _lock  # noqa: PLW0603
    _lock = threading.Lock()
    for other in _wanted.keys() - {threading.get_ident()}:
        with blas_threads(1):  # its end restores what was, if it is the last
            del _wanted[other]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def have_one_thread() -> bool:
    """Whether every library has one thread now."""
    # in every step; `all` of a generator takes twice as long
    for library in LIBRARIES:  # noqa: SIM110
        if library.threads() != 1:
            return False
    return True


AS_IT_IS = contextlib.nullcontext()


def threads_for(work: Callable[[Any], float], x: Any) -> contextlib.AbstractContextManager[None]:
    """A block for one call, such as a step, with the best number of threads.

    `work(x)` is the floating-point work of its largest product. What a probe of that
    size finds holds for PROBE_SECONDS. Inside a block of `blas_threads`, such as in
    `fit`, the number has been decided already.
    """
    if _wanted and threading.get_ident() in _wanted:
        return AS_IT_IS
    if _fixed != "auto":
        return blas_threads(int(_fixed))
    if not _wanted and have_one_thread():
        return AS_IT_IS  # "auto" takes no more threads than BLAS has
    operations = work(x)
    if operations < 2 * WORTH_THREADS:
        return blas_threads(1)
    return blas_threads(_probed(math.ceil(math.log2(operations)), _cores(), time.perf_counter() // PROBE_SECONDS))


@functools.lru_cache(maxsize=64)
def _probed(power: int, cores: int, period: float) -> int:
    return _probe(2.0**power, cores)


_fixed: str | int = "auto"  # what `set_threads` was given last


def set_threads(threads: str | int) -> None:
    """Compute with this many BLAS threads from now on; "auto" chooses for each call.

    It holds for `fit`, `step`, `net(x)` and all other calls of this process that do not
    say otherwise themselves. Raises SettingError for what is no number from 1.
    """
    global _fixed  # noqa: PLW0603
    is_auto = isinstance(threads, str) and threads == "auto"
    _fixed = "auto" if is_auto else choose_threads(threads, 0.0)


def choose_threads(threads: str | int, operations: float) -> int:
    """The number of BLAS threads for the option `auto` or a number.

    `operations` is the floating-point work of the largest product of a step. Below 10⁸,
    waking a second thread costs more than it saves, so `auto` takes one. Above, it
    probes a product of that size, because on a busy machine several threads can be ten
    times slower than one. They must be much faster to be taken, since a step is more
    than its products, and the machine may become busier. `auto` takes either one thread
    or all cores, or as many threads as BLAS was allowed, for instance by
    OPENBLAS_NUM_THREADS.
    """
    if isinstance(threads, str) and threads == "auto":
        threads = _fixed
    if not isinstance(threads, str) or threads != "auto":
        try:
            n = int(threads) if isinstance(threads, str) else operator.index(threads)
        except (ValueError, TypeError):
            n = 0
        if not 1 <= n <= MOST_THREADS or isinstance(threads, bool):
            raise SettingError(f"threads '{' '.join(str(threads).split())[:60]}': give auto or a number from 1")
        return n
    return 1 if operations < 2 * WORTH_THREADS else _probe(operations, _cores())


def _cores() -> int:
    """The largest number of threads that may be used."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, numpys_threads())


def _probe(operations: float, cores: int) -> int:
    """All cores or one: whichever is faster, by far, for a product of this size."""
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
            break  # the machine is busy; another try would take long
    return cores if times[cores] < 0.6 * times[1] else 1
