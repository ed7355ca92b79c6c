"""The published networks for pictures of 28 x 28 pixels and ten classes.

Beside each stand its loss, and how pixels and classes become numbers. The recipes for
training them are the presets of mnist.py.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from scratchnet.engine.layers import (
    BatchNorm2d,
    Conv2d,
    Dropout,
    Flatten,
    Layer,
    Linear,
    LogSoftmax,
    MaxPool2d,
    ReLU,
    Sigmoid,
)
from scratchnet.engine.losses import CrossEntropyLoss, Loss, MSELoss, NLLLoss, QuadraticCost

#: The layers, from the sizes of the hidden ones and the share of their neurons to drop
Build = Callable[[Sequence[int], float], list[Layer]]


class Recipe(NamedTuple):
    """What defines a published network beyond the options."""

    network: Build
    loss: Callable[[], Loss]
    pixels: tuple[float, float] = (1.0, 0.0)  # scale and shift: the input is pixel/255 · scale + shift
    targets: tuple[float, float] | None = None  # values for a wrong and the right class; None for labels
    shape: tuple[int, ...] = (784,)  # of one example, as the network takes it


def _hidden(
    n_in: int, hidden: Sequence[int], activation: type[Layer] = ReLU, bias: bool = True, dropout: float = 0.0
) -> list[Layer]:
    """Hidden layers of these sizes, with one activation throughout, and the output."""
    layers: list[Layer] = []
    for n_out in hidden:
        layers += [Linear(n_in, n_out, bias), activation(), *([Dropout(dropout)] if dropout else [])]
        n_in = n_out
    return [*layers, Linear(n_in, 10, bias)]


def _mlp(activation: type[Layer], last: type[Layer] | None = None, bias: bool = True) -> Build:
    """A builder of 784-hidden-...-10 networks."""

    def build(hidden: Sequence[int], dropout: float) -> list[Layer]:
        return _hidden(784, hidden, activation, bias, dropout) + ([last()] if last else [])

    return build


def _fcn2(hidden: Sequence[int], dropout: float) -> list[Layer]:
    first, second = hidden
    return [Linear(784, first), Sigmoid(), Linear(first, second), ReLU(), Linear(second, 10), LogSoftmax()]


def _sprint(hidden: Sequence[int], dropout: float) -> list[Layer]:
    # A stride of 2 takes the place of pooling: a quarter of the places, and nothing is
    # computed that is thrown away. The first convolution has no padding, because the
    # edges of the images are empty.
    return [Conv2d(1, 16, 5, 2, bias=False), BatchNorm2d(16), ReLU(),
            Conv2d(16, 48, 3, 2, 1, bias=False), BatchNorm2d(48), ReLU(),
            Flatten(), *_hidden(48 * 6 * 6, hidden)]  # fmt: skip


def _cnn(hidden: Sequence[int], dropout: float) -> list[Layer]:
    return [Conv2d(1, 6, 4), ReLU(), MaxPool2d(2, padding=1), Conv2d(6, 16, 2), ReLU(), MaxPool2d(2, padding=1),
            Flatten(), *_hidden(784, hidden)]  # fmt: skip


MEAN, STD = 0.1307, 0.3081  # of the pixels of the training images, from 0 to 1

RECIPES = {
    "default": Recipe(_mlp(ReLU), CrossEntropyLoss, (1 / STD, -MEAN / STD)),
    "book": Recipe(_mlp(Sigmoid, Sigmoid, bias=False), lambda: MSELoss("sum"), (0.99, 0.01), (0.01, 0.99)),
    "zero-to-gans": Recipe(_mlp(ReLU), CrossEntropyLoss),
    "logistic": Recipe(_mlp(ReLU), CrossEntropyLoss),
    "relu": Recipe(_mlp(ReLU), CrossEntropyLoss),
    "two-hidden": Recipe(_mlp(ReLU), CrossEntropyLoss),
    "fcn": Recipe(_mlp(Sigmoid, LogSoftmax), NLLLoss, (2.0, -1.0)),
    "fcn2": Recipe(_fcn2, NLLLoss, (2.0, -1.0)),
    "quadratic": Recipe(_mlp(Sigmoid, Sigmoid), QuadraticCost, targets=(0.0, 1.0)),
    "cnn": Recipe(_cnn, CrossEntropyLoss, (2.0, -1.0), shape=(1, 28, 28)),
    "sprint": Recipe(_sprint, CrossEntropyLoss, (1 / STD, -MEAN / STD), shape=(1, 28, 28)),
}
