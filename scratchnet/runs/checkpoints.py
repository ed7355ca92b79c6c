"""The checkpoints of a training: when they are written, and which are kept.

A training that is interrupted goes on from the newest of them as if nothing had
happened; `checkpoint_file.py` says what is in it.
"""

import contextlib
import math
import re
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from scratchnet.engine.history import History
from scratchnet.engine.layers.sequential import Sequential
from scratchnet.engine.optim import Optimiser
from scratchnet.engine.saving import describe
from scratchnet.errors import CheckpointError, Interrupted
from scratchnet.files.tensorfile import TensorFile, write_tensors
from scratchnet.runs.checkpoint_file import write_checkpoint
from scratchnet.runs.stop import Stop

CHECKPOINTS_KEPT = 2  # besides the best model
BEST = "best.safetensors"
SECONDS_BETWEEN = 10.0  # checkpoints, at least, unless --checkpoint-every says otherwise


def newest_checkpoint(folder: Path) -> TensorFile:
    """The newest undamaged checkpoint in the folder, open.

    Raises CheckpointError if there is none.
    """
    problem: CheckpointError | None = None
    for path in reversed(checkpoints_in(folder)):
        try:
            file = TensorFile(path)
            for name in file.entries:
                file.read(name)
            return file
        except CheckpointError as e:
            problem = problem or e
    raise problem or CheckpointError(f"{folder}: there is no checkpoint to go on from: start anew, without --resume")


def checkpoints_in(folder: Path) -> list[Path]:
    """The checkpoints in the folder, oldest first."""
    return sorted((p for p in folder.glob("step-*.safetensors") if step_of(p) >= 0), key=step_of)


def step_of(path: Path) -> int:
    """The number of steps in a checkpoint's name."""
    found = re.fullmatch(r"step-(\d{1,18})\.safetensors", path.name)
    return int(found[1]) if found else -1


class Checkpoints:
    """Writes the checkpoints of one training.

    Call `on_step` after every step and `on_epoch` after every epoch. The last two
    checkpoints are kept as step-NNN.safetensors, and the network of the best epoch as
    best.safetensors (the best by valid_accuracy, or else by valid_loss, or else by
    train_loss).

    `every` is a number of steps; 0 means at the ends of epochs, but at least ten
    seconds apart. If a checkpoint cannot be written, `say` is called with the reason
    and the training goes on. If `writes` is false, nothing is written, because another
    process of the same training does it.
    """

    def __init__(
        self, folder: Path, net: Sequential, optimiser: Optimiser, about: dict[str, Any], *, stop: Stop, every: int = 0,
        say: Callable[[str], None] = print, writes: bool = True,
    ) -> None:  # fmt: skip
        self.folder, self.net, self.optimiser, self.about = folder, net, optimiser, about
        self.stop, self.every, self.say, self.writes = stop, every, say, writes
        self.last_time = -math.inf
        self.best: dict[str, np.ndarray] | None = None  # the best network, not yet written

    def begin(self, history: History) -> None:
        """Start from this history and remove the checkpoints that lie beyond it.

        A new training writes its first checkpoint here, so that its options are on
        record.
        """
        self.history = history
        if not self.writes:
            return
        with contextlib.suppress(OSError):
            for path in checkpoints_in(self.folder):
                if step_of(path) > self.optimiser.steps:  # of an older training, or damaged
                    path.unlink(missing_ok=True)
            if not history.epochs:
                (self.folder / BEST).unlink(missing_ok=True)
        if not history.step_losses:
            self.write(0)

    def on_step(self, epoch: int, k: int, steps: int, loss: Any) -> None:
        if self.stop.number:
            self.interrupt(k + 1, f"in epoch {epoch + 1}, after step {k + 1} of {steps}")
        if self.every and self.optimiser.steps % self.every == 0:
            self.write(k + 1)

    def on_epoch(self, row: dict[str, float]) -> None:
        if score_of(row) > max((score_of(r) for r in self.history.epochs[:-1]), default=-math.inf):
            self.best = self.net.state_dict()
        if self.stop.number:
            self.interrupt(0, f"after epoch {int(row['epoch'])}")
        if self.every or time.monotonic() - self.last_time > SECONDS_BETWEEN:
            self.write(0)

    def end(self) -> Path | None:
        """Write the final checkpoint.

        Returns the path of the trained weights, or None if they could not be written.
        """
        kept = self.keep(0)
        if self.stop.number:
            self.interrupt(0, "after the last epoch")
        return kept

    def write(self, k: int) -> bool:
        """Write a checkpoint `k` steps into the current epoch and remove the oldest.

        Returns whether that succeeded.
        """
        if not self.writes:
            return True
        self.last_time = time.monotonic()
        problem = self._write(self.folder, k)
        if problem is None:
            return True
        self.say(f"warning: no checkpoint: {problem}; the training goes on")
        return False

    def keep(self, k: int) -> Path | None:
        """Write the last checkpoint, which must not be lost: no step follows.

        If the disk has no room for it, the older checkpoints are removed; if the folder
        cannot be written to at all, the checkpoint goes to the system's temporary
        folder. Returns its path, or None if it could not be written anywhere.
        """
        path = self.folder / self._name()
        if not self.writes:
            return path
        problem = self._write(self.folder, k)
        if problem is not None and len(checkpoints_in(self.folder)) > 1:
            with contextlib.suppress(OSError):
                for old in checkpoints_in(self.folder)[:-1]:
                    old.unlink(missing_ok=True)
            first, problem = problem, self._write(self.folder, k)
            if problem is None:
                self.say(f"warning: {first}; older checkpoints made room for the last one")
        if problem is None:
            return path
        self.best = None  # there is no room for it either
        try:
            elsewhere = Path(tempfile.mkdtemp(prefix="scratchnet-"))
        except OSError:
            elsewhere = self.folder
        if self._write(elsewhere, k) is None:
            self.say(f"warning: {problem}; so the weights are in {elsewhere / self._name()}")
            return elsewhere / self._name()
        with contextlib.suppress(OSError):
            elsewhere.rmdir()  # if it is empty
        self.say(f"warning: {problem}; the weights are not kept yet")
        return None

    def _name(self) -> str:
        return f"step-{self.optimiser.steps}.safetensors"

    def _write(self, folder: Path, k: int) -> str | None:
        """Write the best network and a checkpoint to the folder and remove the oldest.

        Returns what went wrong, or None.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if self.best is not None:
                write_tensors(folder / BEST, self.best, describe(self.net))
                self.best = None
            write_checkpoint(folder / self._name(), self.net, self.optimiser, self.history, k, self.about)
            for old in checkpoints_in(folder)[:-CHECKPOINTS_KEPT]:
                old.unlink(missing_ok=True)
        except OSError as e:
            return f"{e.filename or folder}: {e.strerror}"
        return None

    def interrupt(self, k: int, where: str) -> None:
        name = signal.Signals(self.stop.number).name
        kept = self.keep(k)
        if kept is None:
            then = "this point could not be kept"
        elif kept.parent == self.folder:
            then = f"go on with --resume {self.folder.parent}"
        else:
            then = f"to go on, make room, move {kept} into {self.folder} and give --resume {self.folder.parent}"
        raise Interrupted(f"stopped by {name} {where}; {then}", self.stop.number)


def score_of(row: dict[str, float]) -> float:
    """How good an epoch was; more is better."""
    if row.get("valid_accuracy") is not None:
        return float(row["valid_accuracy"])
    return -row.get("valid_loss", row["train_loss"])
