"""How times are taken: in turn (A B A B), without warm-up, medians and spread.

And the surroundings in which they were taken.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import Any

from scratchnet.cli import guard
from scratchnet.errors import SettingError
from scratchnet.examining.processor import cpu_name
from scratchnet.files.atomic import atomic_write

RESULTS = Path(__file__).parent / "results"
PAUSE, LONGER = 0.2, 4  # with several threads: seconds before a turn, and how much longer a turn is

#: Makes this many steps and waits until they are done. A run in another process returns
#: the seconds that a step took there.
Run = Callable[[int], float | None]


@dataclass(frozen=True)
class Spread:
    """Seconds per step over all rounds: median, and the quartiles as the spread."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        low, median, high = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3
        return cls(median, low, high)


def interleave(
    runs: Mapping[str, Run],
    rounds: int = 41,
    slice_seconds: float = 0.015,
    steps: Mapping[str, int] | None = None,
    enough: float = 8.0,
    threads: int = 1,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Spread]:
    """Time all runs in turn, `rounds` times.

    In each turn a run does as many steps as fit into `slice_seconds`. Whatever disturbs
    the machine disturbs all runs alike, so their ratios hold where their times do not.
    The first calls (compilation, first touch of memory, clock) are left out. After
    `enough` seconds, seven rounds will do. Runs named in `steps` do that many steps in
    all.

    With several threads there is a pause before each turn, in which the threads of the
    previous engine fall asleep: OpenBLAS's look for more work for 150 ms. For `clock`
    see `clock_for`.
    """

    def taken(run: Run, n: int) -> float:
        start = clock()
        elsewhere = run(n)
        return (clock() - start) / n if elsewhere is None else elsewhere

    pause, slice_seconds = (PAUSE, LONGER * slice_seconds) if threads > 1 else (0.0, slice_seconds)
    per_turn: dict[str, int] = {}
    for name, run in runs.items():
        time.sleep(pause)
        run(2)
        per_turn[name] = max(1, round(slice_seconds / max(taken(run, 3), 1e-7)))
        if steps and name in steps:
            per_turn[name] = max(1, round(steps[name] / rounds))
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    begin = time.perf_counter()
    for k in range(rounds):
        if not steps and k >= 7 and time.perf_counter() - begin > enough:
            break
        for name, run in runs.items():
            time.sleep(pause)
            seconds[name].append(taken(run, per_turn[name]))
    return {name: Spread.of(values) for name, values in seconds.items()}


def clock_for(threads: int, device: str = "cpu") -> Callable[[], float]:
    """The clock to time with.

    If one core does all the work, it is the processor time of all threads, so that
    other users of the core are not counted. With several cores or a GPU it is
    wall-clock time.
    """
    return time.process_time if threads == 1 and device == "cpu" else time.perf_counter


# -------------------------------------------------------------------- surroundings


def use_cores(threads: int) -> None:
    """Limit this process, and every library it will load, to this many cores.

    It takes the least busy cores. Call it before importing any library.
    """
    keep_to(idle_cores(threads), threads)


def idle_cores(n: int) -> list[int]:
    """The n least busy cores; none if the system does not tell."""
    if not hasattr(os, "sched_getaffinity"):
        return []
    return sorted(os.sched_getaffinity(0), key=_idle_time().__getitem__)[-n:]


def keep_to(chosen: Sequence[int], threads: int) -> None:
    """Limit this process and the libraries it will load to these cores and threads."""
    if "numpy" in sys.modules:
        raise RuntimeError("NumPy was imported before the number of threads was set: its BLAS has started its own")
    if chosen:
        os.sched_setaffinity(0, chosen)
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(threads)


def _idle_time(seconds: float = 0.5) -> dict[int, int]:
    """How long each core was idle while we watched, in ticks of the system's clock."""

    def ticks() -> dict[int, int]:
        lines = [line.split() for line in Path("/proc/stat").read_text().splitlines()]
        return {int(words[0][3:]): int(words[4]) for words in lines if words[0][:3] == "cpu" and words[0] != "cpu"}

    before = ticks()
    time.sleep(seconds)
    return {core: after - before[core] for core, after in ticks().items()}


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def thread_count(text: str) -> int:
    """The number of threads for an option that is `all` or a number.

    Raises SettingError.
    """
    if text == "all":
        return cores()
    if not text.isdigit() or not 1 <= int(text) <= cores():
        raise SettingError(f"--threads {text}: give all or a number from 1 to {cores()}")
    return int(text)


def in_child(module: str, options: Mapping[str, Any], quiet: bool = False, env: Mapping[str, str] | None = None) -> Any:
    """Run `python -m module --worker JSON` and return what its `answer` wrote.

    This is a fresh process with threads of its own.
    """
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "answer.json"
        command = [sys.executable, "-m", module, "--worker", json.dumps({**options, "answer": str(out)})]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL if quiet else None, env=env)
        return json.loads(out.read_text())


