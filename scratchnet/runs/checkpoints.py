"""Training that survives: checkpoints while it runs, and going on from one as if nothing had happened.

A checkpoint is a model file (`scratchnet.load` reads it) with more in it: the optimiser's vectors and number of steps,
the history, the losses of the unfinished epoch, and what the arithmetic depends on besides (threads, BLAS, NumPy).
There is no generator state to keep: the order of examples is a function of seed and epoch, random numbers are functions
of seed and step, and the learning rate of the epoch. So a resumed run is bit-identical to an uninterrupted one.
"""

import contextlib
import importlib.metadata
import json
import math
import re
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_info

from scratchnet.backend.arrays import to_numpy
from scratchnet.engine.compiling import clock
from scratchnet.engine.kernels import compiled_steps
from scratchnet.engine.layers.sequential import FORMAT, Sequential, describe
from scratchnet.engine.optim import Optimiser
from scratchnet.engine.params import check_names
from scratchnet.engine.training import History
from scratchnet.errors import CheckpointError, Interrupted
from scratchnet.files.tensorfile import TensorFile, short, write_tensors
from scratchnet.models.network import TRAINING
from scratchnet.runs.stop import Stop

KEPT = 2  # checkpoints, besides the best model
CARRIED = f"{TRAINING}carried."  # arrays of this prefix are the states of `Steps.state`
BEST = "best.safetensors"
PAUSE = 10.0  # seconds between checkpoints at the ends of epochs, if no other rhythm is asked for


# ------------------------------------------------------------------------------------------ what is written


def environment(threads: int, device: str, ranks: int = 1, steps: str = "one at a time") -> dict[str, str]:
    """What the last bit of a result depends on besides the program: a sum's order is the BLAS library's choice."""
    blas = sorted(
        f"{info['internal_api']} {info['version']} {info.get('architecture', '')}".strip()
        for info in threadpool_info()
        if info["user_api"] == "blas"
    )
    return {
        "device": device,
        "ranks": str(ranks),
        "threads": str(threads),
        "steps": steps,
        "numpy": np.__version__,
        "numba": importlib.metadata.version("numba") if compiled_steps.installed() else "not installed",
        "BLAS": ", ".join(blas),
    }


def settings_of(optimiser: Optimiser) -> dict[str, Any]:
    """The optimiser's kind and its options; not `lr`, which a schedule sets."""
    return json.loads(json.dumps({"type": type(optimiser).__name__, "seed": optimiser.seed, **optimiser.options()}))


def write_checkpoint(
    path: Path, net: Sequential, optimiser: Optimiser, history: History, k: int, about: dict[str, Any]
) -> None:
    """Write all that a training needs to go on, `k` steps into the epoch after those of the history. Raises OSError."""
    running = [] if k == 0 or history.running is None else to_numpy(history.running[:k]).tolist()
    arrays = {f"{TRAINING}{name}": to_numpy(a) for name, a in optimiser.state().items()}
    arrays |= {f"{CARRIED}{name}": to_numpy(a) for name, a in history.carried.items()} if k else {}
    arrays[f"{TRAINING}step_losses"] = np.array(history.step_losses + running, np.float64)
    training = {
        "optimiser": settings_of(optimiser), "steps": optimiser.steps, "lr": optimiser.lr, "k": k,
        "elapsed": clock() - history.begun if running else 0.0,
        "epochs": [{name: v if math.isfinite(v) else repr(v) for name, v in row.items()} for row in history.epochs],
        **about,
    }  # fmt: skip
    write_tensors(path, {**net.state_dict(), **arrays}, {**describe(net), "training": training})


