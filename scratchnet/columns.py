"""The door between a user's batch first and the engine's examples as columns; nothing else turns arrays."""

from scratchnet.backend import Array, xp_of


def to_columns(x: Array) -> Array:
    """(N, ...) → (..., N): a view for vectors, one copy for images and sequences."""
    if x.ndim <= 2:
        return x.T
    xp = xp_of(x)
    return xp.ascontiguousarray(xp.moveaxis(x, 0, -1))


def to_rows(y: Array) -> Array:
    """(..., N) → (N, ...), a view."""
    return y.T if y.ndim <= 2 else xp_of(y).moveaxis(y, -1, 0)
