"""One derivative three ways, and what one step of descent with it does to the loss.

Letters: C loss, w one number of one parameter, g = ∂C/∂w, h step of the difference, η
learning rate.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scratchnet.engine.differences import H, float64_copy
from scratchnet.engine.layers import Sequential
from scratchnet.engine.losses import Loss
from scratchnet.engine.trace import Trace
from scratchnet.explaining import pytorch

ETA = 0.01  # of the one step: small, so that what the derivative foretells comes true


@dataclass(frozen=True)
class ThreeWays:
    """∂C/∂w by hand, as a central difference and by PyTorch (or why not, in words); and
    one step w ← w − η ∂C/∂w.

    `loss_after` is C when this number alone has moved, `foretold` = C − η g² what the
    derivative promises, and `all_after` is C when every parameter has made its step.
    """

    name: str  # of the parameter, as in state_dict
    index: tuple[int, ...]
    weight: float
    by_hand: float
    central_difference: float
    pytorch: float | str
    loss: float
    weight_after: float
    loss_after: float
    foretold: float
    all_after: float

    @property
    def text(self) -> str:
        """The followed number, as it is written: 0.weight[8,425]"""
        return f"{self.name}[{','.join(map(str, self.index))}]"

    def as_dict(self) -> dict[str, Any]:
        """What `explain --json` prints; `weight` is the layer and the place in it."""
        layer, parameter = self.name.split(".")
        return {
            "weight": [int(layer), *self.index],
            "parameter": parameter,
            "value": self.weight,
            "by_hand": self.by_hand,
            "central_difference": self.central_difference,
            "pytorch": self.pytorch if isinstance(self.pytorch, float) else None,
            "learning_rate": ETA,
            "loss": self.loss,
            "loss_after": self.loss_after,
            "foretold": self.foretold,
            "loss_after_step_of_all": self.all_after,
        }


def three_ways(net: Sequential, trace: Trace, layer: int, parameter: str, index: Sequence[int]) -> ThreeWays:
    """For a network in float64, and the trace of it (as at inference) that says C and
    g; changes nothing.
    """
    x, target, loss = trace.layers[0].input, trace.target, trace.loss_function
    name, at = f"{layer}.{parameter}", tuple(map(int, index))
    moved = float64_copy(net)
    w = moved.params[name].value
    weight, g = float(w[at]), float(trace.gradients[name][at])

    def C(value: float) -> float:
        w[at] = value
        return _cost(moved, x, target, loss)

    central = (C(weight + H) - C(weight - H)) / (2 * H)
    after = C(weight - ETA * g)
    w[at] = weight
    for other, gradient in trace.gradients.items():
        moved.params[other].value[...] -= ETA * gradient
    return ThreeWays(
        name, at, weight, g, central, pytorch.derivative(net, x, target, loss, name, at),
        trace.loss, weight - ETA * g, after, trace.loss - ETA * g * g, _cost(moved, x, target, loss),
    )  # fmt: skip


def _cost(net: Sequential, x: np.ndarray, target: np.ndarray, loss: Loss) -> float:
    return float(net.cost(x, target, loss)[0])
