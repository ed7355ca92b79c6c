"""All that only a GPU can show, in one command of at most eight minutes.

    python -m benchmarks.gpu_day --out FOLDER

It looks at the machine, runs the tests for a GPU, compares every network with PyTorch
on the device, times the sizes of the published study against PyTorch and JAX where they
are installed, and times single steps and kernels by CUDA events. It installs nothing.
Each part is a process of its own with a bounded time, and writes what it finds as it
finds it. FOLDER/report.md is written before the first part and after each, so whatever
stops the day, what was found until then is there.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import util
from pathlib import Path
from typing import Any

from benchmarks import gpu_report, gpu_steps, hidden_sweep
from benchmarks.gpu_report import Outcome
from benchmarks.gpu_sections import PARITY
from scratchnet.cli import guard, parse
from scratchnet.errors import SettingError, install_command

#: In the sweep: all that run on a GPU, and ours on the CPU
RACING = (
    "scratchnet numpy", "scratchnet compiled", "scratchnet cupy", "PyTorch eager cuda", "PyTorch CUDA graph",
    "JAX jit cuda",
)  # fmt: skip
GRACE = 5.0  # seconds for a part that is stopped to say what it has found
SMALL = (
    "A small run (--small), to see that every part works: few tests, one network, few steps. Its times mean nothing."
)


@dataclass(frozen=True, kw_only=True)
class Options:
    """Run all that needs a GPU, and write a report."""

    out: Path
    """folder for the report, its pictures and what each part said"""
    parts: tuple[str, ...] = ()
    """doctor, tests, parity, sweep and steps; by default all, in this order"""
    hidden: tuple[int, ...] = (200, 1000, 2000, 5000)
    """sizes of the hidden layer"""
    share: float = 1.0
    """of the time that a part may take; 1 is eight minutes for all"""
    small: bool = False
    """only a little of every part: to see that it works, on any GPU or its stub"""


@dataclass(frozen=True)
class Part:
    """One part of the day: what it shows, its command, and the seconds it may take."""

    shows: str
    command: list[str]
    seconds: int
    leaves: tuple[str, ...] = ()  # patterns of its files, besides what it says


ASKED = threading.Event()  # somebody wants the day to end


def parts_of(options: Options) -> dict[str, Part]:
    python, several = [sys.executable, "-m"], ["-n", "4"] if util.find_spec("xdist") else []
    sizes, out, small = [str(h) for h in options.hidden], str(options.out), options.small
    ends = [str(h) for h in dict.fromkeys((options.hidden[0], options.hidden[-1]))]
    tests = ["-m", "gpu", "-rfE", *(["tests/engine/kernels/test_pool_cuda.py"] if small else several)]
    parity = ["--device", "cuda", "--json", str(options.out / PARITY)]
    parity += ["--network", "narrow", "--steps", "3"] if small else []
    sweep = ["--device", "all", "--threads", "1", "--hidden", *sizes, "--out", out, "--engines", *RACING]
    steps = ["--hidden", *ends, "--out", out, *(["--small"] if small else [])]
    return {
        "doctor": Part("what is installed", [*python, "scratchnet.doctor"], 20),
        "tests": Part("the tests for a GPU", [*python, "pytest", *tests], 140),
        "parity": Part("every network equals PyTorch's on the GPU", [*python, "parity", *parity], 80, (PARITY,)),
        "sweep": Part("seconds for 5 epochs by hidden size", [*python, "benchmarks.hidden_sweep", *sweep], 150,
                      ("hidden_sweep-*", hidden_sweep.ROWS)),
        "steps": Part("a step by CUDA events, and its kernels", [*python, "benchmarks.gpu_steps", *steps], 90,
                      (gpu_steps.FILE, "steps.png")),
    }  # fmt: skip


def run(name: str, part: Part, seconds: float, out: Path) -> Outcome:
    """Run a part as a process, what it says going to a file of its name."""
    log, start = out / f"{name}.txt", time.monotonic()
    with log.open("wb") as file:
        group = {"start_new_session": True} if os.name == "posix" else {}
        env = {**os.environ, "PYTHONUNBUFFERED": "1", "COLUMNS": "120"}
        child = subprocess.Popen(part.command, stdout=file, stderr=subprocess.STDOUT, env=env, **group)
        while (code := child.poll()) is None and time.monotonic() < start + max(seconds - GRACE, seconds / 2):
            if ASKED.wait(0.05):
                break
        how = "done" if code == 0 else ended_with(code)
        if code is None:
            how = "stopped, as the whole day" if ASKED.is_set() else f"stopped after {time.monotonic() - start:.0f} s"
            end(child, signal.SIGINT)  # so that it may say what it has
        end(child, signal.SIGKILL)
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return Outcome(name, how, time.monotonic() - start, lines[-1] if lines else "")


def ended_with(code: int | None) -> str:
    return f"killed by {signal.Signals(-code).name}" if code and code < 0 else f"failed with exit code {code}"


def end(child: "subprocess.Popen[Any]", how: signal.Signals) -> None:
    """Send a part and its children a signal, and wait for its end."""
    if os.name != "posix":
        child.kill()
    else:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, how)
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(timeout=GRACE)


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Ctrl-C and SIGTERM set ASKED within the block."""
    ASKED.clear()
    before = {which: signal.signal(which, lambda *_: ASKED.set()) for which in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for which, handler in before.items():
            signal.signal(which, handler)


def main(args: Sequence[str]) -> int:
    options = parse(Options, args, "python -m benchmarks.gpu_day")
    if not options.hidden or min(options.hidden) < 1:
        raise SettingError("--hidden must be whole numbers from 1")
    every = parts_of(options)
    unknown = [name for name in options.parts if name not in every]
    if unknown:
        raise SettingError(f"--parts: {unknown[0]!r} is not one of {', '.join(every)}")
    if not options.share > 0:
        raise SettingError("--share must be above 0")
    if util.find_spec("pytest") is None and "tests" in (options.parts or every):
        print(f"pytest is not installed, so the tests are not run: {install_command('test')}")
        every = {name: part for name, part in every.items() if name != "tests"}
    parts = {name: part for name, part in every.items() if name in (options.parts or every)}
    options.out.mkdir(parents=True, exist_ok=True)
    if (options.out / "report.md").exists():  # nothing of a day before may pass for one of today
        for part in parts.values():
            for path in (path for pattern in part.leaves for path in options.out.glob(pattern)):
                path.unlink()
    note, outcomes = SMALL if options.small else "", list[Outcome]()
    with stoppable():
        gpu_report.write(outcomes, parts, options.out, note)
        for name, part in parts.items():
            if ASKED.is_set():
                break
            seconds = part.seconds * options.share
            print(f"{name}: {part.shows}, at most {seconds:.0f} s", flush=True)
            outcomes.append(run(name, part, seconds, options.out))
            print(f"  {outcomes[-1].how} ({outcomes[-1].seconds:.0f} s): {outcomes[-1].last_line[:120]}", flush=True)
            gpu_report.write(outcomes, parts, options.out, note)
    if ASKED.is_set():
        print(f"stopped; what was found until then is in {options.out / 'report.md'}")
        return 130
    print("wrote", options.out / "report.md")
    return 0 if all(o.how == "done" for o in outcomes) else 1


if __name__ == "__main__":
    guard(main)
