"""The same batch through a network and its PyTorch twin: every value, δ and gradient.

In float64 the two are compared with each other. In float32 both round, so each is
measured against a third network: PyTorch's in float64, from the same weights. The same
network with random errors as large as those of float32 shows how far rounding may lead;
see `parity.rounding`.
"""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from parity.errors import difference
from parity.losses import loss_twin
from parity.rounding import Rounding, change, longest_sum, moved_results, tolerance
from parity.rows import GRADIENT_TOLERANCE, Comparison, Row
from parity.twins import Dropout, to_tensor, to_torch
from scratchnet import Sequential
from scratchnet.backend.arrays import to_numpy
from scratchnet.engine.columns import to_rows
from scratchnet.engine.layers import Layer
from scratchnet.engine.learner import Learner
from scratchnet.engine.losses import Loss

Key = tuple[str, int | None, str]  # quantity (such as "delta"), layer and parameter
Arrays = dict[Key, np.ndarray]


def compare(net: Sequential, x: Any, target: Any, loss: Loss) -> Comparison:
    """Go forward and back once in both libraries, layer by layer.

    Changes neither `net` nor the arrays. x and target are batch first, arrays of either
    library. Returns the rows "loss"; for every layer "value" (its output) and "delta"
    (∂C/∂output, from PyTorch by hooks); for every parameter "gradient". Layers act as
    in training, and Dropout drops the same neurons on both sides. Raises SettingError
    for anything without a counterpart.
    """
    x, target = np.asarray(as_array(x)), np.asarray(as_array(target))
    watched, learn = Watched(net), Learner(net.seed)
    net.store.grads.fill(np.nan)  # so that a gradient that is not written cannot pass
    value, delta, _, caches = watched.cost(net.as_input(x), target, loss, learn)
    watched.backward(delta, caches, learn)
    ours: Arrays = {("loss", None, ""): to_numpy(value), **watched.seen}
    for name, p in net.params.items():
        if p.trained:
            ours["gradient", int(name.split(".")[0]), name] = to_numpy(p.grad).copy()
    twin = to_torch(net).train()
    theirs = _torch_pass(twin, watched.masks, x, target, loss)

    def compared(references: list[Arrays]) -> Comparison:
        return Comparison(
            row_of(net, key, ours[key], theirs[key], [r[key] for r in references], x.shape, GRADIENT_TOLERANCE,
                   _noise(theirs, key))
            for key in ours
        )  # fmt: skip

    if net.dtype != np.float32:
        return compared([])
    exact = _torch_pass(copy.deepcopy(twin).double(), watched.masks, x, target, loss)

    def moved(rounding: Rounding) -> Arrays:
        with rounding:
            return _torch_pass(rounding.twin(twin), watched.masks, x, target, loss)

    return compared([exact, *moved_results(moved, lambda made: compared([exact, *made]).ok)])


class Watched(Sequential):
    """A network that shares the layers and parameters of another.

    It records what passes between its layers.
    """

    def __init__(self, net: Sequential) -> None:
        self.__dict__.update(net.__dict__)
        self.seen: Arrays = {}
        self.masks: list[np.ndarray | None] = [None] * len(net.layers)
        self.layers = tuple(_Watch(self, i, layer) for i, layer in enumerate(net.layers))
        self._passes = [(i, layer, False) for i, layer in enumerate(self.layers)]


class _Watch(Layer):
    def __init__(self, net: Watched, i: int, layer: Layer) -> None:
        self.net, self.i, self.layer = net, i, layer

    def forward(self, x: Any, learn: Learner | None = None) -> tuple[Any, Any]:
        y, cache = self.layer.forward(x, learn)
        self.net.seen["value", self.i, ""] = to_numpy(to_rows(y)).copy()  # the loss may write over y
        if learn is not None and type(self.layer).__name__ in ("Dropout", "CropFlip"):
            self.net.masks[self.i] = None if cache is None else to_numpy(to_rows(cache)).copy()
        return y, cache

    def backward(self, delta: Any, cache: Any, learn: Learner, need_dx: bool = True) -> Any:
        self.net.seen["delta", self.i, ""] = to_numpy(to_rows(delta)).copy()
        return self.layer.backward(delta, cache, learn, need_dx)

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return self.layer.output_shape(shape)

    def __str__(self) -> str:
        return str(self.layer)


