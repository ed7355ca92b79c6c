"""The same batch through a network and its PyTorch twin: every value, every δ, every gradient, every step.

In float64 the two are compared with each other. In float32 both carry rounding, so each is measured against a third
network, PyTorch's in float64 from the same weights, and ours may be off by at most twice what PyTorch's is.
"""

import copy
import dataclasses
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from parity.errors import Difference, difference
from parity.losses import loss_twin
from parity.twins import Dropout, to_tensor, to_torch
from scratchnet import SGD, Adam, CrossEntropyLoss, MSELoss, NLLLoss, Sequential, SettingError, step
from scratchnet.backend import to_numpy
from scratchnet.columns import to_rows
from scratchnet.layers import Layer, LogSoftmax
from scratchnet.learner import Learner
from scratchnet.losses import Loss
from scratchnet.optim import Optimiser

GRADIENT_TOLERANCE = 1e-12  # float64, forward values, δ and gradients, norm-relative
TRAINING_TOLERANCE = 1e-10  # float64, losses and weights after up to 100 steps
FLOAT32_FACTOR = 2.0  # times PyTorch's own error in float32
FLOAT32_FLOOR = 8 * 2.0**-24  # below this a float32 array is as right as rounding allows, whoever is luckier

DataSet = tuple[Any, Any] | Iterable[tuple[Any, Any]]


@dataclasses.dataclass(frozen=True)
class Row:
    """One comparison. Indices and shapes are batch first, as in PyTorch.

    `layer` is the number of the layer (None for the loss) and `name` its text; `what` is "value" (its output), "delta"
    (∂C/∂output), "gradient" (of `parameter`) or, in training, "loss" and "weight"; `step` counts training steps from 1.
    `absolute`, `relative` and `norm_relative` are the distance from PyTorch in the same dtype, worst at `index`, where
    the values are `ours` and `theirs`. `error` is judged against `tolerance`: in float64 it is `norm_relative`; in
    float32 our norm-relative distance from the float64 reference, with PyTorch's own beside it in `torch_error`.
    """

    layer: int | None
    name: str
    what: str
    parameter: str
    absolute: float
    relative: float
    norm_relative: float
    index: tuple[int, ...]
    ours: float
    theirs: float
    error: float
    torch_error: float
    tolerance: float
    step: int | None = None

    @property
    def ok(self) -> bool:
        return self.error <= self.tolerance  # NaN is not

    @property
    def where(self) -> str:
        """The place of the worst element, as text."""
        place = "loss" if self.layer is None else f"layer {self.layer} {self.name.partition('(')[0]}"
        at = f"[{', '.join(map(str, self.index))}]" if self.index else ""
        return " ".join(filter(None, (place, self.parameter or ("" if self.layer is None else self.what)))) + at


class Comparison(list[Row]):
    """The rows of a comparison, in the order in which they were made: a list with a verdict."""

    @property
    def ok(self) -> bool:
        """Whether every row is within its tolerance."""
        return all(row.ok for row in self)

    @property
    def worst(self) -> Row:
        """The row that comes closest to its tolerance, or exceeds it most."""
        return max(self, key=lambda row: row.error / row.tolerance if row.error == row.error else np.inf)

    def of(self, what: str) -> "Comparison":
        """The rows of one kind: "value", "delta", "gradient", "loss" or "weight"."""
        return Comparison(row for row in self if row.what == what)

    def __str__(self) -> str:
        return "\n".join(
            f"{'ok  ' if row.ok else 'FAIL'} {f'step {row.step} ' if row.step else ''}{row.what:8} {row.where}: "
            f"error {row.error:.1e} (tolerance {row.tolerance:.1e}), ours {row.ours:.9g}, PyTorch {row.theirs:.9g}"
            for row in self
        )


# ------------------------------------------------------------------------------------------ one batch


def compare(net: Sequential, x: Any, target: Any, loss: Loss) -> Comparison:
    """Forward and back once in both libraries, layer by layer; changes neither `net` nor the arrays.

    x and target are batch first, arrays of either library. Returns the rows "loss"; for every layer "value" (its
    output) and "delta" (∂C/∂output, from PyTorch by hooks); for every parameter "gradient". Layers act as in
    training, Dropout with the same neurons dropped on both sides. Raises SettingError for what has no counterpart.
    """
    watched = Watched(net)
    learn = Learner(net.seed)
    net.store.grads.fill(np.nan)  # a gradient that is not written must not pass
    x, target = _array(x), _array(target)
    value, _ = watched.run(x, target, loss, learn)
    ours = {("loss", None, ""): to_numpy(value), **watched.seen}
    for name, p in net.params.items():
        if p.trained:
            ours["gradient", int(name.split(".")[0]), name] = to_numpy(p.grad)
    twin = to_torch(net).train()
    theirs = _torch_pass(twin, watched.masks, x, target, loss)
    reference = theirs
    if net.dtype == np.float32:
        reference = _torch_pass(copy.deepcopy(twin).double(), watched.masks, x, target, loss)
    return by_the_worst(_row(net, key, ours[key], theirs[key], reference[key], GRADIENT_TOLERANCE,
                           _noise(theirs, key)) for key in ours)  # fmt: skip


