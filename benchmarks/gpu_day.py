"""All that only a GPU can show, in one command of at most eight minutes.

    python -m benchmarks.gpu_day --out FOLDER

It looks at the machine, runs the tests for a GPU, compares every network with PyTorch
on the device, times the sizes of the published study against PyTorch and JAX where they
are installed, and times single steps by CUDA events. It installs nothing. Each part is
a process of its own with a bounded time; FOLDER/report.md is written after each, so
that whatever stops the day, what was found until then is there.
"""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import util
from pathlib import Path
from typing import Any

from benchmarks import hidden_sweep, timing
from scratchnet.cli import parse
from scratchnet.errors import SettingError, install_command
from scratchnet.files.atomic import atomic_write

LAST = 20  # lines of a part that was not done, in the report


@dataclass(frozen=True, kw_only=True)
class Options:
    """Run all that needs a GPU, and write a report."""

    out: Path
    """folder for the report, its pictures and what each part said"""
    parts: tuple[str, ...] = ()
    """doctor, tests, parity, sweep and steps; by default all, in this order"""
    hidden: tuple[int, ...] = (200, 1000, 2000, 5000)
    """sizes of the hidden layer in the sweep"""
    share: float = 1.0
    """of the time that a part may take; 1 is eight minutes for all"""


@dataclass(frozen=True)
class Part:
    """One part of the day: what it shows, its command, and the seconds it may take."""

    shows: str
    command: list[str]
    seconds: int


@dataclass(frozen=True)
class Outcome:
    """How a part ended."""

    part: str
    how: str
    seconds: float
    last_line: str


def parts_of(options: Options) -> dict[str, Part]:
    python, several = [sys.executable, "-m"], ["-n", "4"] if util.find_spec("xdist") else []
    sizes = [str(h) for h in options.hidden]
    sweep = ["--device", "all", "--threads", "1", "--hidden", *sizes, "--out", str(options.out)]
    steps = json.dumps({"hidden": options.hidden, "answer": str(options.out / "steps.json")})
    return {
        "doctor": Part("what is installed", [*python, "scratchnet.doctor"], 30),
        "tests": Part("the tests for a GPU", [*python, "pytest", "-m", "gpu", "-q", *several], 150),
        "parity": Part("every network equals PyTorch's on the GPU", [*python, "parity", "--device", "cuda"], 80),
        "sweep": Part("seconds for 5 epochs by hidden size", [*python, "benchmarks.hidden_sweep", *sweep], 170),
        "steps": Part("a step by CUDA events", [*python, "benchmarks.gpu_day", "--worker", steps], 50),
    }


def run(name: str, part: Part, seconds: float, out: Path) -> Outcome:
    """Run a part as a process, what it says going to a file of its name."""
    log, start = out / f"{name}.txt", time.monotonic()
    with log.open("wb") as file:
        group = {"start_new_session": True} if os.name == "posix" else {}
        env = {**os.environ, "PYTHONUNBUFFERED": "1"}  # a part that is stopped has said all that it found
        child = subprocess.Popen(part.command, stdout=file, stderr=subprocess.STDOUT, env=env, **group)
        try:
            code = child.wait(timeout=seconds)
            how = "done" if code == 0 else f"failed with exit code {code}"
        except subprocess.TimeoutExpired:
            how = f"stopped after {seconds:.0f} s"
        finally:
            if child.poll() is None:  # the children of a part end with it
                os.killpg(child.pid, signal.SIGKILL) if os.name == "posix" else child.kill()
                child.wait()
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return Outcome(name, how, time.monotonic() - start, lines[-1] if lines else "")


# ------------------------------------------------------ steps, in a child process


def worker(options: dict[str, Any]) -> dict[str, Any]:
    """Microseconds of a step, by CUDA events and by the host's clock."""
    import cupy

    from benchmarks.engines import Missing, build
    from benchmarks.workloads import WORKLOADS, book

    works = {f"784-{h}-10, batch 1": book(h) for h in options["hidden"]}
    works |= {name: WORKLOADS[name] for name in ("zero-to-gans", "fcn2", "cnn", "lstm batch 1", "lstm batch 32")}
    name = cupy.cuda.runtime.getDeviceProperties(0)["name"].decode()
    answer: dict[str, Any] = {"device": name, "steps": {}, "missing": {}, "environment": timing.environment()}
    for name, work in works.items():
        try:
            run = build("scratchnet cupy", work)
        except Missing as e:
            answer["missing"][name] = str(e)
            continue
        run(3)
        n, kept = 10, []
        begin, end = cupy.cuda.Event(), cupy.cuda.Event()
        for _ in range(7):
            start = time.perf_counter()
            begin.record()
            run(n)
            end.record()
            end.synchronize()
            wall = time.perf_counter() - start
            kept.append((cupy.cuda.get_elapsed_time(begin, end) * 1e3 / n, wall * 1e6 / n))
            if wall < 0.05:
                n *= 4
        device, host = (timing.Spread.of([row[k] for row in kept[2:]]) for k in (0, 1))
        answer["steps"][name] = {"events": dataclasses.asdict(device), "host": dataclasses.asdict(host)}
        print(f"{name:24s} {device.median:10.1f} µs by events {host.median:10.1f} µs by the clock", flush=True)
        timing.write_json(Path(options["answer"]), answer)  # what there is so far
    return answer


# -------------------------------------------------------------------- the report


