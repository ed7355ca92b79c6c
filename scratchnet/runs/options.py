"""The options that every study has.

Each study's own dataclass adds to them, and its presets are instances of that class.
"""

import re
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from scratchnet.errors import CheckpointError, SettingError


@dataclass(frozen=True, kw_only=True)
class CommonOptions:
    preset: str = "default"
    """The published network and recipe; it sets the defaults of all other options."""
    epochs: int
    """How many times to go through all training examples."""
    batch_size: int
    """Examples per step."""
    lr: float
    """Learning rate."""
    schedule: str = "constant"
    """constant, cosine, one-cycle, exponential:GAMMA, decay:D or "0.5 for 5, then 0.1
    for 5"."""
    optimizer: Literal["sgd", "adam", "adamw"] = "sgd"
    """The rule that changes the weights."""
    momentum: float = 0.0
    """Momentum; for sgd only."""
    weight_decay: float = 0.0
    """How strongly the weights are pulled towards zero."""
    clip_norm: float | None = None
    """Scale the gradient down whenever its norm is larger than this."""
    seed: int = 0
    """Decides initial weights, splits and order; the same seed gives the same run."""
    device: Literal["cpu", "cuda", "auto"] = "cpu"
    """Where to compute; auto takes the GPU if there is one."""
    dtype: Literal["float32", "float64"] = "float32"
    """Floating-point precision."""
    threads: str = "auto"
    """Number of BLAS threads, or auto."""
    distributed: bool = False
    """Share every batch among the processes that mpiexec has started."""
    data_dir: Path | None = None
    """Folder with a subfolder for each data set; by default $SCRATCHNET_DATA."""
    out: Path | None = None
    """Folder for the results; by default runs/STUDY-PRESET."""
    plots: bool = True
    """Draw the plots."""
    log: Literal["csv", "tensorboard"] = "csv"
    """Curves in history.csv alone, or also as event files that TensorBoard shows."""
    checkpoint_every: int = 0
    """Steps between checkpoints; 0: at the ends of epochs, ten seconds apart."""
    resume: Path | None = None
    """Go on with the interrupted run in this folder, with the options it had."""
    config: Path | None = None
    """Take options from this TOML file, such as a run's config.toml."""

    def check(self) -> None:
        """Raise SettingError for a value outside its range."""
        for f in fields(self):
            value = getattr(self, f.name)
            if type(value) is int and f.name != "seed":
                need(value <= LARGEST_COUNT, f"--{f.name.replace('_', '-')}", f"at most {LARGEST_COUNT:,}", value)
        need(self.epochs >= 1, "--epochs", "a number from 1", self.epochs)
        need(self.batch_size >= 1, "--batch-size", "a number from 1", self.batch_size)
        need(0 < self.lr < float("inf"), "--lr", "a number above 0", self.lr)
        need(0 <= self.momentum < 1, "--momentum", "from 0 to below 1", self.momentum)
        need(0 <= self.weight_decay < float("inf"), "--weight-decay", "a number from 0", self.weight_decay)
        need(self.clip_norm is None or 0 < self.clip_norm < float("inf"), "--clip-norm", "above 0", self.clip_norm)
        need(0 <= self.seed < 2**63, "--seed", "a number from 0 and below 2^63", self.seed)
        need(self.threads == "auto" or 0 < whole_number(self.threads) <= MAX_THREADS, "--threads",
             f"auto or a number from 1 to {MAX_THREADS:,}", self.threads)  # fmt: skip
        from scratchnet.engine.schedules import parse_schedule  # it needs NumPy, which --help does not

        parse_schedule(self.schedule, self.lr, self.epochs)
        need(self.checkpoint_every >= 0, "--checkpoint-every", "a number of steps, or 0", self.checkpoint_every)

    def without_effect(self, study: str) -> dict[str, str]:
        """Options that would change nothing beside the others: name and reason, in
        words.
        """
        found = {"data_dir": f"on {study}, whose data are in no folder"}
        from scratchnet.engine.schedules import PerEpoch, parse_schedule

        if isinstance(parse_schedule(self.schedule, self.lr, max(1, self.epochs)), PerEpoch):
            found["lr"] = f"with --schedule '{self.schedule}', which names the rates: give --schedule constant too"
        if self.optimizer != "sgd":
            found["momentum"] = f"with --optimizer {self.optimizer}: it belongs to sgd"
        if getattr(self, "search", ""):
            found["log"] = "with --search, which keeps no curves"
        return found


