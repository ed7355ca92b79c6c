"""The report of `gpu_day`: what its parts have found, and how they ended."""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import gpu_steps, hidden_report, timing
from benchmarks.gpu_sections import PUBLISHED_GPU, number, parity_of, read, steps_of, sweep_of, table, tests_of
from scratchnet.files.atomic import atomic_write

LAST = 20  # lines of a part that was not done, in the report


@dataclass(frozen=True)
class Outcome:
    """How a part ended."""

    part: str
    how: str
    seconds: float
    last_line: str


def device_of(out: Path) -> str:
    """The device as the parts have called it."""
    steps = read(out / gpu_steps.FILE) or {}
    sweeps = [content for path in sorted(out.glob("hidden_sweep-*.json")) if (content := read(path))]
    of_sweep = sweeps[-1]["device"].partition(" and ")[0] if sweeps and " and " in sweeps[-1]["device"] else ""
    return steps.get("device") or of_sweep


def in_short(out: Path) -> list[str]:
    """Our times of the published study beside those that were published."""
    contents = [content for path in sorted(out.glob("hidden_sweep-*.json")) if (content := read(path))]
    published, lines = hidden_report.PUBLISHED[PUBLISHED_GPU], []
    for p in contents[-1]["points"] if contents else []:
        if p["engine"] == gpu_steps.OURS and p["hidden"] in published:
            ours, theirs = p["seconds_for_5_epochs"], published[p["hidden"]]
            lines.append(f"* H = {p['hidden']}: {number(ours)} s here, {theirs} s as published on a K80: "
                         f"{number(theirs / ours)} times as fast.")  # fmt: skip
    return ["Five epochs of MNIST, 784-H-10, batch 1, on the GPU with this engine:", "", *lines, ""] if lines else []


def write(outcomes: Sequence[Outcome], parts: dict[str, Any], out: Path, note: str = "") -> None:
    """Write report.md from what there is so far."""
    done = {o.part: o for o in outcomes}
    found = {"tests": tests_of(out), "parity": parity_of(out), "sweep": sweep_of(out), "steps": steps_of(out)}
    rows = [
        [f"[{name}]({name}.txt)" if name in done else name, part.shows,
         *((done[name].how, f"{done[name].seconds:.0f} s") if name in done else ("not yet", ""))]
        for name, part in parts.items()
    ]  # fmt: skip
    lines = [
        f"# A day with {device_of(out) or 'a GPU'}", "",
        f"`python -m benchmarks.gpu_day`, {time.strftime('%Y-%m-%d')}; processor {timing.cpu_name()}.", "",
        *([f"**{note}**", ""] if note else []),
        *table(["part", "shows", "how it ended", "time"], rows, words=3),
    ]  # fmt: skip
    lines += in_short(out)
    absent = [name for name in parts if name in found and not found[name]]
    if absent:
        lines += [f"Nothing is here yet of: {', '.join(absent)}.", ""]
    for section in found.values():
        lines += section
    for o in outcomes:
        if o.how != "done":
            said = (out / f"{o.part}.txt").read_text(encoding="utf-8", errors="replace").splitlines()[-LAST:]
            lines += [f"## {o.part}: {o.how}", "", "```", *(line[:160] for line in said), "```", ""]
    text = re.sub(r"\n{3,}", "\n\n", "\n".join(lines).rstrip() + "\n")
    atomic_write(out / "report.md", text.encode())
