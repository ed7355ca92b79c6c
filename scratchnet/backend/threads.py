"""BLAS threads: whose they are, and how many pay off."""

import contextlib
import functools
import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from threadpoolctl import ThreadpoolController

from scratchnet.errors import SettingError

LARGE = 50_000_000  # multiplications from which on a product may have several threads, which NumPy has and SciPy not


@functools.cache
def _blas() -> ThreadpoolController:
    return ThreadpoolController().select(user_api="blas")


@functools.cache
def _numpys_blas() -> ThreadpoolController:
    """NumPy's BLAS. SciPy may bring another: in the folder scipy.libs, or scipy/.dylibs."""
    files = [library.filepath for library in _blas().lib_controllers]
    own = [file for file in files if not any(part.startswith("scipy") for part in Path(file).parts[-3:-1])]
    return _blas().select(filepath=own or files)


def numpys_threads() -> int:
    """The threads that NumPy's products have now."""
    return max((library.get_num_threads() for library in _numpys_blas().lib_controllers), default=1)


@contextlib.contextmanager
def blas_threads(threads: int) -> Iterator[None]:
    """Run a block with this many BLAS threads. Entering costs some 30 µs: once around a loop.

    They are NumPy's: SciPy's BLAS, which changes weights in place, has one meanwhile. After their work threads look out
    for more for a while, and those of two libraries get in each other's way: a step of 784-2000-10 took 65 ms on four
    cores, where one core takes 7.5.
    """
    with _blas().limit(limits=1), _numpys_blas().limit(limits=threads):
        yield


def choose_threads(threads: str | int, operations: float) -> int:
    """The number of BLAS threads for the option `auto` or a number.

    `operations` is the floating-point work of the largest product of a step. Below 10⁸ waking a second
    thread costs more than it saves, so `auto` takes one; above, a probe of that size decides, because
    on a busy machine several threads can be ten times slower than one. They have to be much faster,
    since a step has more parts than products and the machine may become busier.
    """
    if threads != "auto":
        try:
            n = int(threads)
        except ValueError:
            n = 0
        if n < 1:
            raise SettingError(f"threads '{threads}': give auto or a number from 1")
        return n
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if cores == 1 or operations < 2 * LARGE:
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
