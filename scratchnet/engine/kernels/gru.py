"""A GRU's walk through time, forward and back, in fewer and larger passes.

It gives what layers/gru.py gives. The inputs of all times are multiplied at once, and
the local derivatives of all times are computed before the walk back.

Letters as in layers/gru.py.
"""

from scratchnet.backend.arrays import Array, xp_of
from scratchnet.backend.products import dot
from scratchnet.engine.kernels import recurrent_cuda
from scratchnet.engine.layers import GRU
from scratchnet.engine.layers.base import buffer
from scratchnet.engine.layers.linear import abreast, in_time
from scratchnet.engine.layers.recurrent import Arrays, hold
from scratchnet.engine.learner import Learner


def walk(
    layer: GRU, k: int, a: Array, state: Arrays, ended: Array | None, learn: Learner | None
) -> tuple[Arrays, Arrays]:
    """`GRU.walk`; it keeps the gates r, z, q, n, as (T, 4, H, N)."""
    if recurrent_cuda.takes(layer, a):
        return recurrent_cuda.gru(layer, k, a, ended, learn)
    xp, T, N, H = xp_of(a), len(a) - 1, a.shape[2], layer.hidden_size
    # r multiplies only one part of z_n, so x and h have a product each here
    h = a[:, :H]
    gates = buffer(layer, f"gates{k}", (T, 4, H, N), a, learn)
    W_ih, W_hh, b_ih, b_hh = (p.value for p in layer.weights[k])
    from_x = dot(W_ih, abreast(a[:T, H:-1]), out=buffer(layer, "from x", (3 * H, T * N), a, learn))
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
        # (1 − z) ⊙ n + z ⊙ h_{t−1} = n + z ⊙ (h_{t−1} − n)
        h_t = xp.subtract(h[t], n, out=h[t + 1])
        h_t *= z
        h_t += n
        if ended is not None:
            hold(ended[t], (h[t],), (h_t,))
    return (h[T].copy(),), (gates,)


def walk_back(
    layer: GRU, k: int, above: Array | None, grads: Arrays, a: Array, cache: Arrays, ended: Array | None, learn: Learner
) -> tuple[Array, Arrays]:
    """`GRU.walk_back`."""
    (gates,) = cache
    if recurrent_cuda.takes(layer, a):
        return recurrent_cuda.gru_back(layer, k, above, grads[0], a, gates, ended, learn)
    xp, (dh,), (T, _, H, N) = xp_of(a), grads, gates.shape
    r, z, q, n = gates.swapaxes(0, 1)
    # For all times at once, the factors that turn ∂C/∂n into δ_r, ∂C/∂q and δ_n, and
    # ∂C/∂h_t into δ_z. They use σ′ = σ (1 − σ) and tanh′ = 1 − tanh².
    delta = buffer(layer, "delta", gates.shape, a, learn)
    d_r, d_z, d_q, d_n = delta.swapaxes(0, 1)
    xp.subtract(1, z, out=d_z)
    d_z *= z
    d_z *= a[:T, :H] - n  # h_t = n + z ⊙ (h_{t−1} − n)
    xp.multiply(n, n, out=d_n)
    xp.subtract(1, d_n, out=d_n)
    xp.multiply(d_n, r, out=d_q)  # n = tanh(p + r ⊙ q)
    xp.multiply(d_q, q, out=d_r)
    d_r *= 1 - r
    W_hh_T, multiply = layer.weights[k][1].value.T, xp.multiply
    rows = delta[:, :3].reshape(T, 3 * H, N)  # z_r, z_z, q = W_hh h_{t−1} + ...
    steps = zip(rows[::-1], d_r[::-1], d_z[::-1], delta[::-1, 2:], z[::-1])
    for t, (delta_t, per_dn, per_dh, per_dn_too, z_t) in zip(range(T)[::-1], steps):
        if above is not None:
            dh += above[t]
        if ended is not None:
            held = dh.copy()
        multiply(per_dh, dh, per_dh)
        kept = dh * z_t
        dh -= kept  # ∂C/∂n
        multiply(per_dn, dh, per_dn)
        multiply(per_dn_too, dh, per_dn_too)
        dh = xp.dot(W_hh_T, delta_t)  # BP2
        dh += kept
        if ended is not None:
            hold(ended[t], (held,), (dh,))
    return delta.reshape(T, 4 * H, N), (dh,)
