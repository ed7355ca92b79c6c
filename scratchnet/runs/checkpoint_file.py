"""A checkpoint: the file of a network, and of all that its training needs to go on.

A checkpoint is a model file, which `scratchnet.load` reads, that also holds the
optimiser's vectors and number of steps, the history, the losses of the unfinished
epoch, and whatever else the arithmetic depends on (threads, BLAS, NumPy).

No state of a random number generator has to be kept: the order of the examples is a
function of the seed and the epoch, random numbers are functions of the seed and the
step, and the learning rate is a function of the epoch. So a resumed run gives the same
result, to the last bit, as one that was never interrupted.
"""

import importlib.metadata
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_info

from scratchnet.backend.arrays import to_numpy
from scratchnet.engine import compiling
from scratchnet.engine.compiling import clock
from scratchnet.engine.history import History
from scratchnet.engine.layers.sequential import Sequential
from scratchnet.engine.optim import Optimiser
from scratchnet.engine.params import check_names
from scratchnet.engine.saving import FORMAT, describe
from scratchnet.files.tensorfile import TensorFile, short, write_tensors
from scratchnet.models.network import TRAINING

CARRIED = f"{TRAINING}carried."  # arrays of this prefix are the states of `Steps.state`


def environment(threads: int, device: str, ranks: int = 1, steps: str = "one at a time") -> dict[str, str]:
    """What the last bit of a result depends on, besides the program.

    BLAS, for one, decides in which order the terms of a sum are added.
    """
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
        "numba": importlib.metadata.version("numba") if compiling.installed() else "not installed",
        "BLAS": ", ".join(blas),
    }


def settings_of(optimiser: Optimiser) -> dict[str, Any]:
    """The optimiser's kind and options, without `lr`, which the schedule sets."""
    return json.loads(json.dumps({"type": type(optimiser).__name__, "seed": optimiser.seed, **optimiser.options()}))


def write_checkpoint(
    path: Path, net: Sequential, optimiser: Optimiser, history: History, k: int, about: dict[str, Any]
) -> None:
    """Write everything that a training needs in order to go on.

    The checkpoint lies `k` steps into the epoch that follows those of the history.
    Raises OSError.
    """
    running = [] if k == 0 or history.running is None else to_numpy(history.running[:k]).tolist()
    arrays = {f"{TRAINING}{name}": to_numpy(a) for name, a in optimiser.state().items()}
    arrays |= {f"{CARRIED}{name}": to_numpy(a) for name, a in history.carried.items()} if k else {}
    arrays[f"{TRAINING}step_losses"] = np.array(history.step_losses + running, np.float64)
    training = {
        "optimiser": settings_of(optimiser), "steps": optimiser.steps, "lr": optimiser.lr, "k": k,
        "elapsed": clock() - history.begun if running else 0.0,
        "start": _written(history.start), "epochs": [_written(row) for row in history.epochs],
        **about,
    }  # fmt: skip
    write_tensors(path, {**net.state_dict(), **arrays}, {**describe(net), "training": training})


def read_checkpoint(file: TensorFile, net: Sequential, optimiser: Optimiser) -> History:
    """Set the network and the optimiser to what the file holds; return its history.

    Raises CheckpointError, before anything is changed, if the file is damaged or
    belongs to another network or optimiser.
    """
    about = training_of(file)
    try:
        recorded, steps, lr, k, elapsed = (about[name] for name in ("optimiser", "steps", "lr", "k", "elapsed"))
        start, epochs = _read(about.get("start", {})), [_read(row) for row in about["epochs"]]
        if not (type(steps) is int and type(k) is int and steps >= 0 and k >= 0):
            raise ValueError("numbers of steps that cannot be")
        lr, elapsed = float(lr), float(elapsed)
    except (KeyError, TypeError, ValueError, AttributeError) as e:
        raise file.error(f"its record of the training is malformed ({type(e).__name__}: {short(e)})") from None
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
    return History(epochs, losses, begun=clock() - elapsed, carried=carried, start=start)


def _written(row: dict[str, float]) -> dict[str, Any]:
    """A row of the history as JSON can hold it: NaN and infinities as words."""
    return {name: value if math.isfinite(value) else repr(value) for name, value in row.items()}


def _read(row: dict[str, Any]) -> dict[str, float]:
    return {name: float(value) if isinstance(value, str) else value for name, value in row.items()}


def training_of(file: TensorFile) -> dict[str, Any]:
    """The file's record of the training that wrote it.

    Raises CheckpointError if the file is a model without such a record.
    """
    about = file.about.get("training")
    if file.about.get("format") != FORMAT or not isinstance(about, dict):
        raise file.error("this is not a checkpoint of a training, so there is nothing to go on with")
    return about


def differences(recorded: Any, now: dict[str, str]) -> str:
    """What has changed in the environment since the checkpoint, or nothing."""
    before = recorded if isinstance(recorded, dict) else {}
    changed = [(name, before.get(name), value) for name, value in now.items() if before.get(name) != value]
    return "; ".join(f"{name} {then} then, {value} now" for name, then, value in changed)
