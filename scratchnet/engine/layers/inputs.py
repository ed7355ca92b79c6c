"""What a user gives a network becomes an array that its first layer takes."""

from typing import TYPE_CHECKING, Any

import numpy as np

from scratchnet.backend.arrays import Array
from scratchnet.backend.sparse import is_sparse, is_wide
from scratchnet.engine import checks
from scratchnet.engine.columns import to_columns
from scratchnet.engine.layers.embedding import Embedding
from scratchnet.engine.layers.linear import Linear
from scratchnet.errors import DataError, ShapeError

if TYPE_CHECKING:
    from scratchnet.engine.layers.sequential import Sequential


def input_of(net: "Sequential", x: Any, may_be_empty: bool) -> Array:
    """`Sequential.as_input` for an x that is not yet the array it should be."""
    first, xp = net.layers[0], net.xp
    # On the CPU it stays sparse for the first Linear, if that is faster; a GPU gets it
    # dense.
    if is_sparse(x):
        if not isinstance(first, Linear):
            raise ShapeError(f"only Linear takes sparse input, not {first}: pass x.toarray()")
        if x.dtype.kind not in "biuf":
            raise DataError(f"the input must be an array of numbers, not a sparse array of {x.dtype}")
        if xp is np and x.ndim == 2 and is_wide(x):
            return x.astype(net.dtype, copy=False)
        x = x.toarray()
    if first.takes_indices:
        x = checks.indices("Sequential", "the input", x)
        if type(x) is np.ndarray:  # what lies on a GPU is checked once, by `fit`
            check_indices(net, x)
        x = xp.asarray(x)
    else:
        x = checks.examples("Sequential", "the input", x, net.dtype, xp)
    if x.ndim == 0:
        raise ShapeError("the input needs a batch axis first: (N, ...), not a single number")
    if not x.shape[0] and not may_be_empty:
        raise ShapeError(f"a batch needs at least one example, but the input has shape {x.shape}")
    return x


def check_indices(net: "Sequential", x: Array) -> None:
    """Raise DataError if the first layer is an Embedding that lacks a row for x."""
    first = net.layers[0]
    if isinstance(first, Embedding):
        first.check(to_columns(x))
