"""How fast is readable code? The same networks in scratchnet and its peers, in one run.

    python benchmarks/peers.py

Every engine has a process of its own, starts with the same weights and goes through the
same batches, taking turns with the others. With --isa avx2 all are held to the
instructions that most laptops have. A row gives µs per step as `scratchnet.fit` makes
it in a long training, and as NumPy calls alone, the others' time and its ratio to the
first, the share of the NumPy step that its bare matrix products need, and peak memory.
"""

import dataclasses
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

sys.path.insert(0, str(Path(__file__).parent.parent))  # so that the file can be run directly

from benchmarks import timing
from benchmarks.isa import environment
from benchmarks.timing import Spread
from scratchnet.cli import known, parse

COMPILED, READABLE, PRODUCTS = "scratchnet compiled", "scratchnet numpy", "products alone"
OURS = (COMPILED, READABLE)  # what `fit` takes if Numba has something to compile, and the step of NumPy calls
PEERS = ("PyTorch eager", "PyTorch compile", "JAX jit", "JAX scan", "scikit-learn", "textbook NumPy")
IN_MEMORY = (*OURS, "PyTorch eager")  # engines whose peak memory is compared


@dataclass(frozen=True, kw_only=True)
class Options:
    """Race scratchnet's training steps and predictions with its peers', on the CPU."""

    workloads: tuple[str, ...] = ()
    """names as in the table, in quotes; by default all"""
    engines: tuple[str, ...] = ()
    """names as in the table, in quotes; by default all"""
    threads: tuple[str, ...] = ("1", "all")
    """numbers of CPU threads, one table each"""
    isa: Literal["native", "avx2"] = "native"
    """avx2: no library may use AVX-512, even if the processor has it"""
    memory: bool = True
    """also measure peak memory, each in a process of its own"""
    out: Path = timing.RESULTS
    """folder for the JSON, the plot and the table"""


@dataclass(frozen=True)
class Row:
    """One workload with one number of threads."""

    workload: str
    threads: int
    steps: dict[str, Spread]  # seconds per step, by engine; "products alone" are the NumPy step's
    memory: dict[str, dict[str, float]]  # MiB by engine: peak of the process, and its growth over the imports
    missing: dict[str, str]
    taken: int = 1  # threads that scratchnet's `--threads auto` uses, out of these

    @property
    def ours(self) -> str:
        """The name of scratchnet's step, which the others are compared with."""
        return next(name for name in OURS if name in self.steps)

    def ratio(self, engine: str) -> float:
        """How many times scratchnet's time."""
        return self.steps[engine].median / self.steps[self.ours].median

    @property
    def share(self) -> float | None:
        """The part of the readable step's time that its matrix products alone need."""
        if PRODUCTS not in self.steps or READABLE not in self.steps:
            return None
        return self.steps[PRODUCTS].median / self.steps[READABLE].median


# ------------------------------------------------------- the process of an engine


def engine(name: str, workload: str, threads: int, *chosen: int) -> None:
    """An engine's process, on these cores.

    It reports what it runs on, or why it does not run; then it makes steps.
    """
    timing.keep_to(chosen, threads)
    from benchmarks.engines import Missing, build
    from benchmarks.engines.scratchnet_ import network, threads_of
    from benchmarks.isa import reports
    from benchmarks.workloads import WORKLOADS

    work = WORKLOADS[workload]
    try:
        run = build(name, work)
    except Missing as e:
        print(json.dumps({"missing": str(e)}))
        return
    ready = {"taken": threads_of(work, network(work, "cpu")), "reports": reports()}
    timing.serve(run, json.dumps(ready), timing.clock_for(threads))


def worker(options: dict[str, Any]) -> dict[str, Any]:
    """What a time depends on; or, with `memory_of`, an engine's memory."""
    timing.use_cores(1)
    from benchmarks.engines import build
    from benchmarks.workloads import WORKLOADS

    if "memory_of" not in options:
        return timing.environment()
    _, before = timing.peak_memory()
    build(options["memory_of"], WORKLOADS[options["workload"]])(20)
    most, _ = timing.peak_memory()
    return {"peak": most, "growth": most - before}


