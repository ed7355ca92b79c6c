"""The progress of a run: a bar on a terminal, and a line per epoch elsewhere."""

import contextlib
import sys
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from scratchnet.engine.compiling import clock


def many(n: int, thing: str) -> str:
    """A number with its noun: 1 epoch, 2,000 epochs."""
    return f"{n:,} {thing}{'s' * (n != 1)}"


def number(value: float) -> str:
    """A number with four digits where they matter: 0.1729, 12.31, 308,690."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


class ProgressLines:
    """Shows the progress of a run.

    On a terminal this is a bar, refreshed at most ten times a second; elsewhere a line
    per epoch.
    """

    def __init__(self, console: Console, epochs: int, examples: int) -> None:
        self.console, self.epochs, self.examples = console, epochs, examples
        self.next_refresh, self.accuracy, self.begun = 0.0, "", clock()
        self.bar: Progress | None = None
        if console.is_terminal:
            self.bar = Progress(
                TextColumn("epoch"), MofNCompleteColumn(), BarColumn(bar_width=24), TextColumn("{task.fields[text]}"),
                TimeRemainingColumn(), get_time=clock, console=console, auto_refresh=False, transient=True,
            )  # fmt: skip
            self.task = self.bar.add_task("", total=epochs, text="")

    def __enter__(self) -> "ProgressLines":
        if self.bar:
            self.bar.start()
        return self

    def __exit__(self, *exc: object) -> None:
        if self.bar:
            with contextlib.suppress(OSError):  # the terminal may be closed
                self.bar.stop()

    def step(self, epoch: int, k: int, steps: int, loss: Any) -> None:
        now = clock()
        if self.bar is None or now < self.next_refresh:
            return
        self.next_refresh = now + 0.1
        done = epoch + (k + 1) / steps
        rate = done * self.examples / (now - self.begun)
        text = f"loss {float(loss):.4f}{self.accuracy}  {rate:,.0f} examples/s"
        self.bar.update(self.task, completed=done, text=text, refresh=True)

    def _remember(self, row: dict[str, float]) -> None:
        """The accuracy that is shown from now on."""
        name = "valid_accuracy" if "valid_accuracy" in row else "train_accuracy"
        if name in row:
            self.accuracy = f"  {name.replace('_', ' ')} {row[name]:.2%}"

    def start(self, row: dict[str, float]) -> None:
        """The network before it is trained."""
        self._remember(row)
        self.console.print(
            f"epoch {0:>3}/{self.epochs}  loss {row['train_loss']:.4f}{self.accuracy}  before training", soft_wrap=True
        )

    def epoch(self, row: dict[str, float]) -> None:
        self._remember(row)
        if row["epoch"] % max(1, self.epochs // 20) and row["epoch"] not in (1, self.epochs):
            return  # of hundreds of epochs, only about twenty are printed
        left = (clock() - self.begun) / row["epoch"] * (self.epochs - row["epoch"])
        self.console.print(
            f"epoch {int(row['epoch']):>3}/{self.epochs}  loss {row['train_loss']:.4f}{self.accuracy}  "
            f"{self.examples / row['seconds']:>9,.0f} examples/s  {left:.0f} s left",
            soft_wrap=True,
        )
        sys.stdout.flush()
