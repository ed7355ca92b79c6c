"""Losses. Each returns C and δ = ∂C/∂y together: δ is the ∇ₐC that BP1 starts from.

Letters: y output of the network (K, N), t target (K, N) or labels (N,), K classes, N
examples. Inside, examples are columns; `loss(output, target)` takes and returns
PyTorch's shapes, batch first.
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from scratchnet.backend.arrays import Array, xp_of
from scratchnet.backend.products import inner
from scratchnet.engine import checks
from scratchnet.engine.columns import to_columns, to_rows
from scratchnet.engine.targets import as_labels, as_output, as_values


class Loss:
    """C(y, t) for a batch: a value and its derivative with respect to y."""

    takes_labels: ClassVar[bool] = False  # whole numbers (N,), not values (N, K)

    @property
    def averages(self) -> bool:
        """Whether C is a mean over the examples, and not their sum."""
        return True

    def __call__(self, output: Any, target: Any) -> tuple[Array, Array]:
        """(C, ∂C/∂output) for an output and a target with the batch first.

        Raises ShapeError or DataError if the output or the target cannot be right.
        """
        y = to_columns(as_output(self, output))
        value, delta = self.forward(y, to_columns(self.as_target(target, y)))
        return value, to_rows(delta)

    def forward(self, y: Array, t: Array) -> tuple[Array, Array]:
        raise NotImplementedError

    def axis(self, y: Array) -> int:
        """The axis of y (columns) that holds one value for each class."""
        return 0

    def as_target(self, target: Any, y: Array) -> Array:
        """The target as an array to compare with y (columns).

        Raises ShapeError or DataError if it does not fit y.
        """
        return as_labels(self, target, y) if self.takes_labels else as_values(self, target, y)


def _square(delta: Array) -> Array:
    """Σ δ² in one pass.

    Not `vdot`, which conjugates: a gradient check by complex step needs C to be
    analytic.
    """
    flat = delta.reshape(-1)
    return inner(flat, flat)


@dataclass(frozen=True)
class MSELoss(Loss):
    """C = mean over all elements of (y − t)², with ∂C/∂y = 2 (y − t)/(K N).

    With reduction "sum", neither of the two is divided by K N.
    """

    reduction: Literal["mean", "sum"] = "mean"

    def __post_init__(self) -> None:
        checks.choice("MSELoss", "reduction", self.reduction, ("mean", "sum"))

    @property
    def averages(self) -> bool:
        return self.reduction == "mean"

    def forward(self, y: Array, t: Array) -> tuple[Array, Array]:
        scale = 1.0 / y.size if self.reduction == "mean" else 1.0
        delta = y - t
        value = _square(delta) * scale
        delta *= 2 * scale
        return value, delta


@dataclass(frozen=True)
class QuadraticCost(Loss):
    """C = 1/(2n) Σ ‖t − a‖², ∇ₐC = (a − t)/n, where n is the number of examples.

    Source: Nielsen, chapter 1, eq. 6.
    """

    def forward(self, a: Array, t: Array) -> tuple[Array, Array]:
        n = a.shape[-1]
        delta = a - t
        value = _square(delta) * (0.5 / n)
        delta *= 1.0 / n
        return value, delta


@dataclass(frozen=True)
class ClassLoss(Loss):
    """A loss over classes: the target is the number of the right class.

    There is one target for every example, or one for every position within it. The
    classes are on axis 1 of the output, as in PyTorch: (N, K) with labels (N,), or
    images (N, K, H, W) with labels (N, H, W). With classes="last" they are on the last
    axis: sequences (N, T, K), as a Linear after a recurrent layer returns them, with
    labels (N, T). The only reduction is "mean". Raises SettingError for any other
    value.
    """

    classes: Literal["first", "last"] = field(default="first", kw_only=True)
    reduction: Literal["mean"] = field(default="mean", kw_only=True)

    takes_labels: ClassVar[bool] = True

    def __post_init__(self) -> None:
        checks.choice(type(self).__name__, "classes", self.classes, ("first", "last"))
        checks.choice(type(self).__name__, "reduction", self.reduction, ("mean",))

    def axis(self, y: Array) -> int:
        return 0 if self.classes == "first" else y.ndim - 2

    def classes_in(self, output: tuple[int, ...]) -> int:
        """How many classes an output of this shape tells apart, without the batch."""
        return output[0 if self.classes == "first" else -1]

    def own(self, y: Array, t: Array) -> tuple[Any, ...]:
        """The index into y (columns) of every true class."""
        xp, n = xp_of(y), t.ndim
        if n == 1:
            return t, xp.arange(t.shape[0])
        index = [xp.arange(size).reshape(-1, *(1,) * (n - 1 - k)) for k, size in enumerate(t.shape)]
        index.insert(self.axis(y), t)
        return tuple(index)


@dataclass(frozen=True)
class NLLLoss(ClassLoss):
    """C = −mean of y[t], the negative log likelihood; ∂C/∂y = −1/N at the true class.

    y holds log-probabilities. `ClassLoss` says on which axis the classes are.
    """

    def forward(self, y: Array, t: Array) -> tuple[Array, Array]:
        xp, own = xp_of(y), self.own(y, t)
        value = y[own].sum() * (-1.0 / t.size)
        delta = xp.zeros_like(y)
        delta[own] = -1.0 / t.size
        return value, delta


@dataclass(frozen=True)
class CrossEntropyLoss(ClassLoss):
    """C = −mean of ln softmax(z)[t], for logits z; ∂C/∂z = (softmax(z) − onehot(t))/N.

    The σ′ of BP1 has cancelled. Equal to NLLLoss after LogSoftmax. `ClassLoss` says on
    which axis the classes are.
    Source: C. Bishop, Pattern Recognition and Machine Learning (2006), eq. 4.109.
    """

    def forward(self, z: Array, t: Array) -> tuple[Array, Array]:
        xp, own, axis = xp_of(z), self.own(z, t), self.axis(z)
        shifted = z - z.max(axis=axis, keepdims=True)
        delta = xp.exp(shifted)
        total = delta.sum(axis=axis, keepdims=True)
        mean = 1.0 / t.size
        value = (xp.log(total).sum() - shifted[own].sum()) * mean
        # rounded as `mean` is below, so that the two cancel exactly in sums of δ
        total /= mean
        delta /= total
        delta[own] -= mean
        return value, delta
