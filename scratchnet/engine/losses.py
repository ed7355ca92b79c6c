"""Losses. Each returns the value C and δ = ∂C/∂y together: the loss owns the ∇ₐC that BP1 starts from.

Letters: y output of the network (K, N), t target (K, N) or labels (N,), K classes, N examples. Inside, examples are
columns; `loss(output, target)` takes and gives PyTorch's shapes, batch first.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from scratchnet.backend.arrays import Array, xp_of
from scratchnet.engine.columns import to_columns, to_rows
from scratchnet.errors import DataError, SettingError, ShapeError


class Loss:
    """C(y, t) for a batch: a value and its derivative with respect to y."""

    takes_labels: ClassVar[bool] = False  # whole numbers (N,), not values (N, K)

    @property
    def averages(self) -> bool:
        """Whether C is a mean over the examples, so that the losses of parts combine by their shares."""
        return True

    def __call__(self, output: Array, target: Any) -> tuple[Array, Array]:
        """(C, ∂C/∂output) for an output and a target with the batch first."""
        value, delta = self.forward(to_columns(output), to_columns(self.as_target(target, to_columns(output))))
        return value, to_rows(delta)

    def forward(self, y: Array, t: Array) -> tuple[Array, Array]:
        raise NotImplementedError

    def as_target(self, target: Any, y: Array) -> Array:
        """The target as an array beside y (columns); raises ShapeError or DataError if it cannot belong to it."""
        xp = xp_of(y)
        expected = (y.shape[-1], *y.shape[:-1])
        if self.takes_labels:
            t = target if type(target) is xp.ndarray else xp.asarray(target)
            expected = expected[:-1]
            if t.shape != expected or t.dtype.kind not in "iu":
                raise ShapeError(
                    f"{type(self).__name__} takes whole-number labels of shape {expected} for an output of "
                    f"{(y.shape[-1], *y.shape[:-1])}, but is given {t.dtype} of shape {t.shape}"
                )
            # seen as unsigned, a negative label is a huge one: one comparison instead of two
            if xp.__name__ == "numpy" and t.size and t.view(f"u{t.itemsize}").max() >= y.shape[-2]:
                wrong = t[(t < 0) | (t >= y.shape[-2])].flat[0]
                raise DataError(f"label {wrong} is out of range: the network has {y.shape[-2]} outputs")
            return t
        t = target if type(target) is xp.ndarray and target.dtype == y.dtype else xp.asarray(target, dtype=y.dtype)
        if t.shape != expected:
            raise ShapeError(f"{type(self).__name__}: the target has shape {t.shape}, the output {expected}")
        return t


def _square(delta: Array) -> Array:
    """Σ δ² in one pass. Not vdot, which conjugates: a gradient check by complex step needs C to be analytic."""
    flat = delta.reshape(-1)
    return flat.dot(flat)


@dataclass(frozen=True)
class MSELoss(Loss):
    """C = mean over all elements of (y − t)², ∂C/∂y = 2 (y − t)/(K N); with reduction "sum", neither is divided."""

    reduction: Literal["mean", "sum"] = "mean"

    def __post_init__(self) -> None:
        if self.reduction not in ("mean", "sum"):
            raise SettingError(f"MSELoss: reduction must be mean or sum, not {self.reduction!r}")

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
    """C = 1/(2n) Σ ‖t − a‖², ∇ₐC = (a − t)/n, with n the number of examples. Source: Nielsen, chapter 1, eq. 6."""

    def forward(self, a: Array, t: Array) -> tuple[Array, Array]:
        n = a.shape[-1]
        delta = a - t
        value = _square(delta) * (0.5 / n)
        delta *= 1.0 / n
        return value, delta


def _pick(y: Array, t: Array) -> tuple[Any, ...]:
    """The index of each example's own class in y: (K, N) and labels (N,), or (T, K, N) and (T, N)."""
    xp = xp_of(y)
    if y.ndim == 2:
        return t, xp.arange(t.shape[0])
    return xp.arange(t.shape[0])[:, None], t, xp.arange(t.shape[1])


@dataclass(frozen=True)
class NLLLoss(Loss):
    """C = −mean of y[t], the negative log likelihood, for log-probabilities y; ∂C/∂y = −1/N at the true class."""

    takes_labels: ClassVar[bool] = True

    def forward(self, y: Array, t: Array) -> tuple[Array, Array]:
        xp, own = xp_of(y), _pick(y, t)
        value = y[own].sum() * (-1.0 / t.size)
        delta = xp.zeros_like(y)
        delta[own] = -1.0 / t.size
        return value, delta


@dataclass(frozen=True)
class CrossEntropyLoss(Loss):
    """C = −mean of ln softmax(z)[t], for logits z; ∂C/∂z = (softmax(z) − onehot(t))/N. The σ′ has cancelled.

    Equal to NLLLoss of LogSoftmax. Source: C. Bishop, Pattern Recognition and Machine Learning (2006), eq. 4.109.
    """

    takes_labels: ClassVar[bool] = True

    def forward(self, z: Array, t: Array) -> tuple[Array, Array]:
        xp, own = xp_of(z), _pick(z, t)
        shifted = z - z.max(axis=-2, keepdims=True)
        delta = xp.exp(shifted)
        total = delta.sum(axis=-2, keepdims=True)
        mean = 1.0 / t.size
        value = (xp.log(total).sum() - shifted[own].sum()) * mean
        total /= mean  # rounded as below, so that what softmax(z) and onehot(t) have in common cancels in sums of δ
        delta /= total
        delta[own] -= mean
        return value, delta
