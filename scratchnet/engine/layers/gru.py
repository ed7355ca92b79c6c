"""The gated recurrent unit: one gate decides how much of the old state stays.

Another decides how much of the old state the new candidate sees.

Letters as in recurrent.py; r reset gate, z update gate, n candidate, all (H, N); q =
W_hn h_{t−1} + b_hn and p = W_in x_t + b_in, the two parts of the candidate; dn = ∂C/∂n,
and so on.
"""

from dataclasses import dataclass
from typing import ClassVar

from scratchnet.backend.arrays import Array, xp_of
from scratchnet.backend.products import dot
from scratchnet.engine.equations import bp1_error, bp2_propagate
from scratchnet.engine.layers.activation import sigmoid
from scratchnet.engine.layers.base import buffer
from scratchnet.engine.layers.linear import abreast, in_time
from scratchnet.engine.layers.recurrent import Arrays, Recurrent
from scratchnet.engine.learner import Learner


@dataclass(eq=False)
class GRU(Recurrent):
    """h_t = (1 − z) ⊙ n + z ⊙ h_{t−1}, with the gates r and z and the candidate n:

        r = σ(W_ir x_t + b_ir + W_hr h_{t−1} + b_hr), z likewise
        n = tanh(p + r ⊙ q), p = W_in x_t + b_in, q = W_hn h_{t−1} + b_hn

    The weights have three blocks of rows, for r, z and n. Training keeps 2 (I + H +
    1)·N + 15 H·N numbers per time step. See `Recurrent` for shapes, options and errors.
    Source: K. Cho et al., Learning phrase representations using RNN encoder-decoder,
    EMNLP 2014, in the form of torch.nn.GRU (r multiplies after the product with W_hn,
    and z keeps the old state).
    """

    blocks: ClassVar[int] = 3

    def joined(self, k: int, learn: Learner | None) -> Arrays:
        """The weights as they are: r multiplies q alone, so x and h are separate."""
        return tuple(p.value for p in self.weights[k])

    def cell(self, W: Arrays, a_t: Array, state: Arrays) -> tuple[Arrays, Arrays]:
        xp, H, (W_ih, W_hh, b_ih, b_hh), (h,) = xp_of(a_t), self.hidden_size, W, state
        r_x, z_x, p = xp.split(dot(W_ih, a_t[H:-1]) + b_ih[:, None], 3)
        r_h, z_h, q = xp.split(dot(W_hh, h) + b_hh[:, None], 3)
        r, z = sigmoid(r_x + r_h), sigmoid(z_x + z_h)
        n = xp.tanh(p + r * q)
        return (n + z * (h - n),), (h, r, z, q, n)  # (1 − z) ⊙ n + z ⊙ h_{t−1}

    def cell_back(self, W_hh: Array, grads: Arrays, kept: Arrays) -> tuple[Array, Arrays]:
        """δ has the blocks r, z, q, n."""
        (dh,), (h, r, z, q, n) = grads, kept
        dz, kept_dh = dh * (h - n), dh * z  # h_t = n + z ⊙ (h_{t−1} − n)
        dn = dh - kept_dh
        delta_n = bp1_error(dn, 1 - n * n)  # n = tanh(p + r ⊙ q)
        dr, dq = delta_n * q, delta_n * r
        delta_r = bp1_error(dr, r * (1 - r))  # r = σ(z_r)
        delta_z = bp1_error(dz, z * (1 - z))
        delta = xp_of(dh).concatenate([delta_r, delta_z, dq, delta_n])
        # z_r, z_z, q = W_hh h_{t−1} + ...
        return delta, (kept_dh + bp2_propagate(W_hh, delta[: 3 * len(r)]),)

    def tell(self, k: int, delta: Array, a: Array, learn: Learner, need_dx: bool) -> Array | None:
        """BP3 and BP4 over all times.

        δ has the blocks r, z, q, n: W_hh sees the first three, W_ih sees r, z and n.
        """
        W_ih, W_hh, b_ih, b_hh = self.weights[k]
        H, (T, _, N) = self.hidden_size, delta.shape
        columns = abreast(delta, buffer(self, "delta abreast", (4 * H, T * N), delta, learn))
        A = abreast(a[:T], buffer(self, f"a{k} abreast", (a.shape[1], T * N), a, learn))
        learn.bias(b_hh, columns[: 3 * H])
        learn.weight(W_hh, columns[: 3 * H], A[:H])
        columns[2 * H : 3 * H] = columns[3 * H :]
        # before W_ih changes
        dx = in_time(bp2_propagate(W_ih.value, columns[: 3 * H]), T) if need_dx else None
        learn.bias(b_ih, columns[: 3 * H])
        learn.weight(W_ih, columns[: 3 * H], A[H:-1])
        return dx