def table(head: Sequence[str], rows: Sequence[Sequence[str]], words: int = 1) -> list[str]:
    """A table of Markdown whose first columns are words, and the others numbers."""
    line = "|" + " --- |" * words + " ---: |" * (len(head) - words)
    return ["| " + " | ".join(head) + " |", line, *("| " + " | ".join(row) + " |" for row in rows), ""]


def sweep_of(out: Path) -> tuple[str, list[str]]:
    """(device, the table of the sweep beside what was published)."""
    paths = sorted(out.glob("hidden_sweep-*.json"))
    if not paths:
        return "", []
    content = json.loads(paths[-1].read_text(encoding="utf-8"))
    sizes = sorted({p["hidden"] for p in content["points"]})
    rows = []
    for name in dict.fromkeys(p["engine"] for p in content["points"]):
        times = {p["hidden"]: f"{p['seconds_for_5_epochs']:.1f}" for p in content["points"] if p["engine"] == name}
        rows.append([name, *(times.get(h, "") for h in sizes)])
    for name, published in hidden_sweep.PUBLISHED.items():
        if any(h in published for h in sizes):
            rows.append([name, *(str(published.get(h, "")) for h in sizes)])
    lines = [
        "## Five epochs of MNIST by hidden size", "",
        "784-H-10, batch 1, seconds, extrapolated from sampled steps; one CPU thread.", "",
        *table(["engine", *(f"H = {h}" for h in sizes)], rows),
        f"![seconds by hidden size]({paths[-1].with_suffix('.png').name})", "",
        *(f"* {said}" for said in content["crossover"]), "",
        *(f"* Not here: {name}: {why}" for name, why in content["missing"].items()), "",
    ]  # fmt: skip
    return content["device"], lines


def steps_of(out: Path) -> tuple[str, list[str]]:
    """(device, the table of single steps)."""
    path = out / "steps.json"
    if not path.exists():
        return "", []
    content = json.loads(path.read_text(encoding="utf-8"))
    rows = [
        [name, *(f"{t[of]['median']:.1f} ({t[of]['low']:.1f} to {t[of]['high']:.1f})" for of in ("events", "host"))]
        for name, t in content["steps"].items()
    ]
    if rows:
        draw(content["steps"], content["device"], out / "steps.png")
    lines = [
        "## A step", "",
        "Microseconds: median and quartiles, between two CUDA events and by the clock of the host.", "",
        *table(["network", "by events", "by the clock"], rows),
        *(["![microseconds of a step](steps.png)", ""] if rows else []),
        *(f"* Not here: {name}: {why}" for name, why in content["missing"].items()), "",
    ]  # fmt: skip
    return content["device"], lines


def draw(steps: dict[str, Any], device: str, path: Path) -> None:
    """The steps as bars, on a logarithmic axis."""
    from scratchnet.plots.style import COLOURS, new_figure, save, style

    fig = new_figure("A training step of each network", f"{device}; by CUDA events", height=0.45 * len(steps) + 1.6)
    ax = fig.subplots()
    style(ax, "", "microseconds", "")
    names = list(steps)[::-1]
    values = [steps[name]["events"]["median"] for name in names]
    ax.barh(names, values, color=COLOURS[0])
    for k, value in enumerate(values):
        ax.annotate(f"{value:,.0f}", (value, k), xytext=(4, 0), textcoords="offset points", va="center", size=9)
    ax.set_xscale("log")
    ax.margins(x=0.15)
    save(fig, path)


def report(outcomes: Sequence[Outcome], parts: dict[str, Part], out: Path) -> None:
    """Write report.md from what there is so far."""
    device, sweep = sweep_of(out)
    of_steps, steps = steps_of(out)
    done = {o.part: o for o in outcomes}
    rows = [
        [f"[{name}]({name}.txt)" if name in done else name, part.shows,
         *((done[name].how, f"{done[name].seconds:.0f} s") if name in done else ("not yet", ""))]
        for name, part in parts.items()
    ]  # fmt: skip
    lines = [
        f"# A day with {of_steps or device or 'a GPU'}", "",
        f"`python -m benchmarks.gpu_day`, {time.strftime('%Y-%m-%d')}; processor {timing.cpu_name()}.", "",
        *table(["part", "shows", "how it ended", "time"], rows, words=3),
        *(f"* {o.part}: `{o.last_line[:200]}`" for o in outcomes if o.last_line), "", *sweep, *steps,
    ]  # fmt: skip
    for o in outcomes:
        if o.how != "done":
            said = (out / f"{o.part}.txt").read_text(encoding="utf-8", errors="replace").splitlines()[-LAST:]
            lines += [f"## {o.part}: {o.how}", "", "```", *(line[:160] for line in said), "```", ""]
    atomic_write(out / "report.md", ("\n".join(lines).rstrip() + "\n").encode())


def main(args: Sequence[str]) -> int:
    options = parse(Options, args, "python -m benchmarks.gpu_day")
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
    outcomes: list[Outcome] = []
    for name, part in parts.items():
        print(f"{name}: {part.shows}, at most {part.seconds * options.share:.0f} s", flush=True)
        outcomes.append(run(name, part, part.seconds * options.share, options.out))
        print(f"  {outcomes[-1].how} ({outcomes[-1].seconds:.0f} s): {outcomes[-1].last_line[:120]}", flush=True)
        report(outcomes, parts, options.out)
    print("wrote", options.out / "report.md")
    return 0 if all(o.how == "done" for o in outcomes) else 1


if __name__ == "__main__":
    timing.command(main, worker)
