"""When does a GPU pay off? It depends on the hidden size and the batch.

    python benchmarks/hidden_sweep.py --device all

The MNIST network 784-H-10 is timed against the size H of its hidden layer: sigmoid, no
biases, summed squared error, SGD 0.1, batch 1, 5 epochs of 60,000. Times are sampled
and extrapolated to the 5 epochs, unless `--full` trains them.
"""

import contextlib
import dataclasses
import itertools
import json
import math
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

sys.path.insert(0, str(Path(__file__).parent.parent))  # so that the file can be run directly

from benchmarks import timing
from benchmarks.timing import Limits, Spread
from scratchnet.cli import known, parse
from scratchnet.errors import DeviceError, SettingError

EPOCHS, EXAMPLES = 5, 60_000
ROUNDS = 41
ROWS = "hidden_sweep.rows"  # what is measured so far, in the folder of the results
FAR_BEYOND_CACHES = 1 << 29  # bytes

# Seconds for the 5 epochs as published, by H: on a cloud machine with 2 virtual cores
# and a K80, and on a laptop of 2015.
PUBLISHED: dict[str, dict[int, float]] = {
    "published: CPU, 2 vCPU": {200: 463, 1000: 803, 2000: 1174, 5000: 3390},
    "published: GPU, K80": {200: 362, 1000: 356, 2000: 366, 5000: 518},
    "published: laptop 2015, NumPy": {200: 440},
    "published: laptop 2015, PyTorch": {200: 841},
}

#: The published pair: NumPy as the book writes it was 1.9 times as fast as PyTorch
BOOK = "textbook NumPy", "PyTorch eager"
OURS = "scratchnet numpy", "scratchnet cupy"  # the pair whose crossover is reported first


@dataclass(frozen=True, kw_only=True)
class Options:
    """Time against the size of the hidden layer, on CPU and GPU."""

    device: Literal["cpu", "cuda", "all"] = "all"
    """cuda needs a GPU; all uses whatever there is"""
    engines: tuple[str, ...] = ()
    """names as in the table, in quotes; by default all that the device has"""
    hidden: tuple[int, ...] = (200, 1000, 2000, 5000)
    """sizes of the hidden layer"""
    batch_size: tuple[int, ...] = (1,)
    """examples per step, such as 1 32 128 1024"""
    examples: tuple[int, ...] = ()
    """show the time against these numbers of examples, such as 1000 10000 60000"""
    steps: int = 0
    """steps to time per point; 0 takes as many as fit into half a second"""
    full: bool = False
    """train all 5 epochs instead of extrapolating"""
    threads: tuple[str, ...] = ("1", "all")
    """numbers of CPU threads, one row each"""
    out: Path = timing.RESULTS
    """folder for the JSON and the plot"""


@dataclass(frozen=True)
class Point:
    """One measured time: an engine at one hidden size, batch and number of threads."""

    engine: str
    device: str
    threads: int
    hidden: int
    batch: int
    step: Spread  # seconds
    floor: float  # seconds per step that the device needs at the least
    examples: int = EXAMPLES

    @property
    def study(self) -> float:
        """Seconds for the 5 epochs."""
        return self.step.median * EPOCHS * self.examples / self.batch


def work_of(hidden: int, batch: int) -> tuple[float, float]:
    """(bytes moved, operations) that a step needs at least.

    Every weight is read and written once, and the products have to be computed.
    """
    weights = (784 + 10) * hidden
    return 2.0 * 4 * weights, 2.0 * batch * (2 * weights + 10 * hidden)


# ------------------------------------------------------- measuring, in a child process


