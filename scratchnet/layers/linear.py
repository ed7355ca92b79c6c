"""The fully connected layer, and the reshape that leads to it.

Letters: a input (in, N), z output (out, N), W (out, in), b (out,).
"""

from dataclasses import dataclass
from math import prod
from typing import ClassVar, Literal

from scratchnet.backend import Array, dot
from scratchnet.equations import bp2_propagate
from scratchnet.layers.base import Layer, Shape, need_sizes
from scratchnet.learner import Learner
from scratchnet.params import Param, uniform


@dataclass(eq=False)
class Linear(Layer):
    """z = W a + b.

    Input (N, in_features), output (N, out_features); W is (out_features, in_features) as in PyTorch. Initial values
    U(±1/√in_features), as in PyTorch. Raises ShapeError for another number of features.
    Source: Nielsen, Neural Networks and Deep Learning, chapter 2, eq. 25.
    """

    in_features: int
    out_features: int
    bias: bool = True

    def __post_init__(self) -> None:
        need_sizes(self, "in_features", "out_features")
        init = uniform(self.in_features**-0.5)
        self.W = Param("weight", (self.out_features, self.in_features), init)
        self.b = Param("bias", (self.out_features,), init) if self.bias else None

    def forward(self, a: Array, learn: Learner | None = None) -> tuple[Array, Array]:
        z = dot(self.W.value, a)
        if self.b is not None:
            z += self.b.value[:, None]
        return z, a

    def backward(self, delta: Array, a: Array, learn: Learner, need_dx: bool = True) -> Array | None:
        da = bp2_propagate(self.W.value, delta) if need_dx else None  # before W changes
        if self.b is not None:
            learn.bias(self.b, delta)  # BP3
        learn.weight(self.W, delta, a)  # BP4
        return da

    def output_shape(self, shape: Shape) -> Shape:
        if shape != (self.in_features,):
            raise self.wants(f"(N, {self.in_features})", shape)
        return (self.out_features,)

    def input_shape(self) -> Shape:
        return (self.in_features,)

    def operations(self, shape: Shape) -> int:
        return 2 * self.in_features * self.out_features


@dataclass(eq=False)
class Flatten(Layer):
    """All axes of an example become one: (N, C, H, W) → (N, C·H·W). Free, because the batch is the last axis."""

    output_is: ClassVar[Literal["view"]] = "view"

    def forward(self, x: Array, learn: Learner | None = None) -> tuple[Array, Shape]:
        return x.reshape(-1, x.shape[-1]), x.shape

    def backward(self, delta: Array, shape: Shape, learn: Learner, need_dx: bool = True) -> Array:
        return delta.reshape(shape)

    def output_shape(self, shape: Shape) -> Shape:
        return (prod(shape),)
