"""Backpropagation, whole: one example through a small network and back, as in a textbook.

Read this file first. The rest of the engine computes the same for many examples at once and
for more kinds of layers, and a comment beside a line says which file does so.

A network of L layers turns the example x = a⁰, a column, into its output aᴸ. Layer l does

    zˡ = Wˡ aˡ⁻¹ + bˡ        weighted inputs, of weights W and biases b
    aˡ = σ(zˡ)               activations

The cost C says how far the output is from the target t. To learn, every weight and bias
moves a little against its slope, ∂C/∂W or ∂C/∂b. All slopes follow from δˡ = ∂C/∂zˡ, the
error of a layer, and the errors follow from the last layer to the first:

    δᴸ = ∇ₐC ⊙ σ′(zᴸ)             (BP1)  the last error, from the slope of the cost
    δˡ = (Wˡ⁺¹ᵀ δˡ⁺¹) ⊙ σ′(zˡ)    (BP2)  every other, from the error of the layer after
    ∂C/∂bˡ = δˡ                   (BP3)
    ∂C/∂Wˡ = δˡ aˡ⁻¹ᵀ             (BP4)  a column times a row: one number for each weight

where ⊙ multiplies element by element. Three hidden units are enough to learn exclusive or:

>>> rng = np.random.default_rng(0)
>>> weights, biases = [rng.normal(size=(3, 2)), rng.normal(size=(1, 3))], [np.zeros((3, 1)), np.zeros((1, 1))]
>>> network = weights, biases, ["sigmoid", "sigmoid"]
>>> examples = [(np.array([[p], [q]]), np.array([[p ^ q]])) for p in (0, 1) for q in (0, 1)]
>>> for _ in range(1000):
...     for x, t in examples:
...         C = step(*network, x, t, "quadratic", eta=2.0)
>>> [round(forward(*network, x)[1][-1].item()) for x, _ in examples]
[0, 1, 1, 0]

Source: M. Nielsen, Neural Networks and Deep Learning (2015), chapters 1 and 2.
"""

from collections.abc import Callable

import numpy as np

Column = np.ndarray
Matrices = list[np.ndarray]  # W, or b as a column, of every layer
Pair = tuple[Callable[..., np.ndarray], Callable[..., np.ndarray]]


def sigmoid(z: Column) -> Column:
    return 1 / (1 + np.exp(-z))


def log_softmax(a: Column) -> Column:
    """ln (eᵃ / Σ eᵃ), the logarithms of probabilities; less the maximum, so that nothing overflows."""
    return a - a.max() - np.log(np.sum(np.exp(a - a.max())))


#: σ and σ′ (layers/activation.py)
ACTIVATIONS: dict[str, Pair] = {
    "identity": (lambda z: z, np.ones_like),
    "sigmoid": (sigmoid, lambda z: sigmoid(z) * (1 - sigmoid(z))),
    "tanh": (np.tanh, lambda z: 1 - np.tanh(z) ** 2),
    "relu": (lambda z: np.where(z < 0, 0, z), lambda z: np.where(z > 0, 1, 0)),
}

#: C and ∇ₐC; the target t of a class is 1 in its place and 0 elsewhere (losses.py)
COSTS: dict[str, Pair] = {
    "quadratic": (lambda a, t: np.sum((a - t) ** 2) / 2, lambda a, t: a - t),
    "cross entropy": (lambda a, t: -np.sum(t * log_softmax(a)), lambda a, t: np.exp(log_softmax(a)) - t),
}


def forward(weights: Matrices, biases: Matrices, activations: list[str], x: Column) -> tuple[Matrices, Matrices]:
    """z¹, ..., zᴸ and a⁰, ..., aᴸ."""
    zs, activated = [], [x]
    for W, b, name in zip(weights, biases, activations):
        sigma, _ = ACTIVATIONS[name]
        zs.append(W @ activated[-1] + b)  # layers/linear.py
        activated.append(sigma(zs[-1]))
    return zs, activated


def backprop(weights: Matrices, biases: Matrices, activations: list[str], x: Column, t: Column,
             cost: str) -> tuple[float, Matrices, Matrices]:  # fmt: skip
    """C of one example, and ∂C/∂W and ∂C/∂b of every layer."""
    zs, activated = forward(weights, biases, activations, x)
    C, nabla_a = COSTS[cost]
    sigma_prime = [ACTIVATIONS[name][1](z) for name, z in zip(activations, zs)]
    nabla_W, nabla_b = [*weights], [*biases]  # to be replaced one by one
    delta = nabla_a(activated[-1], t) * sigma_prime[-1]  # BP1, as all four in equations.py
    for layer in reversed(range(len(weights))):
        nabla_b[layer] = delta  # BP3
        nabla_W[layer] = delta @ activated[layer].T  # BP4: a⁰ is activated[0], so this is the layer's input
        if layer > 0:
            delta = (weights[layer].T @ delta) * sigma_prime[layer - 1]  # BP2
    return float(C(activated[-1], t)), nabla_W, nabla_b


def step(weights: Matrices, biases: Matrices, activations: list[str], x: Column, t: Column,
         cost: str, eta: float) -> float:  # fmt: skip
    """One step of gradient descent with learning rate eta, in place; returns C before it."""
    C, nabla_W, nabla_b = backprop(weights, biases, activations, x, t, cost)
    for layer in range(len(weights)):
        weights[layer] -= eta * nabla_W[layer]  # optim.py; training.py goes through all examples
        biases[layer] -= eta * nabla_b[layer]
    return C
