"""What layers that follow each other must agree on: shapes, and who may overwrite what.

Shapes are those of one example, without the batch.
"""

from collections.abc import Sequence

from scratchnet.engine.layers.base import Layer, Shape
from scratchnet.engine.layers.linear import Flatten
from scratchnet.engine.layers.norm import BatchNorm
from scratchnet.errors import SettingError, ShapeError

Layers = Sequence[Layer]


def shapes_through(layers: Layers, shape: Shape) -> list[Shape]:
    """The shape before every layer and after the last.

    Raises ShapeError if a layer cannot take it.
    """
    shapes = [tuple(shape)]
    for i in range(len(layers)):
        shapes.append(_shape_after(layers, i, shapes[-1]))
    return shapes


def _shape_after(layers: Layers, i: int, shape: Shape) -> Shape:
    try:
        return layers[i].output_shape(shape)
    except ShapeError as e:
        raise ShapeError(f"layer {i}: {e}") from None


def check_neighbours(layers: Layers) -> None:
    """Find layers that cannot fit together, where the first tells its input.

    Raises ShapeError, and SettingError for indices in the middle of a network.
    """
    for i, layer in enumerate(layers):
        if layer.takes_indices and i > 0:
            raise SettingError(f"layer {i}, {layer}, takes indices: it must be the first layer of a network")
    shape = layers[0].input_shape()
    if shape is None:
        return
    indices = layers[0].takes_indices
    over_time = indices or any(layer.over_time for layer in layers)
    shape = (1, shape[-1]) if over_time and not indices else shape
    for i, layer in enumerate(layers):
        if over_time and isinstance(layer, (Flatten, BatchNorm)):
            return  # these fit a T that only x reveals
        shape = _shape_after(layers, i, shape)


def operations_of(layers: Layers, shape: Shape) -> tuple[float, float]:
    """Floating-point operations per example: the first layer's, and the most of others.

    Only the first layer may have sparse input, for which there are fewer.
    """
    first, *later = [float(layer.operations(s)) for layer, s in zip(layers, shapes_through(layers, shape))]
    return first, max(later, default=0.0)


def may_overwrite(layers: Layers) -> list[bool]:
    """For every layer, whether it may overwrite its input with its output."""
    allowed, owned = [], False  # the user's x must not be overwritten
    for layer in layers:
        allowed.append(owned and layer.writes_in_place)
        if layer.output_is != "view":
            owned = layer.output_is == "fresh"
    return allowed
