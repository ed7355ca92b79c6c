"""The training step on a batch, as loops that Numba compiles for the CPU.

The loops are `steps.step` for networks of Linear layers. BLAS makes the products
(products.py). Everything else costs little: there are no calls from Python, and no pass
over an array that could be part of another pass.

Letters: N examples of the batch; W (O, I); a, z and delta (O, N); rows (N, I) the batch
as it lies in memory; g a gradient, m and v the sums of the optimiser. A row of `layers`
describes one Linear: I, O, where W and b (or −1) begin in the flat vectors w, m and v,
where its outputs begin in the vectors a and delta, and its activation. `blas` is as in
products.py.
"""

import numpy as np

from scratchnet.engine.kernels.products import (
    FEW_ROWS,
    WORTH_TURNING,
    add_product,
    is_faster_turned,
    multiply,
    multiply_turned,
    rows_at_a_time,
    turn,
)
from scratchnet.engine.kernels.step import activate, compiled, compiled_exactly, times_sigma_prime
from scratchnet.engine.kernels.steps import ADAM, MOMENTUM, PLAIN


@compiled
def forward(W, b, a, activation, blas, z):  # type: ignore[no-untyped-def]
    """σ(W a + b), written to z; b may be empty."""
    rows = rows_at_a_time(W, a, blas)
    for o in range(0, len(W), rows):
        some = z[o : o + rows]
        if is_faster_turned(W, a, blas):
            multiply_turned(W, a, blas, some)
        else:
            multiply(W[o : o + rows], a, blas, some)
        if b.size:
            add_bias(some, b[o : o + rows])
        activate(some.reshape(-1), activation)


@compiled
def add_bias(z, b):  # type: ignore[no-untyped-def]
    for o in range(len(z)):
        for j in range(z.shape[1]):
            z[o, j] += b[o]


@compiled
def propagate(W, delta, a, activation, blas, below):  # type: ignore[no-untyped-def]
    """BP2: (Wᵀ δ) ⊙ σ′, written to `below`.

    a are the outputs of the layer below, and `activation` is its activation.
    """
    multiply(W.T, delta, blas, below)
    times_sigma_prime(below.reshape(-1), a.reshape(-1), activation)


@compiled
def squares(y, values, batch, scale, delta):  # type: ignore[no-untyped-def]
    """C = scale · Σ (y − t)², with the t of the examples in the batch; writes ∂C/∂y."""
    value, scale = 0.0, y.dtype.type(scale)
    for j in range(y.shape[1]):
        t = values[batch[j]]
        for i in range(len(y)):
            error = y[i, j] - t[i]
            value += scale * error * error
            delta[i, j] = (scale + scale) * error
    return value


@compiled
def cross_entropy(y, labels, batch, delta):  # type: ignore[no-untyped-def]
    """C = −mean of ln softmax(y)[label] over the columns of y; writes ∂C/∂y."""
    K, N = y.shape
    value, mean = 0.0, y.dtype.type(1 / N)
    for j in range(N):
        most, total = y[0, j], y.dtype.type(0)
        for i in range(1, K):
            most = max(most, y[i, j])
        for i in range(K):
            delta[i, j] = np.exp(y[i, j] - most)
            total += delta[i, j]
        for i in range(K):
            delta[i, j] /= total / mean  # rounded as in losses.py
        own = labels[batch[j]]
        delta[own, j] -= mean
        value += np.log(total) - (y[own, j] - most)
    return value / N


@compiled
def cost(y, values, labels, batch, scale, delta):  # type: ignore[no-untyped-def]
    """C for the examples in the batch; writes ∂C/∂y. Without labels it is `squares`."""
    if labels.size:
        return cross_entropy(y, labels, batch, delta)
    return squares(y, values, batch, scale, delta)


@compiled
def rates(rule, t, lr, keep, eps, w):  # type: ignore[no-untyped-def]
    """What `descend` multiplies by in step t of the training, in the precision of w.

    Adam's sums are kept without their factors, as in optim.py.
    """
    real, rate, root = w.dtype.type, lr, 1.0
    if rule == ADAM:
        root = np.sqrt((1 - keep[1]) / (1 - keep[1] ** t))
        rate = lr * (1 - keep[0]) / (1 - keep[0] ** t) / root
    return real(rate), real(keep[0]), real(keep[1]), real(eps / root)


@compiled_exactly
def descend(rule, w, g, m, v, rate, keep_m, keep_v, eps):  # type: ignore[no-untyped-def]
    """Change w by its gradient g, and the sums m and v with it.

    Each sum of two products may be contracted in two ways, and code that has just been
    compiled did so otherwise than the same code from the cache: every one is rounded.
    """
    if rule == PLAIN:
        for i in range(w.size):
            w[i] -= rate * g[i]
    elif rule == MOMENTUM:
        for i in range(w.size):
            v[i] = keep_v * v[i] + g[i]
            w[i] -= rate * v[i]
    else:
        for i in range(w.size):
            m[i] = keep_m * m[i] + g[i]
            v[i] = keep_v * v[i] + g[i] * g[i]
            w[i] -= rate * m[i] / (np.sqrt(v[i]) + eps)


