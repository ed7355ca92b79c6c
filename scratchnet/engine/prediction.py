"""What a network says of examples: outputs, piece by piece, and probabilities.

Letters: N examples, K classes.
"""

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from scratchnet.backend.arrays import to_numpy
from scratchnet.backend.sparse import length
from scratchnet.engine.layers.activation import LogSoftmax, Sigmoid, Softmax, softmax
from scratchnet.engine.sources import Source, source_of
from scratchnet.errors import ShapeError

if TYPE_CHECKING:
    from scratchnet.engine.layers.sequential import Sequential

CHUNK = 1000  # examples at a time, at most
LARGEST = 2**25  # numbers that a layer gives for so many examples; of large images, fewer are taken


def chunk(net: "Sequential", x: Any) -> int:
    """How many of these examples to take at a time, so that the memory is bounded."""
    if x.ndim < 2:
        return CHUNK
    widest = max(math.prod(shape) for shape in net.shapes_from(tuple(x.shape[1:])))
    return max(1, min(CHUNK, LARGEST // max(widest, 1)))


def outputs(net: "Sequential", x: Any) -> np.ndarray:
    """The network's outputs (N, ...) for all examples, on the host.

    An array on disk and other sources are read piece by piece.
    """
    x = x if isinstance(x, Source) else source_of(x) or net.as_input(x, may_be_empty=True)
    n = chunk(net, x)
    pieces = range(0, max(length(x), 1), n)  # one piece at least, so that no examples give no outputs
    return np.concatenate([to_numpy(net(x[k : k + n])) for k in pieces])


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
