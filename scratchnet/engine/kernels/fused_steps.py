"""Steps of a network in which layers that stand next to each other are joined.

`joined` gives a network's twin with the same parameters: Conv2d, ReLU and MaxPool2d in
a row are one layer there (fused.py), and so are batch normalisation and a ReLU after
it. All other layers are as they are.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from scratchnet.backend.arrays import Array
from scratchnet.engine.kernels.parts import take_compiled_parts
from scratchnet.engine.layers import BatchNorm1d, BatchNorm2d, Conv2d, ConvTranspose2d, MaxPool2d, ReLU, Sequential
from scratchnet.engine.layers.base import Layer
from scratchnet.engine.steps import Steps, step
from scratchnet.errors import NonFiniteError

#: The classes of layers in a row that are joined, and the class in fused.py that does
#: their work, the longest first
PATTERNS: dict[tuple[type[Layer], ...], str] = {
    (Conv2d, ReLU, MaxPool2d): "ConvolvedAndPooled",
    (BatchNorm2d, ReLU): "Normalised",
    (BatchNorm1d, ReLU): "Normalised",
    (BatchNorm2d,): "Normalised",
    (BatchNorm1d,): "Normalised",
}


def groups(net: Sequential) -> Iterator[tuple[str | None, tuple[Layer, ...]]]:
    """The layers, those together that are joined, with the name of what joins them."""
    rest = net.layers
    while rest:
        kinds = tuple(type(layer) for layer in rest)
        found = next((pattern for pattern in PATTERNS if kinds[: len(pattern)] == pattern), None)
        n = len(found) if found else 1
        yield (PATTERNS[found] if found else None), rest[:n]
        rest = rest[n:]


def can_be_joined(net: Sequential) -> bool:
    """Whether these steps are of use: there are images that are convolved."""
    return any(type(layer) in (Conv2d, ConvTranspose2d) for layer in net.layers)


def joined(net: Sequential) -> Sequential:
    """A twin of the network, with its parameters and with layers that are joined."""
    from scratchnet.engine.kernels import fused

    layers = [layer for name, some in groups(net) for layer in ([getattr(fused, name)(*some)] if name else some)]
    return net.with_layers(*layers)


class FusedSteps(Steps):
    """`Steps`, with layers joined and in loops that Numba compiles."""

    how = "one at a time, with layers joined"

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        take_compiled_parts(self.optimiser)
        self.twin = joined(self.net)

    def batch(self, k: int, part: slice = slice(None)) -> tuple[Array, Array]:
        """As in `Steps`; in memory the examples are columns, as layers want them."""
        from scratchnet.engine.kernels.products import turn_some

        chosen = self.order[k * self.batch_size : (k + 1) * self.batch_size][part]
        shape = self.x.shape[1:]
        columns = self.optimiser.buffer("batch", (*shape, len(chosen)), self.x.dtype, np)
        turn_some(self.x.reshape(self.examples, -1), chosen, columns.reshape(-1, len(chosen)))
        return columns.transpose(len(shape), *range(len(shape))), self.target[chosen]

    def make(self, k: int) -> Any:
        try:
            return step(self.twin, self.loss, self.optimiser, *self.batch(k))
        except NonFiniteError:  # the network itself can say in which of its layers
            return step(self.net, self.loss, self.optimiser, *self.batch(k))
