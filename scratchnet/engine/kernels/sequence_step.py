"""The training step of an LSTM and the Linear layers after it, as loops for Numba.

It is `steps.step` on a batch of sequences: lstm_loops.py walks through time, and the
last h is what batch_step.py's layers begin with.

Letters as in recurrent.py and batch_step.py. The rows of `lstm` describe W_hh and W_ih
as those of `layers` do a Linear: inputs, outputs, where weight and bias begin in w.
"""

import numpy as np

from scratchnet.engine.kernels.batch_step import cost, forward, learn, outputs, propagate, rates
from scratchnet.engine.kernels.lstm_loops import walk, walk_back
from scratchnet.engine.kernels.step import compiled, times_sigma_prime
from scratchnet.engine.kernels.steps import IDENTITY


@compiled
def join(w, lstm, W):  # type: ignore[no-untyped-def]
    """W = (W_hh W_ih b), as in `Recurrent.joined`."""
    H, I = lstm[0, 0], lstm[1, 0]
    for o in range(len(W)):
        for i in range(H):
            W[o, i] = w[lstm[0, 2] + o * H + i]
        for i in range(I):
            W[o, H + i] = w[lstm[1, 2] + o * I + i]
        W[o, H + I] = w[lstm[0, 3] + o] + w[lstm[1, 3] + o]


@compiled
def set_inputs(x, batch, a):  # type: ignore[no-untyped-def]
    """a_t = (h_{t−1}, x_t, 1) for the sequences in the batch, with h_0 = 0."""
    T, I, H = x.shape[1], x.shape[2], a.shape[1] - x.shape[2] - 1
    a[0, :H] = 0
    for t in range(T):
        a[t, H + I] = 1
        for i in range(I):
            for j in range(len(batch)):
                a[t, H + i, j] = x[batch[j], t, i]


@compiled
def abreast(x, F, out):  # type: ignore[no-untyped-def]
    """Times side by side, (T, more than F, N) → (F, T·N): `linear.abreast`."""
    T, N = len(out[0]) // x.shape[2], x.shape[2]
    for f in range(F):
        for t in range(T):
            for j in range(N):
                out[f, t * N + j] = x[t, f, j]


@compiled
def part(room, begin, rows, columns):  # type: ignore[no-untyped-def]
    """A matrix in a flat vector."""
    return room[begin : begin + rows * columns].reshape(rows, columns)


@compiled
def steps(  # type: ignore[no-untyped-def]
    w, layers, lstm, x, values, labels, order, batch_size, first, n, lr, rule, m, v, keep, eps, step, scale, averages,
    blas, a, delta, W, room, ends, g, losses,
):  # fmt: skip
    """`batch_step.steps` on sequences x (examples, T, I).

    `room` is for what one batch needs; there, each kind of it ends at ends · N.
    """
    T, H, I = x.shape[1], lstm[0, 0], lstm[1, 0]
    F, W_hh = H + I + 1, part(w, lstm[0, 2], 4 * H, H)
    no_delta_above = np.zeros((0, H, 0), w.dtype)
    for k in range(first, first + n):
        batch = order[k * batch_size : (k + 1) * batch_size]
        N = len(batch)
        seen = room[: ends[0] * N].reshape(T + 1, F, N)  # a in recurrent.py
        cells = room[ends[0] * N : ends[1] * N].reshape(T + 1, 5, H, N)
        tanh_c = room[ends[1] * N : ends[2] * N].reshape(T, H, N)
        delta_t = room[ends[2] * N : ends[3] * N].reshape(T, 4 * H, N)
        dh, dc = part(room, ends[3] * N, H, N), part(room, ends[4] * N, H, N)
        A, columns = part(room, ends[5] * N, F, T * N), part(room, ends[6] * N, 4 * H, T * N)

        join(w, lstm, W)
        set_inputs(x, batch, seen)
        cells[0, 0] = 0
        walk(W, seen, blas, cells, tanh_c)
        h = seen[T, :H]
        for l in range(len(layers)):
            O, below, at_W, at_b = layers[l, 1], layers[l, 0], layers[l, 2], layers[l, 3]
            b, z = w[at_b : at_b + O * (at_b >= 0)], outputs(a, layers[l], N)
            a_l = h if l == 0 else outputs(a, layers[l - 1], N)
            forward(part(w, at_W, O, below), b, a_l, layers[l, 5], blas, z)

        y, delta_y = outputs(a, layers[-1], N), outputs(delta, layers[-1], N)
        losses[k] = cost(y, values, labels, batch, scale / N if averages else scale, delta_y)
        if not np.isfinite(losses[k]):
            return k + 1 - first

        settings = rates(rule, step + k - first + 1, lr, keep, eps, w)
        times_sigma_prime(delta_y.reshape(-1), y.reshape(-1), layers[-1, 5])  # BP1
        for l in range(len(layers) - 1, -1, -1):
            delta_l, a_l, to, activation = outputs(delta, layers[l], N), h, dh, IDENTITY
            if l > 0:
                a_l, to = outputs(a, layers[l - 1], N), outputs(delta, layers[l - 1], N)
                activation = layers[l - 1, 5]
            below = part(w, layers[l, 2], layers[l, 1], layers[l, 0])
            propagate(below, delta_l, a_l, activation, blas, to)  # before W changes
            learn(delta_l, a_l.T, layers[l], blas, rule, w, m, v, g, *settings)

        dc[:] = 0
        walk_back(no_delta_above, W_hh, blas, cells, tanh_c, dh, dc, delta_t)
        abreast(delta_t, 4 * H, columns)
        abreast(seen, F, A)
        learn(columns, A[:H].T, lstm[0], blas, rule, w, m, v, g, *settings)
        learn(columns, A[H : H + I].T, lstm[1], blas, rule, w, m, v, g, *settings)
    return n
