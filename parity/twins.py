"""The PyTorch twin of a network, and the way back.

There is one line of `PAIRS` for each layer that has a counterpart. Options and
parameters have PyTorch's names in both libraries, so most pairs need only the two
classes.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

import scratchnet.engine.layers as ours
from scratchnet import Sequential, SettingError
from scratchnet.backend.arrays import to_numpy
from scratchnet.engine.layers import Layer


class Dropout(nn.Dropout):
    """nn.Dropout that is told which neurons to drop: libraries draw different ones."""

    mask: torch.Tensor | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) if self.mask is None else x * self.mask


class CropFlip(Dropout):
    """Told where each cell of an image comes from, as our layer drew it."""

    def __init__(self, padding: int, flip: float) -> None:
        super().__init__()
        self.padding, self.flip = padding, flip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.mask is None:
            return x
        cells = nn.functional.pad(x.flatten(2), (0, 1))
        return cells.gather(2, self.mask[:, None].expand(-1, x.shape[1], -1)).view_as(x)


class Embedding(nn.Embedding):
    """Takes indices as floats too, with a gradient of 0, since a trace has ∂C/∂x."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = super().forward(x.long())
        return y + 0 * x[..., None] if x.is_floating_point() else y


class _Recurrent:
    """PyTorch's recurrent module as a layer like others.

    It is batch first, with one output instead of (output, state).
    """

    output: str

    def __init__(self, output: str = "last", **options: Any) -> None:
        super().__init__(batch_first=True, **options)  # type: ignore[call-arg]
        self.output = output

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y, _ = super().forward(x)  # type: ignore[misc]
        return y[:, -1] if self.output == "last" else y


class RNN(_Recurrent, nn.RNN):
    pass


class LSTM(_Recurrent, nn.LSTM):
    pass


class GRU(_Recurrent, nn.GRU):
    pass


class MinPool2d(nn.MaxPool2d):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return -super().forward(-x)


class MedianPool2d(nn.Module):
    """torch.median, but of equal cells it takes the first in reading order.

    PyTorch does not say which of them it takes.
    """

    def __init__(self, kernel_size: Any, stride: Any = None) -> None:
        super().__init__()
        self.kernel_size, self.stride = kernel_size, kernel_size if stride is None else stride

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        k, s = (v if isinstance(v, tuple) else (v, v) for v in (self.kernel_size, self.stride))
        x = x.unfold(2, k[0], s[0]).unfold(3, k[1], s[1])
        cells = x.flatten(-2)
        y = cells.median(-1, keepdim=True).values
        first = (cells == y).int().argmax(-1, keepdim=True)
        return torch.where(y.isnan(), y, cells.gather(-1, first))[..., 0]


@dataclasses.dataclass(frozen=True)
class Pair:
    """A layer, its counterpart, and the counterpart's other options.

    `takes` are further classes that `from_torch` reads as this layer. `fixed` gives,
    for each option that only PyTorch has, the values with which the two are equal;
    `to_torch` passes the first of them, if it passes any.
    """

    ours: str
    theirs: type[nn.Module]
    fixed: Mapping[str, tuple[Any, ...]] = dataclasses.field(default_factory=dict)
    takes: tuple[type[nn.Module], ...] = ()

    def twin(self, layer: Layer) -> nn.Module:
        passed = {k: v[0] for k, v in self.fixed.items() if v[0] is not None}
        options = {k: v for k, v in layer.options().items() if k != "init"}  # the weights are copied
        return self.theirs(**options, **passed)

    def layer(self, module: nn.Module) -> Layer:
        for name, allowed in self.fixed.items():
            value = getattr(module, name, None)
            if value is not None and value not in allowed:
                raise SettingError(f"{name}={value!r} has no counterpart in scratchnet's {self.ours}")
        layer = getattr(ours, self.ours)
        options = {}
        for field in dataclasses.fields(layer):
            value = getattr(module, field.name, field.default)
            if value is None and field.default is not None and field.name != "bias":
                raise SettingError(f"{field.name}=None has no counterpart in scratchnet's {self.ours}")
            if value is not dataclasses.MISSING:
                options[field.name] = (
                    value is not None if field.name == "bias" and not isinstance(value, bool) else value
                )
        if isinstance(module, nn.RNNBase) and not isinstance(module, _Recurrent):
            options["output"] = "sequence"
        return layer(**options)