class Process:
    """The process of `python -m module words`, or of a file without its folder's path.

    It says one line when it is ready, and then makes steps when it is told to.
    """

    def __init__(self, module: str | Path, *words: str, env: Mapping[str, str] | None = None) -> None:
        self.name = " ".join(words)
        command = [sys.executable, *(("-m", module) if isinstance(module, str) else ("-P", str(module))), *words]
        self.child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, env=env
        )

    def __call__(self, n: int) -> float:
        """Seconds per step of n steps, by the clock of that process."""
        assert self.child.stdin is not None
        self.child.stdin.write(f"{n}\n")
        return float(self.answer())

    def answer(self) -> str:
        """The next line that the process says."""
        assert self.child.stdout is not None
        line = self.child.stdout.readline()
        if not line:
            raise ChildProcessError(f"the process of {self.name} ended")
        return line

    def end(self) -> None:
        self.child.communicate()


def serve(run: Run, ready: str, clock: Callable[[], float] = time.perf_counter) -> None:
    """What such a process does.

    It says `ready`. Then, for each line with a number n, it does `run(n)` and says the
    seconds per step.
    """
    print(ready, flush=True)
    for line in sys.stdin:
        n, start = int(line), clock()
        run(n)
        print((clock() - start) / n, flush=True)


def command(main: Callable[[Sequence[str]], int], worker: Callable[[dict[str, Any]], Any]) -> None:
    """Run a benchmark: its `main` or, as the child of `in_child`, its `worker`."""
    if sys.argv[1:2] == ["--worker"]:
        options = json.loads(sys.argv[2])
        write_json(Path(options["answer"]), worker(options))
    else:
        guard(main)


def file_name(device: str) -> str:
    """A device's name as part of a file name: Intel-Xeon-2.80GHz."""
    words = "".join(
        c if c.isalnum() or c == "." else " " for c in device.replace("(R)", "").replace("(TM)", "")
    ).split()
    return "-".join(w for w in words if w not in ("CPU", "Processor", "NVIDIA"))


def environment() -> dict[str, Any]:
    """What a time depends on: processor, threads, libraries, versions, load, date."""
    from importlib import metadata

    from threadpoolctl import threadpool_info

    versions = {}
    for package in ("numpy", "scipy", "torch", "jax", "jaxlib", "scikit-learn", "cupy-cuda12x", "cupy-cuda13x"):
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "not installed"
    keys = ("internal_api", "version", "threading_layer", "architecture", "num_threads")
    return {
        "cpu": cpu_name(),
        "cores": cores(),
        "load_average": load(),
        "python": platform.python_version(),
        "system": platform.platform(),
        "versions": versions,
        "blas": [{k: info.get(k) for k in keys} for info in threadpool_info()],
        "date": time.strftime("%Y-%m-%d"),
    }


def load() -> float | None:
    """How many processes had work to do, on average over the last minute."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def peak_memory() -> tuple[float, float]:
    """(peak memory of this process, its memory now) in MiB."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        kib = {line.split(":")[0]: float(line.split()[1]) for line in lines if line.startswith(("VmHWM", "VmRSS"))}
        return kib["VmHWM"] / 1024, kib["VmRSS"] / 1024
    except OSError:
        import resource

        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
        return most, most


def write_json(path: Path, content: Mapping[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)

    def plain(value: Any) -> Any:
        return asdict(value) if is_dataclass(value) and not isinstance(value, type) else str(value)

    atomic_write(path, (json.dumps(content, indent=1, default=plain) + "\n").encode())
    return path


# ------------------------------------------------------------- limits of the machine


def each(call: Callable[[], object], finish: Callable[[], object] = lambda: None) -> Run:
    """A run that makes the same call n times."""

    def run(n: int) -> None:
        for _ in range(n):
            call()
        finish()

    return run


@dataclass(frozen=True)
class Limits:
    """The limits of a device.

    Bytes and operations per second, and seconds to start one operation.
    """

    bandwidth: float
    flops: float
    launch: float

    @classmethod
    def of(cls, spread: Mapping[str, Spread], size: int) -> "Limits":
        """From the times of `limit_runs`.

        They were taken in turn with the engines, so that all met the same machine.
        """
        moved, operations = 2 * size, 2 * SIDE**3
        return cls(moved / spread["scale"].median, operations / spread["product"].median, spread["tiny"].median)

    def floor(self, moved: float, operations: float) -> float:
        """Seconds that this many bytes or operations take at least."""
        return max(moved / self.bandwidth, operations / self.flops)


SIDE = 768  # of the square product


def limit_runs(xp: Any, size: int, finish: Callable[[], object] = lambda: None) -> dict[str, Run]:
    """Runs that show the limits of NumPy or CuPy.

    A vector of `size` bytes is read and written over and over, a large product and a
    tiny addition are computed. A vector that fits into a cache is measured in that
    cache, as weights of that size would be.
    """
    x, tiny = xp.ones(size // 4, "float32"), xp.zeros(1, "float32")
    A, out = xp.ones((SIDE, SIDE), "float32"), xp.empty((SIDE, SIDE), "float32")
    return {
        "scale": each(lambda: xp.multiply(x, x.dtype.type(1), out=x), finish),
        "product": each(lambda: xp.dot(A, A, out=out), finish),
        "tiny": each(lambda: xp.add(tiny, tiny, out=tiny), finish),
    }
