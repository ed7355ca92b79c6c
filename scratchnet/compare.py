"""`python -m scratchnet.compare RUN RUN...`: finished runs beside each other.

A table of what differs between them, and a picture of their learning curves.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from scratchnet.cli import console, guard, parse
from scratchnet.errors import SettingError
from scratchnet.runs.finished import FinishedRun, finished_run

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from rich.table import Table


@dataclass(frozen=True, kw_only=True)
class Options:
    """Compare finished runs: a table and their learning curves."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Folders of finished runs, such as runs/mnist-default."""
    out: Path = Path("compare.png")
    """Write the learning curves to this PNG file."""


def compare(runs: Sequence[Path | str], ax: "Axes | None" = None) -> "Figure":
    """The learning curves of finished runs in one plot, on `ax` or in a new figure.

    `runs` are their folders. Raises SettingError for no run, DataError for a folder
    without a finished one.

    >>> compare(["runs/mnist-default", "runs/mnist-cnn"])
    """
    return curves(read(runs), ax)


def read(folders: Sequence[Path | str]) -> list[FinishedRun]:
    """The runs in these folders. Raises as `compare` does."""
    if not folders:
        raise SettingError("compare: give the folders of finished runs, such as runs/mnist-default")
    return [finished_run(Path(folder)) for folder in folders]


def curves(runs: Sequence[FinishedRun], ax: "Axes | None" = None) -> "Figure":
    """The learning curves of these runs."""
    from scratchnet.plots.learning import learning_curves

    return learning_curves(dict(zip(names(runs), (run.history for run in runs), strict=True)), ax)


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
    save(curves(runs), options.out)
    print(f"written to {options.out}")
    return 0


if __name__ == "__main__":
    guard(main)