class Watched(Sequential):
    """A network that shares the layers and parameters of another and writes down what passes between its layers."""

    def __init__(self, net: Sequential) -> None:
        self.__dict__.update(net.__dict__)
        self.seen: dict[tuple[str, int | None, str], np.ndarray] = {}
        self.masks: list[np.ndarray | None] = [None] * len(net.layers)
        self.layers = tuple(_Watch(self, i, layer) for i, layer in enumerate(net.layers))


class _Watch(Layer):
    def __init__(self, net: Watched, i: int, layer: Layer) -> None:
        self.net, self.i, self.layer = net, i, layer

    def forward(self, x: Any, learn: Learner | None = None) -> tuple[Any, Any]:
        y, cache = self.layer.forward(x, learn)
        self.net.seen["value", self.i, ""] = to_numpy(to_rows(y)).copy()  # the next layer may write over y
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


def _array(x: Any) -> Any:
    return x.detach().cpu().numpy() if isinstance(x, torch.Tensor) else x


def _dropout(twin: nn.Sequential, masks: list[np.ndarray | None], like: torch.Tensor) -> None:
    """Make PyTorch drop the neurons that we dropped."""
    for module, mask in zip(twin, masks, strict=True):
        if isinstance(module, Dropout):
            module.mask = None if mask is None else to_tensor(mask, like, str(like.device))


def _like(twin: nn.Module, net_dtype: str = "float32") -> torch.Tensor:
    """A tensor of the twin's dtype and device."""
    return next((p.detach() for p in twin.parameters()), torch.zeros(0, dtype=getattr(torch, net_dtype)))


def _torch_pass(
    twin: nn.Sequential, masks: list[np.ndarray | None], x: Any, target: Any, loss: Loss
) -> dict[tuple[str, int | None, str], np.ndarray]:
    """Loss, output and δ of every layer, and every gradient, from PyTorch."""
    like = _like(twin, "float64")
    _dropout(twin, masks, like)
    seen: dict[tuple[str, int | None, str], np.ndarray] = {}
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
    a = to_tensor(x, like, str(like.device)).to(like.dtype).requires_grad_()
    # Flatten and a Dropout that drops nothing return their input itself: a view makes each output a tensor of its own
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


def _noise(theirs: dict[tuple[str, int | None, str], np.ndarray], key: tuple[str, int | None, str]) -> float:
    """Below this norm a gradient is rounding: 100 ε times that of the largest gradient of the network."""
    if key[0] != "gradient":
        return 0.0
    eps = float(np.finfo(theirs[key].dtype).eps)
    return 100 * eps * max(float(np.linalg.norm(np.nan_to_num(g))) for k, g in theirs.items() if k[0] == "gradient")


def _row(net: Sequential, key: tuple[str, int | None, str], ours: Any, theirs: Any, reference: Any,
         tolerance: float, noise: float = 0.0, number: int | None = None) -> Row:  # fmt: skip
    what, i, parameter = key
    d: Difference = difference(ours, theirs, noise)
    error, torch_error = d.norm_relative, 0.0
    if reference is not theirs:
        error = difference(ours, reference, noise).norm_relative
        torch_error = difference(theirs, reference, noise).norm_relative
        tolerance = max(FLOAT32_FACTOR * torch_error, FLOAT32_FLOOR)
    name = "" if i is None else str(net.layers[i])
    return Row(i, name, what, parameter, **dataclasses.asdict(d), error=error, torch_error=torch_error,
               tolerance=tolerance, step=number)  # fmt: skip


# ------------------------------------------------------------------------------------------ training


def compare_training(
    net: Sequential,
    data: DataSet,
    optimiser: Optimiser | Callable[[Sequential], Optimiser],
    steps: int,
    *,
    loss: Loss | None = None,
    batch_size: int = 32,
    seed: int = 0,
) -> Comparison:
    """Train `net` and its twin on the same batches and compare the loss and every weight after every step.

    `data` is (x, target), from which batches are drawn in an order given by `seed`, or an iterable of batches
    (x, target), repeated if it has fewer than `steps`. `optimiser` is a fresh optimiser of `net`, or a function that
    makes one (`lambda net: Adam(net, lr=0.01)`); a change of its `lr` between steps is followed. Without a `loss` it is
    the one that fits: for whole-number targets NLLLoss after a LogSoftmax and CrossEntropyLoss otherwise, for values
    MSELoss. Returns, for every step, a row "loss" and a row "weight" for every parameter. `net` is trained by this.
    Raises SettingError for an optimiser that has taken steps or belongs to another network.
    """
    if not isinstance(optimiser, Optimiser):
        optimiser = optimiser(net)
    if optimiser.w is not net.store.values:
        raise SettingError("compare_training: the optimiser belongs to another network")
    if optimiser.steps:
        raise SettingError(f"compare_training needs a fresh optimiser, but this one has taken {optimiser.steps} steps")
    watched, twin = Watched(net), to_torch(net).train()
    twins = [twin] if net.dtype == np.float64 else [twin, copy.deepcopy(twin).double()]
    sides = [(t, optimiser_twin(optimiser, t)) for t in twins]
    rows = Comparison()
    curves = [np.zeros(0)] * (1 + len(twins))
    for k, (x, target) in zip(range(1, steps + 1), batches(data, batch_size, seed), strict=False):
        fitting = loss or fitting_loss(net, target)
        value = to_numpy(step(watched, fitting, optimiser, x, target))
        values = [_torch_step(t, o, watched.masks, x, target, fitting, optimiser) for t, o in sides]
        curves = [np.append(curve, v) for curve, v in zip(curves, [value, *values], strict=True)]
        row = _row(net, ("loss", None, ""), value, values[0], values[0], TRAINING_TOLERANCE, 0.0, k)
        rows.append(_against_curve(row, *curves))
        states = [{name: a.cpu().numpy() for name, a in t.state_dict().items()} for t in twins]
        for name, a in net.state_dict().items():
            theirs, reference = states[0][name], states[-1][name] if len(twins) > 1 else states[0][name]
            row = _row(net, ("weight", int(name.split(".")[0]), name), a, theirs, reference, TRAINING_TOLERANCE, 0.0, k)
            rows.append(row)
    return rows if len(twins) == 1 else by_the_worst(rows)