def read_checkpoint(file: TensorFile, net: Sequential, optimiser: Optimiser) -> History:
    """Set the network and the optimiser to what is in the file, and return the history up to there.

    Raises CheckpointError, before anything is changed, if the file is damaged, or of another network or optimiser.
    """
    about = training_of(file)
    try:
        recorded, steps, lr, k, elapsed = (about[name] for name in ("optimiser", "steps", "lr", "k", "elapsed"))
        epochs = [{name: float(v) if isinstance(v, str) else v for name, v in row.items()} for row in about["epochs"]]
        if not (type(steps) is int and type(k) is int and steps >= 0 and k >= 0):
            raise ValueError("numbers of steps that cannot be")
        lr, elapsed = float(lr), float(elapsed)
    except (KeyError, TypeError, ValueError, AttributeError) as e:
        raise file.error(
            f"its record of the training is not as it should be ({type(e).__name__}: {short(e)})"
        ) from None
    now = settings_of(optimiser)
    if recorded != now:
        raise file.error(f"was written with the optimiser {short(recorded)}, which is not {short(now)}")
    vectors = optimiser.state()
    known = [name for name in file.entries if not name.startswith(CARRIED)]
    check_names([*net.params, *(TRAINING + name for name in (*vectors, "step_losses"))], known, f"{file.path}: ")
    values = {name: file.read(name) for name in file.entries}
    carried = {name.removeprefix(CARRIED): a for name, a in values.items() if name.startswith(CARRIED)}
    for name, a in vectors.items():
        if values[TRAINING + name].shape != a.shape:
            raise file.error(f"the optimiser's {name} has {values[TRAINING + name].size} numbers, not {a.size}")
    net.load_state_dict({name: values[name] for name in net.params})
    for name, a in vectors.items():
        a[...] = net.xp.asarray(values[TRAINING + name])
    optimiser.steps, optimiser.lr = steps, lr
    losses = values[f"{TRAINING}step_losses"].tolist()
    return History(epochs, losses, begun=clock() - elapsed, carried=carried)


def training_of(file: TensorFile) -> dict[str, Any]:
    """What the file says of the training that wrote it. Raises CheckpointError if it is a model without a training."""
    about = file.about.get("training")
    if file.about.get("format") != FORMAT or not isinstance(about, dict):
        raise file.error("this is not a checkpoint of a training, so there is nothing to go on with")
    return about


def newest_checkpoint(folder: Path) -> TensorFile:
    """The newest whole checkpoint in the folder, open. Raises CheckpointError if there is none."""
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
    """Writes the checkpoints of one training: call `on_step` after every step and `on_epoch` after every epoch.

    The last two are kept as step-NNN.safetensors, and the network of the best epoch as best.safetensors (by
    valid_accuracy, else valid_loss, else train_loss). `every` is a number of steps; 0 means at the end of an epoch,
    but not more often than every ten seconds. If one cannot be written, `say` is told why and the training goes on.
    With `writes` false nothing is written: another process of the same training does that.
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
        """Set out with this history, and with a first checkpoint that holds the options; remove what is beyond it."""
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
        if self.every or time.monotonic() - self.last_time > PAUSE:
            self.write(0)

    def end(self) -> Path | None:
        """The training is over: keep its end. Returns the path where the trained weights are, if they could be kept."""
        kept = self.keep(0)
        if self.stop.number:
            self.interrupt(0, "after the last epoch")
        return kept

    def write(self, k: int) -> bool:
        """Write a checkpoint `k` steps into the running epoch, and remove the oldest. Tells whether that succeeded."""
        if not self.writes:
            return True
        self.last_time = time.monotonic()
        problem = self._write(self.folder, k)
        if problem is None:
            return True
        self.say(f"warning: no checkpoint: {problem}; the training goes on")
        return False

    def keep(self, k: int) -> Path | None:
        """Write a checkpoint after which nothing is computed any more, so that it is not to be lost.

        Where there is no room for it, it takes that of the older ones, and if nothing can be written here
        it goes into the system's temporary folder. Returns its path, or None if it is nowhere.
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
        """Write the best network and a checkpoint into the folder, and remove the oldest. Returns what went wrong."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if self.best is not None:
                write_tensors(folder / BEST, self.best, describe(self.net))
                self.best = None
            write_checkpoint(folder / self._name(), self.net, self.optimiser, self.history, k, self.about)
            for old in checkpoints_in(folder)[:-KEPT]:
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


def differences(recorded: Any, now: dict[str, str]) -> str:
    """In words, what has changed of the environment since the checkpoint; empty if nothing has."""
    before = recorded if isinstance(recorded, dict) else {}
    changed = [(name, before.get(name), value) for name, value in now.items() if before.get(name) != value]
    return "; ".join(f"{name} {then} then, {value} now" for name, then, value in changed)
