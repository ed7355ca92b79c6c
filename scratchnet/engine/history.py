"""The history of a training: what `fit` returns, and what an interruption leaves."""

import contextlib
import dataclasses
import importlib
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from scratchnet.backend.arrays import Array, to_numpy
from scratchnet.engine.compiling import clock
from scratchnet.engine.layers.sequential import Sequential
from scratchnet.engine.tables import html_table
from scratchnet.errors import SettingError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclasses.dataclass(repr=False)
class History:
    """What happened: one row per epoch, and the loss of every step.

    `start` is the row of epoch 0: how good the network was before training. It is empty
    unless `valid` was given. `rows` are all rows, from `start` on.
    """

    epochs: list[dict[str, float]] = dataclasses.field(default_factory=list)
    step_losses: list[float] = dataclasses.field(default_factory=list)
    # the losses of the unfinished epoch, one place for each step
    running: Array | None = None
    begun: float = 0.0  # when that epoch began, in seconds of `clock`
    # `Steps.state`, in the middle of that epoch
    carried: dict[str, Array] = dataclasses.field(default_factory=dict)
    start: dict[str, float] = dataclasses.field(default_factory=dict)

    def resume(self, before: int, steps: int, net: Sequential) -> int:
        """Make room for the losses of an epoch that follows this number of steps.

        Returns how many of its own steps were made before an interruption.
        """
        done = self.step_losses[before:]
        del self.step_losses[before:]
        self.begun = self.begun if done else clock()
        self.running = net.xp.full(max(steps, len(done)), math.nan, net.dtype)
        self.running[: len(done)] = net.xp.asarray(done, dtype=net.dtype)
        return len(done)

    @property
    def is_new(self) -> bool:
        """Whether it is the history of a training that has not begun."""
        return not self.start and not self.step_losses

    @property
    def rows(self) -> list[dict[str, float]]:
        """The rows of all epochs, with that of epoch 0 if there is one."""
        return [self.start, *self.epochs] if self.start else self.epochs

    @property
    def last(self) -> dict[str, float]:
        """The row of the last epoch. Raises SettingError if there is none yet."""
        if not self.epochs:
            raise SettingError("the history has no epoch yet, so there is no last one: train for one at least")
        return self.epochs[-1]

    def plot(self, ax: "Axes | None" = None, quantity: str | None = None) -> "Figure":
        """Draw how the training went; returns the figure of Matplotlib.

        Without arguments, these are the loss of the steps and the accuracy of the
        epochs, side by side. With `ax`, axes to draw on, or with `quantity`, "loss" (by
        default) or "accuracy", it is this one alone, by epoch. A notebook shows the
        figure, and `history.plot().savefig("training.png")` writes it. Raises
        SettingError.
        """
        # The plots stand above the engine, which does without them; only this method,
        # where users look for it, asks for them when it is called.
        plots = importlib.import_module("scratchnet.plots.training")
        if ax is None and quantity is None:
            return plots.loss_and_accuracy(self)
        return plots.by_epoch(self, "loss" if quantity is None else quantity, ax)

    def __repr__(self) -> str:
        last = ", ".join(f"{name}={value:.4g}" for name, value in self.epochs[-1].items()) if self.epochs else ""
        return f"History({len(self.epochs)} epochs, {len(self.step_losses):,} steps{'; last: ' * bool(last)}{last})"

    def _repr_html_(self) -> str:
        """What a notebook shows: a table of epochs, of many the first and the last."""
        words = f"{len(self.epochs):,} epochs, {len(self.step_losses):,} steps"
        return f"<p>History: {words}</p>{html_table(self.rows)}"


@contextlib.contextmanager
def history_on_error(history: History) -> Iterator[None]:
    """Attach the history so far, as `history`, to any exception that leaves the block.

    KeyboardInterrupt is one of them.
    """
    try:
        yield
    except BaseException as error:
        # an unfinished epoch: keep the losses of the steps that were made
        if history.running is not None:
            made = to_numpy(history.running)
            history.step_losses += made[: np.isnan(made).argmax() if np.isnan(made).any() else None].tolist()
            history.running = None
        error.history = history  # type: ignore[attr-defined]
        raise
