"""Long short-term memory: a recurrent layer whose cell state can carry a value over many times unchanged.

Letters as in recurrent.py; i, f, g, o input gate, forget gate, candidate, output gate; c_t cell state, all (H, N);
dc = ∂C/∂c_t in full; s = ½ for i, f, o and 1 for g.
"""

import functools
from dataclasses import dataclass
from itertools import repeat
from types import ModuleType
from typing import Any, ClassVar, NamedTuple

from scratchnet.backend.arrays import Array, xp_of
from scratchnet.engine.layers.base import buffer, views
from scratchnet.engine.layers.recurrent import Recurrent, hold, hold_back
from scratchnet.engine.learner import Learner


class Kept(NamedTuple):
    cells: Array  # (T + 1, 5, H, N): c_{t−1}, i, f, g, o, one above the other
    tanh_c: Array  # (T, H, N)


@functools.lru_cache(maxsize=8)
def scale_and_shift(H: int, N: int, dtype: str, xp: ModuleType) -> tuple[Array, Array, Array]:
    """s, which is ½ in the rows of the sigmoid gates i, f, o and 1 in those of g, 1 − s and 2 s − 1: all (4·H, N)."""
    s = xp.full((4 * H, N), 0.5, dtype)
    s[2 * H : 3 * H] = 1
    return s, 1 - s, 2 * s - 1


@dataclass(eq=False)
class LSTM(Recurrent):
    """c_t = f ⊙ c_{t−1} + i ⊙ g, h_t = o ⊙ tanh(c_t), with the gates of z_t = W_ih x_t + b_ih + W_hh h_{t−1} + b_hh.

    Of the four blocks of rows of z_t, in this order, i = σ(z_i), f = σ(z_f), g = tanh(z_g), o = σ(z_o). Training keeps
    2 (I + H + 1)·N + 16 H·N numbers per time step. See `Recurrent` for shapes, options and errors.
    Source: F. Gers, J. Schmidhuber and F. Cummins, Learning to forget, Neural Computation 12 (2000), after
    S. Hochreiter and J. Schmidhuber, Long short-term memory, Neural Computation 9 (1997); parameters as torch.nn.LSTM.
    """

    blocks: ClassVar[int] = 4
    states: ClassVar[int] = 2

    def walk(self, k: int, a: Array, state: tuple[Array, ...], ended: Array | None,
             learn: Learner | None) -> tuple[tuple[Array, ...], Kept]:  # fmt: skip
        xp, T, N, H = xp_of(a), len(a) - 1, a.shape[2], self.hidden_size

        def in_whole_and_at_every_time() -> tuple[Any, ...]:
            cells = buffer(self, f"cells{k}", (T + 1, 5, H, N), a, learn)
            tanh_c = buffer(self, f"tanh c{k}", (T, H, N), a, learn)
            parts = buffer(self, "parts of c", (2, H, N), a, learn)
            h, c, gates = a[:, :H], cells[:, 0], cells[:T, 1:].reshape(T, 4 * H, N)
            every = repeat(parts), repeat(parts[0]), repeat(parts[1]), a, h[1:], c[1:], tanh_c
            return cells, tanh_c, h, c, list(zip(gates, cells[:, :2], cells[:, 2:4], cells[:, 4], *every))

        cells, tanh_c, h, c, times = views(self, f"walk{k}", a, learn, in_whole_and_at_every_time)
        c[0] = state[1]
        # One tanh serves all gates, since σ(z) = ½ tanh(½ z) + ½: every gate is s tanh(s z) + (1 − s).
        s, shift, _ = scale_and_shift(H, N, a.dtype.char, xp)
        W = self.joined(k, learn)
        blocks = W.reshape(4, -1)
        blocks *= s[::H, :1]  # s z_t = (s W) a_t
        dot, tanh, multiply, add = xp.dot, xp.tanh, xp.multiply, xp.add  # each call counts here: the arrays are small
        for t, (gate, c_i, f_g, o, parts, from_c, from_g, a_t, h_t, c_t, tanh_c_t) in enumerate(times):
            dot(W, a_t, gate)  # z_t = W a_t, where the gates of time t will be
            tanh(gate, gate)
            multiply(gate, s, gate)
            add(gate, shift, gate)
            multiply(c_i, f_g, parts)  # c_t = c_{t−1} ⊙ f + i ⊙ g
            add(from_c, from_g, c_t)
            tanh(c_t, tanh_c_t)
            multiply(o, tanh_c_t, h_t)  # h_t = o ⊙ tanh(c_t)
            if ended is not None:
                hold(ended[t], h[t], h_t)
                hold(ended[t], c[t], c_t)
        return (h[T].copy(), c[T].copy()), Kept(cells, tanh_c)

    def walk_back(self, k: int, above: Array | None, state: list[Array], a: Array, cache: Kept, ended: Array | None,
                  learn: Learner) -> tuple[Array, list[Array]]:  # fmt: skip
        cells, tanh_c = cache
        xp, (dh, dc), (T, H, N) = xp_of(a), state, tanh_c.shape
        if learn.compiled and ended is None:
            from scratchnet.engine.kernels.lstm import walk_back

            delta = buffer(self, "delta", (T, 4 * H, N), a, learn)
            nothing = a[:0, :H] if above is None else above
            walk_back(nothing, self.weights[k][1].value, cells, tanh_c, dh, dc, delta)
            return delta, [dh, dc]

        def in_whole_and_at_every_time() -> tuple[Any, ...]:
            factors = buffer(self, "factors", (T, 6, H, N), a, learn)
            other = buffer(self, "delta abreast", (4 * H, T * N), a, learn).reshape(T, 4, H, N)  # free until `tell`
            _, _, f, g, o = cells[:T].swapaxes(0, 1)
            dc_dc, d_i, _, _, d_o, dh_dc = factors.swapaxes(0, 1)
            rows = factors[:, 1:5].reshape(T, 4 * H, N)
            times = list(zip(rows, factors[:, :4], factors[:, 4:], dh_dc, dc_dc))[::-1]
            return factors, other, (cells[:T, :2], f, g, o), (dc_dc, d_i, factors[:, 2:4], d_o, dh_dc), rows, times

        # For all times at once, one above the other: f, which is ∂c_t/∂c_{t−1}; what δ_i, δ_f, δ_g are per ∂C/∂c_t, and
        # δ_o per ∂C/∂h_t; and ∂h_t/∂c_t. First σ′ = (1 − σ) σ and tanh′ = (1 − tanh)(1 + tanh), which in terms of the
        # gates are both (1 − gate)(gate + 2 s − 1).
        kept = views(self, f"walk back{k}", a, learn, in_whole_and_at_every_time)
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
        if ended is not None:
            xp.copyto(factors, 0, where=ended[:, None])
        W_hh_T, multiply, dot = self.weights[k][1].value.T, xp.multiply, xp.dot
        for t, (delta_t, per_dc, per_dh, dc_from_h, dc_before) in zip(range(T)[::-1], times):
            if above is not None:
                dh += above[t]
            if ended is not None:
                held_h, held_c = hold_back(ended[t], dh), hold_back(ended[t], dc)
            multiply(per_dh, dh, per_dh)  # δ_o, and what reaches c_t through h_t
            dc += dc_from_h
            multiply(per_dc, dc, per_dc)  # ∂C/∂c_{t−1}, δ_i, δ_f, δ_g
            dc = dc_before
            dot(W_hh_T, delta_t, dh)  # BP2: z_t = W_hh h_{t−1} + ...
            if ended is not None:
                hold(ended[t], held_h, dh)
                hold(ended[t], held_c, dc)
        return rows, [dh, dc.copy()]
