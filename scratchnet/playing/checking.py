"""One derivative from three sides: by hand, as a difference of C, and by PyTorch.

Letters: C loss, w a parameter, h step of the difference.
"""

import importlib
import importlib.util
from typing import Any

import numpy as np

from scratchnet.engine.gradients import H
from scratchnet.engine.layers import Sequential
from scratchnet.engine.losses import CrossEntropyLoss, Loss, NLLLoss
from scratchnet.playing.plain import number

#: Layers that torch.nn has under the same name and with the same options
SAME = ("Linear", "Conv2d", "MaxPool2d", "AvgPool2d", "Flatten", "Sigmoid", "Tanh", "ReLU", "LogSoftmax")
AGREE = 1e-5  # of the larger of two derivatives, or of 10⁻⁴ if they are smaller


def in_float64(net: Sequential) -> Sequential:
    """The same network with float64 numbers, so that differences of C are not noise."""
    copy = Sequential(*(type(layer)(**layer.options()) for layer in net.layers), seed=net.seed, dtype="float64")
    copy.load_state_dict({name: value.astype(np.float64) for name, value in net.state_dict().items()})
    return copy


def check(net: Sequential, x: np.ndarray, target: np.ndarray, loss: Loss, name: str, index: Any) -> dict[str, Any]:
    """∂C/∂(parameter `name`)[index] three times, and whether they agree."""
    net, x = in_float64(net), x.astype(np.float64)
    by_hand = float(net.trace(x, target, loss, training=False).gradients[name][index])
    w = net.params[name].value
    before = float(w[index])

    def C(value: float) -> float:
        w[index] = value
        return float(net.cost(x, target, loss)[0])

    difference = (C(before + H) - C(before - H)) / (2 * H)
    w[index] = before
    torch = _by_torch(net, x, target, loss, name, index)
    others = [difference] if isinstance(torch, str) else [difference, torch]
    largest = max(abs(by_hand), *map(abs, others), 1e-4)
    return {
        "by_hand": number(by_hand),
        "difference": number(difference),
        "torch": torch if isinstance(torch, str) else number(torch),
        "agree": all(abs(by_hand - other) <= AGREE * largest for other in others),
    }


def _by_torch(net: Sequential, x: np.ndarray, target: np.ndarray, loss: Loss, name: str, index: Any) -> float | str:
    """The derivative by PyTorch's autograd in float64; in words, why there is none."""
    if importlib.util.find_spec("torch") is None:
        return "PyTorch is not installed"
    torch: Any = importlib.import_module("torch")

    kinds = [type(layer).__name__ for layer in net.layers if type(layer).__name__ != "Dropout"]
    strange = [kind for kind in kinds if kind not in SAME]
    if strange or not isinstance(loss, (CrossEntropyLoss, NLLLoss)):
        return f"not compared: {strange[0] if strange else type(loss).__name__}"
    own = {key: torch.tensor(value, requires_grad=key == name) for key, value in net.state_dict().items()}
    y = torch.tensor(x)
    for i, layer in enumerate(net.layers):
        if type(layer).__name__ == "Dropout":
            continue
        options = {key: value for key, value in layer.options().items() if key not in ("init", "in_features")}
        if type(layer).__name__ == "LogSoftmax":
            options = {"dim": -1}
        y = _applied(torch, type(layer).__name__, layer, options, own, i, y)
    cost = torch.nn.functional.cross_entropy if isinstance(loss, CrossEntropyLoss) else torch.nn.functional.nll_loss
    cost(y, torch.tensor(target)).backward()
    return float(own[name].grad[index])


def _applied(torch: Any, kind: str, layer: Any, options: dict[str, Any], own: dict[str, Any], i: int, y: Any) -> Any:
    """PyTorch's layer of this kind, with our parameters, applied to y."""
    W, b = own.get(f"{i}.weight"), own.get(f"{i}.bias")
    if kind == "Linear":
        return torch.nn.functional.linear(y, W, b)
    if kind == "Conv2d":
        return torch.nn.functional.conv2d(y, W, b, layer.stride, layer.padding, layer.dilation)
    return getattr(torch.nn, kind)(**options)(y)
