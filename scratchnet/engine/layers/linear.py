"""The fully connected layer, and the reshape that leads to it.

Letters: a input (in, N), z output (out, N), W (out, in), b (out,); for sequences a is
(T, in, N) and z is (T, out, N).
"""

from dataclasses import dataclass, field
from math import prod
from typing import ClassVar, Literal

from scratchnet.backend.arrays import Array
from scratchnet.backend.products import dot
from scratchnet.engine.equations import bp2_propagate
from scratchnet.engine.layers.base import Layer, Shape, need_flag, need_sizes
from scratchnet.engine.learner import Learner
from scratchnet.engine.params import Param, initial_values


@dataclass(eq=False)
class Linear(Layer):
    """z = W a + b.

    Input (N, in_features), output (N, out_features); W is (out_features, in_features)
    as in PyTorch. For sequences (N, T, in_features), every time is a column of its own.
    `init` names the distribution of the initial weights, and
    `engine/params.py` says why there are several:

        "pytorch"               U(±1/√in_features), the default
        "glorot" or "xavier"    U(±√(6/(in_features + out_features)))
        "he" or "kaiming"       N(0, 2/in_features)
        "normal"                N(0, 1/in_features)
        "zeros"

    Raises ShapeError for another number of features, and SettingError for another
    `init`.
    Source: M. Nielsen, Neural Networks and Deep Learning (2015), chapter 2, eq. 25.
    """

    in_features: int
    out_features: int
    bias: bool = True
    init: str = field(default="pytorch", kw_only=True)

    def __post_init__(self) -> None:
        need_sizes(self, "in_features", "out_features")
        need_flag(self, "bias")
        weights, biases = initial_values("Linear", self.init, self.in_features, self.out_features)
        self.W = Param("weight", (self.out_features, self.in_features), weights)
        self.b = Param("bias", (self.out_features,), biases) if self.bias else None

    def forward(self, a: Array, learn: Learner | None = None) -> tuple[Array, Array]:
        if a.ndim == 3:
            z, A = self.forward(abreast(a))
            return in_time(z, a.shape[0]), A
        z = dot(self.W.value, a)
        if self.b is not None:
            z += self.b.value[:, None]
        return z, a

    def backward(self, delta: Array, a: Array, learn: Learner, need_dx: bool = True) -> Array | None:
        if delta.ndim == 3:
            dA = self.backward(abreast(delta), a, learn, need_dx)
            return None if dA is None else in_time(dA, delta.shape[0])
        da = bp2_propagate(self.W.value, delta) if need_dx else None  # before W changes
        if self.b is not None:
            learn.bias(self.b, delta)  # BP3
        learn.weight(self.W, delta, a)  # BP4
        return da

    def output_shape(self, shape: Shape) -> Shape:
        if len(shape) not in (1, 2) or shape[-1] != self.in_features or shape[0] < 1:
            raise self.wants(f"(N, {self.in_features}) or sequences (N, T, {self.in_features})", shape)
        return (*shape[:-1], self.out_features)

    def input_shape(self) -> Shape:
        return (self.in_features,)

    def operations(self, shape: Shape) -> int:
        return 2 * prod(shape) * self.out_features


def abreast(x: Array, out: Array | None = None) -> Array:
    """All times of a sequence side by side, as columns: (T, F, N) → (F, T·N).

    Written to `out` if given.
    """
    T, F, N = x.shape
    if out is None:
        return x.swapaxes(0, 1).reshape(F, T * N)
    out.reshape(F, T, N)[...] = x.swapaxes(0, 1)
    return out


def in_time(x: Array, T: int) -> Array:
    """The reverse of `abreast`: (F, T·N) → (T, F, N), a view."""
    return x.reshape(x.shape[0], T, -1).swapaxes(0, 1)


@dataclass(eq=False)
class Flatten(Layer):
    """All axes of an example become one: (N, C, H, W) → (N, C·H·W).

    It costs nothing, because the batch is the last axis.
    """

    output_is: ClassVar[Literal["view"]] = "view"

    def forward(self, x: Array, learn: Learner | None = None) -> tuple[Array, Shape]:
        return x.reshape(-1, x.shape[-1]), x.shape

    def backward(self, delta: Array, shape: Shape, learn: Learner, need_dx: bool = True) -> Array:
        return delta.reshape(shape)

    def output_shape(self, shape: Shape) -> Shape:
        return (prod(shape),)