LARGEST_COUNT = 1_000_000_000  # some libraries overflow on larger ones
MAX_THREADS = 1_024

#: Options that may be changed when a run is resumed: they change no result, or only how
#: far the run goes
MAY_CHANGE = {"epochs", "device", "threads", "data_dir", "out", "plots", "log", "checkpoint_every", "resume", "config",
              "distributed", "scheduler"}  # fmt: skip

Options = TypeVar("Options", bound=CommonOptions)


def as_json(options: CommonOptions) -> dict[str, Any]:
    """The options as they are written to a checkpoint."""
    values = {f.name: getattr(options, f.name) for f in fields(options)}
    return {name: str(value) if isinstance(value, Path) else value for name, value in values.items()}


def recorded_options(kind: type[Options], study: str, folder: Path) -> Options:
    """The options of the run in this folder, read from its newest checkpoint.

    Raises CheckpointError and SettingError.
    """
    from scratchnet.runs.checkpoint_file import training_of
    from scratchnet.runs.checkpoints import newest_checkpoint

    with newest_checkpoint(folder / "checkpoints") as file:
        run = training_of(file).get("run")
        if not isinstance(run, dict) or not isinstance(run.get("options"), dict):
            raise file.error("does not say which study it belongs to")
        if run.get("study") != study:
            raise SettingError(f"the run in {folder} is of study {run.get('study')}, not {study}")
        paths = {f.name for f in fields(kind) if Path in get_args(f.type) or f.type is Path}
        values: dict[str, Any] = {
            name: Path(v) if name in paths and v is not None else v for name, v in run["options"].items()
        }
        try:
            options = kind(**values)
            options.check()
        except (TypeError, ValueError) as e:
            raise CheckpointError(f"{file.path}: its options are not those of this version of {study}: {e}") from None
    return replace(options, out=folder, resume=folder, distributed=False)  # the number of ranks may change


def check_unchanged(options: CommonOptions, recorded: CommonOptions) -> None:
    """Raise SettingError if a resumed run was given an option that would change its
    result.
    """
    for name, value in as_json(options).items():
        then = as_json(recorded)[name]
        if value != then and name not in MAY_CHANGE:
            option = name.replace("_", "-")
            raise SettingError(f"--{option} {value} cannot be given to a run that began with {then}: start a new one")


def check_effect(study: str, options: CommonOptions, default: CommonOptions) -> None:
    """Raise SettingError if an option changes nothing beside the others."""
    for name, why in options.without_effect(study).items():
        if getattr(options, name) != getattr(default, name):
            raise SettingError(f"--{name.replace('_', '-')} has no effect {why}")


def need(condition: bool, option: str, wanted: str, value: object) -> None:
    if not condition:
        raise SettingError(f"{option} must be {wanted}, not {value}")


def sizes(text: str, option: str = "--hidden") -> list[int]:
    """Layer sizes from a text such as "128,64"; the empty text gives no sizes."""
    parts = [part.strip() for part in text.split(",")] if text.strip() else []
    for part in parts:
        need(
            0 < whole_number(part) <= LARGEST_COUNT, option, f"sizes from 1 to {LARGEST_COUNT:,}, such as 128,64", text
        )
    return [int(part) for part in parts]


def whole_number(text: str) -> int:
    """The number that the digits 0 to 9 of this text write, or −1.

    `str.isdigit` would not do: it takes ² for a digit.
    """
    return int(text) if re.fullmatch("[0-9]{1,18}", text) else -1
