"""Many steps in a row without Python between them: for which trainings, on what data.

`backprop.py` says in NumPy what a step on one example does. `graph_steps.py` makes such
steps on a GPU, `compiled_steps.py` on the CPU, where it also makes steps on batches.

Letters: I inputs and O outputs of a layer, W (O, I), b (O,) or None, a input (I,), z =
W a + b, delta = ∂C/∂z (O,), K outputs of the network. With one example, everything but
W is a vector.
"""

import numpy as np

from scratchnet.backend.arrays import Array
from scratchnet.engine.door import check_labels
from scratchnet.engine.layers import Layer, Linear, LogSoftmax, ReLU, Sequential, Sigmoid, Tanh
from scratchnet.engine.losses import CrossEntropyLoss, Loss, MSELoss, NLLLoss, QuadraticCost
from scratchnet.engine.optim import SGD, Adam, Optimiser
from scratchnet.engine.steps import Steps

# the numbers of step.cu, in the order of backprop.ACTIVATIONS
IDENTITY, SIGMOID, TANH, RELU = range(4)
ACTIVATIONS: dict[type[Layer], int] = {Sigmoid: SIGMOID, Tanh: TANH, ReLU: RELU}

# w ← w − lr g, the same with momentum, Adam; the numbers of batch.cu
PLAIN, MOMENTUM, ADAM = range(3)


def supported(net: Sequential, loss: Loss, optimiser: Optimiser, batch_size: int) -> str | None:
    """Why this training cannot use the kernels for one example, or None if it can."""
    if batch_size != 1:
        return f"a step takes a batch of {batch_size} examples, not one"
    if type(optimiser) is not SGD or optimiser.v is not None or optimiser.hooks:
        return "the optimiser is not SGD without momentum, weight decay and clipping"
    return supported_network(net, loss)


def supported_in_batches(net: Sequential, loss: Loss, optimiser: Optimiser) -> str | None:
    """Why this training cannot use the compiled steps on batches, or None if it can."""
    if type(optimiser) not in (SGD, Adam) or optimiser.weight_decay or optimiser.hooks:
        return "the optimiser is not SGD or Adam without weight decay and clipping"
    if isinstance(optimiser, SGD) and optimiser.nesterov:
        return "the optimiser is SGD with Nesterov's momentum"
    return supported_network(net, loss)


def supported_network(net: Sequential, loss: Loss) -> str | None:
    """Why there are no kernels for this network and loss, or None if there are.

    There are kernels for Linear, activations and the usual losses.
    """
    layers = net.layers
    if type(loss) is NLLLoss and len(layers) > 1 and type(layers[-1]) is LogSoftmax:
        layers = layers[:-1]  # together they are the cross entropy of the logits
    elif type(loss) not in (MSELoss, QuadraticCost, CrossEntropyLoss):
        return f"there is no kernel for the loss {type(loss).__name__}"
    below: type | None = None
    for layer in layers:
        kind = type(layer)
        if kind is not Linear and kind not in ACTIVATIONS:
            return f"there is no kernel for the layer {layer}"
        if kind is not Linear and below is not Linear:
            return f"{layer} does not follow a Linear"
        below = kind
    return None


class KernelSteps(Steps):
    """Steps of hand-written loops on x (n, I) and target (n, K) or labels (n,).

    Raises ShapeError for examples or targets that do not fit, DataError for a label
    that is out of range.
    """

    def __init__(
        self, net: Sequential, loss: Loss, optimiser: Optimiser, x: Array, target: Array, batch_size: int = 1
    ) -> None:
        super().__init__(net, loss, optimiser, x, target, batch_size)
        xp, dtype = net.xp, net.dtype
        net.shapes_from(self.x.shape[1:])
        self.linears = [layer for layer in net.layers if isinstance(layer, Linear)]
        self.activations = activations_of(net)
        K = self.linears[-1].out_features
        loss.as_target(self.target[:1], xp.empty((K, 1), dtype))  # raises ShapeError
        self.scale = None if loss.takes_labels else scale_of(loss, K)
        if loss.takes_labels:
            check_labels(self.target, K)  # a kernel would read past the end of an array
        self.x = xp.ascontiguousarray(self.x)
        self.target = xp.ascontiguousarray(self.target, dtype=np.int64 if loss.takes_labels else dtype)


def rule_of(optimiser: Optimiser) -> tuple[int, Array | None, Array | None, tuple[float, float], float]:
    """The rule by its number, m, v, (β₁, β₂) and eps; with momentum, β₂ is μ."""
    if isinstance(optimiser, Adam):
        return ADAM, optimiser.m, optimiser.v, optimiser.betas, optimiser.eps
    if isinstance(optimiser, SGD) and optimiser.v is not None:
        return MOMENTUM, None, optimiser.v, (0.0, optimiser.momentum), 0.0
    return PLAIN, None, None, (0.0, 0.0), 0.0


def activations_of(net: Sequential) -> list[int]:
    """The number of the activation that follows each Linear.

    A LogSoftmax is not counted: the loss includes it.
    """
    found: list[int] = []
    for layer in net.layers:
        if isinstance(layer, Linear):
            found.append(IDENTITY)
        elif type(layer) in ACTIVATIONS:
            found[-1] = ACTIVATIONS[type(layer)]
    return found


def scale_of(loss: Loss, K: int) -> float:
    """The factor in front of Σ (y − t)² for one example."""
    if isinstance(loss, QuadraticCost):
        return 0.5
    return 1 / K if loss.averages else 1.0
