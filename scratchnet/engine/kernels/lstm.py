"""An LSTM's walk through time, forward and back, in fewer and larger passes.

It gives what layers/lstm.py gives. One tanh serves all gates, the local derivatives of
all times are computed before the walk back, and the views for every time are kept from
step to step: with a batch of one, making them anew would be a noticeable cost.

Letters as in layers/lstm.py; s = ½ for i, f, o and 1 for g.
"""

import functools
from collections.abc import Callable
from itertools import repeat
from types import ModuleType
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from scratchnet.backend.arrays import Array, xp_of
from scratchnet.engine.kernels import recurrent_cuda
from scratchnet.engine.layers import LSTM
from scratchnet.engine.layers.base import buffer
from scratchnet.engine.layers.recurrent import Arrays, hold
from scratchnet.engine.learner import Learner

#: For each learner: (layer, use) → the buffer, and the views into it
_views: WeakKeyDictionary[Learner, dict[tuple[int, str], tuple[Array, Any]]] = WeakKeyDictionary()


def views(layer: LSTM, use: str, of: Array, learn: Learner | None, make: Callable[[], Any]) -> Any:
    """Views into buffers, as `make` returns them.

    In training they are kept for as long as `of`, one of the buffers, is the same.
    """
    if learn is None:
        return make()
    mine, key = _views.setdefault(learn, {}), (id(layer), use)
    if key not in mine or mine[key][0] is not of:
        mine[key] = of, make()
    return mine[key][1]


def takes_loops(ended: Array | None, learn: Learner | None) -> bool:
    """Whether a walk is made in loops that Numba compiles.

    Sequences of different lengths are left to NumPy.
    """
    return learn is not None and learn.compiled and ended is None


@functools.lru_cache(maxsize=8)
def scale_and_shift(H: int, N: int, dtype: str, xp: ModuleType) -> tuple[Array, Array, Array]:
    """The arrays s, 1 − s and 2 s − 1, all (4·H, N).

    s is ½ in the rows of the sigmoid gates i, f, o and 1 in those of g.
    """
    s = xp.full((4 * H, N), 0.5, dtype)
    s[2 * H : 3 * H] = 1
    return s, 1 - s, 2 * s - 1


def walk(
    layer: LSTM, k: int, a: Array, state: Arrays, ended: Array | None, learn: Learner | None
) -> tuple[Arrays, Arrays]:
    """`LSTM.walk`.

    It keeps the cells, c_{t−1}, i, f, g, o, as (T + 1, 5, H, N), and tanh(c) as (T, H,
    N).
    """
    if recurrent_cuda.takes(layer, a):
        return recurrent_cuda.lstm(layer, k, a, state, ended, learn)
    T, N, H = len(a) - 1, a.shape[2], layer.hidden_size

    def make() -> tuple[Any, ...]:
        cells = buffer(layer, f"cells{k}", (T + 1, 5, H, N), a, learn)
        tanh_c = buffer(layer, f"tanh c{k}", (T, H, N), a, learn)
        parts = buffer(layer, "parts of c", (2, H, N), a, learn)
        h, c, gates = a[:, :H], cells[:, 0], cells[:T, 1:].reshape(T, 4 * H, N)
        every = repeat(parts), repeat(parts[0]), repeat(parts[1]), a, h[1:], c[1:], tanh_c
        return cells, tanh_c, h, c, list(zip(gates, cells[:, :2], cells[:, 2:4], cells[:, 4], *every))

    cells, tanh_c, h, c, times = views(layer, f"walk{k}", a, learn, make)
    c[0] = state[1]
    if a.dtype == np.float32 and takes_loops(ended, learn):
        from scratchnet.engine.kernels import lstm_loops
        from scratchnet.engine.kernels.blas import blas_of

        lstm_loops.walk(layer.joined(k, learn), a, blas_of(a.dtype.char), cells, tanh_c)
    else:
        walk_in_passes(layer.joined(k, learn), h, c, ended, times)
    return (h[T].copy(), c[T].copy()), (cells, tanh_c)


