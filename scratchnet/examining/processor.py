"""The processor, and how well the BLAS libraries use it."""

import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from scratchnet.examining.findings import GOOD, NOTE, Line

THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


def processor() -> Iterator[Line]:
    yield Line(GOOD, "CPU", cpu_name())
    total = os.cpu_count() or 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else total
    yield Line(GOOD, "cores", f"{cores}" + (f" of {total}" if cores < total else ""))
    if hasattr(os, "getloadavg"):
        now, five, fifteen = os.getloadavg()
        text = f"{now:.1f}, {five:.1f}, {fifteen:.1f} (1, 5, 15 minutes)"
        busy = now > cores / 2
        mend = "the machine is busy: timings will be unsteady, and --threads 1 may be the fastest" if busy else ""
        yield Line(NOTE if busy else GOOD, "load average", text, mend)


def cpu_name() -> str:
    """The processor's model, as the system calls it."""
    return cpu_info("model name") or platform.processor() or platform.machine()


def blas() -> Iterator[Line]:
    import numpy  # noqa: F401  (both load their BLAS, so that it can be seen)
    import scipy.linalg.blas  # noqa: F401
    from threadpoolctl import threadpool_info

    libraries = [lib for lib in threadpool_info() if lib["user_api"] == "blas"]
    for lib in libraries:
        text = f"{lib['version']}, {lib['num_threads']} threads"
        text += f", for {lib['architecture']}" if lib.get("architecture") else ""
        yield Line(GOOD, lib["internal_api"], f"{text}  {Path(lib['filepath']).name}")
    if not libraries:
        yield Line(NOTE, "BLAS", "none that threadpoolctl knows", "the number of threads cannot be set from here")
    yield from kernels()
    chosen = [f"{name}={os.environ[name]}" for name in THREAD_VARIABLES if name in os.environ]
    yield Line(GOOD, "threads", f"{', '.join(chosen) or 'no limit in the environment'}; training chooses by --threads")


def kernels() -> Iterator[Line]:
    """Which processor OpenBLAS takes this one for, and whether it could do better."""
    now = speed_of_products({})
    if now is None:
        return  # another BLAS library, which does not say
    architecture, speed = now
    finding = f"for {architecture}: {speed:.0f} GFLOP/s on one thread now"
    chosen = os.environ.get("OPENBLAS_CORETYPE")
    free = speed_of_products({"OPENBLAS_CORETYPE": None}) if chosen else None
    if free is not None and free[0] != architecture:
        finding += f", because of OPENBLAS_CORETYPE={chosen}; without it for {free[0]}: {free[1]:.0f}"
        yield Line(NOTE, "BLAS kernels", finding, "unset OPENBLAS_CORETYPE")
    elif wanted := unused(architecture, cpu_flags()):
        mend = "pip install -U numpy scipy brings an OpenBLAS that knows this processor"
        yield Line(NOTE, "BLAS kernels", f"{finding}; this processor has {wanted}, which they do not use", mend)
    else:
        yield Line(GOOD, "BLAS kernels", finding)


PROBE = """
import time
import numpy as np
from threadpoolctl import threadpool_info
A, times = np.ones((768, 768), "float32"), []
for _ in range(8):
    start = time.perf_counter()
    np.dot(A, A)
    times.append(time.perf_counter() - start)
print([library.get("architecture") for library in threadpool_info() if library["user_api"] == "blas"][0])
print(2 * 768**3 / min(times) / 1e9)
"""


def speed_of_products(changes: dict[str, str | None]) -> tuple[str, float] | None:
    """(architecture, 10⁹ operations a second) of NumPy's matrix product.

    It is measured in a process with another environment.
    """
    changed = {**os.environ, "OPENBLAS_NUM_THREADS": "1", **changes}
    environment = {name: value for name, value in changed.items() if value is not None}
    done = subprocess.run(
        [sys.executable, "-c", PROBE], capture_output=True, text=True, timeout=60, check=False, env=environment
    )
    lines = done.stdout.split()
    return (lines[0], float(lines[1])) if len(lines) == 2 and lines[0] != "None" else None


#: Instructions that OpenBLAS's kernels for these processors use, the widest first
INSTRUCTIONS = {"avx512f": {"SkylakeX", "Cooperlake", "SapphireRapids"}, "avx2": {"Haswell", "Zen"}}


def unused(architecture: str, flags: set[str]) -> str | None:
    """Instructions that the processor has and these kernels do not use, or None.

    Only for kernels made for Intel or AMD processors.
    """
    for name, architectures in INSTRUCTIONS.items():
        if architecture in architectures:
            return None
        if name in flags:
            return "AVX-512" if name == "avx512f" else "AVX2"
    return None


def cpu_flags() -> set[str]:
    """The instruction sets that Linux names for an Intel or AMD processor."""
    return set(cpu_info("flags").split())


def cpu_info(what: str) -> str:
    """What Linux says of the first processor, or "" where it says nothing."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return ""
    found = re.search(rf"^{what}\s*:\s*(.+)", text, re.MULTILINE)
    return found[1].strip() if found else ""
