"""The same derivative from PyTorch's autograd, where PyTorch is installed. It is no
part of the engine.
"""

import importlib.util
from typing import Any

import numpy as np

from scratchnet.engine.layers import Dropout, Linear, LogSoftmax, Sequential, Softmax
from scratchnet.engine.layers.recurrent import Recurrent
from scratchnet.engine.losses import ClassLoss, CrossEntropyLoss, Loss, MSELoss, NLLLoss, QuadraticCost

NOT_INSTALLED = "not installed"
#: Layers that torch.nn has under the same name, with the same options by position or
#: name
SAME = ("Linear", "Conv2d", "ConvTranspose2d", "MaxPool2d", "AvgPool2d", "Flatten", "Sigmoid", "Tanh", "ReLU",
        "BatchNorm1d", "BatchNorm2d")  # fmt: skip


def derivative(net: Sequential, x: np.ndarray, target: np.ndarray, loss: Loss, name: str, index: Any) -> float | str:
    """∂C/∂ one parameter by PyTorch in float64, layers as at inference; or why there is
    none, in words.
    """
    if importlib.util.find_spec("torch") is None:
        return NOT_INSTALLED
    import torch

    twins = [_twin(torch, layer) for layer in net.layers]
    missing = [str(layer) for layer, twin in zip(net.layers, twins) if twin is None]
    cost = _loss(torch, loss)
    if missing or cost is None:
        return f"has no {missing[0].partition('(')[0] if missing else type(loss).__name__}"
    modules = torch.nn.ModuleList(twins).double().eval()
    state = {key: torch.tensor(value) for key, value in net.state_dict().items()}
    modules.load_state_dict(state, strict=False)  # the counters of batch normalisations are not ours
    y = torch.tensor(x)
    for module, layer in zip(modules, net.layers):
        y = module(y)
        if isinstance(layer, Recurrent):  # (output of every time, final state)
            y = y[0] if layer.output == "sequence" else y[0][:, -1]
    cost(y, torch.tensor(target)).backward()
    gradient: Any = dict(modules.named_parameters())[name].grad
    return float(gradient[tuple(index)])


def version() -> str:
    """ "PyTorch 2.13.0", or its name alone."""
    if importlib.util.find_spec("torch") is None:
        return "PyTorch"
    import torch

    return f"PyTorch {torch.__version__.partition('+')[0]}"


def _twin(torch: Any, layer: Any) -> Any:
    kind, nn = type(layer).__name__, torch.nn
    if not type(layer).__module__.startswith("scratchnet."):
        return None
    if isinstance(layer, Recurrent):
        return getattr(nn, kind)(layer.input_size, layer.hidden_size, layer.num_layers, batch_first=True)
    if isinstance(layer, (Softmax, LogSoftmax)):
        return getattr(nn, kind)(dim=-1)
    if isinstance(layer, Dropout):
        return nn.Identity()  # as at inference
    if isinstance(layer, Linear):
        return nn.Linear(layer.in_features, layer.out_features, layer.bias)
    options = {name: value for name, value in layer.options().items() if name != "init"}
    return getattr(nn, kind)(**options) if kind in SAME else None


def _loss(torch: Any, loss: Loss) -> Any:
    functional = torch.nn.functional
    if isinstance(loss, ClassLoss) and loss.classes == "last":
        return lambda y, t: _loss(torch, type(loss)())(y.flatten(0, -2), t.flatten())
    if isinstance(loss, CrossEntropyLoss):
        return functional.cross_entropy
    if isinstance(loss, NLLLoss):
        return functional.nll_loss
    if isinstance(loss, MSELoss):
        return lambda y, t: functional.mse_loss(y, t, reduction=loss.reduction)
    if isinstance(loss, QuadraticCost):
        return lambda y, t: ((y - t) ** 2).sum() / (2 * len(y))
    return None
