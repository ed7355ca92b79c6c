"""What each kernel of step.cu computes, under the same name, in NumPy: the specification that they are tested against.

Letters: I inputs and O outputs of a layer, W (O, I), b (O,) or None, a input (I,), z = W a + b, delta = ∂C/∂z (O,),
K outputs of the network. One example, so all but W are vectors.
"""

from collections.abc import Sequence

import numpy as np

Vector = np.ndarray

IDENTITY, SIGMOID, TANH, RELU = range(4)  # as in step.cu


def activate(z: Vector, activation: int) -> Vector:
    """a = σ(z)."""
    if activation == SIGMOID:
        return 1 / (1 + np.exp(-z))
    if activation == TANH:
        return np.tanh(z)
    if activation == RELU:
        return np.where(z < 0, np.zeros_like(z), z)
    return z


def times_sigma_prime(grad: Vector, a: Vector, activation: int) -> Vector:
    """grad ⊙ σ′(z), from the activation a: what BP1 and BP2 end with."""
    if activation == SIGMOID:
        return grad * (a * (1 - a))
    if activation == TANH:
        return grad * (1 - a * a)
    if activation == RELU:
        return np.where(a != 0, grad, np.zeros_like(grad))
    return grad


def forward(W: np.ndarray, b: Vector | None, a: Vector, activation: int) -> Vector:
    """The layer's output, σ(W a + b)."""
    z = W @ a
    return activate(z if b is None else z + b, activation)


def backward(W: np.ndarray, delta: Vector, a: Vector, activation: int) -> Vector:
    """BP2, (Wᵀ δ) ⊙ σ′: δ of the layer below, whose activation made the input a."""
    return times_sigma_prime(W.T @ delta, a, activation)


def update(W: np.ndarray, b: Vector | None, delta: Vector, a: Vector, lr: float) -> None:
    """BP3, BP4 and gradient descent in one, in place: W ← W − lr δ aᵀ, b ← b − lr δ."""
    W -= np.outer(lr * delta, a)
    if b is not None:
        b -= lr * delta


def squares(y: Vector, t: Vector, scale: float, activation: int) -> tuple[float, Vector]:
    """C = scale · Σ (y − t)², and BP1, ∂C/∂z = 2 scale (y − t) ⊙ σ′."""
    return scale * np.sum((y - t) ** 2), times_sigma_prime(2 * scale * (y - t), y, activation)


def cross_entropy(y: Vector, label: int, activation: int) -> tuple[float, Vector]:
    """C = −ln softmax(y)[label], and BP1, ∂C/∂z = (softmax(y) − onehot(label)) ⊙ σ′."""
    e = np.exp(y - y.max())
    delta = e / e.sum()
    delta[label] -= 1
    return np.log(e.sum()) - (y[label] - y.max()), times_sigma_prime(delta, y, activation)


def step(
    weights: Sequence[tuple[np.ndarray, Vector | None]], activations: Sequence[int], x: Vector, t: Vector | int,
    lr: float, scale: float | None = None,
) -> float:  # fmt: skip
    """One step of gradient descent on the example (x, t), in place; returns the loss before it.

    `weights` and `activations` are those of the layers, first to last. With `scale` the loss is `squares` and t values,
    without it is `cross_entropy` and t a label.
    """
    a = [x]
    for (W, b), activation in zip(weights, activations, strict=True):
        a.append(forward(W, b, a[-1], activation))
    if scale is None:
        loss, delta = cross_entropy(a[-1], int(t), activations[-1])
    else:
        loss, delta = squares(a[-1], np.asarray(t), scale, activations[-1])
    for layer in reversed(range(len(weights))):
        W, b = weights[layer]
        below = backward(W, delta, a[layer], activations[layer - 1]) if layer > 0 else delta  # before W changes
        update(W, b, delta, a[layer], lr)
        delta = below
    return float(loss)
