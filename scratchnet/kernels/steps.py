"""Steps on one example each, many in a row without Python between them: which trainings they are for, and their data.

Letters: as in reference.py, which says in NumPy what a step does. `graph_steps.py` makes them on a GPU,
`compiled_steps.py` on the CPU.
"""

from typing import ClassVar

import numpy as np

from scratchnet.backend import Array
from scratchnet.errors import DataError
from scratchnet.kernels.reference import IDENTITY, RELU, SIGMOID, TANH
from scratchnet.layers import Layer, Linear, ReLU, Sequential, Sigmoid, Tanh
from scratchnet.losses import CrossEntropyLoss, Loss, MSELoss, QuadraticCost
from scratchnet.optim import SGD, Optimiser

ACTIVATIONS: dict[type[Layer], int] = {Sigmoid: SIGMOID, Tanh: TANH, ReLU: RELU}


def supported(net: Sequential, loss: Loss, optimiser: Optimiser, batch_size: int) -> str | None:
    """Why this training cannot take the kernels, in words, or None if it can."""
    if batch_size != 1:
        return f"a step takes a batch of {batch_size} examples, not one"
    if type(optimiser) is not SGD or optimiser.v is not None or optimiser.weight_decay or optimiser.builds_gradient:
        return "the optimiser is not SGD without momentum, weight decay and clipping"
    if type(loss) not in (MSELoss, QuadraticCost, CrossEntropyLoss):
        return f"there is no kernel for the loss {type(loss).__name__}"
    below: type | None = None
    for layer in net.layers:
        kind = type(layer)
        if kind is not Linear and kind not in ACTIVATIONS:
            return f"there is no kernel for the layer {layer}"
        if kind is not Linear and below is not Linear:
            return f"{layer} does not follow a Linear"
        below = kind
    return None


class Steps:
    """Steps on the examples of x (N, I) and target (N, K) or labels (N,), which change the weights in place.

    >>> steps.begin(order, losses)  # which example each step takes, and where its loss goes
    >>> steps.run(100)  # the next hundred, or fewer: it returns how many

    Raises ShapeError for examples or targets that do not fit, DataError for a label that is out of range.
    """

    how: ClassVar[str]  # they are made, in words

    def __init__(self, net: Sequential, loss: Loss, optimiser: Optimiser, x: Array, target: Array) -> None:
        xp, dtype = net.xp, net.dtype
        self.optimiser = optimiser
        net.shapes_from(x.shape[1:])
        self.linears = [layer for layer in net.layers if isinstance(layer, Linear)]
        self.activations = activations_of(net)
        K = self.linears[-1].out_features
        loss.as_target(target[:1], xp.empty((K, 1), dtype))  # raises ShapeError
        self.scale = None if loss.takes_labels else scale_of(loss, K)
        if loss.takes_labels:
            check_labels(target, K)
        self.x = xp.ascontiguousarray(x)
        self.target = xp.ascontiguousarray(target, dtype=np.int64 if loss.takes_labels else dtype)

    def begin(self, order: Array, losses: Array, at: int = 0) -> None:
        """Begin an epoch: step k takes example order[k] and writes losses[k]; the first one to run is `at`."""
        raise NotImplementedError

    def run(self, n: int) -> int:
        """Make the next steps, n of them at most; returns how many."""
        raise NotImplementedError


def activations_of(net: Sequential) -> list[int]:
    """For each Linear the number of the activation that follows it."""
    found: list[int] = []
    for layer in net.layers:
        if isinstance(layer, Linear):
            found.append(IDENTITY)
        else:
            found[-1] = ACTIVATIONS[type(layer)]
    return found


def scale_of(loss: Loss, K: int) -> float:
    """The factor before Σ (y − t)² for one example."""
    if isinstance(loss, QuadraticCost):
        return 0.5
    return 1 / K if loss.averages else 1.0


def check_labels(labels: Array, K: int) -> None:
    """A kernel would read past the end; nobody would notice."""
    wrong = (labels < 0) | (labels >= K)
    if wrong.any():
        raise DataError(f"label {int(labels[wrong][0])} is out of range: the network has {K} outputs")
