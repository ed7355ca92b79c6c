"""A table of one's own: `train table --csv FILE --target COLUMN`.

Letters: N rows, F inputs, K classes. What the network is to learn is found out from the
target: classes, by softmax and cross entropy, or values, by the mean squared error.
There is no test set; the figures are those of cross-validation, in which means,
deviations and what fills in missing values are those of the training folds alone.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from scratchnet.data.spreadsheet import (
    Column,
    Encoder,
    Inputs,
    Spreadsheet,
    read_spreadsheet,
    target_of,
    without_missing,
)
from scratchnet.engine.crossvalidation import CrossValidation
from scratchnet.engine.layers import Layer, ReLU, Sequential
from scratchnet.engine.losses import CrossEntropyLoss, Loss, MSELoss
from scratchnet.engine.progress import many, number
from scratchnet.errors import DataError, SettingError
from scratchnet.runs.identity import digests
from scratchnet.runs.run import Run
from scratchnet.studies.per_class import say_confusion
from scratchnet.studies.small import SmallOptions, cross_validate, hidden_layers, network


@dataclass(frozen=True, kw_only=True)
class Options(SmallOptions):
    """Learn a column of your own table from its other columns.

    Whether these are classes or values is found out and said. Columns of texts become
    one input for each kind. It is judged by cross-validation.
    """

    preset: Literal["default"] = "default"
    """The network and recipe; it sets the defaults of all other options."""
    csv: Path | None = None
    """The table: a CSV file whose first line names the columns, or a .parquet file."""
    target: str = ""
    """The column to learn."""
    drop: tuple[str, ...] = ()
    """Columns to leave out, such as names and numbers of rows."""
    task: Literal["auto", "classes", "values"] = "auto"
    """Whether the target is one of several classes or a value."""
    missing: Literal["", "mean", "drop"] = ""
    """Fill in missing values with the mean, or leave out rows that lack one."""

    def without_effect(self, study: str) -> dict[str, str]:
        found = super().without_effect(study)
        found["data_dir"] = "on table, whose data are in the file of --csv"
        return found


PRESETS = {
    "default": Options(
        epochs=200, batch_size=16, lr=0.01, hidden="32,16", optimizer="adam", schedule="cosine", weight_decay=0.003,
        dropout=0.1,
    )
}  # fmt: skip


@dataclass(frozen=True)
class Task:
    """What is to be learnt: x (N, columns), and labels (N,) or values (N, 1)."""

    table: Spreadsheet
    inputs: Inputs
    x: np.ndarray
    target: np.ndarray
    classes: tuple[str, ...]  # none: the targets are values

    @property
    def loss(self) -> Loss:
        return CrossEntropyLoss() if self.classes else MSELoss()

    def layers(self, F: int, o: SmallOptions) -> list[Layer]:
        return hidden_layers(F, len(self.classes) or 1, ReLU, o)


def networks() -> dict[str, tuple[Sequential, tuple[int, ...], Loss]]:
    """The network for four inputs and three classes, and for a value, in float64."""
    o = PRESETS["default"]
    return {
        "classes": (Sequential(*hidden_layers(4, 3, ReLU, o), dtype="float64"), (4,), CrossEntropyLoss()),
        "values": (Sequential(*hidden_layers(4, 1, ReLU, o), dtype="float64"), (4,), MSELoss()),
    }


def task_of(o: Options) -> Task:
    """Find out what is to be learnt, from what. Raises SettingError, DataError."""
    if o.csv is None or not o.target:
        raise SettingError("table needs --csv FILE, your table, and --target COLUMN, the column to learn")
    table = read_spreadsheet(o.csv)
    unknown = [name for name in o.drop if name not in table.names]
    if unknown or o.target in o.drop:
        raise SettingError(f"--drop {unknown[0] if unknown else o.target}: choose from the columns of {o.csv} "
                           f"beside the target: {', '.join(n for n in table.names if n != o.target)}")  # fmt: skip
    target, task = target_of(table, o.target, o.task)
    names = [name for name in table.names if name != o.target and name not in o.drop]
    if not names:
        raise DataError(f"{o.csv}: there is no column beside {o.target} to learn from")
    columns = tuple(table.column(name) for name in names)
    stays = without_missing(table, [target, *columns], o.missing)
    stays &= ~target.missing  # what nobody knows cannot be learnt
    x = np.stack([column.values for column in columns], axis=1)[stays]
    wanted = target.values[stays]
    _enough(o, target, task, wanted)
    if task == "classes":
        return Task(table, Inputs(columns), x, wanted.astype(np.int64), target.kinds)
    return Task(table, Inputs(columns), x, wanted[:, None], ())


def _enough(o: Options, target: Column, task: str, wanted: np.ndarray) -> None:
    """Raise DataError for fewer examples, of a class or of all, than folds."""
    if task == "classes":
        for k, kind in enumerate(target.kinds):
            n = int((wanted == k).sum())
            if n < o.folds:
                raise DataError(f"{o.csv}: {many(n, 'row')} with {target.name} = {kind}, too few for {o.folds} folds")
    elif len(wanted) < o.folds:
        raise DataError(f"{o.csv}: {many(len(wanted), 'row')}, too few for {o.folds} folds")


def crossvalidate(study: str, o: Options, run: Run | None = None, task: Task | None = None) -> CrossValidation:
    """Cross-validate with these options."""
    found = task or task_of(o)
    return cross_validate(
        lambda x: found.layers(x.shape[1], o), found.loss, found.x, found.target, found.inputs, o, run,
        standardise_target=not found.classes,
    )  # fmt: skip


def say_what_is_learnt(run: Run, o: Options, task: Task) -> None:
    """Tell what was found out about the table."""
    columns = task.inputs.columns
    kinds = [f"{c.name} ({len(c.kinds)} kinds)" for c in columns if c.kinds]
    gaps = {c.name: int(c.missing.sum()) for c in columns if c.missing.any()}
    run.say(f"{task.table.path}: {many(len(task.table.lines), 'row')}, of which {len(task.x)} are used")
    if task.classes:
        run.say(f"{o.target} is one of {len(task.classes)} classes: {', '.join(task.classes)}")
    else:
        y = task.target
        run.say(f"{o.target} is a value, from {number(float(y.min()))} to {number(float(y.max()))}")
    run.say(f"learnt from {many(len(columns) - len(kinds), 'column')} of numbers"
            + (f" and from the kinds of {', '.join(kinds)}" if kinds else ""))  # fmt: skip
    if gaps and o.missing == "mean":
        run.say("filled in: " + ", ".join(f"{name} in {many(n, 'row')}" for name, n in gaps.items()))
    run.say("")


def run(study: str, o: Options) -> int:
    """Cross-validate, then train on all rows; returns the exit code."""
    task = task_of(o)
    if o.search:
        if not task.classes:
            raise SettingError("--search judges by accuracy, which values have none of: compare runs instead")
        from scratchnet.runs.search import run_search

        return run_search(study, o, study, f"by {o.folds}-fold cross-validation")
    with Run(study, o, study, digests(inputs=task.x, target=task.target)) as result:
        say_what_is_learnt(result, o, task)
        encode = task.inputs(task.x)
        x = encode(task.x)
        net = network(task.layers(x.shape[1], o), o)
        net.summary((x.shape[1],))
        judged = crossvalidate(study, o, result, task)
        if task.classes:
            counts = say_confusion(result, judged.outputs.argmax(1), task.target, task.classes,
                                   "every row, by the network not trained on it")  # fmt: skip
            result.metrics["per_class_accuracy"] = {
                name: float(counts[k, k] / counts[k].sum()) for k, name in enumerate(task.classes)
            }
        result.say("The network that is kept is trained on all rows; how good it is on them would say little.")
        net.info |= _about(task, o, encode)
        target, info = task.target, net.info
        if not task.classes:
            info["output"] = {"mean": float(target.mean()), "std": float(target.std()) or 1.0}
            target = (target - info["output"]["mean"]) / info["output"]["std"]
        result.fit(net, task.loss, (x, target))
        if o.plots:
            _draw(result, task, judged)
        result.finish(net)
        return 0


def _about(task: Task, o: Options, encode: Encoder) -> dict[str, Any]:
    """What travels with the model, so that its inputs can be made again."""
    columns = [
        {"name": column.name, "kinds": list(column.kinds), "mean": float(mean), "std": float(std)}
        for column, mean, std in zip(encode.columns, encode.mean, encode.std, strict=True)
    ]
    about = {"target": o.target, "inputs": task.inputs.names, "columns": columns}
    return about | ({"classes": list(task.classes)} if task.classes else {})


def _draw(result: Run, task: Task, judged: CrossValidation) -> None:
    if task.classes:
        from scratchnet.engine.metrics import confusion
        from scratchnet.plots import studies as plots

        result.draw_training(("cross-validated", result.metrics["cv_accuracy"]))
        counts = confusion(judged.outputs.argmax(1), task.target, len(task.classes))
        result.picture("confusion", plots.confusion(counts, list(task.classes)))
        return
    from scratchnet.plots.values import predicted_against_true

    result.draw_training()
    result.picture("predicted", predicted_against_true(judged.outputs[:, 0], task.target[:, 0]))
