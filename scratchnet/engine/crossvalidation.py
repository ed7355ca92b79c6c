"""Cross-validation: every example is judged once, by a network that has not seen it.

Letters: N examples, K classes, k folds. On a small data set, one split into training
and validation is a matter of luck; the mean over k folds, and their spread, can support
a choice of settings.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from scratchnet.backend.sparse import is_sparse, length
from scratchnet.engine import checks
from scratchnet.engine.door import check_callbacks, check_parts
from scratchnet.engine.fit import fit
from scratchnet.engine.layers.sequential import Sequential
from scratchnet.engine.losses import Loss
from scratchnet.engine.metrics import accuracy, evaluate
from scratchnet.engine.optim import Optimiser
from scratchnet.engine.schedules import Schedule
from scratchnet.engine.tables import html_table
from scratchnet.errors import DataError, SettingError, ShapeError

MOST_CLASSES = 1_000_000  # larger labels are not class numbers

#: build(x, seed): a new network, its loss and its optimiser, for training examples x
#: that `prepare` has processed
Build = Callable[[Any, int], tuple[Sequential, Loss, Optimiser]]
#: prepare(x): looks only at the training examples x, and returns a function that turns
#: any examples into input
Prepare = Callable[[Any], Callable[[Any], Any]]


@dataclass(frozen=True, repr=False)
class CrossValidation:
    """The metrics of every fold, and the outputs for examples not seen in training."""

    folds: list[dict[str, float]]
    outputs: np.ndarray

    @property
    def accuracy(self) -> float:
        """The mean over the folds."""
        return float(np.mean([fold["accuracy"] for fold in self.folds]))

    @property
    def rmse(self) -> float:
        """The mean of the folds' root mean squared errors."""
        return float(np.mean([fold["rmse"] for fold in self.folds]))

    @property
    def std(self) -> float:
        """The standard deviation of the folds' accuracies, with the divisor k − 1."""
        return float(np.std([fold["accuracy"] for fold in self.folds], ddof=1))

    def __repr__(self) -> str:
        classes = "accuracy" in self.folds[0]
        result = f"accuracy {self.accuracy:.2%} ± {self.std:.2%}" if classes else f"rmse {self.rmse:.4g}"
        return f"CrossValidation({len(self.folds)} folds: {result})"

    def _repr_html_(self) -> str:
        """The table of folds that a notebook shows."""
        return f"<p>{self}</p>{html_table(self.folds)}"


def crossval(
    build: Build,
    x: Any,
    target: Any,
    *,
    folds: int = 5,
    seed: int = 0,
    prepare: Prepare | None = None,
    epochs: int = 1,
    batch_size: int = 32,
    schedule: Schedule | None = None,
    threads: str | int = "auto",
    on_fold: Callable[[dict[str, float]], None] | None = None,
    mapped: Callable[..., Iterable[Any]] = map,
    standardise_target: bool = False,
) -> CrossValidation:
    """k-fold cross-validation: k networks, each judged on examples it has not seen.

    `build(x, seed)` returns (net, loss, optimiser), new ones for every fold; `x` is the
    training part, which tells the sizes. `x` holds the examples: an array (N, ...), a
    SciPy sparse array, or a list of anything that `prepare` understands. `target` holds
    either labels (N,), whole numbers from 0, or values (N, ...). With labels the folds
    are stratified: every class is spread evenly over them. For a loss that takes
    values, labels become rows of 0 and 1.

    `prepare(x)` is given the training part alone and returns a function that turns any
    examples into input. Means, vocabularies and everything else that is learnt from
    data must be learnt there, because otherwise the folds would know each other. `seed`
    decides the folds, the initial weights and the order of the examples; `epochs`,
    `batch_size`, `schedule` and `threads` are those of `fit`; `on_fold` is called with
    the row of every fold. The folds are computed one after the other, or wherever
    `mapped` runs them, which is used like Python's `map`. With `standardise_target`, a
    network learns values less their mean, over their standard deviation, both of the
    training part; outputs and rmse are in the target's own units.

    Each row of `folds` has fold (from 1), train_examples, valid_examples, train_loss
    (of the last epoch) and valid_loss, and with labels also accuracy, with values also
    rmse, the root of the mean squared error. Raises
    SettingError unless 2 ≤ k ≤ N, and DataError if a class has fewer than k examples.

    >>> def build(x, seed):
    ...     net = Sequential(Linear(x.shape[1], 8), Sigmoid(), Linear(8, 3), seed=seed)
    ...     return net, CrossEntropyLoss(), Adam(net, 0.01)
    >>> result = crossval(build, x, labels, prepare=Standardiser, epochs=100)
    >>> result.accuracy, result.std
    """
    checks.function("crossval", "build", build, 2, "a function (x, seed) that returns (net, loss, optimiser)")
    check_callbacks("crossval", schedule)
    if on_fold is not None:
        checks.function("crossval", "on_fold", on_fold, 1, "a function of the row of a fold")
    if prepare is not None and not callable(prepare):
        raise SettingError(f"crossval: prepare must be a function of x, not {checks.shown(prepare)}")
    seed = checks.whole("crossval", "seed", seed)
    epochs = checks.whole("crossval", "epochs", epochs, 1)
    batch_size = checks.whole("crossval", "batch_size", batch_size, 1)
    if not is_sparse(x) and (prepare is None or not isinstance(x, (list, tuple))):
        x = checks.array("crossval", "x", x, np)
    target = checks.array("crossval", "the target", target, np)
    if 0 in (target.ndim, target.size, getattr(x, "ndim", 1)):
        raise ShapeError(f"crossval: there must be a target for every example, not a target of shape {target.shape}")
    with_labels = target.ndim == 1 and target.dtype.kind in "iu"
    if length(x) != len(target):
        raise DataError(f"there must be as many targets as examples: {len(target)} and {length(x)}")
    if with_labels and not 0 <= int(target.min()) <= int(target.max()) < MOST_CLASSES:
        raise DataError(
            f"crossval: labels must be from 0 to below {MOST_CLASSES:,}, not {target.min()} to {target.max()}"
        )
    parts = (stratified_folds if with_labels else plain_folds)(target, folds, seed)

    def judge(number: int) -> tuple[dict[str, float], np.ndarray]:
        valid = parts[number - 1]
        train = np.setdiff1d(np.arange(len(target)), valid)
        x_train, x_valid = take(x, train), take(x, valid)
        if prepare is not None:
            to_input = prepare(x_train)
            if not callable(to_input):
                raise SettingError(
                    "crossval: prepare must return a function that makes input of examples, "
                    f"but it returned {checks.shown(to_input)}"
                )
            x_train, x_valid = to_input(x_train), to_input(x_valid)
        made = build(x_train, seed)
        if not isinstance(made, (tuple, list)) or len(made) != 3:
            raise SettingError(f"crossval: build must return (net, loss, optimiser), not {checks.shown(made)}")
        net, loss, optimiser = made
        check_parts("crossval", net, loss, optimiser)
        t = target
        if with_labels and not loss.takes_labels:
            t = np.eye(int(target.max()) + 1, dtype=net.dtype)[target]
        units = Standardiser(t[train]) if standardise_target and not with_labels else None
        if units is not None:
            t = units(t)
        history = fit(net, loss, optimiser, x_train, t[train], epochs=epochs, batch_size=batch_size, schedule=schedule,
                      seed=seed, threads=threads)  # fmt: skip
        valid_loss, y = evaluate(net, loss, x_valid, t[valid])
        row = {"fold": number, "train_examples": len(train), "valid_examples": len(valid),
               "train_loss": history.last["train_loss"], "valid_loss": valid_loss}  # fmt: skip
        if with_labels:
            row["accuracy"] = accuracy(y, target[valid])
        else:
            y = y if units is None else units.back(y)
            row["rmse"] = float(np.sqrt(np.mean((y - target[valid]) ** 2)))
        return row, y

    rows: list[dict[str, float]] = []
    outputs: np.ndarray | None = None
    for (row, y), valid in zip(mapped(judge, range(1, len(parts) + 1)), parts, strict=True):
        rows.append(row)
        if outputs is None:
            outputs = np.empty((len(target), *y.shape[1:]), y.dtype)
        outputs[valid] = y
        if on_fold is not None:
            on_fold(row)
    assert outputs is not None
    return CrossValidation(rows, outputs)


