"""The training that persistent.cu makes on a GPU, in NumPy: read this before that.

A network I-H-K is divided by its hidden units among the blocks of a GPU. A block needs
the whole example x, but of the weights only those of its own units: rows of W¹,
elements of b¹ and columns of W². So nothing but z² has to be put together:

    a = σ(W¹ x + b¹)            every block for its own units
    z² = b² + Σ W² a            the exchange: a sum over blocks, of K numbers each
    C, δ² = ∂C/∂z²              every block the same                       BP1
    δ¹ = (W²ᵀ δ²) ⊙ σ′(z¹)      every block for its own units again        BP2
    W ← W − lr δ aᵀ, b ← b − lr δ                                          BP3, BP4

With one exchange in a step, a block can keep its weights in registers for thousands of
steps. All sums are made in a fixed order, so a training can be repeated bit for bit.

Letters as in steps.py; W1, b1 the hidden layer, W2, b2 the output layer.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from scratchnet.engine.backprop import ACTIVATIONS

#: z², t ↦ the loss and ∂C/∂z²
Cost = Callable[[np.ndarray, np.ndarray], tuple[float, np.ndarray]]


@dataclass
class Block:
    """One block's part of the weights: views, which it changes; its own copy of b2."""

    W1: np.ndarray
    b1: np.ndarray
    W2: np.ndarray
    b2: np.ndarray
    hidden: str  # the name of σ, as in backprop.py

    def contribute(self, x: np.ndarray) -> np.ndarray:
        """What this block's units contribute to z²."""
        sigma, sigma_prime = ACTIVATIONS[self.hidden]
        z = self.W1 @ x + self.b1
        self.x, self.a, self.slope = x, sigma(z), sigma_prime(z)
        return self.W2 @ self.a

    def learn(self, delta2: np.ndarray, lr: float) -> None:
        delta1 = (self.W2.T @ delta2) * self.slope  # before W2 changes
        self.W2 -= lr * np.outer(delta2, self.a)
        self.b2 -= lr * delta2
        self.W1 -= lr * np.outer(delta1, self.x)
        self.b1 -= lr * delta1


def divide(units: int, blocks: int) -> list[slice]:
    """Equal parts of the hidden units; the last ones may be smaller, or empty."""
    size = -(-units // blocks)
    return [slice(min(k * size, units), min((k + 1) * size, units)) for k in range(blocks)]


def train(
    weights: Sequence[np.ndarray], names: Sequence[str], cost: Cost, x: np.ndarray, targets: np.ndarray,
    order: Sequence[int], lr: float, blocks: int = 1,
) -> list[float]:  # fmt: skip
    """One step on each example of `order`; returns the losses.

    It changes the weights (W1, b1, W2, b2). `names` are those of the two activations.
    `cost` takes the outputs and the target of an example and returns C and ∂C/∂y.
    """
    W1, b1, W2, b2 = weights
    parts = [Block(W1[some], b1[some], W2[:, some], b2.copy(), names[0]) for some in divide(len(W1), blocks)]
    sigma, sigma_prime = ACTIVATIONS[names[1]]
    losses = []
    for k in order:
        contributions = [block.contribute(x[k]) for block in parts]
        for block in parts:  # from here on no block needs another
            z = block.b2 + sum(contributions)
            C, nabla_y = cost(sigma(z), targets[k])
            block.learn(nabla_y * sigma_prime(z), lr)
        losses.append(C)
    b2[...] = parts[0].b2
    return losses
