"""An LSTM's walk back through time as loops for Numba, with one pass for each time.

On the way forward there is little to gain: most of the time goes into tanh, which NumPy
computes many at a time and Numba one by one.
"""

import numpy as np

from scratchnet.engine.kernels.step import compiled_exactly


@compiled_exactly
def walk_back(above, W_hh, cells, tanh_c, dh, dc, delta):  # type: ignore[no-untyped-def]
    """δ for every time, (T, 4·H, N), from ∂C/∂h_T and ∂C/∂c_T.

    Those two are overwritten with the gradients of the initial state. `above` is
    ∂C/∂h_t from the layer above, (T, H, N), or empty; cells and tanh_c are those of
    lstm.py.
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
        np.dot(W_hh.T, delta[t], dh)  # BP2: z_t = W_hh h_{t−1} + ...