_POOLS = (nn.MaxPool2d, nn.AvgPool2d, MedianPool2d)
_CONVOLUTION = {"groups": (1,), "padding_mode": ("zeros",)}
_RECURRENT: dict[str, tuple[Any, ...]] = {
    "bidirectional": (False,), "bias": (True,), "dropout": (0.0,), "batch_first": (None, True), "proj_size": (None, 0),
}  # fmt: skip

PAIRS = (
    Pair("Linear", nn.Linear),
    Pair(
        "Embedding",
        Embedding,
        takes=(nn.Embedding,),
        fixed={"max_norm": (None,), "scale_grad_by_freq": (False,), "sparse": (False,)},
    ),
    Pair("Flatten", nn.Flatten, {"start_dim": (1,), "end_dim": (-1,)}),
    Pair("Sigmoid", nn.Sigmoid),
    Pair("Tanh", nn.Tanh),
    Pair("ReLU", nn.ReLU),
    Pair("Softmax", nn.Softmax, {"dim": (-1, 1)}),  # 1 where the output is (N, K); see _check_axis
    Pair("LogSoftmax", nn.LogSoftmax, {"dim": (-1, 1)}),
    Pair("Dropout", Dropout, takes=(nn.Dropout,)),
    Pair("CropFlip", CropFlip),
    Pair("Conv2d", nn.Conv2d, _CONVOLUTION),
    Pair("ConvTranspose2d", nn.ConvTranspose2d, _CONVOLUTION),
    Pair("MaxPool2d", nn.MaxPool2d, {"dilation": (1, (1, 1)), "ceil_mode": (False,), "return_indices": (False,)}),
    Pair("MinPool2d", MinPool2d, {"dilation": (1, (1, 1)), "ceil_mode": (False,), "return_indices": (False,)}),
    Pair("MedianPool2d", MedianPool2d),
    Pair("AvgPool2d", nn.AvgPool2d, {"ceil_mode": (False,), "count_include_pad": (True,), "divisor_override": (None,)}),
    Pair("BatchNorm1d", nn.BatchNorm1d, {"affine": (True,), "track_running_stats": (True,)}),
    Pair("BatchNorm2d", nn.BatchNorm2d, {"affine": (True,), "track_running_stats": (True,)}),
    Pair("RNN", RNN, {**_RECURRENT, "nonlinearity": ("tanh",)}, takes=(nn.RNN,)),
    Pair("LSTM", LSTM, _RECURRENT, takes=(nn.LSTM,)),
    Pair("GRU", GRU, _RECURRENT, takes=(nn.GRU,)),
)
_BY_NAME = {pair.ours: pair for pair in PAIRS}
_BY_MODULE = {module: pair for pair in PAIRS for module in (pair.theirs, *pair.takes)}


def to_torch(net: Sequential) -> nn.Sequential:
    """The same network in PyTorch: same weights (copied), dtype and device.

    If PyTorch finds no GPU, the twin of a network on one computes on the CPU. It is in
    evaluation mode, as `net(x)` is. The keys of the two `state_dict`s are the
    same. Raises SettingError naming a layer that has no counterpart.
    """
    modules = []
    for i, layer in enumerate(net.layers):
        pair = _BY_NAME.get(type(layer).__name__)
        if pair is None or type(layer) is not getattr(ours, pair.ours, None):
            raise SettingError(f"layer {i}, {layer}, has no counterpart in PyTorch that parity knows: add it to PAIRS")
        modules.append(pair.twin(layer))
    twin = nn.Sequential(*modules).to(getattr(torch, str(net.dtype)))
    load(twin, net)
    return twin.to("cuda" if net.device == "cuda" and torch.cuda.is_available() else "cpu").eval()


