"""The sections of the report of `gpu_day`, from whatever its parts have left.

Each gives lines of Markdown, or none if there is nothing yet.
"""

import contextlib
import json
import math
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import gpu_steps, hidden_report, hidden_sweep

PARITY = "parity.json"
PUBLISHED_GPU = "published: GPU, K80"


def table(head: Sequence[str], rows: Sequence[Sequence[str]], words: int = 1) -> list[str]:
    """A table of Markdown whose first columns are words, and the others numbers."""
    line = "|" + " --- |" * words + " ---: |" * (len(head) - words)
    return ["| " + " | ".join(head) + " |", line, *("| " + " | ".join(row) + " |" for row in rows), ""]


def read(path: Path) -> Any:
    """The content of a file of JSON, or None."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def number(value: float) -> str:
    """With three digits, but every digit before the point: 0.0123, 4.56, 1,234."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


# ------------------------------------------------------------------------ the parts


def tests_of(out: Path) -> list[str]:
    """How many tests passed and failed, and which."""
    path = out / "tests.txt"
    if not path.exists():
        return []
    said = path.read_text(encoding="utf-8", errors="replace")
    lines = ["## The tests for a GPU", ""]
    ends = re.findall(r"^.*\b\d+ (?:passed|failed|skipped|errors?)\b.* in [\d.]+s", said, re.MULTILINE)
    counts = re.findall(r"(\d+) (passed|failed|skipped|errors?)\b", ends[-1]) if ends else []
    if counts:
        lines.append(", ".join(f"{n} {what}" for n, what in counts) + ".")
    else:  # stopped: count the letters of those that came to their end
        letters = "".join(re.findall(r"^([.FEsxX]+)(?: +\[ *\d+%\])?$", said, re.MULTILINE))
        passed, failed = letters.count("."), letters.count("F") + letters.count("E")
        lines.append(f"Until they were stopped: {passed} passed, {failed} failed, {letters.count('s')} skipped.")
    lines += ["", *(f"* {line}" for line in re.findall(r"^(?:FAILED|ERROR) .{1,200}", said, re.MULTILINE))]
    return [*lines, ""]


def parity_of(out: Path) -> list[str]:
    """The worst row of every quantity."""
    found = read(out / PARITY)
    if not found:
        return []
    kinds: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in found:
        kinds.setdefault((row["dtype"], row["what"]), []).append(row)
    rows = []
    for (dtype, what), some in kinds.items():
        worst = max(some, key=lambda row: row["error"] / row["tolerance"] if row["tolerance"] else row["error"])
        rows.append([
            dtype, what, worst["network"], str(len(some)), f"{sum(r['compared'] for r in some):,}",
            f"{worst['error']:.1e}", f"{worst['tolerance']:.1e}", str(sum(not r["ok"] for r in some)),
        ])  # fmt: skip
    networks, bad = len({row["network"] for row in found}), [row for row in found if not row["ok"]]
    device = found[0]["device"]
    on_cpu = "finds no GPU" in (out / "parity.txt").read_text(encoding="utf-8", errors="replace")
    where = f"Ours on {device}, PyTorch's on {'the CPU' if on_cpu else device}"
    return [
        "## Every network against PyTorch", "",
        f"{where}: {networks} network{'s' * (networks > 1)}, {len(found)} comparisons, {len(bad)} beyond their "
        "tolerance. "
        "The worst of each kind:", "",
        *table(["type", "compared", "worst network", "rows", "arrays", "error", "tolerance", "beyond it"], rows, 3),
        *(f"* beyond: {row['network']} {row['dtype']} {row['what']}, {row['where']}" for row in bad[:20]), "",
    ]  # fmt: skip


def sweep_of(out: Path) -> list[str]:
    """The table of the sweep beside what was published."""
    if (out / hidden_sweep.ROWS).exists():  # the sweep was stopped
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
            hidden_sweep.report_rows(hidden_sweep.Options(out=out))
    paths = sorted(out.glob("hidden_sweep-*.json"))
    content = read(paths[-1]) if paths else None
    if not content:
        return []
    sizes = sorted({p["hidden"] for p in content["points"]})
    seconds, steps = [], []
    published = hidden_report.PUBLISHED[PUBLISHED_GPU]
    for name in dict.fromkeys(p["engine"] for p in content["points"]):
        points = {p["hidden"]: p for p in content["points"] if p["engine"] == name}
        device = "GPU" if next(iter(points.values()))["device"] == "cuda" else "CPU"
        some = [points.get(h) for h in sizes]
        seconds.append([name, device, *(number(p["seconds_for_5_epochs"]) if p else "" for p in some)])
        steps.append([name, device, *(number(p["step"]["median"] * 1e6) if p else "" for p in some)])
    for name, times in hidden_report.PUBLISHED.items():
        if any(h in times for h in sizes):
            device = "GPU" if "GPU" in name else "CPU"
            seconds.append([name, device, *(f"{times[h]:,}" if h in times else "" for h in sizes)])
    left_out = [f"H = {h}" for h in published if h not in sizes]
    head = ["engine", "on", *(f"H = {h}" for h in sizes)]
    return [
        "## Five epochs of MNIST by hidden size", "",
        "784-H-10, batch 1, sigmoid, SGD: seconds for 300,000 steps, extrapolated from sampled ones; one CPU thread.",
        "", *table(head, seconds, words=2),
        f"The published times on a GPU, a K80: {', '.join(f'{s} s at H = {h}' for h, s in published.items())}."
        + f" Not measured here: {', '.join(left_out)}." * bool(left_out), "",
        f"![seconds by hidden size]({paths[-1].with_suffix('.png').name})", "",
        *(f"* {said}" for said in content["crossover"]),
        *missing_of({name: {"": why} for name, why in content["missing"].items()}), "",
        "Microseconds of a step, the median:", "", *table(head, steps, words=2),
    ]  # fmt: skip