@compiled
def learn(delta, inputs, layer, blas, rule, w, m, v, g, rate, keep_m, keep_v, eps):  # type: ignore[no-untyped-def]
    """BP3, BP4 and the change of b and W.

    It is made in place, or with a few rows of g at a time, which then stay in the
    cache.
    """
    (O, N), I, at_W, at_b = delta.shape, layer[0], layer[2], layer[3]
    if at_b >= 0:
        for o in range(O):
            g[o] = 0
            for j in range(N):
                g[o] += delta[o, j]
        b = slice(at_b, at_b + O)
        descend(rule, w[b], g[:O], m[b], v[b], rate, keep_m, keep_v, eps)
    W = slice(at_W, at_W + O * I)
    if rule == PLAIN:
        rows = rows_at_a_time(delta, inputs, blas) if O <= FEW_ROWS else O
        for o in range(0, O, rows):
            some = slice(at_W + o * I, at_W + min(O, o + rows) * I)
            add_product(w[some].reshape(-1, I), -rate, delta[o : o + rows], inputs, blas, 1.0)
    elif rule == MOMENTUM and blas[1] == 0:
        add_product(v[W].reshape(O, I), 1.0, delta, inputs, blas, keep_v)
        descend(PLAIN, w[W], v[W], m, v, rate, keep_m, keep_v, eps)
    else:
        rows = rows_at_a_time(delta, inputs, blas)
        for o in range(0, O, rows):
            end = min(O, o + rows)
            part, some = slice(at_W + o * I, at_W + end * I), g[: (end - o) * I]
            multiply(delta[o:end], inputs, blas, some.reshape(end - o, I))
            descend(rule, w[part], some, m[part], v[part], rate, keep_m, keep_v, eps)


@compiled
def outputs(flat, layer, N):  # type: ignore[no-untyped-def]
    """The part of a or delta that belongs to one Linear, (O, N)."""
    return flat[layer[4] : layer[4] + layer[1] * N].reshape(layer[1], N)


@compiled
def steps(  # type: ignore[no-untyped-def]
    w, layers, x, values, labels, order, batch_size, first, n, lr, rule, m, v, keep, eps, step, scale, averages,
    blas, a, delta, rows, columns, g, losses,
):  # fmt: skip
    """Make n steps of the epoch, from number `first` on, and write their losses.

    `step` steps of the training have been made before. Returns how many were made.
    After a loss that is NaN or infinite it stops, with the weights as they were before
    that step.
    """
    for k in range(first, first + n):
        batch = order[k * batch_size : (k + 1) * batch_size]
        N, I = len(batch), x.shape[1]
        x_k = rows[: N * I].reshape(N, I)
        for j in range(N):
            row = x[batch[j]]
            for i in range(I):  # x_k[j] = row compiles a check of shapes and its message too, for 3 s
                x_k[j, i] = row[i]

        for l in range(len(layers)):
            O, I, at_W, at_b = layers[l, 1], layers[l, 0], layers[l, 2], layers[l, 3]
            W, b, z = w[at_W : at_W + O * I].reshape(O, I), w[at_b : at_b + O * (at_b >= 0)], outputs(a, layers[l], N)
            if l > 0:
                forward(W, b, outputs(a, layers[l - 1], N), layers[l, 5], blas, z)
            elif O > WORTH_TURNING and blas[1] > 0:
                turned = columns[: N * I].reshape(I, N)
                turn(x_k, turned)
                forward(W, b, turned, layers[l, 5], blas, z)
            else:
                forward(W, b, x_k.T, layers[l, 5], blas, z)

        y, delta_y = outputs(a, layers[-1], N), outputs(delta, layers[-1], N)
        losses[k] = cost(y, values, labels, batch, scale / N if averages else scale, delta_y)
        if not np.isfinite(losses[k]):
            return k + 1 - first

        settings = rates(rule, step + k - first + 1, lr, keep, eps, w)
        times_sigma_prime(delta_y.reshape(-1), y.reshape(-1), layers[-1, 5])  # BP1
        for l in range(len(layers) - 1, -1, -1):
            delta_l = outputs(delta, layers[l], N)
            if l == 0:
                learn(delta_l, x_k, layers[l], blas, rule, w, m, v, g, *settings)
            else:
                O, I, at_W = layers[l, 1], layers[l, 0], layers[l, 2]
                W, a_l = w[at_W : at_W + O * I].reshape(O, I), outputs(a, layers[l - 1], N)
                below = outputs(delta, layers[l - 1], N)
                propagate(W, delta_l, a_l, layers[l - 1, 5], blas, below)  # before W changes
                learn(delta_l, a_l.T, layers[l], blas, rule, w, m, v, g, *settings)
    return n
