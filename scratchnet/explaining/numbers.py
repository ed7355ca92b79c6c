"""The formula of any number of a trace: an output, a δ or a gradient of any layer.

These are pure functions of a trace, for whoever shows numbers. Indices are those of one
example, in PyTorch's order: (unit,) of a vector, (channel, row, column) of an image,
(time, unit) of a sequence.

>>> trace = net.trace(x, target, loss)
>>> gradient_formula(trace, 0, "weight", (8, 425)).numbers()
'-0.6935·1 = -0.6935'
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from scratchnet.engine import checks
from scratchnet.engine.layers import Dropout, Embedding, Flatten, Linear, LogSoftmax, Softmax
from scratchnet.engine.layers.base import Layer
from scratchnet.engine.layers.conv import Convolution
from scratchnet.engine.layers.norm import BatchNorm
from scratchnet.engine.layers.pool import Pool
from scratchnet.engine.layers.recurrent import Recurrent
from scratchnet.engine.trace import LayerTrace, Trace
from scratchnet.errors import SettingError
from scratchnet.explaining import activations, embedding, images, linear, others, recurrent
from scratchnet.explaining.formula import Asked, Formula
from scratchnet.explaining.losses import loss_delta


class _Family(NamedTuple):
    """How the numbers of a kind of layer are explained."""

    output: Callable[[Asked], Formula]
    back: Callable[[Asked], Formula]
    gradient: Callable[[Asked, str], Formula] = others.own_gradient


_FAMILIES: dict[type[Layer], _Family] = {
    Linear: _Family(linear.output, linear.back, linear.gradient),
    Embedding: _Family(embedding.output, embedding.back, embedding.gradient),
    Convolution: _Family(images.output, images.back, images.gradient),
    Pool: _Family(images.pool_output, images.pool_back),
    Recurrent: _Family(recurrent.output, recurrent.back, recurrent.gradient),
    BatchNorm: _Family(others.norm_output, others.norm_back, others.norm_gradient),
    Dropout: _Family(others.dropout_output, others.dropout_back),
    Flatten: _Family(others.flatten_output, others.flatten_back),
    **{kind: _Family(activations.output, activations.back) for kind in (*activations.ACTIVATIONS, Softmax, LogSoftmax)},
}
_OWN = _Family(others.own_output, others.own_back)


def output_formula(trace: Trace, layer: int, index: Sequence[int], example: int = 0) -> Formula:
    """output[example, index] of layer number `layer`.

    Raises SettingError if there is no such number.
    """
    part = _part(trace, layer)
    return _family(part).output(_asked(trace, part, "output", part.output, index, example))


def delta_formula(trace: Trace, layer: int, index: Sequence[int], example: int = 0) -> Formula:
    """δ[example, index] = ∂C/∂output of layer number `layer`; −1 stands for x.

    Raises SettingError if there is no such number.
    """
    layer = checks.whole("explain", "the layer", layer + 1, 0, len(trace.layers)) - 1
    rows = trace.layers[layer].delta if layer >= 0 else trace.dx
    if layer == len(trace.layers) - 1:
        of = _asked(trace, trace.layers[layer], "delta", rows, index, example)
        return loss_delta(trace, of.index, of.example, of.value)
    after = trace.layers[layer + 1]
    return _family(after).back(_asked(trace, after, "delta", rows, index, example))


def gradient_formula(trace: Trace, layer: int, parameter: str, index: Sequence[int]) -> Formula:
    """∂C/∂parameter[index] of layer number `layer`: BP3 for a bias, BP4 for a weight.

    Raises SettingError if there is no such number.
    """
    part = _part(trace, layer)
    parameter = parameter.removeprefix(f"{part.index}.")
    if parameter not in part.gradients:
        there = ", ".join(part.gradients) or "none"
        raise SettingError(f"explain: layer {part.name} has no parameter {parameter!r}; there are: {there}")
    of = _asked(trace, part, parameter, part.gradients[parameter][None], index, 0)
    return _family(part).gradient(of, parameter)


def time_formula(trace: Trace, layer: int, t: int, name: str, unit: int, example: int = 0) -> Formula:
    """One number of a recurrent layer at one time step, by its letter.

    This is a gate, c, h, or a δ such as "delta_f"; the letters are those of `Time`.
    Raises SettingError.
    """
    part = _part(trace, layer)
    if not isinstance(part.layer, Recurrent):
        raise SettingError(f"explain: layer {part.name} is not recurrent, so it has no times")
    t = checks.whole("explain", "the time", t, 0, len(part.times) - 1)
    values = part.times[t][name if name in part.times[t] else "h"]
    of = _asked(trace, part, f"{name} at a time", values, (unit,), example)
    return recurrent.at_time(Asked(trace, part, (t, *of.index), of.example, of.value), name)


def _part(trace: Trace, layer: int) -> LayerTrace:
    return trace.layers[checks.whole("explain", "the layer", layer, 0, len(trace.layers) - 1)]


def _family(part: LayerTrace) -> _Family:
    """Of this kind of layer; a subclass of one's own may compute something else."""
    known = type(part.layer).__module__.startswith("scratchnet.")
    return next((family for kind, family in _FAMILIES.items() if known and isinstance(part.layer, kind)), _OWN)


def _asked(trace: Trace, part: LayerTrace, what: str, rows: np.ndarray, index: Sequence[int], example: int) -> Asked:
    """rows[example, index], with its place.

    Raises SettingError if there is no such number.
    """
    sizes = rows.shape[1:]
    if len(index) != len(sizes):
        raise SettingError(
            f"explain: one number of {what} has {len(sizes)} indices, in {list(sizes)}, not {list(index)}"
        )
    example = checks.whole("explain", "the example", example, 0, len(rows) - 1)
    at = tuple(checks.whole("explain", f"an index of {what}", k, 0, size - 1) for k, size in zip(index, sizes))
    return Asked(trace, part, at, example, float(rows[(example, *at)]))
