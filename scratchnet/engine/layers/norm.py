"""Batch normalisation.

Letters: C channels (or features); M the numbers of one channel in a batch, which are N
examples times the cells of each; x̂ the normalised input; γ the scale (`weight`), β the
shift (`bias`). If several machines share a batch, every sum over a channel, and M, is
that of the whole batch: `learn.total` adds up the parts.
"""

from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar

import numpy as np

from scratchnet.backend.arrays import Array, xp_of
from scratchnet.backend.products import row_dots
from scratchnet.engine import checks
from scratchnet.engine.layers.base import Layer, Shape, acts_as_in_training, buffer, need_sizes
from scratchnet.engine.layers.conv import as_matrix
from scratchnet.engine.learner import Learner
from scratchnet.engine.params import Param, constant
from scratchnet.errors import SettingError, ShapeError


@dataclass(eq=False)
class BatchNorm(Layer):
    """y = γ x̂ + β with x̂ = (x − μ)/√(σ² + eps), for every channel.

    In training, μ and σ² are the mean and variance of the batch, where σ² has the
    divisor M. At inference they are running values, which every training step moves
    towards those of the batch by the fraction `momentum`; there the variance has the
    divisor M − 1 (all as in PyTorch). Raises ShapeError for another number of channels,
    and in training if a channel has a single number, which has no variance.
    Source: S. Ioffe and C. Szegedy, Batch normalization, ICML 2015, algorithms 1 and 2.
    """

    num_features: int
    eps: float = 1e-5
    momentum: float = 0.1

    shapes: ClassVar[dict[int, str]]  # by the number of axes of an example

    def __post_init__(self) -> None:
        need_sizes(self, "num_features")
        name = type(self).__name__
        self.eps = checks.number(name, "eps", self.eps)
        if self.momentum is None:
            raise SettingError(f"{name}: momentum=None, PyTorch's cumulative average, is not supported: give 0 to 1")
        self.momentum = checks.number(name, "momentum", self.momentum, most=1.0)
        C = (self.num_features,)
        self.gamma, self.beta = Param("weight", C, constant(1.0)), Param("bias", C, constant(0.0))
        self.mean = Param("running_mean", C, constant(0.0), trained=False)
        self.var = Param("running_var", C, constant(1.0), trained=False)

    def forward(self, x: Array, learn: Learner | None = None) -> tuple[Array, Any]:
        y = buffer(self, "y", x.shape, x, learn)
        X, Y = as_matrix(x), as_matrix(y)
        gamma, beta = self.gamma.value[:, None], self.beta.value[:, None]
        if not acts_as_in_training(learn):
            inverse = 1 / xp_of(x).sqrt(self.var.value[:, None] + self.eps)
            scale = gamma * inverse
            xp_of(x).multiply(X, scale, out=Y)
            Y += beta - self.mean.value[:, None] * scale
            return y, None if learn is None else (X, inverse)
        M = int(learn.total(np.array([float(X.shape[1])]))[0])
        if M < 2:
            raise ShapeError(
                f"{self} needs more than one number per channel in training: take a batch size that leaves no batch, "
                f"not even the last of an epoch, with one example"
            )
        mean = learn.total(X.sum(axis=1, keepdims=True)) / M
        x_hat = as_matrix(buffer(self, "x_hat", x.shape, x, learn))
        xp_of(x).subtract(X, mean, out=x_hat)
        var = learn.total(row_dots(x_hat, x_hat)) * (1 / M)
        inverse = 1 / xp_of(x).sqrt(var + self.eps)  # 1/σ
        x_hat *= inverse
        xp_of(x).multiply(x_hat, gamma, out=Y)
        Y += beta
        return y, (x_hat, inverse, mean[:, 0], var[:, 0], M)

    def backward(self, delta: Array, cache: Any, learn: Learner, need_dx: bool = True) -> Array | None:
        if len(cache) == 2:
            return self._backward_at_inference(delta, cache, learn)
        x_hat, inverse, mean, var, M = cache
        D = as_matrix(delta)
        # The running statistics change here and not in forward, so that a step that is
        # abandoned leaves them as they were.
        m = self.momentum
        learn.running(self.mean, (1 - m) * self.mean.value + m * mean)
        learn.running(self.var, (1 - m) * self.var.value + m * (M / (M - 1)) * var)
        own_beta, own_gamma = D.sum(axis=1, keepdims=True), row_dots(D, x_hat)
        dx = None
        if need_dx:
            d_beta, d_gamma = learn.total(own_beta.copy()), learn.total(own_gamma.copy())
            # y = γ x̂ + β, where every x moves the μ and σ² of its whole channel: dx =
            # γ/σ · (δ − mean(δ) − x̂ · mean(δ ⊙ x̂))
            dx = buffer(self, "dx", delta.shape, delta, learn)
            DX = as_matrix(dx)
            xp_of(x_hat).multiply(x_hat, d_gamma * (-1 / M), out=DX)
            DX += D
            DX -= d_beta * (1 / M)
            DX *= self.gamma.value[:, None] * inverse
        # ∂C/∂γ = Σ δ ⊙ x̂ and ∂C/∂β = Σ δ: BP3, twice
        learn.bias(self.gamma, own_gamma)
        learn.bias(self.beta, own_beta)
        return dx

    def _backward_at_inference(self, delta: Array, cache: Any, learn: Learner) -> Array:
        """y = γ x̂ + β with constant μ and σ, the running ones: dx = δ γ/σ."""
        (X, inverse), D = cache, as_matrix(delta)
        learn.bias(self.gamma, row_dots(D, (X - self.mean.value[:, None]) * inverse))
        learn.bias(self.beta, D.sum(axis=1, keepdims=True))
        D *= self.gamma.value[:, None] * inverse
        return delta

    def output_shape(self, shape: Shape) -> Shape:
        if len(shape) not in self.shapes or shape[0] != self.num_features or prod(shape) < 1:
            raise self.wants(" or ".join(self.shapes.values()).replace("C", str(self.num_features)), shape)
        return shape


class BatchNorm1d(BatchNorm):
    __doc__ = f"{BatchNorm.__doc__}\n    Input and output (N, C) or (N, C, L)."

    shapes: ClassVar[dict[int, str]] = {1: "(N, C)", 2: "(N, C, length)"}


class BatchNorm2d(BatchNorm):
    __doc__ = f"{BatchNorm.__doc__}\n    Input and output (N, C, H, W)."

    shapes: ClassVar[dict[int, str]] = {3: "(N, C, height, width)"}
