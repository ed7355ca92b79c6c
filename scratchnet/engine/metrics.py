"""How good a network is: loss and accuracy over many examples, a chunk at a time."""

from typing import Any

import numpy as np

from scratchnet.backend.arrays import Array, to_numpy
from scratchnet.backend.sparse import length
from scratchnet.backend.threads import threads_for
from scratchnet.engine import checks
from scratchnet.engine.columns import to_rows
from scratchnet.engine.door import check_loss, check_network, pair
from scratchnet.engine.layers.sequential import Sequential
from scratchnet.engine.losses import Loss
from scratchnet.engine.prediction import chunk
from scratchnet.errors import ShapeError

# the training accuracy is followed on at most this number of examples
SAMPLE = 2_000


def names_classes(target: Array) -> bool:
    """Whether targets are classes.

    They are if they are whole-number labels (N,), or rows (N, K) with one high value
    each and all others low. Rows of other values, as in a regression with several
    outputs, have no right class.
    """
    t = to_numpy(target)
    if t.ndim != 2:
        return t.ndim == 1 and t.dtype.kind in "biu"
    if t.shape[1] < 2 or not len(t):
        return False
    high = t == t.max()
    return bool((high.sum(1) == 1).all() and np.ptp(t[~high]) == 0)


def labels_of(target: Array) -> np.ndarray:
    """Class numbers from labels (N,), or from rows (N, K) of class values."""
    t = to_numpy(target)
    return t.argmax(-1) if t.dtype.kind == "f" or (t.ndim > 1 and names_classes(t)) else t


def evaluate(net: Sequential, loss: Loss, x: Any, target: Any) -> tuple[float, np.ndarray]:
    """(loss per example, outputs (N, ...)) over all examples, at inference.

    `x` is (N, ...), and `target` is labels (N,) or values (N, ...), as for `fit`. The
    examples pass through the network in pieces, so that any number of them fits into
    memory. Raises SettingError, ShapeError, DataError.

    >>> value, y = sn.evaluate(net, sn.CrossEntropyLoss(), x, labels)
    >>> sn.accuracy(y, labels)
    """
    check_network("evaluate", net)
    check_loss("evaluate", loss)
    x, target = pair("evaluate", "(x, target)", (x, target))
    total, parts, size = 0.0, [], chunk(net, x)
    for k in range(0, length(x), size):
        piece = net.as_input(x[k : k + size])
        with threads_for(net.work, piece):
            value, _, y, _ = net.cost(piece, target[k : k + size], loss)
        n = y.shape[-1]
        total += float(value) * (n if loss.averages else 1)
        parts.append(to_rows(to_numpy(y)))
    return total / length(x), np.concatenate(parts)


def score(net: Sequential, loss: Loss, x: Any, target: Any) -> dict[str, float]:
    """valid_loss and, where the targets are classes, valid_accuracy."""
    value, y = evaluate(net, loss, x, target)
    row = {"valid_loss": value}
    if y.ndim == 2 and y.shape[1] > 1 and names_classes(target):
        row["valid_accuracy"] = accuracy(y, labels_of(target))
    return row


def accuracy(outputs: Any, labels: Any) -> float:
    """The share of examples whose largest output is that of their class, from 0 to 1.

    `outputs` are (N, K), one for each class. `labels` are the classes (N,), or one row
    of class values per example (N, K). Raises ShapeError, DataError.
    """
    y = to_numpy(checks.array("accuracy", "the outputs", outputs))
    given = checks.array("accuracy", "the labels", labels)
    t = labels_of(given) if given.size else given
    if y.ndim < 2 or y.size == 0 or t.shape != y.shape[:-1]:
        raise ShapeError(
            f"accuracy: outputs (N, K) and labels (N,), whole numbers, are needed, not {y.shape} and {given.shape}"
        )
    return float((y.argmax(-1) == t).mean())


def confusion(predicted: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """How often class i (row) was taken for class j (column), from class numbers."""
    table = np.zeros((classes, classes), int)
    np.add.at(table, (labels, predicted), 1)
    return table