def measure(
    workload: str, engines: list[str], threads: int, memory: bool, env: dict[str, str]
) -> tuple[Row, dict[str, str]]:
    """Measure all engines on one workload; also return what their libraries report."""
    cores = map(str, timing.idle_cores(threads))
    words = workload, str(threads), *cores
    processes, ready = {}, {}
    for name in engines:  # one after the other: an engine probes, as it begins, how fast its threads are
        processes[name] = timing.Process("benchmarks.peers", "--engine", name, *words, env=env)
        ready[name] = first_words(processes[name])
    missing = {name: answer["missing"] for name, answer in ready.items() if "missing" in answer}
    runs = {name: process for name, process in processes.items() if name not in missing}
    steps = timing.interleave(runs, threads=threads, enough=12.0)
    for process in processes.values():
        process.end()
    used = {
        name: timing.in_child("benchmarks.peers", {"workload": workload, "memory_of": name}, env=env)
        for name in (IN_MEMORY if memory else ())
        if name in steps
    }
    reports = {library: words for name in runs for library, words in ready[name]["reports"].items()}
    return Row(workload, threads, steps, used, missing, ready[next(iter(runs))]["taken"]), reports


def first_words(process: timing.Process) -> dict[str, Any]:
    """What an engine's process runs on, or why it does not take part."""
    try:
        ready: dict[str, Any] = json.loads(process.answer())
        if "missing" not in ready:
            process(2)
        return ready
    except (ChildProcessError, BrokenPipeError):
        return {"missing": f"its process ended with exit code {process.child.wait()}"}


# ------------------------------------------------------------------------- reporting


def markdown(rows: list[Row], engines: list[str]) -> str:
    """The table as Markdown: µs per step, and multiples of scratchnet's."""
    others = [name for name in engines if name in PEERS]
    memory = ["memory MiB (PyTorch)"] if any(row.memory for row in rows) else []
    head = ["workload", "scratchnet µs", "NumPy step", *others, "products", *memory]
    lines = [head, ["---", *["---:"] * (len(head) - 1)]]
    for row in rows:
        cells = [row.workload, micro(row.steps[row.ours])]
        for name in (READABLE, *others):
            there = name in row.steps and name != row.ours
            cells.append(f"{micro(row.steps[name])} ({row.ratio(name):.2f})" if there else "–")
        cells.append("" if row.share is None else f"{row.share:.0%}")
        if memory:
            ours, theirs = (row.memory.get(name, {}).get("peak") for name in (row.ours, IN_MEMORY[-1]))
            cells.append("" if ours is None or theirs is None else f"{ours:.0f} ({theirs:.0f})")
        lines.append(cells)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def micro(step: Spread) -> str:
    value = step.median * 1e6
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def draw(rows: list[Row], engines: list[str], device: str, path: Path) -> None:
    """Dots: every peer's time divided by scratchnet's; a row per workload, log axis."""
    from scratchnet.plots.style import COLOURS, GREY, INK, new_figure, save, style

    others = [READABLE, *(name for name in engines if name in PEERS)]
    fig = new_figure(
        "A training step in other engines, as a multiple of scratchnet's time",
        f"{device}; right of the line: slower than scratchnet; bars: quartiles; below each name: scratchnet's step",
        width=10,
        height=2.0 + 0.44 * len(rows),
    )
    ax = style(fig.subplots(), "", "time / scratchnet's time")
    for y, row in enumerate(rows):
        shown = [name for name in others if name in row.steps and name != row.ours]
        for k, name in enumerate(shown):
            ours, step = row.steps[row.ours].median, row.steps[name]
            at, colour = y + 0.64 * ((k + 0.5) / len(shown) - 0.5), (*COLOURS, GREY)[others.index(name)]
            ax.plot([step.low / ours, step.high / ours], [at, at], color=colour, lw=1.2)
            ax.plot(step.median / ours, at, "o", color=colour, markersize=6.5, markeredgecolor="white", label=name)
        if y % 2:
            ax.axhspan(y - 0.5, y + 0.5, color="#F5F5F5", linewidth=0, zorder=0)
    ticks = [(y, f"{row.workload}\n{micro(row.steps[row.ours])} µs") for y, row in enumerate(rows)]
    ax.axvline(1, color=INK, lw=1.2)
    ax.set_xscale("log")
    low, high = ax.get_xlim()
    nice = [tick for tick in (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200) if low <= tick <= high]
    ax.set_xticks(nice, [f"{tick:g}" for tick in nice])
    ax.minorticks_off()
    ax.set_yticks([at for at, _ in ticks], [label for _, label in ticks])
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.grid(visible=False, axis="y")
    ax.grid(axis="x", color="#E3E3E3", lw=0.8)
    handles, labels = ax.get_legend_handles_labels()
    first = dict(zip(labels, handles, strict=True))
    fig.legend(first.values(), first.keys(), frameon=False, fontsize=9, loc="outside lower center", ncols=4)
    save(fig, path)


