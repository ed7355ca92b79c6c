"""One training step, and many of them in a row.

Letters: N examples in a batch, n examples in all; C the loss, δ = ∂C/∂y.
"""

import math
from typing import Any

import numpy as np

from scratchnet.backend.arrays import Array
from scratchnet.backend.sparse import dense, length
from scratchnet.backend.threads import threads_for
from scratchnet.engine import checks
from scratchnet.engine.columns import to_columns
from scratchnet.engine.door import check_parts
from scratchnet.engine.layers.sequential import Sequential, Visit
from scratchnet.engine.losses import Loss
from scratchnet.engine.optim import Optimiser
from scratchnet.errors import NonFiniteError

# Floating-point warnings are off: the step checks the loss itself, and BLAS sometimes
# warns about intermediate values.
QUIET: dict[str, Any] = {"over": "ignore", "invalid": "ignore", "divide": "ignore"}


@np.errstate(**QUIET)
def step(net: Sequential, loss: Loss, optimiser: Optimiser, x: Any, target: Any, visit: Visit | None = None) -> Any:
    """One training step on a batch (batch first); returns the loss before it.

    Raises NonFiniteError, with the weights unchanged, if that loss is NaN or infinite.
    (On a GPU the step does not wait for the value: it returns it on the device,
    unchecked.) Raises SettingError for the optimiser of another network. `visit` is
    that of `Sequential.walk`.
    """
    check_parts("step", net, loss, optimiser)
    x = net.as_input(x)
    with threads_for(net.work, x):
        value, delta, _, caches = net.cost(x, target, loss, optimiser, visit)
        if net.xp is np and not math.isfinite(value):
            raise NonFiniteError(describe_non_finite(net, x, float(value), optimiser.steps + 1))
        net.backward(delta, caches, optimiser)
        optimiser.update()
    return value


def describe_non_finite(net: Sequential, x: Any, value: float, number: int) -> str:
    """The message that says where in the network NaN or infinity first appears."""
    xp, a = net.xp, to_columns(dense(net.as_input(x)))
    where = "in the loss itself: the outputs are finite"
    if not xp.isfinite(a).all():
        where = "already in the input"
    else:
        for layer, (y, _) in zip(net.layers, net.walk(a), strict=True):
            if not xp.isfinite(y).all():
                where = f"first in layer {net.layers.index(layer)}, {layer}"
                break
    return f"the loss became {value} at step {number}: {where}; try a smaller learning rate or --clip-norm 1"


class Steps:
    """Training steps in a row: `step` on one batch of x and target after another.

    >>> steps.begin(order, losses)  # the order of the examples, and where losses go
    >>> steps.run(100)  # makes up to a hundred steps, and returns how many

    Subclasses make the same steps in other ways: in compiled loops, as recorded CUDA
    graphs, along sequences, or shared among processes.
    """

    how: str = "one at a time"

    def __init__(
        self, net: Sequential, loss: Loss, optimiser: Optimiser, x: Any, target: Any, batch_size: int = 1
    ) -> None:
        self.net, self.loss, self.optimiser, self.batch_size = net, loss, optimiser, batch_size
        self.x, self.target = self.as_data(x), checks.array("fit", "the target", target, net.xp)
        checks.same_number("fit", self.x, self.target)
        self.examples = length(self.x)

    def as_data(self, x: Any) -> Array:
        """The examples as an array that `batch` can take its batches from."""
        return self.net.as_input(x)

    def some(self, n: int = 1) -> tuple[Array, Array]:
        """(x, target) of the first examples, n at most, as the network takes them."""
        return self.x[:n], self.target[:n]

    def work(self) -> float:
        """Floating-point operations of a step's largest product.

        The number of threads is chosen by it.
        """
        return self.net.work(self.x, self.batch_size)

    def agree(self, settings: dict[str, Any]) -> None:
        """Called before the first step, with what all processes must have in common."""

    def begin(self, order: Array, losses: Array, at: int = 0) -> None:
        """Begin an epoch: step k takes batch k of this order and writes losses[k].

        The first step to be made is number `at`.
        """
        self.order, self.losses, self.at = order, losses, at

    def run(self, n: int) -> int:
        """Make the next steps, at most n; returns how many.

        Raises NonFiniteError; that step then changes nothing.
        """
        self.losses[self.at] = self.make(self.at)
        self.at += 1
        return 1

    def make(self, k: int) -> Any:
        """Make step k of the epoch; returns its loss."""
        return step(self.net, self.loss, self.optimiser, *self.batch(k))

    def size(self, k: int) -> int:
        """The number of examples in batch k."""
        return min(self.batch_size, len(self.order) - k * self.batch_size)

    def batch(self, k: int, part: slice = slice(None)) -> tuple[Array, Array]:
        """(x, target) of batch k, or of a part of it."""
        chosen = self.order[k * self.batch_size : (k + 1) * self.batch_size][part]
        return self.x[chosen], self.target[chosen]

    def end(self) -> None:
        """Called when the training is over, in whatever way."""

    def state(self) -> dict[str, Array]:
        """What the next step depends on, besides weights, optimiser and data."""
        return {}

    def restore(self, state: dict[str, Array]) -> None:
        """Continue, after `begin`, from what `state` returned."""
