"""`python -m scratchnet.doctor`: what is installed, what is missing, how to mend it.

Before a probe runs, only the standard library is imported, and a probe that fails
becomes a line of the report. So this command works where nothing else does; its exit
code is always 0.
"""

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import scratchnet
from scratchnet.cli import console, guard, parse
from scratchnet.errors import install_command

REQUIRED = {
    "numpy": "the arrays",
    "scipy": "BLAS in place",
    "threadpoolctl": "the number of BLAS threads",
    "tyro": "command lines",
    "rich": "progress bars and tables",
    "pooch": "downloads",
    "requests": "downloads over https",
    "urllib3": "downloads over https",
    "filelock": "one download for many processes",
    "pillow": "reading pictures",
    "matplotlib": "drawing pictures",
}
OPTIONAL = {  # distributions, what they are for, the extra that brings them
    "numba": ("training on one example at a time, compiled", "fast"),
    "torch": ("to compare every gradient with", "test"),
    "nltk": ("the study of tweets", "text"),
    "tensorboard": ("curves of runs in TensorBoard (--log tensorboard)", "tensorboard"),
    "jax": ("a rival in the benchmarks", "bench"),
    "pytest": ("the tests", "test"),
}
CUPY = ("cupy-cuda12x", "cupy-cuda13x", "cupy-cuda11x", "cupy")
THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
IDX = [f"{part}-{kind}" for part in ("train", "t10k") for kind in ("images-idx3-ubyte", "labels-idx1-ubyte")]
DATASETS = {  # for each, sets of files (plain or .gz), one of which must be complete
    "mnist": [IDX],
    "fashion-mnist": [IDX],
    "cifar-10": [
        ["cifar-10-binary.tar"],
        ["data_batch_1.bin", "test_batch.bin"],
        ["cifar-10-batches-bin/data_batch_1.bin", "cifar-10-batches-bin/test_batch.bin"],
    ],
    "cifar-100": [
        ["cifar-100-binary.tar"],
        ["train.bin", "test.bin"],
        ["cifar-100-binary/train.bin", "cifar-100-binary/test.bin"],
    ],
    "wheat-seeds": [["seeds_dataset.txt"]],
    "sentence-polarity": [["rt-polarity.neg", "rt-polarity.pos"], ["rt-polaritydata.tar.gz"]],
}
BUILT_IN = ("digits", "flights", "iris", "tweets")

GOOD, BAD, NOTE = "✓", "✗", "·"


class Line(NamedTuple):
    """One finding; `mend` says what to do about it."""

    mark: str
    name: str
    finding: str
    mend: str = ""


# ------------------------------------------------------------------- what to look at


def versions() -> Iterator[Line]:
    system = f"{platform.system()} {platform.machine()}"
    python = f"{platform.python_version()} ({platform.python_implementation()}, {system})  {sys.executable}"
    new = sys.version_info >= (3, 11)
    yield Line(GOOD, "scratchnet", f"{scratchnet.__version__}  {Path(scratchnet.__file__).parent}")
    yield Line(GOOD if new else BAD, "Python", python, "" if new else "scratchnet needs Python 3.11 or newer")
    for name, purpose in REQUIRED.items():
        version = version_of(name)
        if version is None:
            yield Line(BAD, name, f"missing ({purpose})", f"pip install {name}")
        elif (name, version) == ("numpy", "2.3.0"):
            yield Line(BAD, name, "2.3.0 corrupts memory with a non-contiguous out=", "pip install -U 'numpy!=2.3.0'")
        else:
            yield Line(GOOD, name, version)
    for name, (purpose, extra) in OPTIONAL.items():
        version = version_of(name)
        yield (
            Line(GOOD, name, version)
            if version
            else Line(NOTE, name, f"not installed; optional: {purpose}", install_command(extra))
        )


