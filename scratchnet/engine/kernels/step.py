"""The step of backprop.py as loops that Numba compiles for the CPU.

In a network 784-H-10, a step spends its time on reading the weights of the first layer,
twice, and on writing them. Here each row of them is changed and, in the same pass,
multiplied by the next example, so that it is read only once.

Letters as in steps.py. A row of `layers` describes one Linear: I, O, where W and b (or
−1) begin in the flat vector w of all parameters, where its outputs begin in the vectors
a and delta, and its activation.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit

from scratchnet.engine.compiling import watch
from scratchnet.engine.kernels.exponential import exponential
from scratchnet.engine.kernels.kept import KeptCode
from scratchnet.engine.kernels.steps import RELU, SIGMOID, TANH

watch()

OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy"}

# The terms of a sum may be added in another order, several at a time. NaN and
# infinities remain what they are.
REORDER = {"reassoc", "contract", "nsz"}


def compiled(function: Callable[..., Any], fastmath: Any = REORDER) -> Callable[..., Any]:
    """Compile at the first call; keep the machine code for later programs if possible.

    Numba finds the types of each call, float32 or float64, so compiled functions have
    no annotations.
    """
    dispatcher = njit(fastmath=fastmath, **OPTIONS)(function)
    dispatcher._cache = KeptCode(function)
    return dispatcher


def compiled_exactly(function: Callable[..., Any]) -> Callable[..., Any]:
    """`compiled`, with every operation rounded as it is written."""
    return compiled(function, fastmath=False)


@compiled
def dot(w, a):  # type: ignore[no-untyped-def]
    """One row of W a."""
    z = w.dtype.type(0)
    for i in range(a.size):
        z += w[i] * a[i]
    return z


@compiled
def learn_and_send_back(w, a, delta, rate, below):  # type: ignore[no-untyped-def]
    """BP4 for one row of W and, before it changes, what it contributes to Wᵀ δ, BP2."""
    for i in range(a.size):
        below[i] += w[i] * delta
        w[i] -= rate * a[i]


@compiled
def activate(z, activation):  # type: ignore[no-untyped-def]
    """a = σ(z), in place."""
    one = z.dtype.type(1)
    for i in range(z.size):
        if activation == SIGMOID:
            z[i] = one / (one + exponential(-z[i]))
        elif activation == TANH:
            z[i] = np.tanh(z[i])
        elif activation == RELU and z[i] < 0:
            z[i] = 0


@compiled
def times_sigma_prime(grad, a, activation):  # type: ignore[no-untyped-def]
    """grad ⊙ σ′(z) in place, from the activation a."""
    one = a.dtype.type(1)
    for i in range(a.size):
        if activation == SIGMOID:
            grad[i] *= a[i] * (one - a[i])
        elif activation == TANH:
            grad[i] *= one - a[i] * a[i]
        elif activation == RELU and a[i] == 0:
            grad[i] = 0


@compiled
def squares(y, t, scale, delta):  # type: ignore[no-untyped-def]
    """C = scale · Σ (y − t)²; writes ∂C/∂y."""
    value = y.dtype.type(0)
    for i in range(y.size):
        error = y[i] - t[i]
        value += error * error
        delta[i] = (scale + scale) * error
    return scale * value


@compiled
def cross_entropy(y, label, delta):  # type: ignore[no-untyped-def]
    """C = −ln softmax(y)[label]; writes ∂C/∂y."""
    most, total = y.max(), y.dtype.type(0)
    for i in range(y.size):
        delta[i] = np.exp(y[i] - most)
        total += delta[i]
    for i in range(y.size):
        delta[i] /= total
    delta[label] -= y.dtype.type(1)
    return np.log(total) - (y[label] - most)


@compiled
def weighted_input(w, layer, a, z):  # type: ignore[no-untyped-def]
    """z = W a + b."""
    I, at_W, at_b = layer[0], layer[2], layer[3]
    for o in range(z.size):
        z[o] = dot(w[at_W + o * I : at_W + (o + 1) * I], a)
        if at_b >= 0:
            z[o] += w[at_b + o]


@compiled
def learn_first_layer(w, layer, a, z, delta, lr, ahead):  # type: ignore[no-untyped-def]
    """BP3 and BP4 with gradient descent, w ← w − lr δ aᵀ, and z for the next example.

    A weight is multiplied with the next example, `ahead`, as soon as it has changed, so
    it is read and written once in a step.
    """
    O, I, at_W, at_b = z.size, layer[0], layer[2], layer[3]
    W = w[at_W : at_W + O * I].reshape(O, I)
    for o in range(O):  # written out: a function for one row would be called O times
        row, rate, z_o = W[o], lr * delta[o], w.dtype.type(0)
        for i in range(I):
            row[i] -= rate * a[i]
            z_o += row[i] * ahead[i]
        z[o] = z_o
        if at_b >= 0:
            w[at_b + o] -= rate
            z[o] += w[at_b + o]


@compiled
def steps(w, layers, x, values, labels, order, first, n, lr, scale, a, delta, losses):  # type: ignore[no-untyped-def]
    """`backprop.step` on n examples, from order[first] on; writes their losses.

    Returns how many steps were made. After a loss that is NaN or infinite it stops,
    with the weights as they were before that step.
    """
    nothing = np.zeros(layers[0, 1], w.dtype)
    begin, end = layers[:, 4], layers[:, 4] + layers[:, 1]  # of every layer's outputs
    for k in range(first, first + n):
        x_k = x[order[k]]
        # The loop that looks ahead is used here too, although it learns nothing: steps
        # made one by one then give the same bits.
        if k == first:
            learn_first_layer(w, layers[0], x_k, a[begin[0] : end[0]], nothing, lr, x_k)
        activate(a[begin[0] : end[0]], layers[0, 5])
        for l in range(1, len(layers)):
            z = a[begin[l] : end[l]]
            weighted_input(w, layers[l], a[begin[l - 1] : end[l - 1]], z)
            activate(z, layers[l, 5])

        y, delta_y = a[begin[-1] : end[-1]], delta[begin[-1] : end[-1]]
        if labels.size:
            losses[k] = cross_entropy(y, labels[order[k]], delta_y)
        else:
            losses[k] = squares(y, values[order[k]], scale, delta_y)
        if not np.isfinite(losses[k]):
            return k + 1 - first

        for l in range(len(layers) - 1, -1, -1):
            z, delta_l = a[begin[l] : end[l]], delta[begin[l] : end[l]]
            times_sigma_prime(delta_l, z, layers[l, 5])  # BP1, or the end of BP2
            if l == 0:
                ahead = x[order[k + 1]] if k + 1 < first + n else x_k
                learn_first_layer(w, layers[0], x_k, z, delta_l, lr, ahead)
                break
            I, at_W, at_b = layers[l, 0], layers[l, 2], layers[l, 3]
            a_l, below = a[begin[l - 1] : end[l - 1]], delta[begin[l - 1] : end[l - 1]]
            below[:] = 0
            for o in range(delta_l.size):
                row = w[at_W + o * I : at_W + (o + 1) * I]
                learn_and_send_back(row, a_l, delta_l[o], lr * delta_l[o], below)  # BP2 and BP4
                if at_b >= 0:
                    w[at_b + o] -= lr * delta_l[o]  # BP3
    return n
