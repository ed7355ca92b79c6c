"""Losses in which every example has a weight of its own.

Letters as in losses.py; w_n is the weight of example n. The target is an array (N, K +
1): the K target values, and the weight in the last column.
"""

from dataclasses import dataclass

from scratchnet.backend.arrays import Array, xp_of
from scratchnet.engine import checks
from scratchnet.engine.losses import Loss
from scratchnet.errors import ShapeError


def with_weights(values: Array, weights: Array) -> Array:
    """The target (N, K + 1) of a weighted loss, from values (N, K) and weights (N,)."""
    xp = xp_of(values)
    return xp.concatenate([values, weights[:, None].astype(values.dtype)], axis=1)


class WeightedLoss(Loss):
    """C = 1/N Σ w_n C_n; weights with mean 1 do not change the size of a step."""

    def as_target(self, target: Array, y: Array) -> Array:
        t = checks.examples(type(self).__name__, "the target", target, y.real.dtype, xp_of(y))
        expected = (y.shape[-1], y.shape[0] + 1)
        if t.shape != expected:
            raise ShapeError(
                f"{type(self).__name__} takes a target of shape {expected}, with the weights in "
                f"the last column, but is given {t.shape}"
            )
        return t


@dataclass(frozen=True)
class WeightedCrossEntropy(WeightedLoss):
    """C_n = −Σ_k t_kn ln softmax(z)_kn, ∂C/∂z = w (softmax(z) − t)/N.

    The targets t of each example sum to 1.
    """

    def forward(self, z: Array, t: Array) -> tuple[Array, Array]:
        xp, values, scale = xp_of(z), t[:-1], t[-1] / z.shape[-1]
        shifted = z - z.max(axis=0)
        exp = xp.exp(shifted)
        total = exp.sum(axis=0)
        value = ((xp.log(total) - (values * shifted).sum(axis=0)) * scale).sum()
        return value, (exp / total - values) * scale


@dataclass(frozen=True)
class WeightedSquares(WeightedLoss):
    """C_n = 1/K Σ_k (y_kn − t_kn)²; ∂C/∂y = 2 w (y − t)/(K N)."""

    def forward(self, y: Array, t: Array) -> tuple[Array, Array]:
        difference, scale = y - t[:-1], t[-1] / y.size
        return (difference * difference * scale).sum(), 2 * difference * scale
