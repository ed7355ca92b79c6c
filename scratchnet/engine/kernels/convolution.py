"""The three maps of layers/conv.py as loops for Numba, a few rows of positions at once.

The unrolled image of a whole batch does not stay in the processor's cache, and moving
it to memory and back takes as long as the product. Here the unrolled image of a few
rows of positions is made, used and forgotten; backward makes it again.

Letters as in layers/conv.py. `rows` and `cols` are the windows along the two axes of
the image, each as (k, s, p, d); `work` is room for the unrolled image of some rows.
"""

from typing import Any

import numpy as np

from scratchnet.backend.arrays import Array
from scratchnet.engine.kernels.blas import blas_of
from scratchnet.engine.kernels.products import multiply_in_parts, sum_of_products
from scratchnet.engine.kernels.step import compiled
from scratchnet.engine.layers.base import Shape, buffer
from scratchnet.engine.layers.conv import Convolution
from scratchnet.engine.learner import Learner
from scratchnet.engine.params import Param

#: Numbers of the unrolled image to make at a time: they stay in the cache
ROOM = 65_536


@compiled
def reach(window, tap, size, places):  # type: ignore[no-untyped-def]
    """The positions at which a tap meets the image: the first, and the one after."""
    _, s, p, d = window
    start = tap * d - p  # the cell under this tap at the first position
    first = max(0, -(start // s))
    return first, max(first, min(places, (size - 1 - start) // s + 1))


@compiled
def copy(a, to):  # type: ignore[no-untyped-def]
    for n in range(a.size):
        to[n] = a[n]


@compiled
def add(a, to):  # type: ignore[no-untyped-def]
    for n in range(a.size):
        to[n] += a[n]


@compiled
def shift(z, by):  # type: ignore[no-untyped-def]
    for n in range(z.size):
        z[n] += by


@compiled
def unroll(x, rows, cols, first, unrolled, back):  # type: ignore[no-untyped-def]
    """`window.unroll`: x (C, H, W, N) → unrolled (C, kh, kw, P, Q, N).

    If it goes back, it is `window.fold` on the same cells: adds unrolled to x.
    """
    (C, H, W, N), (_, kh, kw, P, Q, _) = x.shape, unrolled.shape
    s = cols[1]
    for c in range(C):
        for i in range(kh):
            for j in range(kw):
                begin, end = reach(cols, j, W, Q)
                w = begin * s + j * cols[3] - cols[2]
                n = max(1, end - begin) if s == 1 else 1  # so many cells lie side by side
                for p in range(P):
                    h, line = (first + p) * rows[1] + i * rows[3] - rows[2], unrolled[c, i, j, p].reshape(-1)
                    inside = 0 <= h < H
                    if not back:
                        line[: begin * N if inside else line.size] = 0
                        line[end * N :] = 0
                    if not inside:
                        continue
                    row = x[c, h].reshape(-1)
                    for q in range(begin, end, n):
                        at = w + (q - begin) * s
                        cells, taps = row[at * N : (at + n) * N], line[q * N : (q + n) * N]
                        if back:
                            add(taps, cells)
                        else:
                            copy(cells, taps)


@compiled
def rows_at_once(W, grid, work):  # type: ignore[no-untyped-def]
    """For how many rows of positions `work` has room."""
    return work.size // (W[0].size * grid[0, 0].size)


@compiled
def grid_of(image, W, b, rows, cols, work, blas, grid):  # type: ignore[no-untyped-def]
    """grid = W₂ · unroll(image) + b; b may be empty."""
    (O, C, kh, kw), (P, Q, N), at_once = W.shape, grid.shape[1:], rows_at_once(W, grid, work)
    K = C * kh * kw
    for p in range(0, P, at_once):
        n = min(at_once, P - p)
        a = work[: K * n * Q * N]
        unroll(image, rows, cols, p, a.reshape(C, kh, kw, n, Q, N), False)
        z = grid.reshape(O, -1)[:, p * Q * N : (p + n) * Q * N]
        multiply_in_parts(W.reshape(O, K), a.reshape(K, -1), blas, 0.0, z)
        for o in range(b.size):
            shift(grid[o, p : p + n].reshape(-1), b[o])


@compiled
def image_of(grid, W, rows, cols, work, blas, image):  # type: ignore[no-untyped-def]
    """image = fold(W₂ᵀ · grid)."""
    (O, C, kh, kw), (P, Q, N), at_once = W.shape, grid.shape[1:], rows_at_once(W, grid, work)
    K = C * kh * kw
    image[:] = 0
    for p in range(0, P, at_once):
        n = min(at_once, P - p)
        a, z = work[: K * n * Q * N], grid.reshape(O, -1)[:, p * Q * N : (p + n) * Q * N]
        multiply_in_parts(W.reshape(O, K).T, z, blas, 0.0, a.reshape(K, -1))
        unroll(image, rows, cols, p, a.reshape(C, kh, kw, n, Q, N), True)


@compiled
def gradient_of(image, grid, rows, cols, work, blas, g):  # type: ignore[no-untyped-def]
    """g = grid · unroll(image)ᵀ, which is BP4."""
    (O, C, kh, kw), (P, Q, N), at_once = g.shape, grid.shape[1:], rows_at_once(g, grid, work)
    K = C * kh * kw
    for p in range(0, P, at_once):
        n = min(at_once, P - p)
        a, z = work[: K * n * Q * N], grid.reshape(O, -1)[:, p * Q * N : (p + n) * Q * N]
        unroll(image, rows, cols, p, a.reshape(C, kh, kw, n, Q, N), False)
        sum_of_products(z, a.reshape(K, -1), blas, min(p, 1), g.reshape(O, K))


# --------------------------------------------------- in place of Convolution's methods


def settings(layer: Convolution, places: Shape, x: Array, learn: Learner) -> tuple[Any, ...]:
    """The windows, room to work in, and `blas` of products.py."""
    row = layer.W.value[0].size * places[1] * x.shape[-1]
    work = buffer(layer, "rows", (max(ROOM, row),), x, learn)
    return (*((w.k, w.s, w.p, w.d) for w in layer.window), work, blas_of(x.dtype.char))


def correlate(
    layer: Convolution, image: Array, places: Shape, learn: Learner, b: Param | None = None
) -> tuple[Array, None]:
    W, image = layer.W.value, np.ascontiguousarray(image)
    grid = buffer(layer, "correlate", (len(W), *places), image, learn)
    grid_of(image, W, W[:0, 0, 0, 0] if b is None else b.value, *settings(layer, places, image, learn), grid)
    return grid, None


def spread(layer: Convolution, grid: Array, size: Shape, learn: Learner) -> Array:
    grid = np.ascontiguousarray(grid)
    image = buffer(layer, "spread", (layer.kernel[0], *size), grid, learn)
    image_of(grid, layer.W.value, *settings(layer, grid.shape[1:], grid, learn), image)
    return image


def overlap(layer: Convolution, image: Array, grid: Array, cols: None, learn: Learner) -> tuple[Array, Array]:
    image, grid = np.ascontiguousarray(image), np.ascontiguousarray(grid)
    g = buffer(layer, "overlap", layer.W.shape, grid, learn)
    gradient_of(image, grid, *settings(layer, grid.shape[1:], grid, learn), g)
    return np.eye(len(g), dtype=g.dtype), g.reshape(len(g), -1).T
