"""Activations: the ⊙ σ′(z) of BP1 and BP2.

Each derivative is written in terms of the output, so nothing is computed twice.

Letters: z weighted input, a activation, both (features, N); sigma_prime = ∂a/∂z.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from scratchnet.backend.arrays import Array, xp_of
from scratchnet.engine.equations import bp1_error
from scratchnet.engine.layers.base import Layer
from scratchnet.engine.learner import Learner


class _Activation(Layer):
    """Takes any shape, and keeps its output a for backward."""

    output_is: ClassVar[Literal["kept"]] = "kept"


@np.errstate(over="ignore")  # e⁻ᶻ = ∞ is right here: 1/(1 + ∞) = 0
def sigmoid(z: Array, out: Array | None = None) -> Array:
    """σ(z) = 1 / (1 + e⁻ᶻ), written to `out` if given.

    Its relative error is small for every z, on both sides of 0.
    """
    xp = xp_of(z)
    a = xp.negative(z, out=out)
    xp.exp(a, out=a)
    a += 1
    return xp.reciprocal(a, out=a)


@dataclass(eq=False)
class Sigmoid(_Activation):
    """a = σ(z) = 1 / (1 + e⁻ᶻ), σ′(z) = a (1 − a)."""

    writes_in_place: ClassVar[bool] = True

    def forward(self, z: Array, learn: Learner | None = None, out: Array | None = None) -> tuple[Array, Array]:
        a = sigmoid(z, out)
        return a, a

    def backward(self, delta: Array, a: Array, learn: Learner, need_dx: bool = True) -> Array:
        sigma_prime = 1 - a
        sigma_prime *= a
        return bp1_error(delta, sigma_prime)


@dataclass(eq=False)
class Tanh(_Activation):
    """a = tanh(z), σ′(z) = 1 − a²."""

    writes_in_place: ClassVar[bool] = True

    def forward(self, z: Array, learn: Learner | None = None, out: Array | None = None) -> tuple[Array, Array]:
        a = xp_of(z).tanh(z, out=out)
        return a, a

    def backward(self, delta: Array, a: Array, learn: Learner, need_dx: bool = True) -> Array:
        sigma_prime = a * a
        return bp1_error(delta, xp_of(a).subtract(1, sigma_prime, out=sigma_prime))


@dataclass(eq=False)
class ReLU(_Activation):
    """a = max(0, z), with σ′(z) = 1 for z > 0 and 0 for z ≤ 0 (at 0 as in PyTorch).

    As in PyTorch too, NaN stays NaN and −0 stays −0 (on a GPU, CuPy makes it +0), and
    where σ′ is 0 so is the result, even for δ = NaN or ∞.
    """

    writes_in_place: ClassVar[bool] = True

    def forward(self, z: Array, learn: Learner | None = None, out: Array | None = None) -> tuple[Array, Array]:
        a = xp_of(z).maximum(0, z, out=out)  # in this order −0 stays −0
        return a, a

    def backward(self, delta: Array, a: Array, learn: Learner, need_dx: bool = True) -> Array:
        # a is never negative. NaN counts as active, so that it is not hidden. BP1
        # multiplies the bits of δ, as whole numbers: 0 · NaN would be NaN, and
        # selecting with `where` takes ten times as long.
        bp1_error(delta.view(f"i{delta.itemsize}"), a != 0)
        return delta


def softmax(z: Array) -> Array:
    """eᶻ / Σ eᶻ over the features, shifted so that no exponent overflows."""
    xp = xp_of(z)
    e = z - z.max(axis=-2, keepdims=True)
    xp.exp(e, out=e)
    e /= e.sum(axis=-2, keepdims=True)
    return e


@dataclass(eq=False)
class Softmax(_Activation):
    """aᵢ = eᶻⁱ / Σⱼ eᶻʲ over the features of each example.

    ∂C/∂z = a ⊙ (∂C/∂a − Σ ∂C/∂a ⊙ a).
    """

    def forward(self, z: Array, learn: Learner | None = None) -> tuple[Array, Array]:
        a = softmax(z)
        return a, a

    def backward(self, delta: Array, a: Array, learn: Learner, need_dx: bool = True) -> Array:
        # σ′ is a matrix here, diag(a) − a aᵀ; its product with δ can be written without
        # it
        delta -= (delta * a).sum(axis=-2, keepdims=True)
        return bp1_error(delta, a)


@dataclass(eq=False)
class LogSoftmax(_Activation):
    """aᵢ = zᵢ − ln Σⱼ eᶻʲ over the features; ∂C/∂z = ∂C/∂a − eᵃ Σ ∂C/∂a."""

    def forward(self, z: Array, learn: Learner | None = None) -> tuple[Array, Array]:
        xp = xp_of(z)
        a = z - z.max(axis=-2, keepdims=True)
        a -= xp.log(xp.exp(a).sum(axis=-2, keepdims=True))
        return a, a

    def backward(self, delta: Array, a: Array, learn: Learner, need_dx: bool = True) -> Array:
        total = delta.sum(axis=-2, keepdims=True)
        delta -= xp_of(a).exp(a) * total
        return delta
