"""`python -m scratchnet.doctor`: what is installed, what is missing, how to mend it.

Before a probe runs, only the standard library is imported, and a probe that fails
becomes a line of the report. So this command works where nothing else does; its exit
code is always 0.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from scratchnet.cli import console, guard, parse
from scratchnet.examining.datasets import data
from scratchnet.examining.findings import BAD, GOOD, NOTE, Line, first_line
from scratchnet.examining.gpu import gpu
from scratchnet.examining.processor import blas, processor
from scratchnet.examining.versions import versions

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