def as_input(x: Any, like: torch.Tensor) -> torch.Tensor:
    """x in the twin's dtype and on its device; indices stay whole numbers."""
    a = to_tensor(x, like, str(like.device))
    return a.to(like.dtype) if a.is_floating_point() else a


def as_array(x: Any) -> Any:
    return x.detach().cpu().numpy() if isinstance(x, torch.Tensor) else x


def drop_as_we_did(twin: nn.Sequential, masks: list[np.ndarray | None], like: torch.Tensor) -> None:
    """Make PyTorch drop the same neurons as we did."""
    for module, mask in zip(twin, masks, strict=True):
        if isinstance(module, Dropout):
            module.mask = None if mask is None else to_tensor(mask, like, str(like.device))


def like_of(twin: nn.Module, net_dtype: str = "float32") -> torch.Tensor:
    """A tensor of the twin's dtype and device."""
    return next((p.detach() for p in twin.parameters()), torch.zeros(0, dtype=getattr(torch, net_dtype)))


def _torch_pass(twin: nn.Sequential, masks: list[np.ndarray | None], x: Any, target: Any, loss: Loss) -> Arrays:
    """Loss, output and δ of every layer, and every gradient, from PyTorch."""
    like = like_of(twin, "float64")
    drop_as_we_did(twin, masks, like)
    seen: Arrays = {}
    hooks = []

    def watch(i: int) -> Callable[..., None]:
        def on_forward(module: nn.Module, inputs: Any, y: torch.Tensor) -> None:
            seen["value", i, ""] = y.detach().cpu().numpy().copy()

            def on_grad(g: torch.Tensor) -> None:
                seen["delta", i, ""] = g.detach().cpu().numpy().copy()

            y.register_hook(on_grad)

        return on_forward

    for i, module in enumerate(twin):
        hooks.append(module.register_forward_hook(watch(i)))
    a = as_input(x, like)
    a = a.requires_grad_() if a.is_floating_point() else a
    # Flatten, and a Dropout that drops nothing, return their input itself; a view makes
    # each output a tensor of its own.
    y = a
    for module in twin:
        y = module(y.view_as(y))
    value = loss_twin(loss)(y, to_tensor(target, like, str(like.device)))
    twin.zero_grad()
    value.backward()
    for hook in hooks:
        hook.remove()
    seen["loss", None, ""] = value.detach().cpu().numpy()
    for name, p in twin.named_parameters():
        g = torch.zeros_like(p) if p.grad is None else p.grad
        seen["gradient", int(name.split(".")[0]), name] = g.cpu().numpy().copy()
    return seen


def _noise(theirs: Arrays, key: Key) -> float:
    """The norm below which a gradient is mere rounding.

    It is 100 ε times the norm of the network's largest gradient.
    """
    if key[0] != "gradient":
        return 0.0
    eps = float(np.finfo(theirs[key].dtype).eps)
    return 100 * eps * max(float(np.linalg.norm(np.nan_to_num(g))) for k, g in theirs.items() if k[0] == "gradient")


def row_of(net: Sequential, key: Key, ours: Any, theirs: Any, references: list[Any], shape: tuple[int, ...],
           float64_tolerance: float, noise: float = 0.0, number: int | None = None) -> Row:  # fmt: skip
    """Compare our array with PyTorch's, or in float32 both with `references`.

    These are the exact array, and the same one moved by rounding. `shape` is that of x,
    batch first.
    """
    what, i, parameter = key
    d = difference(ours, theirs, noise)
    error, torch_error, limit = d.norm_relative, 0.0, float64_tolerance
    if references:
        exact, *moved = references
        error, torch_error = (difference(a, exact, noise).norm_relative for a in (ours, theirs))
        upto = i + 1 if i is not None and what == "value" else len(net.layers)
        terms = max(longest_sum(net, k, shape, gradient=parameter != "" and k == i) for k in range(upto))
        limit = tolerance(terms, change(moved, exact, noise))
    name = "" if i is None else str(net.layers[i])
    return Row(**vars(d), layer=i, name=name, what=what, parameter=parameter, error=error, torch_error=torch_error,
               tolerance=limit, step=number)  # fmt: skip
