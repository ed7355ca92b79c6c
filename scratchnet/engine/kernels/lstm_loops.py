"""An LSTM's walk through time, forward and back, as loops for Numba.

Letters as in lstm.py; `blas` is as in products.py.
"""

from scratchnet.engine.kernels.gates import squash
from scratchnet.engine.kernels.products import multiply_at_one_time
from scratchnet.engine.kernels.step import compiled_exactly


@compiled_exactly
def walk(W, a, blas, cells, tanh_c):  # type: ignore[no-untyped-def]
    """All times forward, in float32: writes h into a, and cells and tanh(c).

    W is (W_hh W_ih b), a is (T + 1, H + I + 1, N) with h_0 in its place, and cells[0,
    0] is c_0.
    """
    T, H, N = tanh_c.shape
    n, half, one = H * N, a.dtype.type(0.5), a.dtype.type(1)
    for t in range(T):
        multiply_at_one_time(W, a[t], blas, cells[t, 1:].reshape(4 * H, N))  # z_t = W a_t
        z = cells[t, 1:].reshape(4 * n)
        squash(z[: 2 * n], half)
        squash(z[2 * n : 3 * n], one)
        squash(z[3 * n :], half)
        i, f, g, o = z[:n], z[n : 2 * n], z[2 * n : 3 * n], z[3 * n :]
        c_before, c = cells[t, 0].reshape(n), cells[t + 1, 0].reshape(n)
        tanh, h = tanh_c[t].reshape(n), a[t + 1, :H].reshape(n)
        for j in range(n):
            c[j] = f[j] * c_before[j] + i[j] * g[j]
            tanh[j] = c[j]
        squash(tanh, one)
        for j in range(n):
            h[j] = o[j] * tanh[j]


@compiled_exactly
def walk_back(above, W_hh, blas, cells, tanh_c, dh, dc, delta):  # type: ignore[no-untyped-def]
    """δ for every time, (T, 4·H, N), from ∂C/∂h_T and ∂C/∂c_T.

    Those two are overwritten with the gradients of the initial state. `above` is
    ∂C/∂h_t from the layer above, (T, H, N), or empty.
    """
    T, H, N = tanh_c.shape
    one = dh.dtype.type(1)
    for t in range(T - 1, -1, -1):
        for h in range(H):
            for j in range(N):
                c_before, i, f = cells[t, 0, h, j], cells[t, 1, h, j], cells[t, 2, h, j]
                g, o, tanh = cells[t, 3, h, j], cells[t, 4, h, j], tanh_c[t, h, j]
                if above.size:
                    dh[h, j] += above[t, h, j]
                # h_t = o ⊙ tanh(c_t)
                dc_t = dc[h, j] + dh[h, j] * o * (one - tanh * tanh)
                delta[t, h, j] = dc_t * g * (i * (one - i))  # c_t = c_{t−1} ⊙ f + i ⊙ g
                delta[t, H + h, j] = dc_t * c_before * (f * (one - f))
                delta[t, 2 * H + h, j] = dc_t * i * (one - g * g)
                delta[t, 3 * H + h, j] = dh[h, j] * tanh * (o * (one - o))
                dc[h, j] = dc_t * f
        multiply_at_one_time(W_hh.T, delta[t], blas, dh)  # BP2: z_t = W_hh h_{t−1} + ...
