"""What a hidden sweep found: in words, as tables, and as a picture beside the published
study.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.timing import Spread

EPOCHS, EXAMPLES = 5, 60_000

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
            draw_row(ax, row, label, colour, most)
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


def draw_row(ax: Any, row: dict[int, Point], label: str, colour: dict[str, str], most: int) -> None:
    """One engine's times; dashed are those of a CPU on `most` threads, if several."""
    x = sorted(row)
    ps = [row[at] for at in x]
    spread = [
        [p.study * (1 - p.step.low / p.step.median) for p in ps],
        [p.study * (p.step.high / p.step.median - 1) for p in ps],
    ]
    line = "--" if most > 1 and ps[0].device == "cpu" and ps[0].threads == most else "-"
    wide = 2.4 if label.startswith("scratchnet") else 1.4
    y, own = [p.study for p in ps], colour[ps[0].engine]
    ax.errorbar(x, y, spread, fmt=f"{line}o", ms=4, lw=wide, color=own, label=label, capsize=2)


def mark_crossing(ax: Any, cpu: dict[int, Point], gpu: dict[int, Point], colour: str) -> None:
    """Draw a line where our GPU row becomes faster than our CPU row."""
    said = crossover(sizes := sorted(cpu.keys() & gpu.keys()), *([r[s].study for s in sizes] for r in (cpu, gpu)), "H")
    if "about" in said:
        at = float(said.split("= ")[1].split()[0])
        ax.axvline(at, color=colour, lw=1, ls="--")
        ax.annotate(f"GPU faster from H ≈ {at:.0f}", (at, ax.get_ylim()[0]), rotation=90, size=9, color=colour)