def steps_of(out: Path) -> list[str]:
    """The table of single steps, and of our kernels."""
    content = read(out / gpu_steps.FILE)
    if not content or not content.get("steps"):
        return []
    steps, device = content["steps"], content["device"]
    engines = [name for name in gpu_steps.ENGINES if any(name in of for of in steps.values())]
    rows = []
    for network, of in steps.items():
        ours = of.get(gpu_steps.OURS, {}).get("events")
        rows.append([network, number(ours["median"]) if ours else "",
                     *(spread(of[name]["host"]) if name in of else "" for name in engines)])  # fmt: skip
    draw(steps, engines, device, out / "steps.png")
    lines = [
        "## A step of each network", "",
        "Microseconds: ours between two CUDA events; and every engine by the clock of the host, the median and the "
        "quartiles, with many steps for one wait.", "",
        *table(["network", "ours, by events", *engines], rows),
        "![microseconds of a step](steps.png)", "",
        *missing_of(content.get("missing", {})), "",
    ]  # fmt: skip
    return lines + kernels_of(content.get("kernels", {}))


def spread(times: dict[str, float]) -> str:
    return f"{number(times['median'])} ({number(times['low'])} to {number(times['high'])})"


def missing_of(missing: dict[str, dict[str, str]]) -> list[str]:
    """One line for every reason, with the engines, and the networks if not all."""
    engines: dict[str, list[str]] = {}
    for engine, reasons in missing.items():
        for why in dict.fromkeys(reasons.values()):
            networks = [network for network, of in reasons.items() if of == why and network]
            at = f" ({'; '.join(networks)})" if networks and len(set(reasons.values())) > 1 else ""
            engines.setdefault(why, []).append(engine + at)
    return [f"* Not here: {', '.join(some)}: {why}" for why, some in engines.items()]


def kernels_of(kernels: dict[str, Any]) -> list[str]:
    """How our steps are launched, and the kernels of those in graphs."""
    rows, times = [], []
    for network, of in kernels.items():
        for engine, found in of.items():
            each, together = found.get("kernels of a step"), found.get("steps in a launch", 1)
            launches = f"1 for {together:,} steps" if together > 1 else "not counted"
            rows.append([network, engine, found["how"], number(each) if each else "not counted", launches])
            for kernel, microseconds in found.get("times", {}).items():
                times.append([network, engine, kernel, number(microseconds)])
    lines = [
        "## Our launches and kernels", "",
        "Kernels of a step are the nodes of its CUDA graph, as the driver counts them; launches are those of the host. "
        "What is launched kernel by kernel is not counted here.", "",
        *table(["network", "engine", "how", "kernels of a step", "launches"], rows, 3),
    ]  # fmt: skip
    if times:
        lines += [f"Each kernel alone, {gpu_steps.REPEATS} times in a graph, by CUDA events: µs for one. Blocks × "
                  "threads.", "",
                  *table(["network", "engine", "kernel", "µs"], times, 3)]  # fmt: skip
    return lines if rows else []


def draw(steps: dict[str, Any], engines: Sequence[str], device: str, path: Path) -> None:
    """The steps as bars, one group for each network, on a logarithmic axis."""
    from scratchnet.plots.style import COLOURS, new_figure, save, style

    bars = [(network, engine) for network, of in steps.items() for engine in engines if engine in of]
    height = 0.3 * len(bars) + 0.35 * len(steps) + 1.9
    fig = new_figure("A training step of each network", f"{device}; by the host's clock; shorter is faster",
                     height=height)  # fmt: skip
    ax = fig.subplots()
    style(ax, "", "microseconds", "")
    at, ticks, named = 0.0, [], set()
    for network, of in steps.items():
        some = [engine for engine in engines if engine in of]
        ticks.append((at - (len(some) - 1) / 2, network))
        for engine in some:
            value = of[engine]["host"]["median"]
            label = {} if engine in named else {"label": engine}
            named.add(engine)
            ax.barh(at, value, height=0.85, color=COLOURS[engines.index(engine) % len(COLOURS)], **label)
            ax.annotate(number(value), (value, at), xytext=(4, 0), textcoords="offset points", va="center", size=9)
            at -= 1
        at -= 0.9
    ax.set_yticks([place for place, _ in ticks], [network for _, network in ticks])
    ax.set_xscale("log")
    least, most = (of(t["host"]["median"] for of_network in steps.values() for t in of_network.values())
                   for of in (min, max))  # fmt: skip
    ax.set_xlim(10 ** math.floor(math.log10(least)), 3 * most)
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:,.10g}")
    ax.xaxis.set_minor_formatter("")
    ax.grid(visible=False)
    ax.margins(y=0.02)
    ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False, fontsize=9)
    save(fig, path)
