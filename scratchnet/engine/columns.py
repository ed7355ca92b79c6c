"""Turns arrays between the user's batch first and the engine's examples as columns.

Arrays are turned here and nowhere else.
"""

from scratchnet.backend.arrays import Array, xp_of


def to_columns(x: Array) -> Array:
    """(N, ...) → (..., N): a view for vectors, one copy for images and sequences."""
    if x.ndim <= 2:
        return x.T
    # np.moveaxis takes ten times as long
    return xp_of(x).ascontiguousarray(x.transpose(*range(1, x.ndim), 0))


def to_rows(y: Array) -> Array:
    """(..., N) → (N, ...), a view."""
    return y.T if y.ndim <= 2 else xp_of(y).moveaxis(y, -1, 0)
