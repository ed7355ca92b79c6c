"""One derivative from three sides: by hand, as a difference of C, and by PyTorch.

Letters: C loss, w a parameter, h step of the difference.
"""

from typing import Any

import numpy as np

from scratchnet.engine.differences import H, float64_copy
from scratchnet.engine.layers import Sequential
from scratchnet.engine.losses import Loss
from scratchnet.explaining import pytorch
from scratchnet.playing.plain import number

AGREE = 1e-5  # of the larger of two derivatives, or of 10⁻⁴ if they are smaller


def check(net: Sequential, x: np.ndarray, target: np.ndarray, loss: Loss, name: str, index: Any) -> dict[str, Any]:
    """∂C/∂(parameter `name`)[index] three times, and whether they agree."""
    net, x = float64_copy(net), x.astype(np.float64)
    if target.dtype.kind == "f":
        target = target.astype(np.float64)
    by_hand = float(net.trace(x, target, loss, training=False).gradients[name][index])
    torch = pytorch.derivative(net, x, target, loss, name, index)
    w = net.params[name].value
    before = float(w[index])

    def C(value: float) -> float:
        w[index] = value
        return float(net.cost(x, target, loss)[0])

    difference = (C(before + H) - C(before - H)) / (2 * H)
    others = [difference] if isinstance(torch, str) else [difference, torch]
    largest = max(abs(by_hand), *map(abs, others), 1e-4)
    return {
        "by_hand": number(by_hand),
        "difference": number(difference),
        "torch": torch if isinstance(torch, str) else number(torch),
        "agree": all(abs(by_hand - other) <= AGREE * largest for other in others),
    }
