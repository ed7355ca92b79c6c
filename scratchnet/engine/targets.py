"""What a user gives a loss becomes arrays that it can compare.

Letters as in losses.py: y output in columns (K, N), t target (N, K) or labels (N,).
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from scratchnet.backend.arrays import Array, xp_of
from scratchnet.engine import checks
from scratchnet.errors import DataError, ShapeError

if TYPE_CHECKING:
    from scratchnet.engine.losses import Loss

#: The precisions that the engine computes in
FLOATS = frozenset({np.dtype(np.float32), np.dtype(np.float64)})
#: The unsigned type of the same size for each type of label, in native byte order
UNSIGNED = {np.dtype(f"{sign}{size}"): np.dtype(f"u{size}") for sign in "iu" for size in (1, 2, 4, 8)}


def as_output(loss: "Loss", output: Any) -> Array:
    """The output as float32, or as float64 where float32 cannot hold it."""
    if type(output) is np.ndarray and output.dtype in FLOATS:
        return output
    y = checks.array(type(loss).__name__, "the output", output)
    return y if y.dtype in FLOATS else y.astype("f4" if np.can_cast(y.dtype, "f4") else "f8")


def as_values(loss: "Loss", target: Any, y: Array) -> Array:
    """The target (N, K) as numbers of the same type as y, and on its device."""
    need_numbers(loss, y)
    xp, t = xp_of(y), target
    if type(t) is not xp.ndarray or t.dtype != y.dtype:
        t = checks.examples(type(loss).__name__, "the target", target, y.real.dtype, xp)
    if t.shape != batch_first(y):
        raise ShapeError(f"{type(loss).__name__}: the target has shape {t.shape}, the output {batch_first(y)}")
    return t


def as_labels(loss: "Loss", target: Any, y: Array) -> Array:
    """The labels as whole numbers, each of which names one of the classes of y."""
    need_numbers(loss, y)
    xp, t = xp_of(y), target
    if type(t) is not xp.ndarray or t.dtype not in UNSIGNED:
        t = checks.array(type(loss).__name__, "the labels", target, xp)
        t = t.astype(np.uint8) if t.dtype.kind == "b" else t
    if y.ndim < 2:
        raise ShapeError(f"{type(loss).__name__} takes an output (N, K) with K classes, but is given {y.shape}")
    axis, shape = loss.axis(y), batch_first(y)
    if t.dtype.kind not in "iu" or t.shape != shape[: axis + 1] + shape[axis + 2 :]:
        raise unfit(loss, t, y)
    # read as unsigned, a negative label is a huge one: one comparison instead of two
    if xp is np and t.view(UNSIGNED[t.dtype]).max() >= y.shape[axis]:
        raise out_of_range(t, y.shape[axis])
    return t


def out_of_range(labels: Array, K: int) -> DataError:
    """The error for labels of which one is below 0 or not below K, for K classes."""
    wrong = labels[(labels < 0) | (labels >= K)].ravel()[0]
    from_one = int(labels.min()) == 1 and int(labels.max()) == K
    hint = f"; the labels go from 1 to {K}, but the first class is 0: subtract 1" if from_one else ""
    return DataError(f"label {int(wrong)} is out of range: the network has {K} outputs{hint}")


def need_numbers(loss: "Loss", y: Array) -> None:
    """Raise ShapeError for a batch without examples or outputs."""
    if y.ndim == 0 or y.size == 0:
        raise ShapeError(f"{type(loss).__name__}: a batch needs at least one example and one output")


def batch_first(y: Array) -> tuple[int, ...]:
    """The shape that users see of an output y in columns."""
    return (y.shape[-1], *y.shape[:-1])


def unfit(loss: "Loss", t: Array, y: Array) -> ShapeError:
    """The error for labels that do not fit y, in shape or in type."""
    name, shape, axis = type(loss).__name__, batch_first(y), 1 + loss.axis(y)
    text = (
        f"{name} takes whole-number labels of shape {shape[:axis] + shape[axis + 1 :]} for an output of {shape}, "
        f"but is given {t.dtype} of shape {t.shape}"
    )
    if axis == 1 and y.ndim > 2 and t.shape == shape[:-1]:
        text += f'; for sequences (N, T, K), with the classes last, take {name}(classes="last")'
    return ShapeError(text)