def worker(options: dict[str, Any]) -> dict[str, Any]:
    """Measure all engines and points with one number of threads.

    This runs in a process of its own, limited to that many cores.
    """
    timing.use_cores(options["threads"])
    from benchmarks.engines import ENGINES, Missing, build
    from benchmarks.workloads import book

    answer: dict[str, Any] = {"points": [], "missing": {}, "environment": timing.environment(), "device": ""}
    missing = answer["missing"]
    amounts = options["examples"] or [EXAMPLES]
    for hidden, batch, examples in itertools.product(options["hidden"], options["batch_size"], amounts):
        runs = {}
        for name in options["engines"]:
            try:
                runs[name] = build(name, book(hidden, batch, examples if options["examples"] else 0))
                runs[name](1)
            except Missing as e:
                missing[name] = str(e)
            except Exception as e:  # whatever one of them raises, the others are measured
                runs.pop(name, None)
                missing[name] = f"at H = {hidden}, batch {batch}: {type(e).__name__}: {e}".partition("\n")[0][:200]
        count = -(-EPOCHS * examples // batch) if options["full"] else options["steps"]
        steps = dict.fromkeys(runs, count) if count else None
        devices = {ENGINES[name][2] for name in runs}
        probes = {f"{d} {k}": run for d in devices for k, run in limits_of(d, hidden).items()}
        clock = timing.clock_for(options["threads"], "cuda" if "cuda" in devices else "cpu")
        times = timing.interleave(runs | probes, ROUNDS, steps=steps, threads=options["threads"], clock=clock)
        for name in runs:
            device = ENGINES[name][2]
            own = {key.removeprefix(f"{device} "): t for key, t in times.items() if key in probes and device in key}
            floor = Limits.of(own, size_of(device, hidden)).floor(*work_of(hidden, batch)) if own else 0.0
            point = Point(name, device, options["threads"], hidden, batch, times[name], floor, examples)
            answer["points"].append(point)
            what = f"H={hidden:<5d} batch {batch:<5d}" + f" {examples:7,d} examples" * bool(options["examples"])
            print(f"  {name:20s} {what} {times[name].median * 1e6:10.1f} µs a step", flush=True)
        answer["device"] = device_name(answer["points"])
        if "rows" in options:  # for whoever reports if this process does not come to its end
            of_this = [p for p in answer["points"] if (p.hidden, p.batch, p.examples) == (hidden, batch, examples)]
            with open(options["rows"], "a", encoding="utf-8") as file:
                print(json.dumps({**answer, "points": [dataclasses.asdict(p) for p in of_this]}), file=file)
    return answer


def measured(asked: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The answers of `worker` in a child process.

    If an engine takes the process down with it, those sizes that were not measured are
    measured once more, by every engine in a process of its own.
    """
    rows = Path(asked["rows"])
    before = len(kept(rows))  # with other numbers of threads
    try:
        yield timing.in_child("benchmarks.hidden_sweep", asked)
    except subprocess.CalledProcessError as e:
        print(f"the process ended with code {e.returncode}: now one engine at a time", flush=True)
        answers = kept(rows)[before:]
        yield from answers
        done = {p["hidden"] for answer in answers for p in answer["points"]}
        left = [h for h in asked["hidden"] if h not in done]
        for name in asked["engines"] if left else ():
            try:
                yield timing.in_child("benchmarks.hidden_sweep", asked | {"engines": [name], "hidden": left})
            except subprocess.CalledProcessError as e:
                yield {"points": [], "missing": {name: f"its process ended with code {e.returncode}"}}


def kept(rows: Path) -> list[dict[str, Any]]:
    """The answers so far, one a line; the last line may be half written."""
    answers = []
    for line in rows.read_text(encoding="utf-8").splitlines() if rows.exists() else ():
        with contextlib.suppress(ValueError):
            answers.append(json.loads(line))
    return answers


def limits_of(device: str, hidden: int) -> dict[str, timing.Run]:
    """Runs that measure the limits of a device for weights of this size.

    A GPU's limits are measured with CuPy or not at all.
    """
    if device == "cpu":
        import numpy

        return timing.limit_runs(numpy, size_of(device, hidden))
    from scratchnet.backend.devices import cuda_problem

    if cuda_problem() is not None:
        return {}
    import cupy

    return timing.limit_runs(cupy, size_of(device, hidden), cupy.cuda.get_current_stream().synchronize)


def size_of(device: str, hidden: int) -> int:
    """Bytes of the vector that bandwidth is measured with.

    On a CPU those of the weights, which may stay in its cache. On a GPU a pass over so
    few takes as long as its launch; so there it is a vector far larger than any cache,
    if a quarter of the free memory is enough for it.
    """
    if device == "cpu":
        return 4 * 784 * hidden
    import cupy

    free, _ = cupy.cuda.runtime.memGetInfo()
    return min(FAR_BEYOND_CACHES, free // 4 // 4 * 4)


# ------------------------------------------------------------------------- reporting


def crossover(sizes: Sequence[int], cpu: Sequence[float], gpu: Sequence[float], what: str) -> str:
    """From which size on the GPU is faster, in words.

    Between two measured sizes the value is interpolated on log axes.
    """
    faster = [g < c for c, g in zip(cpu, gpu, strict=True)]
    if not faster[-1]:
        return f"the GPU does not pay off up to {what} = {sizes[-1]}"
    k = len(sizes) - 1
    while k > 0 and faster[k - 1]:
        k -= 1
    if k == 0:
        return f"the GPU pays off at every {what} measured, from {sizes[0]}"
    lead = [math.log(cpu[i] / gpu[i]) for i in (k - 1, k)]
    share = -lead[0] / (lead[1] - lead[0])
    at = sizes[k - 1] * (sizes[k] / sizes[k - 1]) ** share
    return f"the GPU pays off from about {what} = {at:.0f} (between {sizes[k - 1]} and {sizes[k]})"


def words(points: list[Point]) -> list[str]:
    """The crossovers of scratchnet and of PyTorch.

    They are given by hidden size for each batch, and by batch for each hidden size.
    """
    text = []
    for cpu, gpu in (OURS, ("scratchnet compiled", OURS[1]), ("PyTorch eager", "PyTorch eager cuda")):
        for axis, other in (("hidden", "batch"), ("batch", "hidden")):
            for value in sorted({getattr(p, other) for p in points}):
                times = [
                    {getattr(p, axis): p.study for p in points if p.engine == name and getattr(p, other) == value}
                    for name in (cpu, gpu)
                ]
                sizes = sorted(times[0].keys() & times[1].keys())
                if len(sizes) > 1:
                    said = crossover(sizes, *([t[s] for s in sizes] for t in times), {"hidden": "H"}.get(axis, axis))
                    text.append(f"{cpu} against {gpu}, {other} {value}: on this machine {said}.")
    rows = PUBLISHED["published: CPU, 2 vCPU"], PUBLISHED["published: GPU, K80"]
    said = crossover(list(rows[0]), *(list(r.values()) for r in rows), "H")
    if not any(p.device == "cuda" for p in points):
        text.append(
            "No GPU was measured: only the CPU half of the published study is repeated here, and nothing is said about "
            "where a GPU pays off on this machine."
        )
    return [*text, f"In the published study (2 vCPU, K80) {said}.", *book_words(points)]


def published_ratio() -> float:
    """How many times as fast as PyTorch the book's code was, as published."""
    return PUBLISHED["published: laptop 2015, PyTorch"][200] / PUBLISHED["published: laptop 2015, NumPy"][200]


def book_ratios(points: list[Point]) -> dict[int, dict[int, float]]:
    """{threads: {H: PyTorch's time divided by the textbook's}} at batch 1."""
    seconds = {(p.engine, p.threads, p.hidden): p.study for p in points if p.batch == 1}
    ratios: dict[int, dict[int, float]] = {}
    for name, threads, hidden in seconds:
        if name == BOOK[0] and (BOOK[1], threads, hidden) in seconds:
            ratio = seconds[BOOK[1], threads, hidden] / seconds[BOOK[0], threads, hidden]
            ratios.setdefault(threads, {})[hidden] = ratio
    return ratios


def book_words(points: list[Point]) -> list[str]:
    """The headline of the published study, and what it is on this machine."""
    return [
        f"NumPy as the book writes it, {threads} thread{'s' * (threads > 1)}: "
        f"{', '.join(f'{ratio:.2f} times as fast as PyTorch at H = {h}' for h, ratio in sorted(row.items()))} "
        f"(published: {published_ratio():.2f} at H = 200, on a laptop of 2015)."
        for threads, row in book_ratios(points).items()
    ]


def rows_of(points: list[Point], batch: int) -> dict[str, dict[int, Point]]:
    """{row label: {H: point}} for one batch size.

    An engine on the GPU has one row, whatever the number of CPU threads.
    """
    rows: dict[str, dict[int, Point]] = {}
    for p in points:
        if p.batch == batch:
            label = p.engine + (f", {p.threads} thread{'s' * (p.threads > 1)}" if p.device == "cpu" else "")
            rows.setdefault(label, {}).setdefault(p.hidden, p)
    return rows


def print_tables(points: list[Point], full: bool) -> None:
    from rich.console import Console
    from rich.table import Table

    sizes = sorted({p.hidden for p in points})
    console = Console(width=36 + 28 * len(sizes))  # so that a table stays whole even in a narrow terminal
    how = "measured" if full else "extrapolated from sampled steps"
    for batch in sorted({p.batch for p in points}):
        table = Table(title=f"784-H-10, batch {batch}: seconds for 5 epochs ({how}), µs per step, share of the floor")
        table.add_column("engine", no_wrap=True)
        for size in sizes:
            table.add_column(f"H = {size}", justify="right", no_wrap=True)
        for label, row in rows_of(points, batch).items():
            table.add_row(label, *(cell(row.get(size)) for size in sizes))
        table.add_section()
        for label, published in PUBLISHED.items() if batch == 1 else ():
            table.add_row(label, *(f"{published[s]:.0f} s" if s in published else "" for s in sizes), style="dim")
        if batch == 1 and (ratios := book_ratios(points)):
            table.add_section()
            for threads, row in ratios.items():
                label = f"PyTorch / textbook, {threads} thread{'s' * (threads > 1)}"
                table.add_row(label, *(f"{row[s]:.2f}" if s in row else "" for s in sizes))
            label, ratio = "published: PyTorch / NumPy", f"{published_ratio():.2f}"
            table.add_row(label, *(ratio if s == 200 else "" for s in sizes), style="dim")
        console.print(table)


def cell(p: Point | None) -> str:
    if p is None:
        return ""
    share = f" {p.floor / p.step.median:4.0%}" if p.floor else ""
    return f"{p.study:.1f} s {p.step.median * 1e6:7.0f} µs{share}"


def draw(points: list[Point], device: str, full: bool, path: Path) -> None:
    """Plot the seconds for 5 epochs against H: one panel per batch size, log axes."""
    from scratchnet.plots.style import COLOURS, GREY, INK, new_figure, save, style

    batches = sorted({p.batch for p in points})
    fig = new_figure(
        "Five epochs of MNIST, 784-H-10, by size of the hidden layer",
        f"{device}; {'measured' if full else 'extrapolated from sampled steps'}; bars: quartiles; lower is faster",
        width=max(9.5, 5.5 * len(batches)),
        height=6.2,
    )
    engines = list(dict.fromkeys(p.engine for p in points))
    colour = {name: COLOURS[k % len(COLOURS)] for k, name in enumerate(engines)}
    axes = fig.subplots(1, len(batches), squeeze=False, sharey=True)[0]
    most = max(p.threads for p in points)
    for ax, batch in zip(axes, batches, strict=True):
        title = f"batch {batch}" if len(batches) > 1 else ""
        style(ax, title, "hidden size H", "seconds for 5 epochs" if ax is axes[0] else "")
        for label, row in rows_of(points, batch).items():
            ps = [row[h] for h in sorted(row)]
            x, y = [p.hidden for p in ps], [p.study for p in ps]
            spread = [
                [p.study * (1 - p.step.low / p.step.median) for p in ps],
                [p.study * (p.step.high / p.step.median - 1) for p in ps],
            ]
            line = "--" if most > 1 and ps[0].device == "cpu" and ps[0].threads == most else "-"
            wide = 2.4 if label.startswith("scratchnet") else 1.4
            ax.errorbar(x, y, spread, fmt=f"{line}o", ms=4, lw=wide, color=colour[ps[0].engine], label=label, capsize=2)
        for k, (label, published) in enumerate(PUBLISHED.items() if batch == 1 else ()):
            hs = [h for h in published if min(p.hidden for p in points) <= h <= max(p.hidden for p in points)]
            if not hs:
                continue
            ax.plot(hs, [published[h] for h in hs], ":" + "^vsD"[k], ms=5, lw=1, color=GREY, label=label)
        ours = [rows_of(points, batch).get(name) for name in (next(iter(rows_of(points, batch))), OURS[1])]
        if all(ours):
            mark_crossing(ax, *ours, INK)
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.set_xticks(sorted({p.hidden for p in points}), [str(h) for h in sorted({p.hidden for p in points})])
        ax.minorticks_off()
        ax.grid(axis="y", color="#E3E3E3", lw=0.8)
    lines = axes[0].get_legend_handles_labels()
    axes[-1].legend(*lines, loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False, fontsize=9)
    save(fig, path)


def mark_crossing(ax: Any, cpu: dict[int, Point], gpu: dict[int, Point], colour: str) -> None:
    """Draw a line where our GPU row becomes faster than our CPU row."""
    said = crossover(sizes := sorted(cpu.keys() & gpu.keys()), *([r[s].study for s in sizes] for r in (cpu, gpu)), "H")
    if "about" in said:
        at = float(said.split("= ")[1].split()[0])
        ax.axvline(at, color=colour, lw=1, ls="--")
        ax.annotate(f"GPU faster from H ≈ {at:.0f}", (at, ax.get_ylim()[0]), rotation=90, size=9, color=colour)


# ----------------------------------------------------------------------- the command


def main(args: Sequence[str]) -> int:
    options = parse(Options, args, "benchmarks/hidden_sweep.py")
    from benchmarks.engines import ENGINES

    for name in ("hidden", "batch_size", "examples"):
        if name == "examples" and not options.examples:
            continue
        if not getattr(options, name) or min(getattr(options, name)) < 1:
            raise SettingError(f"--{name.replace('_', '-')} must be whole numbers from 1")
    if options.steps < 0:
        raise SettingError("--steps must be a number from 0")
    if options.device == "cuda":
        need_gpu()
    there = [name for name, (_, _, device) in ENGINES.items() if options.device in ("all", device)]
    engines = [
        known(name, there, "engine" + f" on {options.device}" * (options.device != "all")) for name in options.engines
    ] or [name for name in ENGINES if name not in ("PyTorch compile", "scikit-learn", "products alone")]
    if options.device != "all":
        engines = [name for name in engines if ENGINES[name][2] == options.device]
    if not engines:
        raise SettingError(f"none of the engines runs on {options.device}")
    threads = sorted({timing.thread_count(t) for t in options.threads})

    points: list[Point] = []
    missing: dict[str, str] = {}
    environments = []
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / ROWS).unlink(missing_ok=True)
    for n in threads:
        print(f"{n} CPU thread{'s' * (n > 1)}", flush=True)
        rows = str(options.out.absolute() / ROWS)
        asked = {**dataclasses.asdict(options), "threads": n, "engines": engines, "out": "", "rows": rows}
        for answer in measured(asked):
            points += points_of(answer)
            missing |= answer["missing"]
            environments += [answer["environment"]] if "environment" in answer else []
        engines = [name for name in engines if ENGINES[name][2] == "cpu"] or engines
    for name, why in missing.items():
        print(f"not here: {name}: {why}")
    if not points:
        raise DeviceError("no engine could run")
    report(points, missing, environments, options)
    (options.out / ROWS).unlink(missing_ok=True)
    return 0


def points_of(answer: dict[str, Any]) -> list[Point]:
    return [Point(**{**p, "step": Spread(**p["step"])}) for p in answer["points"]]


def report_rows(options: Options) -> None:
    """`report`, from what a sweep that was stopped has left, if anything."""
    path = options.out / ROWS
    answers = kept(path)
    points = [point for answer in answers for point in points_of(answer)]
    if points:
        missing = {name: why for answer in answers for name, why in answer["missing"].items()}
        device = max((answer["device"] for answer in answers), key=len)  # with the name of the GPU
        report(points, missing, [answers[-1]["environment"]], options, device)
    path.unlink(missing_ok=True)


def report(
    points: list[Point], missing: dict[str, str], environments: list[dict[str, Any]], options: Options,
    device: str = "",
) -> None:  # fmt: skip
    """Write the table, words, JSON and plot."""
    if options.examples:
        from benchmarks import by_examples

        by_examples.report(points, missing, environments, device_name(points), options.full, options.out)
        return
    print_tables(points, options.full)
    said = words(points)
    print("\n".join(said))
    device = device or device_name(points)
    stem = f"hidden_sweep-{timing.file_name(device)}"
    content = {
        "device": device,
        "sampled": not options.full,
        "points": [{**dataclasses.asdict(p), "seconds_for_5_epochs": p.study} for p in points],
        "missing": missing,
        "published": PUBLISHED,
        "crossover": said,
        "book_against_pytorch": {"published": published_ratio(), "measured": book_ratios(points)},
        "environment": environments,
    }
    print("wrote", timing.write_json(options.out / f"{stem}.json", content))
    draw(points, device, options.full, options.out / f"{stem}.png")
    print("wrote", options.out / f"{stem}.png")


def need_gpu() -> None:
    """Raise DeviceError if neither CuPy nor PyTorch can use a GPU."""
    from scratchnet.backend.devices import cuda_problem

    problem = cuda_problem()
    if problem:
        try:
            import torch

            if torch.cuda.is_available():
                return
        except ImportError:
            pass
        raise DeviceError(f"--device cuda needs a GPU: {problem}")


def device_name(points: list[Point]) -> str:
    """The GPU's name if one was measured, and the processor's."""
    names = [timing.cpu_name()]
    if any(p.device == "cuda" for p in points):
        try:
            import cupy

            names.insert(0, cupy.cuda.runtime.getDeviceProperties(0)["name"].decode())
        except ImportError:
            import torch

            names.insert(0, torch.cuda.get_device_name())
    return " and ".join(names)


if __name__ == "__main__":
    timing.command(main, worker)
