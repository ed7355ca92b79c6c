"""What a run does after every step and every epoch of its training."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from scratchnet.engine.progress import ProgressLines
from scratchnet.runs.checkpoints import Checkpoints
from scratchnet.runs.stop import Stop, closed_terminal_stops
from scratchnet.runs.tensorboard import TensorBoard

if TYPE_CHECKING:
    from scratchnet.runs.run import Run


class Watch:
    """Shows the progress, writes event files and checkpoints, and notes a wish to stop.

    `judge` gives further values for the row of an epoch. `asked` is the signal that
    this process was sent; `checkpoints.stop` is the one that all ranks know of.
    """

    def __init__(
        self, run: "Run", progress: ProgressLines, judge: Callable[[], dict[str, float]], asked: Stop,
        checkpoints: Checkpoints, events: TensorBoard | None,
    ) -> None:  # fmt: skip
        self.run, self.progress, self.judge = run, progress, judge
        self.asked, self.checkpoints, self.events = asked, checkpoints, events

    def on_step(self, epoch: int, k: int, steps: int, value: Any) -> None:
        self.show(self.progress.step, epoch, k, steps, value)
        if self.run.ranks:
            self.run.ranks.agree(self.asked, self.checkpoints.stop)
        self.checkpoints.on_step(epoch, k, steps, value)

    def on_epoch(self, row: dict[str, float]) -> None:
        if self.run.leads:
            row |= self.judge()
            self.show(self.progress.epoch, row)
            if self.events is not None:
                self.log(self.events, row)
            self.checkpoints.on_epoch(row)

    def advise(self, text: str) -> None:
        self.show(self.run.say, f"advice: {text}")

    def show(self, write: Callable[..., None], *what: Any) -> None:
        """Write to the terminal, unless a signal came: after SIGHUP there is none."""
        if not self.asked.number:
            with closed_terminal_stops(self.asked):
                write(*what)

    def log(self, write: Callable[[Any], None], what: Any) -> None:
        """Write to an event file; if that fails, the training goes on without."""
        try:
            write(what)
        except OSError as e:
            where = e.filename or self.run.out
            self.run.say(f"warning: no event file: {where}: {e.strerror or e}; the training goes on")