def walk_in_passes(W: Array, h: Array, c: Array, ended: Array | None, times: list[Arrays]) -> None:
    """All times forward, in NumPy's passes; W is overwritten.

    One tanh serves all gates: σ(z) = ½ tanh(½ z) + ½, so every gate is s tanh(s z) + (1
    − s).
    """
    xp, H, N = xp_of(W), h.shape[1], h.shape[2]
    s, shift, _ = scale_and_shift(H, N, W.dtype.char, xp)
    blocks = W.reshape(4, -1)
    blocks *= s[::H, :1]  # s z_t = (s W) a_t
    # every call counts here, because the arrays are small
    dot, tanh, multiply, add = W.dot, xp.tanh, xp.multiply, xp.add
    for t, (gate, c_i, f_g, o, parts, from_c, from_g, a_t, h_t, c_t, tanh_c_t) in enumerate(times):
        dot(a_t, gate)  # z_t = W a_t, where the gates of time t will be
        tanh(gate, gate)
        multiply(gate, s, gate)
        add(gate, shift, gate)
        multiply(c_i, f_g, parts)  # c_t = c_{t−1} ⊙ f + i ⊙ g
        add(from_c, from_g, c_t)
        tanh(c_t, tanh_c_t)
        multiply(o, tanh_c_t, h_t)  # h_t = o ⊙ tanh(c_t)
        if ended is not None:
            hold(ended[t], (h[t], c[t]), (h_t, c_t))


def walk_back(
    layer: LSTM,
    k: int,
    above: Array | None,
    grads: Arrays,
    a: Array,
    cache: Arrays,
    ended: Array | None,
    learn: Learner,
) -> tuple[Array, Arrays]:
    """`LSTM.walk_back`."""
    if recurrent_cuda.takes(layer, a):
        return recurrent_cuda.lstm_back(layer, k, above, grads, cache, ended, learn)
    cells, tanh_c = cache
    xp, (dh, dc), (T, H, N) = xp_of(a), grads, tanh_c.shape
    if takes_loops(ended, learn):
        from scratchnet.engine.kernels import lstm_loops
        from scratchnet.engine.kernels.blas import blas_of

        delta = buffer(layer, "delta", (T, 4 * H, N), a, learn)
        nothing, W_hh = a[:0, :H] if above is None else above, layer.weights[k][1].value
        lstm_loops.walk_back(nothing, W_hh, blas_of(a.dtype.char), cells, tanh_c, dh, dc, delta)
        return delta, (dh, dc)

    def make() -> tuple[Any, ...]:
        factors = buffer(layer, "factors", (T, 6, H, N), a, learn)
        # not in use before `tell`
        other = buffer(layer, "delta abreast", (4 * H, T * N), a, learn).reshape(T, 4, H, N)
        _, _, f, g, o = cells[:T].swapaxes(0, 1)
        dc_dc, d_i, _, _, d_o, dh_dc = factors.swapaxes(0, 1)
        rows = factors[:, 1:5].reshape(T, 4 * H, N)
        times = list(zip(rows, factors[:, :4], factors[:, 4:], dh_dc, dc_dc))[::-1]
        return factors, other, (cells[:T, :2], f, g, o), (dc_dc, d_i, factors[:, 2:4], d_o, dh_dc), rows, times

    # For all times at once, stacked: f, which is ∂c_t/∂c_{t−1}; the factors that turn
    # ∂C/∂c_t into δ_i, δ_f and δ_g, and ∂C/∂h_t into δ_o; and ∂h_t/∂c_t. First σ′ = (1
    # − σ) σ and tanh′ = (1 − tanh)(1 + tanh), both of which are (1 − gate)(gate + 2 s −
    # 1).
    kept = views(layer, f"walk back{k}", a, learn, make)
    factors, other, (c_i, f, g, o), (dc_dc, d_i, d_f_g, d_o, dh_dc), rows, times = kept
    gates, delta = cells[:T, 1:], factors[:, 1:5]
    xp.add(gates, scale_and_shift(H, N, a.dtype.char, xp)[2].reshape(4, H, N), out=delta)
    delta *= xp.subtract(1, gates, out=other)
    dc_dc[...] = f  # c_t = c_{t−1} ⊙ f + i ⊙ g
    d_i *= g
    d_f_g *= c_i
    d_o *= tanh_c  # h_t = o ⊙ tanh(c_t)
    xp.multiply(tanh_c, tanh_c, out=dh_dc)
    xp.subtract(1, dh_dc, out=dh_dc)
    dh_dc *= o
    dot, multiply = layer.weights[k][1].value.T.dot, xp.multiply
    for t, (delta_t, per_dc, per_dh, dc_from_h, dc_before) in zip(range(T)[::-1], times):
        if above is not None:
            dh += above[t]
        if ended is not None:
            held = dh.copy(), dc.copy()
        multiply(per_dh, dh, per_dh)  # δ_o, and what reaches c_t through h_t
        dc += dc_from_h
        multiply(per_dc, dc, per_dc)  # ∂C/∂c_{t−1}, δ_i, δ_f, δ_g
        dc = dc_before
        dot(delta_t, dh)  # BP2, W_hhᵀ δ_t: z_t = W_hh h_{t−1} + ...
        if ended is not None:
            hold(ended[t], held, (dh, dc))
    return rows, (dh, dc.copy())
