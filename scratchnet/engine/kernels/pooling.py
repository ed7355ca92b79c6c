"""Max- and min-pooling as loops for Numba: every cell of the image is read once.

Letters as in layers/pool.py. `rows` and `cols` are the windows along the two axes, each
as (k, s, p, d).
"""

from scratchnet.backend.arrays import Array
from scratchnet.engine.kernels.step import compiled_exactly
from scratchnet.engine.layers.pool import Extreme
from scratchnet.engine.learner import Learner


@compiled_exactly
def take(x, k, sign, y, code):  # type: ignore[no-untyped-def]
    """Take the cells under tap k where they are larger, or smaller if sign is −1.

    NaN counts as larger than every number, and nothing as larger than NaN.
    """
    k = code.dtype.type(k)
    for n in range(y.size):  # written so that many cells are compared at a time
        best, chosen = y[n], code[n]
        if sign * x[n] > sign * best:
            best, chosen = x[n], k
        if x[n] != x[n]:
            best, chosen = x[n], k
        y[n], code[n] = best, chosen


@compiled_exactly
def choose_cells(x, rows, cols, sign, y, code):  # type: ignore[no-untyped-def]
    """`Extreme.choose`."""
    (C, H, W, N), (_, P, Q, _), sign = x.shape, y.shape, x.dtype.type(sign)
    for c in range(C):
        for p in range(P):
            for q in range(Q):
                begun = False
                for i in range(rows[0]):
                    h = p * rows[1] + i - rows[2]
                    for j in range(cols[0]):
                        w, k = q * cols[1] + j - cols[2], i * cols[0] + j
                        if h < 0 or h >= H or w < 0 or w >= W:
                            continue
                        if begun:
                            take(x[c, h, w], k, sign, y[c, p, q], code[c, p, q])
                        else:  # the first tap outside the padding, even if it is −∞
                            for n in range(N):
                                y[c, p, q, n] = x[c, h, w, n]
                                code[c, p, q, n] = k
                        begun = True


@compiled_exactly
def give(delta, k, code, apart, dx):  # type: ignore[no-untyped-def]
    """Add δ to a cell, or write it, where the window chose tap k."""
    k, zero = code.dtype.type(k), dx.dtype.type(0)
    if apart:
        for n in range(dx.size):
            dx[n] = delta[n] if code[n] == k else zero
    else:
        for n in range(dx.size):
            dx[n] += delta[n] if code[n] == k else zero


@compiled_exactly
def give_cells(delta, code, rows, cols, apart, dx):  # type: ignore[no-untyped-def]
    """`Choice.give_back`."""
    (C, H, W, _), (_, P, Q, _) = dx.shape, delta.shape
    for c in range(C):
        for p in range(P):
            for q in range(Q):
                for i in range(rows[0]):
                    h = p * rows[1] + i - rows[2]
                    for j in range(cols[0]):
                        w, k = q * cols[1] + j - cols[2], i * cols[0] + j
                        if 0 <= h < H and 0 <= w < W:
                            give(delta[c, p, q], k, code[c, p, q], apart, dx[c, h, w])


# ------------------------------------------------------- in place of a layer's methods


def choose(layer: Extreme, x: Array, y: Array, code: Array, learn: Learner) -> None:
    choose_cells(x, *windows(layer), 1 if layer.which == "maximum" else -1, y, code)


def give_back(layer: Extreme, delta: Array, code: Array, dx: Array, learn: Learner) -> None:
    give_cells(delta, code, *windows(layer), layer.apart, dx)


def windows(layer: Extreme) -> list[tuple[int, int, int, int]]:
    return [(w.k, w.s, w.p, w.d) for w in layer.window]
