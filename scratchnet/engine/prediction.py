"""What a network says of examples: outputs, piece by piece, and probabilities.

Letters: N examples, K classes.
"""

from typing import TYPE_CHECKING

import numpy as np

from scratchnet.backend.arrays import Array, to_numpy
from scratchnet.backend.sparse import length
from scratchnet.engine.layers.activation import LogSoftmax, Sigmoid, Softmax, softmax
from scratchnet.errors import ShapeError

if TYPE_CHECKING:
    from scratchnet.engine.layers.sequential import Sequential

CHUNK = 1000  # examples at a time


def outputs(net: "Sequential", x: Array) -> np.ndarray:
    """The network's outputs (N, ...) for all examples, on the host."""
    pieces = range(0, max(length(x), 1), CHUNK)  # one piece at least, so that no examples give no outputs
    return np.concatenate([to_numpy(net(x[k : k + CHUNK])) for k in pieces])


def probabilities(net: "Sequential", y: np.ndarray) -> np.ndarray:
    """The probabilities (N, K) that the outputs y (N, K) of this network stand for.

    Logits become probabilities by softmax and logarithms by eˣ. Sigmoid outputs, which
    are independent of each other, are divided by their sum; those of a Softmax layer
    stay. Raises ShapeError for outputs that are not one row of at least two numbers an
    example.
    """
    if y.ndim != 2 or y.shape[1] < 2:
        raise ShapeError(f"only outputs (N, K) with K classes, at least two, stand for probabilities, not {y.shape}")
    last = net.layers[-1]
    if isinstance(last, Softmax):
        return y
    if isinstance(last, LogSoftmax):
        return np.exp(y)
    if isinstance(last, Sigmoid):
        return y / y.sum(axis=1, keepdims=True)
    return softmax(y.T).T
