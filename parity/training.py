"""A network and its PyTorch twin trained on the same batches.

Every loss is compared, and every weight after every step.
"""

import contextlib
import copy
import dataclasses
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from parity.compare import Watched, as_array, as_input, drop_as_we_did, like_of, row_of
from parity.losses import loss_twin
from parity.rounding import TRAINING_DRAWS, Rounding
from parity.rows import TRAINING_TOLERANCE, Comparison
from parity.twins import to_tensor, to_torch
from scratchnet import SGD, Adam, CrossEntropyLoss, MSELoss, NLLLoss, Sequential, SettingError, step
from scratchnet.backend.arrays import to_numpy
from scratchnet.engine.layers import LogSoftmax
from scratchnet.engine.losses import Loss
from scratchnet.engine.optim import Optimiser

DataSet = tuple[Any, Any] | Iterable[tuple[Any, Any]]


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
    """Train `net` and its twin, and compare the loss and every weight after every step.

    `data` is (x, target), from which batches are drawn in an order given by `seed`, or
    an iterable of batches (x, target), which is repeated if it has fewer than `steps`.
    `optimiser` is a fresh optimiser of `net`, or a function that makes one (`lambda
    net: Adam(net, lr=0.01)`); changes of its `lr` between steps are followed.

    Without a `loss` it is the one that fits: for whole-number targets NLLLoss after a
    LogSoftmax and CrossEntropyLoss otherwise; for other values MSELoss. Returns, for
    every step, a row "loss" and a row "weight" for every parameter. This trains `net`.
    Raises SettingError for an optimiser that has taken steps or belongs to another
    network.
    """
    if not isinstance(optimiser, Optimiser):
        if not callable(optimiser):
            raise SettingError(
                f"compare_training: give an optimiser or a function that makes one of a network, not {optimiser!r}"
            )
        optimiser = optimiser(net)
    if optimiser.w is not net.store.values:
        raise SettingError("compare_training: the optimiser belongs to another network")
    if optimiser.steps:
        raise SettingError(f"compare_training needs a fresh optimiser, but this one has taken {optimiser.steps} steps")
    watched, twin = Watched(net), to_torch(net).train()
    twins, roundings = [twin], [Rounding(k) for k in range(TRAINING_DRAWS)] if net.dtype == np.float32 else []
    if roundings:
        twins += [copy.deepcopy(twin).double(), *(rounding.twin(twin) for rounding in roundings)]
    optimisers = [optimiser_twin(optimiser, t) for t in twins]
    rows = Comparison()
    curves = [np.zeros(0)] * (1 + len(twins))
    for k, (x, target) in zip(range(1, steps + 1), batches(data, batch_size, seed), strict=False):
        fitting = loss or fitting_loss(net, target)
        values = [to_numpy(step(watched, fitting, optimiser, net.as_input(x), target))]
        for j, (t, o) in enumerate(zip(twins, optimisers, strict=True)):
            with roundings[j - 2] if j >= 2 else contextlib.nullcontext():
                values.append(_torch_step(t, o, watched.masks, x, target, fitting, optimiser))
        # A single loss is one number and may end near 0, so the curve up to this step
        # is judged, relative to all of it.
        curves = [np.append(curve, v) for curve, v in zip(curves, values, strict=True)]
        ours, theirs, *references = curves
        row = row_of(net, ("loss", None, ""), ours, theirs, references, x.shape, TRAINING_TOLERANCE, number=k)
        rows.append(dataclasses.replace(row, index=(), ours=float(values[0]), theirs=float(values[1])))
        states = [{name: a.cpu().numpy() for name, a in t.state_dict().items()} for t in twins]
        for name, a in net.state_dict().items():
            theirs, *references = (state[name] for state in states)
            rows.append(row_of(net, ("weight", int(name.split(".")[0]), name), a, theirs, references, x.shape,
                               TRAINING_TOLERANCE, number=k))  # fmt: skip
    return rows


def batches(data: DataSet, batch_size: int, seed: int) -> Iterator[tuple[Any, Any]]:
    """Endless batches, from (x, target) or from an iterable of such pairs."""
    pair = tuple(data) if isinstance(data, (tuple, list)) and len(data) == 2 else ()
    if pair and all(hasattr(part, "shape") for part in pair):
        x, target = map(as_array, pair)
        rng = np.random.default_rng(seed)
        while True:
            order = rng.permutation(len(x))
            for k in range(0, len(x), batch_size):
                batch = order[k : k + batch_size]
                yield x[batch], target[batch]
    kept = []
    for x, target in data:
        kept.append((as_array(x), as_array(target)))
        yield kept[-1]
    while kept:
        yield from kept
    raise SettingError("compare_training: the data are empty")


def fitting_loss(net: Sequential, target: Any) -> Loss:
    """The loss that suits these targets and this network's last layer."""
    if np.asarray(as_array(target)).dtype.kind == "f":
        return MSELoss()
    over_time = np.ndim(as_array(target)) > 1 and any(layer.over_time for layer in net.layers)
    kind = NLLLoss if isinstance(net.layers[-1], LogSoftmax) else CrossEntropyLoss
    return kind(classes="last" if over_time else "first")


def optimiser_twin(optimiser: Optimiser, twin: nn.Module) -> torch.optim.Optimizer:
    """torch.optim's optimiser with the same settings.

    Without `foreach` each operation is one of its own, in which `Rounding` makes an
    error. Raises SettingError if there is none.
    """
    parameters = list(twin.parameters())
    if isinstance(optimiser, SGD):
        return torch.optim.SGD(parameters, optimiser.lr, optimiser.momentum, weight_decay=optimiser.weight_decay,
                               nesterov=optimiser.nesterov, foreach=False)  # fmt: skip
    if isinstance(optimiser, Adam):
        kind = torch.optim.AdamW if optimiser.decoupled else torch.optim.Adam
        return kind(parameters, optimiser.lr, optimiser.betas, optimiser.eps, optimiser.weight_decay, foreach=False)
    raise SettingError(f"{type(optimiser).__name__} has no counterpart in torch.optim that parity knows")


def _torch_step(twin: nn.Sequential, torch_optimiser: torch.optim.Optimizer, masks: list[np.ndarray | None], x: Any,
                target: Any, loss: Loss, optimiser: Optimiser) -> np.ndarray:  # fmt: skip
    like = like_of(twin)
    drop_as_we_did(twin, masks, like)
    for group in torch_optimiser.param_groups:
        group["lr"] = optimiser.lr
    device = str(like.device)
    y = twin(as_input(x, like))
    t = to_tensor(target, like, device)
    value = loss_twin(loss)(y, t)
    torch_optimiser.zero_grad()
    value.backward()
    if optimiser.clip_norm is not None:
        torch.nn.utils.clip_grad_norm_(twin.parameters(), optimiser.clip_norm)
    torch_optimiser.step()
    return value.detach().cpu().numpy()
