"""Convolution, ReLU and max-pooling in one pass, as loops for Numba.

One after the other, these layers write the convolution's whole output to memory and
read it again several times, which takes longer than all arithmetic. Here a few rows of
it are made and pooled while they are in the processor's cache, and only what the pool
keeps is written. Backward makes the rows of δ in the same way. ReLU's derivative needs
no more than the pool's output y: it is 0 where y is 0.

Letters as in convolution.py; z (O, n, Q, N) are n rows of the convolution's output,
`pool_rows` and `pool_cols` the windows of the pool, y and code its output.
"""

import numpy as np

from scratchnet.engine.kernels.convolution import unroll
from scratchnet.engine.kernels.pooling import give, take
from scratchnet.engine.kernels.products import multiply_in_parts, sum_of_products
from scratchnet.engine.kernels.step import compiled


@compiled
def rectify(z, b):  # type: ignore[no-untyped-def]
    """max(0, z + b) in place; NaN stays NaN."""
    zero = z.dtype.type(0)
    for n in range(z.size):
        a = z[n] + b
        z[n] = zero if a <= zero else a


@compiled
def pool_row(z, h, pool_rows, pool_cols, y, code, back):  # type: ignore[no-untyped-def]
    """Pool row h of one channel, z (Q, N), into y (P, Q, N).

    If it goes back, y is ∂C/∂y, and the cells chosen get their part of it.
    """
    for i in range(pool_rows[0]):
        p, rest = divmod(h + pool_rows[2] - i, pool_rows[1])
        if rest or p < 0 or p >= len(y):
            continue
        for q in range(y.shape[1]):
            for j in range(pool_cols[0]):
                w, k = q * pool_cols[1] + j - pool_cols[2], i * pool_cols[0] + j
                if not 0 <= w < len(z):
                    continue
                if back:
                    give(y[p, q], k, code[p, q], False, z[w])
                else:
                    take(z[w], k, 1, y[p, q], code[p, q])


@compiled
def forward(image, W, b, places, rows, cols, pool_rows, pool_cols, work, room, blas, y, code):  # type: ignore[no-untyped-def]
    """y = pool(max(0, W₂ · unroll(image) + b)), and the codes of the cells chosen."""
    (O, C, kh, kw), (P, Q), N = W.shape, places, image.shape[3]
    K = C * kh * kw
    at_once = work.size // (K * Q * N)
    y[:] = -np.inf
    for p in range(0, P, at_once):
        n = min(at_once, P - p)
        a, z = work[: K * n * Q * N], room[: O * n * Q * N]
        unroll(image, rows, cols, p, a.reshape(C, kh, kw, n, Q, N), False)
        multiply_in_parts(W.reshape(O, K), a.reshape(K, -1), blas, 0.0, z.reshape(O, -1))
        for o in range(O):
            z_o = z.reshape(O, n, Q, N)[o]
            rectify(z_o.reshape(-1), b[o])
            for r in range(n):
                pool_row(z_o[r], p + r, pool_rows, pool_cols, y[o], code[o], False)


@compiled
def backward(  # type: ignore[no-untyped-def]
    image, delta, y, code, W, places, rows, cols, pool_rows, pool_cols, work, room, blas, g, d_b, dx
):
    """Writes ∂C/∂W to g, ∂C/∂b to d_b and, if dx is not empty, ∂C/∂x to dx.

    delta, ∂C/∂y, becomes 0 where ReLU is off. Its sums are then ∂C/∂b, because the pool
    gives each of its numbers to one cell.
    """
    (O, C, kh, kw), (P, Q), N = W.shape, places, image.shape[3]
    K = C * kh * kw
    at_once, zero = work.size // (K * Q * N), y.dtype.type(0)
    for o in range(O):
        delta_o, y_o, total = delta[o].reshape(-1), y[o].reshape(-1), zero
        for m in range(delta_o.size):
            delta_o[m] = zero if y_o[m] == zero else delta_o[m]
            total += delta_o[m]
        d_b[o] = total
    dx[:] = 0
    for p in range(0, P, at_once):
        n = min(at_once, P - p)
        a, z = work[: K * n * Q * N], room[: O * n * Q * N]
        z[:] = 0
        for o in range(O):
            for r in range(n):
                pool_row(z.reshape(O, n, Q, N)[o, r], p + r, pool_rows, pool_cols, delta[o], code[o], True)
        unroll(image, rows, cols, p, a.reshape(C, kh, kw, n, Q, N), False)
        sum_of_products(z.reshape(O, -1), a.reshape(K, -1), blas, min(p, 1), g.reshape(O, K))
        if dx.size:
            multiply_in_parts(W.reshape(O, K).T, z.reshape(O, -1), blas, 0.0, a.reshape(K, -1))
            unroll(dx, rows, cols, p, a.reshape(C, kh, kw, n, Q, N), True)
