"""The progress of a training: a bar on a terminal, and a line per epoch elsewhere."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from scratchnet.engine import checks
from scratchnet.engine.bars import bar_for
from scratchnet.engine.compiling import clock
from scratchnet.engine.door import in_turn

if TYPE_CHECKING:
    from rich.console import Console

DELAY = 1.0  # seconds until the bar of `fit` appears: a short training needs none
STEPS_PER_REFRESH = 100  # so many are made at a time: few enough for a bar that moves


def many(n: int, thing: str) -> str:
    """A number with its noun: 1 epoch, 2,000 epochs."""
    return f"{n:,} {thing}{'' if n == 1 else 's'}"


def number(value: float) -> str:
    """A number with four digits where they matter: 0.1729, 12.31, 308,690."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


class ProgressLines:
    """Shows the progress of a training.

    On a terminal and in a notebook, this is a bar, refreshed at most ten times a
    second; it appears after `delay` seconds. `lines` are printed for the epochs, beside
    the bar or without one.
    """

    def __init__(
        self, console: "Console", epochs: int, examples: int, *, lines: bool = True, delay: float = 0.0
    ) -> None:
        self.console, self.epochs, self.examples = console, epochs, examples
        self.accuracy, self.begun = "", clock()
        self.next_refresh = self.begun + delay
        self.last: dict[str, float] = {}  # the row of the epoch before
        self.bar = bar_for(console, epochs, clock)
        self.lines = lines or self.bar is None

    def __enter__(self) -> "ProgressLines":
        return self

    def __exit__(self, *exc: object) -> None:
        if self.bar is not None:
            loss = f"  loss {self.last['train_loss']:.4f}{self.accuracy}" if self.last else ""
            done = int(self.last.get("epoch", 0))
            self.bar.close(f"{done}/{many(self.epochs, 'epoch')} in {clock() - self.begun:.1f} s{loss}")

    def step(self, epoch: int, k: int, steps: int, loss: Any) -> None:
        now = clock()
        if self.bar is None or now < self.next_refresh:
            return
        self.next_refresh = now + 0.1
        done = epoch + (k + 1) / steps
        # of a loader, nobody knows how many examples it gives
        rate = f"  {done * self.examples / (now - self.begun):,.0f} examples/s" if self.examples else ""
        text = f"loss {float(loss):.4f}{self.accuracy}{rate}"
        self.bar.show(done, text)

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
        self.last = row
        if not self.lines or (row["epoch"] % max(1, self.epochs // 20) and row["epoch"] not in (1, self.epochs)):
            return  # of hundreds of epochs, only about twenty are printed
        left = (clock() - self.begun) / row["epoch"] * (self.epochs - row["epoch"])
        self.console.print(
            f"epoch {int(row['epoch']):>3}/{self.epochs}  loss {row['train_loss']:.4f}{self.accuracy}  "
            f"{row.get('examples', self.examples) / row['seconds']:>9,.0f} examples/s  {left:.0f} s left",
            soft_wrap=True,
        )
        sys.stdout.flush()


@contextlib.contextmanager
def shown(
    progress: bool | None, epochs: int, examples: int, on_step: Callable[..., Any] | None,
    on_epoch: Callable[..., Any] | None, steps_per_callback: int,
) -> Iterator[dict[str, Any]]:  # fmt: skip
    """The callbacks of a training whose progress may be shown, on standard error.

    True shows it: as a bar, or as lines where there is no terminal. None shows a bar on
    a terminal or in a notebook, once the training has lasted a second, and nothing
    elsewhere.
    """
    calls = {"on_step": on_step, "on_epoch": on_epoch, "steps_per_callback": steps_per_callback}
    if progress is not None:
        progress = checks.flag("fit", "progress", progress)
    if progress is False or (progress is None and not sys.stderr.isatty() and "ipykernel" not in sys.modules):
        yield calls
        return
    from rich.console import Console

    lines = ProgressLines(Console(stderr=True), epochs, examples, lines=False, delay=0.0 if progress else DELAY)
    if progress is None and lines.bar is None:
        yield calls
        return
    with lines:
        yield {
            "on_step": in_turn(lines.step, on_step), "on_epoch": in_turn(lines.epoch, on_epoch),
            "steps_per_callback": STEPS_PER_REFRESH if on_step is None else steps_per_callback,
        }  # fmt: skip