def version_of(name: str) -> str | None:
    """The version of an installed distribution, without importing it."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


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
    info = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*:\s*(.+)", info.read_text()) if info.exists() else None
    return found[1] if found else platform.processor() or platform.machine()


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
    info = Path("/proc/cpuinfo")
    found = re.search(r"^flags\s*:\s*(.+)", info.read_text(), re.MULTILINE) if info.exists() else None
    return set(found[1].split()) if found else set()


def gpu() -> Iterator[Line]:
    seen = nvidia_smi()
    for name in seen:
        yield Line(GOOD, "GPU", name)
    installed = [f"{name} {version}" for name in CUPY if (version := version_of(name))]
    if len(installed) > 1:
        yield Line(
            BAD, "CuPy", f"{' and '.join(installed)} are in each other's way", "pip uninstall all but one of them"
        )
    elif installed:
        yield Line(GOOD, "CuPy", installed[0])
        yield from cuda_versions()
    if not seen and not installed:
        yield Line(NOTE, "GPU", "no NVIDIA GPU found; everything runs on the CPU (--device cpu)")
        return
    from scratchnet.backend.devices import cuda_problem

    problem = cuda_problem()
    if problem is None:
        yield from device_names()
        yield Line(GOOD, "--device cuda", "works: a first kernel was compiled and run, and cuBLAS found")
    else:
        what, _, mend = problem.partition(": ")
        yield Line(BAD if seen else NOTE, "--device cuda", what, mend)


def nvidia_smi() -> list[str]:
    """Name, memory and driver of each GPU that the driver lists."""
    if shutil.which("nvidia-smi") is None:
        return []
    command = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    return [f"{line}  (name, memory, driver)" for line in done.stdout.splitlines()] if done.returncode == 0 else []


def cuda_versions() -> Iterator[Line]:
    from cupy.cuda import runtime

    for name, ask, mend in (
        ("CUDA runtime", runtime.runtimeGetVersion, f"{install_command('cuda12')} brings the CUDA libraries"),
        ("CUDA driver", runtime.driverGetVersion, "install NVIDIA's driver; nvidia-smi must list the GPU"),
    ):
        try:
            number = ask()
        except Exception as e:  # CuPy has no common exception type for missing libraries and drivers
            yield Line(NOTE, name, f"not usable ({first_line(e)})", mend)
            continue
        if number:
            yield Line(GOOD, name, f"{number // 1000}.{number % 1000 // 10}")
        else:
            yield Line(NOTE, name, "none found", mend)


def device_names() -> Iterator[Line]:
    from cupy.cuda import runtime

    for k in range(runtime.getDeviceCount()):
        about = runtime.getDeviceProperties(k)
        text = f"{about['name'].decode()}, {about['totalGlobalMem'] / 2**30:.0f} GiB, "
        yield Line(GOOD, f"CUDA device {k}", f"{text}compute capability {about['major']}.{about['minor']}")


def data() -> Iterator[Line]:
    chosen = os.environ.get("SCRATCHNET_DATA")
    if not chosen:
        yield Line(NOTE, "data folder", "$SCRATCHNET_DATA is not set; optional: a folder with data sets of your own")
    elif Path(chosen).is_dir():
        yield Line(GOOD, "data folder", f"{chosen}  ($SCRATCHNET_DATA)")
    else:
        mend = "export SCRATCHNET_DATA=DIR with a folder that exists, or unset it"
        yield Line(BAD, "data folder", f"{chosen}: no such folder ($SCRATCHNET_DATA)", mend)
    from scratchnet.files.folders import cache_folder

    cache = cache_folder()
    parent = next((folder for folder in (cache, *cache.parents) if folder.exists()), Path("/"))
    if os.access(parent, os.W_OK) and parent.is_dir():
        yield Line(GOOD, "cache folder", f"{cache}" + ("" if cache.is_dir() else "  (made by the first download)"))
    else:
        yield Line(BAD, "cache folder", f"{cache}: cannot be written", "export SCRATCHNET_CACHE=DIR with one that can")
    for name, choices in DATASETS.items():
        folders = [Path(root) / name for root in (chosen, cache) if root]
        found = [folder for folder in folders if any(whole(folder, files) for files in choices)]
        if found:
            yield Line(GOOD, name, f"{found[0]}")
        else:
            mend = f"is downloaded on first use, or put its files into {(folders or [cache / name])[0]}"
            yield Line(NOTE, name, "not here yet", mend)
    yield Line(GOOD, "built in", ", ".join(BUILT_IN))


def whole(folder: Path, files: list[str]) -> bool:
    """Whether the folder has each of the files, as it is or compressed."""
    return all((folder / name).is_file() or (folder / f"{name}.gz").is_file() for name in files)


# ------------------------------------------------------------------------ the report

SECTIONS: dict[str, Callable[[], Iterator[Line]]] = {
    "Versions": versions,
    "Processor": processor,
    "BLAS": blas,
    "GPU": gpu,
    "Data": data,
}


def examine(probe: Callable[[], Iterator[Line]]) -> list[Line]:
    """All lines of a probe; if it raises an exception, that is the last line."""
    lines = []
    try:
        for line in probe():
            lines.append(line)  # one by one, to keep the lines before a failure
    except Exception as e:
        mend = f"pip install {e.name}" if isinstance(e, ModuleNotFoundError) and e.name else ""
        lines.append(Line(BAD, probe.__name__.replace("_", " "), f"cannot be examined: {first_line(e)}", mend))
    return lines


def first_line(e: BaseException) -> str:
    return f"{type(e).__name__}: {(str(e).splitlines() or ['no message'])[0]}"


def verdict(report: dict[str, list[Line]]) -> str:
    bad = [line.name for lines in report.values() for line in lines if line.mark == BAD]
    if bad:
        return f"To mend, as said at the arrows: {', '.join(dict.fromkeys(bad))}."
    return "Everything needed is here. To begin: python -m scratchnet.train mnist"


def show(report: dict[str, list[Line]]) -> None:
    """Print the report, in colour if rich is installed."""
    try:
        from rich.table import Table
        from rich.text import Text
    except ImportError:
        for title, lines in report.items():
            print(f"\n{title}")
            for line in lines:
                print(
                    f"  {line.mark} {line.name:<16} {line.finding}"
                    + (f"\n  {'':<18} → {line.mend}" if line.mend else "")
                )
        print(f"\n{verdict(report)}")
        return
    out = console(highlight=False, soft_wrap=False)
    if not out.is_terminal:
        out.width = 120
    width = max(len(line.name) for lines in report.values() for line in lines)
    colours = {GOOD: "green", BAD: "bold red", NOTE: "yellow"}
    for title, lines in report.items():
        out.print(Text(f"\n{title}", style="bold"))
        table = Table(box=None, show_header=False, padding=(0, 1), pad_edge=False)
        table.add_column(width=3, justify="right")
        table.add_column(width=width, no_wrap=True)
        table.add_column(overflow="fold")
        for line in lines:
            finding = Text(line.finding)
            if line.mend:
                finding.append(f"\n→ {line.mend}", style=colours[line.mark])
            table.add_row(Text(line.mark, style=colours[line.mark]), line.name, finding)
        out.print(table)
    out.print(Text(f"\n{verdict(report)}", style="bold"))


@dataclass(frozen=True)
class Options:
    """Say what is installed and found here, and how to mend what is missing."""


def main(args: Sequence[str] = ()) -> int:
    parse(Options, args, "python -m scratchnet.doctor")
    show({title: examine(probe) for title, probe in SECTIONS.items()})
    return 0


if __name__ == "__main__":
    guard(main)
