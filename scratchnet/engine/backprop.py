"""Backpropagation, whole: one example through a small network and back.

Read this file first. The rest of the engine computes the same for many examples at once
and for more kinds of layers; a comment beside a line says which file does so.

The network turns the example x = a⁰, a column, into its output aᴸ. Layer l has weights
W, biases b and an activation σ, and computes

    zˡ = Wˡ aˡ⁻¹ + bˡ    and    aˡ = σ(zˡ)

The cost C says how far the output is from the target t. To learn, every weight and bias
moves a little against its slope, ∂C/∂W or ∂C/∂b. All slopes follow from the errors
δˡ = ∂C/∂zˡ, and these are computed from the last layer back to the first:

    δᴸ = ∇ₐC ⊙ σ′(zᴸ)           BP1   the last error; ∇ₐC is the slope ∂C/∂aᴸ
    δˡ = (Wˡ⁺¹ᵀ δˡ⁺¹) ⊙ σ′(zˡ)   BP2   other errors, each from the layer after it
    ∂C/∂bˡ = δˡ                 BP3
    ∂C/∂Wˡ = δˡ aˡ⁻¹ᵀ           BP4   a column times a row: a slope for each weight

where ⊙ multiplies element by element. Three hidden units are enough for exclusive or:

>>> rng = np.random.default_rng(0)
>>> weights = [rng.normal(size=(3, 2)), rng.normal(size=(1, 3))]
>>> network = weights, [np.zeros((3, 1)), np.zeros((1, 1))], ["sigmoid", "sigmoid"]
>>> bits = [(0, 0), (0, 1), (1, 0), (1, 1)]
>>> examples = [(np.array([[p], [q]]), np.array([[p ^ q]])) for p, q in bits]
>>> for epoch in range(1000):
...     for x, t in examples:
...         C = step(network, x, t, "quadratic", eta=2.0)
>>> [round(forward(network, x)[1][-1].item()) for x, t in examples]
[0, 1, 1, 0]

Source: M. Nielsen, Neural Networks and Deep Learning (2015), chapters 1 and 2.
"""

from collections.abc import Callable

import numpy as np

Arrays = list[np.ndarray]  # one for each layer
Network = tuple[Arrays, Arrays, list[str]]  # W, b and the name of σ
Functions = dict[str, tuple[Callable[..., np.ndarray], Callable[..., np.ndarray]]]  # with their slopes


def sigmoid(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-z))


def log_softmax(a: np.ndarray) -> np.ndarray:
    """ln p, where p = eᵃ / Σ eᵃ; shifted, so that eᵃ is finite."""
    return a - a.max() - np.log(np.sum(np.exp(a - a.max())))


ACTIVATIONS: Functions = {  # σ and σ′ (layers/activation.py)
    "identity": (lambda z: z, np.ones_like),
    "sigmoid": (sigmoid, lambda z: sigmoid(z) * (1 - sigmoid(z))),
    "tanh": (np.tanh, lambda z: 1 - np.tanh(z) ** 2),
    "relu": (lambda z: np.where(z < 0, 0, z), lambda z: np.where(z > 0, 1, 0)),
}
COSTS: Functions = {  # C and ∇ₐC (losses.py)
    "quadratic": (lambda a, t: np.sum((a - t) ** 2) / 2, lambda a, t: a - t),
    # −ln p of the right class, whose t is 1 (others: 0)
    "cross entropy": (lambda a, t: -np.sum(t * log_softmax(a)), lambda a, t: np.exp(log_softmax(a)) - t),
}


def forward(network: Network, x: np.ndarray) -> tuple[Arrays, Arrays]:
    """z¹, ..., zᴸ and a⁰, ..., aᴸ."""
    zs, activated = [], [x]
    for W, b, name in zip(*network):
        zs.append(W @ activated[-1] + b)  # layers/linear.py
        activated.append(ACTIVATIONS[name][0](zs[-1]))
    return zs, activated


def backprop(network: Network, x: np.ndarray, t: np.ndarray, cost: str) -> tuple[float, Arrays, Arrays]:
    """C for one example, and ∂C/∂W and ∂C/∂b for every layer."""
    weights, _, names = network
    C, nabla_a = COSTS[cost]
    zs, activated = forward(network, x)
    sigma_prime = [ACTIVATIONS[name][1](z) for name, z in zip(names, zs)]
    deltas = [nabla_a(activated[-1], t) * sigma_prime[-1]]  # BP1; all four: equations.py
    for layer in reversed(range(1, len(weights))):
        deltas.insert(0, (weights[layer].T @ deltas[0]) * sigma_prime[layer - 1])  # BP2
    nabla_W = [delta @ a.T for delta, a in zip(deltas, activated)]  # BP4; the first a is a⁰
    return float(C(activated[-1], t)), nabla_W, deltas  # BP3: the errors are ∂C/∂b


def step(network: Network, x: np.ndarray, t: np.ndarray, cost: str, eta: float) -> float:
    """w ← w − eta ∂C/∂w for all weights and biases, in place; returns C before it."""
    weights, biases, _ = network
    C, nabla_W, nabla_b = backprop(network, x, t, cost)
    for w, nabla_w in zip(weights + biases, nabla_W + nabla_b):
        w[:] = w - eta * nabla_w  # optim.py; training.py has the loop
    return C
