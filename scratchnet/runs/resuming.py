"""Where a resumed run goes on, and what it must have in common with its beginning."""

from pathlib import Path
from typing import Any

from scratchnet.files.tensorfile import TensorFile
from scratchnet.runs.checkpoint_file import training_of
from scratchnet.runs.checkpoints import checkpoints_in, newest_checkpoint
from scratchnet.runs.identity import changed
from scratchnet.runs.tensorboard import EVENTS


def need_same_data(resumed: Path, dataset: str, data: dict[str, str]) -> None:
    """Raise CheckpointError if the run in the folder `resumed` had other data."""
    with newest_checkpoint(resumed / "checkpoints") as file:
        recorded = _run_of(file)
    if recorded.get("dataset") != dataset:
        raise file.error(f"was trained on other data: {recorded.get('dataset')} then, {dataset} now")
    other = changed(recorded.get("data"), data)
    if other:
        raise file.error(
            f"was trained on other data (changed since then: {', '.join(other)}): "
            "give back the data of that run, or start a new one without --resume"
        )


def checkpoint_to_go_on_from(folder: Path, examples: int, may_lack: bool) -> TensorFile | None:
    """The newest checkpoint in a folder, of a training on as many examples.

    None if there is none, which `may_lack` allows: the run had not reached this one of
    its networks. Raises CheckpointError.
    """
    if may_lack and not checkpoints_in(folder):
        return None
    file = newest_checkpoint(folder)
    then = _run_of(file).get("examples")
    if then != examples:
        raise file.error(f"was trained on other data: examples {then} then, {examples} now")
    return file


def _run_of(file: TensorFile) -> dict[str, Any]:
    """What a checkpoint says about its run."""
    run = training_of(file).get("run")
    return run if isinstance(run, dict) else {}


def remove_older(out: Path) -> None:
    """Remove the checkpoints and event files of an older run from its folder."""
    for pattern in ("checkpoints*/*.safetensors", EVENTS, f"training-*/{EVENTS}"):
        for path in out.glob(pattern):
            path.unlink(missing_ok=True)
