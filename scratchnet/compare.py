"""`python -m scratchnet.compare RUN RUN...`: finished runs beside each other.

A table of what differs between them, and a picture of their learning curves.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from scratchnet.cli import console, guard, parse
from scratchnet.errors import SettingError
from scratchnet.runs.finished import FinishedRun, finished_run

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from rich.table import Table

    from scratchnet.engine.history import History

    Run = Path | str | History
    Runs = Sequence[Run] | Mapping[str, Run] | Run


@dataclass(frozen=True, kw_only=True)
class Options:
    """Compare finished runs: a table and their learning curves."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Folders of finished runs, such as runs/mnist-default."""
    out: Path = Path("compare.png")
    """Write the learning curves to this PNG file."""


def compare(runs: "Runs", ax: "Axes | None" = None) -> "Figure":
    """The learning curves of several trainings in one plot; returns the figure.

    `runs` are folders of finished runs, or histories as `fit` returns them; a mapping
    gives each a name. Draws on `ax` or in a new figure. Raises SettingError for no run
    and for what is none, DataError for a folder without a finished one.

    >>> sn.compare(["runs/mnist-default", "runs/mnist-cnn"])
    >>> sn.compare({"small": history, "large": another})
    """
    from scratchnet.engine.history import History

    if isinstance(runs, (str, Path, History)):
        runs = [runs]
    found = read(list(runs.values()) if isinstance(runs, Mapping) else runs)
    return curves(found, list(map(str, runs)) if isinstance(runs, Mapping) else names(found), ax)


def curves(runs: Sequence[FinishedRun], names: Sequence[str], ax: "Axes | None" = None) -> "Figure":
    """The learning curves of these runs under these names."""
    from scratchnet.plots.learning import learning_curves

    return learning_curves({name: run.history for name, run in zip(names, runs, strict=True)}, ax)


def read(runs: Sequence[Any]) -> list[FinishedRun]:
    """The runs in these folders; a history is taken for one. Raises as `compare`."""
    if not runs:
        raise SettingError("compare: give the folders of finished runs, such as runs/mnist-default")
    return [_read(run, k) for k, run in enumerate(runs, 1)]


def _read(run: Any, k: int) -> FinishedRun:
    if isinstance(run, (str, Path)):
        return finished_run(Path(run))
    from scratchnet.engine.history import History

    if not isinstance(run, History):
        raise SettingError(f"compare: a run is a folder or the history of a training, not a {type(run).__name__}")
    return FinishedRun(Path(f"training {k}"), {}, {}, run.rows)


def names(runs: Sequence[FinishedRun]) -> list[str]:
    """What each run is called: its folder, with those above it if two are alike."""
    short = [run.name for run in runs]
    if len(set(short)) == len(runs):
        return short
    whole = [str(run.folder) for run in runs]
    return [f"{name} ({k})" if whole.count(name) > 1 else name for k, name in enumerate(whole, 1)]


def table(runs: Sequence[FinishedRun]) -> "Table":
    """One column a run: the options that differ, and the results."""
    from rich.table import Table

    shown = Table("", *names(runs), title="Finished runs", title_justify="left")
    for name in dict.fromkeys(name for run in runs for name in run.options):
        values = [run.options.get(name) for run in runs]
        if any(value != values[0] for value in values):
            shown.add_row(name.replace("_", " "), *map(_words, values))
    shown.add_section()
    for name in dict.fromkeys(name for run in runs for name in run.metrics if name.endswith(RESULTS)):
        values = [run.metrics.get(name) for run in runs]
        if any(isinstance(value, (int, float)) for value in values):
            shown.add_row(name.replace("_", " "), *map(_words, values))
    return shown


RESULTS = ("accuracy", "loss", "rmse", "train_seconds")  # the ends of the names of metrics that are shown


def _words(value: Any) -> str:
    return "-" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def main(args: Sequence[str]) -> int:
    options = parse(Options, args, "python -m scratchnet.compare")
    if options.out.suffix.lower() != ".png":
        raise SettingError(f"--out {options.out}: the picture is a PNG file, so its name ends in .png")
    from scratchnet.plots.style import save

    runs = read(options.runs)
    console().print(table(runs))
    save(curves(runs, names(runs)), options.out)
    print(f"written to {options.out}")
    return 0


class _Compare(ModuleType):
    """This module can be called: `sn.compare(runs)` is the function of its name.

    A package's attribute is its module once that was imported, so that the two, who
    share the name `compare`, would get in each other's way.
    """

    def __call__(self, runs: "Runs", ax: "Axes | None" = None) -> "Figure":
        return compare(runs, ax)


sys.modules[__name__].__class__ = _Compare


if __name__ == "__main__":
    guard(main)