def take(x: Any, which: np.ndarray) -> Any:
    """The examples with these numbers, from an array, a sparse array or a list."""
    return x[which] if is_sparse(x) or isinstance(x, np.ndarray) else [x[i] for i in which]


def plain_folds(target: np.ndarray, folds: int, seed: int) -> list[np.ndarray]:
    """The numbers of the examples, shuffled, in k parts of nearly equal size."""
    _check(folds, len(target))
    return [np.sort(part) for part in np.array_split(np.random.default_rng(seed).permutation(len(target)), folds)]


def stratified_folds(labels: np.ndarray, folds: int, seed: int) -> list[np.ndarray]:
    """The same, with every class spread evenly over the folds.

    The numbers of a class in two folds differ by one at most, and so do the sizes of
    folds.
    """
    _check(folds, len(labels))
    few = [f"class {c} has {n}" for c, n in zip(*np.unique(labels, return_counts=True), strict=True) if n < folds]
    if few:
        raise DataError(f"with {folds} folds every class needs at least {folds} examples, but {', '.join(few)}")
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(len(labels))
    # dealt out like cards, one class after another
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    return [np.sort(by_class[k::folds]) for k in range(folds)]


def stratified_split(labels: np.ndarray, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The numbers of the training examples and those of the test examples.

    The test part gets `share` of every class, rounded. Raises DataError for a class
    with only one example, since each side needs one.
    """
    rng = np.random.default_rng(seed)
    test = []
    for c, n in enumerate(np.bincount(labels)):
        if n == 1:
            raise DataError(f"class {c} has only one example: a split needs one for training and one for the test")
        if n:
            test.append(rng.permutation(np.flatnonzero(labels == c))[: min(max(1, round(share * n)), n - 1)])
    chosen = np.sort(np.concatenate(test))
    return np.setdiff1d(np.arange(len(labels)), chosen), chosen


def _check(folds: int, n: int) -> None:
    # at most n, so that every part has at least one example
    checks.whole("crossval", "folds", folds, 2, n)


class Standardiser:
    """x ↦ (x − mean) / standard deviation, per feature: a `prepare` for `crossval`.

    Both are those of the training examples. A feature that never changes stays 0.
    """

    def __init__(self, x: np.ndarray) -> None:
        self.mean, std = x.mean(axis=0), x.std(axis=0)
        self.std = np.where(std == 0, 1, std)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return (x - self.mean) / self.std

    def back(self, x: np.ndarray) -> np.ndarray:
        """The reverse: values in the units of the training examples."""
        return x * self.std + self.mean
