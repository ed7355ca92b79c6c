"""The gated recurrent unit: a gate z decides how much of the old state stays, a gate r how much of it is looked at.

Letters as in recurrent.py; r reset gate, z update gate, n candidate, all (H, N); q = W_hn h_{t−1} + b_hn and
p = W_in x_t + b_in, the two parts of the candidate.
"""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from scratchnet.backend.arrays import Array, xp_of
from scratchnet.backend.products import dot
from scratchnet.engine.equations import bp2_propagate
from scratchnet.engine.layers.base import buffer
from scratchnet.engine.layers.linear import abreast, in_time
from scratchnet.engine.layers.recurrent import Recurrent, hold, hold_back
from scratchnet.engine.learner import Learner


class Kept(NamedTuple):
    gates: Array  # (T, 4, H, N): r, z, q, n


@dataclass(eq=False)
class GRU(Recurrent):
    """h_t = (1 − z) ⊙ n + z ⊙ h_{t−1}, with r = σ(z_r), z = σ(z_z), n = tanh(p + r ⊙ q).

    The weights have three blocks of rows, for r, z and n: z_r = W_ir x_t + b_ir + W_hr h_{t−1} + b_hr, z_z likewise,
    p = W_in x_t + b_in and q = W_hn h_{t−1} + b_hn. Training keeps 2 (I + H + 1)·N + 15 H·N numbers per time step. See
    `Recurrent` for shapes, options and errors.
    Source: K. Cho et al., Learning phrase representations using RNN encoder-decoder, EMNLP 2014, in the form of
    torch.nn.GRU (r multiplies after the product with W_hn, and z keeps the old state).
    """

    blocks: ClassVar[int] = 3

    def walk(self, k: int, a: Array, state: tuple[Array, ...], ended: Array | None,
             learn: Learner | None) -> tuple[tuple[Array, ...], Kept]:  # fmt: skip
        xp, T, N, H = xp_of(a), len(a) - 1, a.shape[2], self.hidden_size
        h = a[:, :H]  # r multiplies one of the two parts of z_n, so x and h have a product each here
        gates = buffer(self, f"gates{k}", (T, 4, H, N), a, learn)
        W_ih, W_hh, b_ih, b_hh = (p.value for p in self.weights[k])
        from_x = dot(W_ih, abreast(a[:T, H:-1]), out=buffer(self, "from x", (3 * H, T * N), a, learn))
        from_x += b_ih[:, None]
        from_x = in_time(from_x, T)
        for t in range(T):
            from_h = dot(W_hh, h[t], out=gates[t, :3].reshape(3 * H, N))
            from_h += b_hh[:, None]
            r_z = from_h[: 2 * H]
            r_z += from_x[t, : 2 * H]
            r_z *= 0.5  # σ(z) = ½ tanh(½ z) + ½
            xp.tanh(r_z, out=r_z)
            r_z *= 0.5
            r_z += 0.5
            r, z, q, n = gates[t]
            xp.multiply(r, q, out=n)
            n += from_x[t, 2 * H :]
            xp.tanh(n, out=n)
            h_t = xp.subtract(h[t], n, out=h[t + 1])  # (1 − z) ⊙ n + z ⊙ h_{t−1} = n + z ⊙ (h_{t−1} − n)
            h_t *= z
            h_t += n
            if ended is not None:
                hold(ended[t], h[t], h_t)
        return (h[T].copy(),), Kept(gates)

    def walk_back(self, k: int, above: Array | None, state: list[Array], a: Array, cache: Kept, ended: Array | None,
                  learn: Learner) -> tuple[Array, list[Array]]:  # fmt: skip
        gates = cache.gates
        xp, (dh,), (T, _, H, N) = xp_of(a), state, gates.shape
        r, z, q, n = gates.swapaxes(0, 1)
        # For all times at once, what δ_r, ∂C/∂q and δ_n are per ∂C/∂n, and δ_z per ∂C/∂h_t; σ′ = σ (1 − σ) and
        # tanh′ = 1 − tanh².
        delta = buffer(self, "delta", gates.shape, a, learn)
        d_r, d_z, d_q, d_n = delta.swapaxes(0, 1)
        xp.subtract(1, z, out=d_z)
        d_z *= z
        d_z *= a[:T, :H] - n  # h_t = n + z ⊙ (h_{t−1} − n)
        xp.multiply(n, n, out=d_n)
        xp.subtract(1, d_n, out=d_n)
        xp.multiply(d_n, r, out=d_q)  # n = tanh(p + r ⊙ q)
        xp.multiply(d_q, q, out=d_r)
        d_r *= 1 - r
        if ended is not None:
            xp.copyto(delta, 0, where=ended[:, None])
        W_hh_T, multiply = self.weights[k][1].value.T, xp.multiply
        rows = delta[:, :3].reshape(T, 3 * H, N)  # z_r, z_z, q = W_hh h_{t−1} + ...
        steps = zip(rows[::-1], d_r[::-1], d_z[::-1], delta[::-1, 2:], z[::-1])
        for t, (delta_t, per_dn, per_dh, per_dn_too, z_t) in zip(range(T)[::-1], steps):
            if above is not None:
                dh += above[t]
            if ended is not None:
                held = hold_back(ended[t], dh)
            multiply(per_dh, dh, per_dh)
            kept = dh * z_t
            dh -= kept  # ∂C/∂n
            multiply(per_dn, dh, per_dn)
            multiply(per_dn_too, dh, per_dn_too)
            dh = xp.dot(W_hh_T, delta_t)  # BP2
            dh += kept
            if ended is not None:
                hold(ended[t], held, dh)
        return delta.reshape(T, 4 * H, N), [dh]

    def tell(self, k: int, delta: Array, a: Array, learn: Learner, need_dx: bool) -> Array | None:
        """BP3 and BP4 over all times. δ has the blocks r, z, q, n: W_hh sees the first three, W_ih r, z and n."""
        W_ih, W_hh, b_ih, b_hh = self.weights[k]
        H, (T, _, N) = self.hidden_size, delta.shape
        columns = abreast(delta, buffer(self, "delta abreast", (4 * H, T * N), delta, learn))
        A = abreast(a[:T], buffer(self, f"a{k} abreast", (a.shape[1], T * N), a, learn))
        learn.bias(b_hh, columns[: 3 * H])
        learn.weight(W_hh, columns[: 3 * H], A[:H])
        columns[2 * H : 3 * H] = columns[3 * H :]
        dx = in_time(bp2_propagate(W_ih.value, columns[: 3 * H]), T) if need_dx else None  # before W_ih changes
        learn.bias(b_ih, columns[: 3 * H])
        learn.weight(W_ih, columns[: 3 * H], A[H:-1])
        return dx