def _against_curve(row: Row, ours: np.ndarray, theirs: np.ndarray, reference: np.ndarray | None = None) -> Row:
    """One loss is one number, and may end near 0: judge the curve up to this step, relative to the whole of it."""
    if reference is None:
        return dataclasses.replace(row, error=difference(ours, theirs).norm_relative)
    error, torch_error = difference(ours, reference).norm_relative, difference(theirs, reference).norm_relative
    tolerance = max(FLOAT32_FACTOR * torch_error, FLOAT32_FLOOR)
    return dataclasses.replace(row, error=error, torch_error=torch_error, tolerance=tolerance)


def by_the_worst(rows: Iterable[Row]) -> Comparison:
    """In float32 an array of a few numbers may be right to the last bit by luck, in one library and not in the other.

    So our worst array of each kind is measured by PyTorch's worst of that kind in the same network.
    """
    found = Comparison(rows)
    widest = {what: max(row.tolerance for row in found.of(what)) for what in {row.what for row in found}}
    return Comparison(dataclasses.replace(row, tolerance=widest[row.what]) for row in found)


def batches(data: DataSet, batch_size: int, seed: int) -> Iterator[tuple[Any, Any]]:
    """Batches without end, from (x, target) or from an iterable of such pairs."""
    pair = tuple(data) if isinstance(data, (tuple, list)) and len(data) == 2 else ()
    if pair and all(hasattr(part, "shape") for part in pair):
        x, target = map(_array, pair)
        rng = np.random.default_rng(seed)
        while True:
            order = rng.permutation(len(x))
            for k in range(0, len(x), batch_size):
                batch = order[k : k + batch_size]
                yield x[batch], target[batch]
    kept = []
    for x, target in data:
        kept.append((_array(x), _array(target)))
        yield kept[-1]
    while kept:
        yield from kept
    raise SettingError("compare_training: the data are empty")


def fitting_loss(net: Sequential, target: Any) -> Loss:
    """The loss that goes with these targets and this network's last layer."""
    if np.asarray(_array(target)).dtype.kind == "f":
        return MSELoss()
    return NLLLoss() if isinstance(net.layers[-1], LogSoftmax) else CrossEntropyLoss()


def optimiser_twin(optimiser: Optimiser, twin: nn.Module) -> torch.optim.Optimizer:
    """torch.optim's optimiser with the same settings. Raises SettingError if there is none."""
    parameters = list(twin.parameters())
    if isinstance(optimiser, SGD):
        return torch.optim.SGD(parameters, optimiser.lr, optimiser.momentum, weight_decay=optimiser.weight_decay,
                               nesterov=optimiser.nesterov)  # fmt: skip
    if isinstance(optimiser, Adam):
        kind = torch.optim.AdamW if optimiser.decoupled else torch.optim.Adam
        return kind(parameters, optimiser.lr, optimiser.betas, optimiser.eps, optimiser.weight_decay)
    raise SettingError(f"{type(optimiser).__name__} has no counterpart in torch.optim that parity knows")


def _torch_step(twin: nn.Sequential, torch_optimiser: torch.optim.Optimizer, masks: list[np.ndarray | None], x: Any,
                target: Any, loss: Loss, optimiser: Optimiser) -> np.ndarray:  # fmt: skip
    like = _like(twin)
    _dropout(twin, masks, like)
    for group in torch_optimiser.param_groups:
        group["lr"] = optimiser.lr
    device = str(like.device)
    y = twin(to_tensor(x, like, device).to(like.dtype))
    t = to_tensor(target, like, device)
    value = loss_twin(loss)(y, t)
    torch_optimiser.zero_grad()
    value.backward()
    if optimiser.clip_norm is not None:
        torch.nn.utils.clip_grad_norm_(twin.parameters(), optimiser.clip_norm)
    torch_optimiser.step()
    return value.detach().cpu().numpy()
