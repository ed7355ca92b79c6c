"""Layers that stand next to each other, joined into one that makes a single pass.

Conv2d, ReLU and MaxPool2d become one (block.py), and so do batch normalisation and a
ReLU after it (norm.py). fused_steps.py puts them in the places of the layers.
"""

from typing import Any

import numpy as np

from scratchnet.backend.arrays import Array
from scratchnet.engine.kernels.block import backward, forward
from scratchnet.engine.kernels.convolution import settings
from scratchnet.engine.kernels.norm import normalise, normalise_back
from scratchnet.engine.layers import BatchNorm1d, BatchNorm2d, Conv2d, MaxPool2d
from scratchnet.engine.layers.base import Layer, Shape, buffer
from scratchnet.engine.layers.conv import as_matrix
from scratchnet.engine.learner import Learner
from scratchnet.engine.params import Param


class Joined(Layer):
    """Several layers as one; `params` and shapes are theirs."""

    def __init__(self, *layers: Layer) -> None:
        self.layers = layers

    def params(self) -> list[Param]:
        return [p for layer in self.layers for p in layer.params()]

    def output_shape(self, shape: Shape) -> Shape:
        for layer in self.layers:
            shape = layer.output_shape(shape)
        return shape

    def one_by_one(self, x: Array) -> tuple[Array, Any]:
        """The output at inference, which the layers themselves work out."""
        for layer in self.layers:
            x, _ = layer.forward(x)
        return x, None

    def operations(self, shape: Shape) -> int:
        return self.layers[0].operations(shape)


class ConvolvedAndPooled(Joined):
    """Conv2d, ReLU and MaxPool2d."""

    def forward(self, x: Array, learn: Learner | None = None) -> tuple[Array, Any]:
        if learn is None:
            return self.one_by_one(x)
        conv, _, pool = self.layers
        assert isinstance(conv, Conv2d) and isinstance(pool, MaxPool2d)
        places = (conv.window[0].places(x.shape[1]), conv.window[1].places(x.shape[2]))
        y_shape = (*pool.output_shape((len(conv.W.value), *places)), x.shape[-1])
        y = buffer(self, "y", y_shape, x, learn)
        code = learn.buffer((id(self), "code"), y_shape, np.dtype(pool.code_dtype), np)
        windows, room = self._settings(conv, pool, places, x, learn)
        b = np.zeros(len(y), y.dtype) if conv.b is None else conv.b.value
        forward(x, conv.W.value, b, places, *windows, *room, y, code)
        return y, (x, y, code, places)

    def backward(self, delta: Array, cache: Any, learn: Learner, need_dx: bool = True) -> Array | None:
        x, y, code, places = cache
        conv, _, pool = self.layers
        assert isinstance(conv, Conv2d) and isinstance(pool, MaxPool2d)
        g = buffer(self, "g", conv.W.shape, x, learn)
        dx = buffer(self, "dx", x.shape if need_dx else (0, *x.shape[1:]), x, learn)
        windows, room = self._settings(conv, pool, places, x, learn)
        d_b = np.empty((len(g), 1), g.dtype)
        backward(x, np.ascontiguousarray(delta), y, code, conv.W.value, places, *windows, *room, g, d_b[:, 0], dx)
        if conv.b is not None:
            learn.bias(conv.b, d_b)
        learn.weight(conv.matrix(), np.eye(len(g), dtype=g.dtype), g.reshape(len(g), -1).T)
        return dx if need_dx else None

    def _settings(self, conv: Conv2d, pool: MaxPool2d, places: Shape, x: Array, learn: Learner) -> Any:
        rows, cols, work, blas = settings(conv, places, x, learn)
        room = buffer(self, "z", (len(conv.W.value) * (work.size // conv.W.value[0].size),), x, learn)
        pool_rows, pool_cols = ((w.k, w.s, w.p, w.d) for w in pool.window)
        return (rows, cols, pool_rows, pool_cols), (work, room, blas)


class Normalised(Joined):
    """BatchNorm and ReLU, or BatchNorm alone."""

    def forward(self, x: Array, learn: Learner | None = None) -> tuple[Array, Any]:
        if learn is None:
            return self.one_by_one(x)
        norm, X = self.layers[0], as_matrix(x)
        assert isinstance(norm, (BatchNorm1d, BatchNorm2d))
        if X.shape[1] < 2:
            norm.forward(x, learn)  # which raises ShapeError
        y = buffer(self, "y", x.shape, x, learn)
        mean, var = np.empty((2, len(X)), X.dtype)
        relu = len(self.layers) > 1
        normalise(X, norm.gamma.value, norm.beta.value, norm.eps, relu, as_matrix(y), mean, var)
        return y, (X, as_matrix(y), mean, var)

    def backward(self, delta: Array, cache: Any, learn: Learner, need_dx: bool = True) -> Array | None:
        X, Y, mean, var = cache
        norm, m, M = self.layers[0], self.layers[0].momentum, X.shape[1]  # type: ignore[attr-defined]
        assert isinstance(norm, (BatchNorm1d, BatchNorm2d))
        learn.running(norm.mean, (1 - m) * norm.mean.value + m * mean)
        learn.running(norm.var, (1 - m) * norm.var.value + m * (M / (M - 1)) * var)
        d_gamma, d_beta = np.empty((2, len(X), 1), X.dtype)
        delta = np.ascontiguousarray(delta)
        relu = len(self.layers) > 1
        normalise_back(as_matrix(delta), X, Y, norm.gamma.value, mean, var, norm.eps, relu, d_gamma[:, 0], d_beta[:, 0])
        learn.bias(norm.gamma, d_gamma)
        learn.bias(norm.beta, d_beta)
        return delta