# ----------------------------------------------------------------------- the command


def main(args: Sequence[str]) -> int:
    options = parse(Options, args, "benchmarks/peers.py")
    from benchmarks.workloads import WORKLOADS

    workloads = [known(name, list(WORKLOADS), "workload") for name in options.workloads] or list(WORKLOADS)
    engines = [known(name, [*OURS, *PEERS], "engine") for name in options.engines] or list(PEERS)
    engines = [*OURS, PRODUCTS, *(name for name in engines if name not in OURS)]
    device, env = timing.cpu_name(), environment(options.isa)
    for threads in sorted({timing.thread_count(t) for t in options.threads}):
        rows: list[Row] = []
        plural = f"{threads} thread{'s' * (threads > 1)}"
        held = "" if options.isa == "native" else f"-{options.isa}"
        stem = str(options.out / f"peers-{timing.file_name(device)}-{plural.replace(' ', '-')}{held}")
        content: dict[str, Any] = {"device": device, "isa": options.isa, "reports": {}, "load_average": []}
        for workload in workloads:
            print(f"{workload}, {plural} ...", flush=True)
            content["load_average"].append(timing.load())
            row, reports = measure(workload, engines, threads, options.memory and threads == 1, env)
            rows.append(row)  # written at once: what has been measured is not lost
            content["reports"] |= reports
            content["rows"] = [dataclasses.asdict(r) for r in rows]
            content["environment"] = timing.in_child("benchmarks.peers", {}, env=env)
            timing.write_json(Path(f"{stem}.json"), content)
        report(rows, engines, f"{device}, {plural}", stem, content)
    return 0


def report(rows: list[Row], engines: list[str], device: str, stem: str, about: dict[str, Any]) -> None:
    """Write the table, the libraries' reports, the engines left out, and the plot."""
    loads = [load for load in about["load_average"] if load is not None]
    held = "" if about["isa"] == "native" else f", no engine may use more than {about['isa'].upper()}"
    table = f"{device}{held}: µs per step (times scratchnet's); load {min(loads, default=0):.1f} to "
    table += f"{max(loads, default=0):.1f} when a row began\n\n{markdown(rows, engines)}\n\n"
    table += "".join(f"* {library}: {words}\n" for library, words in about["reports"].items())
    print(table)
    if rows[0].threads > 1:
        more = [f"{row.taken} in {row.workload}" for row in rows if row.taken > 1]
        print(f"scratchnet's --threads auto takes {', '.join([*more, 'one elsewhere' if more else 'one of them'])}")
    for name, why in {name: why for row in rows for name, why in row.missing.items()}.items():
        print(f"left out somewhere: {name}: {why}")
    Path(f"{stem}.md").write_text(table)
    draw(rows, engines, f"{device}{held}", Path(f"{stem}.png"))
    print(f"wrote {stem}.json, .md and .png", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--engine"]:
        engine(*sys.argv[2:4], *map(int, sys.argv[4:]))
    else:
        timing.command(main, worker)