def load(twin: nn.Module, net: Sequential) -> None:
    """Copy the weights of `net` into its twin; both must have the same parameters."""
    state = {name: torch.from_numpy(np.ascontiguousarray(a)) for name, a in net.state_dict().items()}
    missing, unexpected = twin.load_state_dict(state, strict=False)
    # only PyTorch counts the batches that a BatchNorm has seen
    missing = [name for name in missing if not name.endswith("num_batches_tracked")]
    if missing or unexpected:
        raise SettingError(f"the twin has other parameters: {', '.join([*missing, *unexpected])}")


def from_torch(module: nn.Module, device: str = "cpu") -> Sequential:
    """The same network in scratchnet, from an nn.Sequential or a single PyTorch layer.

    The nn.Sequential may be nested. Weights are copied; the dtype is the module's
    (float32 if it has no parameters). Softmax over axis 1 is accepted if the output is
    (N, K). Raises SettingError, naming the module and option, for anything without a
    counterpart.
    """
    leaves = list(_leaves(module, ""))
    layers: list[Layer] = []
    for k, (name, leaf) in enumerate(leaves):
        if any(leaf is other for _, other in leaves[:k]) and list(leaf.parameters()):
            raise SettingError(f"module '{name}', {leaf}, stands there twice: shared weights have no counterpart")
        pair = _BY_MODULE.get(type(leaf))
        if pair is None or not hasattr(ours, pair.ours):
            known = ", ".join(pair.ours for pair in PAIRS if hasattr(ours, pair.ours))
            raise SettingError(f"module '{name}', {leaf}, has no counterpart in scratchnet, which has: {known}")
        try:
            if isinstance(leaf, (nn.Softmax, nn.LogSoftmax)):
                _check_axis(leaf, [before for _, before in leaves[:k]])
            layers.append(pair.layer(leaf))
        except SettingError as e:
            raise SettingError(f"module '{name}', {leaf}: {e}") from None
    dtypes = {str(p.dtype).removeprefix("torch.") for p in module.parameters()} or {"float32"}
    if len(dtypes) > 1 or not dtypes <= {"float32", "float64"}:
        raise SettingError(
            f"the module's parameters are {' and '.join(sorted(dtypes))}: make all float32 or all float64"
        )
    net = Sequential(*layers, dtype=dtypes.pop(), device=device)
    state = {f"{i}.{key}": value.detach().cpu().numpy()
             for i, (_, leaf) in enumerate(leaves) for key, value in leaf.state_dict().items()
             if not key.endswith("num_batches_tracked")}  # fmt: skip
    net.load_state_dict(state)
    return net


def _check_axis(module: nn.Softmax | nn.LogSoftmax, before: list[nn.Module]) -> None:
    """Raise SettingError where PyTorch's axis 1 is not the last one, as ours always is.

    It is the last axis of vectors (N, K), but of images it is the channels, and of
    sequences the times. If a network begins with Linear, only its input tells these
    cases apart; then vectors are assumed.
    """
    if module.dim == -1:
        return
    for leaf in reversed(before):
        if isinstance(leaf, nn.Flatten) or (isinstance(leaf, _Recurrent) and leaf.output == "last"):
            return
        if isinstance(leaf, (nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm2d, nn.RNNBase, *_POOLS)):
            raise SettingError(
                f"dim={module.dim} after {leaf} is not the last axis, and scratchnet's is always the last: "
                "flatten first, or give dim=-1 where that is meant"
            )


def _leaves(module: nn.Module, name: str) -> Iterator[tuple[str, nn.Module]]:
    """The layers inside nested nn.Sequential, in order, with their names.

    nn.Identity does not count as a layer.
    """
    if isinstance(module, nn.Sequential):
        for key, child in module._modules.items():  # named_children leaves out repeated modules
            assert child is not None
            yield from _leaves(child, f"{name}.{key}" if name else key)
    elif not isinstance(module, nn.Identity):
        yield name or type(module).__name__, module


def to_tensor(x: Any, like: torch.Tensor | None = None, device: str = "cpu") -> torch.Tensor:
    """A tensor that copies the values of an array of either library.

    Floating-point values get the dtype of `like`.
    """
    t = x.detach().cpu() if isinstance(x, torch.Tensor) else torch.from_numpy(np.array(to_numpy(x)))
    return t.to(device=device, dtype=like.dtype if like is not None and t.is_floating_point() else t.dtype)
