"""The textbook: backpropagation one example at a time with column vectors, sigmoid layers and the quadratic cost.

Written from the four equations alone, with none of the engine's code: what it says is what the engine must compute.
Source: M. Nielsen, Neural Networks and Deep Learning (2015), chapters 1 and 2.
"""

import numpy as np

Matrices = list[np.ndarray]


def sigmoid(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-z))


def backprop(weights: Matrices, biases: Matrices, x: np.ndarray, t: np.ndarray) -> tuple[Matrices, Matrices]:
    """(∂C/∂W, ∂C/∂b) for every layer and C = ½ ‖t − a‖² of one example, x and t columns."""
    a, activations, zs = x, [x], []
    for W, b in zip(weights, biases, strict=True):
        z = W @ a + b
        a = sigmoid(z)
        zs.append(z)
        activations.append(a)
    nabla_W, nabla_b = [np.zeros_like(W) for W in weights], [np.zeros_like(b) for b in biases]
    delta = (a - t) * sigmoid(zs[-1]) * (1 - sigmoid(zs[-1]))  # BP1
    for layer in range(len(weights) - 1, -1, -1):
        nabla_b[layer] = delta  # BP3
        nabla_W[layer] = delta @ activations[layer].T  # BP4
        if layer > 0:
            s = sigmoid(zs[layer - 1])
            delta = (weights[layer].T @ delta) * s * (1 - s)  # BP2
    return nabla_W, nabla_b


def update(
    weights: Matrices, biases: Matrices, xs: np.ndarray, ts: np.ndarray, eta: float
) -> tuple[Matrices, Matrices]:
    """w ← w − (η/m) Σ δ aᵀ and b ← b − (η/m) Σ δ over the m examples (rows of xs and ts)."""
    m = len(xs)
    for W, b in zip(weights, biases, strict=True):
        assert W.ndim == b.ndim == 2
    each = [backprop(weights, biases, x[:, None], t[:, None]) for x, t in zip(xs, ts, strict=True)]
    new_W = [W - eta / m * sum(nabla_W[k] for nabla_W, _ in each) for k, W in enumerate(weights)]
    new_b = [b - eta / m * sum(nabla_b[k] for _, nabla_b in each) for k, b in enumerate(biases)]
    return new_W, new_b
