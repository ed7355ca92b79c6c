"""`hidden_sweep.py --examples`: how the time of a training grows with the data.

Steps are timed on as many different examples as there are, up to 10,000, which is more
than the caches of a core hold; so what is slower about many data is in the time.
"""

import dataclasses
import math
from pathlib import Path
from typing import Any

from benchmarks import timing
from benchmarks.hidden_report import EPOCHS, Point, draw_row


def rows_of(points: list[Point], hidden: int, batch: int) -> dict[str, dict[int, Point]]:
    """{row label: {number of examples: point}} for one network and batch size."""
    rows: dict[str, dict[int, Point]] = {}
    for p in points:
        if (p.hidden, p.batch) == (hidden, batch):
            label = p.engine + (f", {p.threads} thread{'s' * (p.threads > 1)}" if p.device == "cpu" else "")
            rows.setdefault(label, {}).setdefault(p.examples, p)
    return rows


def panels(points: list[Point]) -> list[tuple[int, int]]:
    """(H, batch) of every table."""
    return sorted({(p.hidden, p.batch) for p in points})


def title(hidden: int, batch: int) -> str:
    return f"784-{hidden}-10, {794 * hidden:,} weights, batch {batch}"


def print_tables(points: list[Point], how: str) -> None:
    from rich.console import Console
    from rich.table import Table

    amounts = sorted({p.examples for p in points})
    console = Console(width=36 + 24 * len(amounts))
    for hidden, batch in panels(points):
        table = Table(title=f"{title(hidden, batch)}: seconds for {EPOCHS} epochs ({how}), µs per step")
        table.add_column("engine", no_wrap=True)
        for n in amounts:
            table.add_column(f"{n:,} examples", justify="right", no_wrap=True)
        for label, row in rows_of(points, hidden, batch).items():
            cells = [f"{row[n].study:.2f} s {row[n].step.median * 1e6:8.1f} µs" if n in row else "" for n in amounts]
            table.add_row(label, *cells)
        console.print(table)


def words(points: list[Point]) -> list[str]:
    """How the time grows from the fewest examples to the most."""
    text = []
    for hidden, batch in panels(points):
        for label, row in rows_of(points, hidden, batch).items():
            few, many = min(row), max(row)
            if few < many:
                grown = row[many].study / row[few].study
                text.append(
                    f"{title(hidden, batch)}, {label}: {many / few:.3g} times the examples take "
                    f"{grown:.3g} times as long (time ~ N^{math.log(grown) / math.log(many / few):.2f})."
                )
    return text


def draw(points: list[Point], device: str, how: str, path: Path) -> None:
    """Plot the seconds for the epochs against the examples, one panel per network."""
    from scratchnet.plots.style import COLOURS, new_figure, save, style

    shown = panels(points)
    fig = new_figure(
        f"Time for {EPOCHS} epochs, by the number of training examples",
        f"{device}; {how}; bars: quartiles; lower is faster",
        width=max(9.5, 4.6 * len(shown)),
        height=5.8,
    )
    engines = list(dict.fromkeys(p.engine for p in points))
    colour = {name: COLOURS[k % len(COLOURS)] for k, name in enumerate(engines)}
    axes = fig.subplots(1, len(shown), squeeze=False, sharey=True)[0]
    amounts = sorted({p.examples for p in points})
    most = max(p.threads for p in points)
    for ax, (hidden, batch) in zip(axes, shown, strict=True):
        style(ax, f"H = {hidden}, batch {batch}", "training examples", "seconds" if ax is axes[0] else "")
        for label, row in rows_of(points, hidden, batch).items():
            draw_row(ax, row, label, colour, most)
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.set_xticks(amounts, [f"{n:,}" for n in amounts])
        ax.yaxis.set_major_formatter("{x:,g}")
        ax.minorticks_off()
        ax.grid(axis="y", color="#E3E3E3", lw=0.8)
    axes[-1].legend(loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False, fontsize=9)
    save(fig, path)


def report(
    points: list[Point], missing: dict[str, str], environments: list[dict[str, Any]], device: str, full: bool, out: Path
) -> None:
    """Write the tables, words, JSON and plot."""
    how = "measured" if full else "extrapolated from sampled steps"
    print_tables(points, how)
    said = words(points)
    print("\n".join(said))
    stem = f"examples-{timing.file_name(device)}"
    content = {
        "device": device,
        "sampled": not full,
        "points": [{**dataclasses.asdict(p), "seconds_for_5_epochs": p.study} for p in points],
        "missing": missing,
        "growth": said,
        "environment": environments,
    }
    print("wrote", timing.write_json(out / f"{stem}.json", content))
    draw(points, device, how, out / f"{stem}.png")
    print("wrote", out / f"{stem}.png")
