"""Advice: a learner's usual mistakes, answered once, while a network is trained.

Each function looks at a network, its data or its history, and returns what it would
say, or nothing: what was seen, why it matters, and what to try. `fit(..., advice=True)`
asks them; without it nothing here is called, except for the two about the last layer,
which the door of every training asks.
"""

import contextlib
import inspect
import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from scratchnet.backend.arrays import Array, to_numpy
from scratchnet.backend.sparse import dense, is_sparse
from scratchnet.engine.columns import to_columns
from scratchnet.engine.layers import Conv2d, CropFlip, Dropout, Flatten, Layer, Linear, LogSoftmax, ReLU, Softmax
from scratchnet.engine.layers.sequential import Sequential
from scratchnet.engine.losses import ClassLoss, CrossEntropyLoss, Loss, NLLLoss
from scratchnet.errors import NonFiniteError, ScratchnetWarning

if TYPE_CHECKING:
    from scratchnet.engine.training import Training

SAMPLE = 256  # examples that are looked at
RISE = 5.0  # so many times the loss before training is an explosion
# a loss that changes less than this in so many epochs does not move
EPOCHS, CHANGE = 3, 1e-3


@dataclass(frozen=True)
class Advice:
    """What was `seen`, `why` it matters, what to `do`; `about` names the mistake."""

    about: str
    seen: str
    why: str
    do: str

    def __str__(self) -> str:
        return f"{self.seen}: {self.why}. {self.do}"


# ------------------------------------------------------------- before the training


def softmax_twice(net: Sequential, loss: Loss) -> Advice | None:
    if not (isinstance(loss, CrossEntropyLoss) and isinstance(last_that_acts(net), Softmax)):
        return None
    return Advice(
        "softmax twice",
        "CrossEntropyLoss takes the softmax itself",
        "after a Softmax layer it is taken twice, and the network learns slowly",
        "Leave the Softmax out",
    )


def no_logarithms(net: Sequential, loss: Loss) -> Advice | None:
    last = last_that_acts(net)
    # we cannot know what a layer of the user's own returns
    ours = type(last).__module__.startswith("scratchnet.")
    if not (isinstance(loss, NLLLoss) and ours and not isinstance(last, LogSoftmax)):
        return None
    return Advice(
        "no logarithms",
        f"NLLLoss takes logarithms of probabilities, but the network ends in {last}",
        "let a LogSoftmax follow, or take CrossEntropyLoss, which is both in one",
        "Otherwise the loss can fall without end, and says nothing",
    )


def labels_from_one(loss: Loss, target: Array, K: int) -> Advice | None:
    """For labels 1, ..., K − 1 of K classes: none is 0, and no other is missing."""
    if not isinstance(loss, ClassLoss) or target.dtype.kind not in "iu" or not target.size or K < 3:
        return None
    if int(target.min()) != 1 or len(np.unique(to_numpy(target))) != K - 1:
        return None
    return Advice(
        "labels from 1",
        f"the labels go from 1 to {K - 1}, and none is 0",
        f"the first class is 0 here, so one of the {K} outputs has no example",
        f"Subtract 1 from the labels, and give the network {K - 1} outputs",
    )


def unscaled_pixels(net: Sequential, x: Array) -> Advice | None:
    """For whole numbers from 0 to 255 that meet weights before they are normalised."""
    first = next((layer for layer in net.layers if not isinstance(layer, (Flatten, CropFlip, Dropout))), None)
    if not isinstance(first, (Linear, Conv2d)) or is_sparse(x) or not x.size:
        return None
    x = to_numpy(x)
    if x.min() < 0 or not 100 < x.max() <= 255 or (x != np.floor(x)).any():
        return None
    return Advice(
        "unscaled pixels",
        f"the inputs are whole numbers up to {x.max():.0f}, as pixels are",
        "initial weights and usual learning rates are made for inputs of about 1; sums of such large ones saturate "
        "neurons, and steps become too long",
        "Divide the inputs by 255",
    )


# ------------------------------------------------------------- during the training


def explosion(losses: Sequence[float], lr: float) -> Advice | None:
    """From the loss before training and those of the epochs; NaN counts as large."""
    if len(losses) < 2 or losses[-1] <= RISE * abs(losses[0]):
        return None
    return Advice(
        "explosion",
        f"the loss rose from {losses[0]:.4g} to {losses[-1]:.4g}",
        "each step is so long that it passes the minimum and ends higher up on the other side",
        f"Try a smaller learning rate, such as {lr / 10:.2g}, or clip_norm=1",
    )


def dead_relu(net: Sequential, x: Array) -> Advice | None:
    """For a ReLU whose output is 0 in every neuron, for all of these examples."""
    for i, (layer, (y, _)) in enumerate(zip(net.layers, net.walk(to_columns(dense(net.as_input(x)))), strict=True)):
        if isinstance(layer, ReLU) and y.size and not y.any():
            return Advice(
                "dead ReLU",
                f"no neuron of layer {i}, {layer}, answers to any of {y.shape[-1]} examples",
                "all its inputs are negative; there ReLU and its slope are 0, so no gradient passes, and it cannot "
                "come back",
                'Begin again with a smaller learning rate, or with initial weights Linear(..., init="he")',
            )
    return None


def stillness(losses: Sequence[float], lr: float) -> Advice | None:
    """For a loss that is where it was before training, and has not moved of late."""
    recent = losses[-EPOCHS:]
    if len(losses) <= EPOCHS or not losses[0] or losses[-1] < (1 - 20 * CHANGE) * losses[0]:
        return None
    if max(recent) - min(recent) > CHANGE * abs(losses[0]):
        return None
    return Advice(
        "stillness",
        f"the loss has stayed at {losses[-1]:.4g} for {EPOCHS} epochs",
        "the steps are too short to be seen, or no gradient reaches the weights, as where neurons are saturated",
        f"Try a learning rate of {10 * lr:.2g}; net.trace(x, target, loss) shows where gradients become 0",
    )


# ------------------------------------------------------------------------- asking


def advice_before(net: Sequential, loss: Loss, x: Array, target: Array) -> list[Advice]:
    """What the data of a training that has not begun give reason to say."""
    K = loss.classes_in(net.shapes_from(tuple(x.shape[1:]))[-1]) if isinstance(loss, ClassLoss) else 0
    return _given([labels_from_one(loss, target, K), unscaled_pixels(net, x)])


def advice_after(net: Sequential, x: Array, losses: Sequence[float], lr: float) -> list[Advice]:
    """The same after an epoch, from the loss before training and those of the epochs.

    A loss that exploded or a layer that died explains why nothing moves any more.
    """
    n = len(losses) - 1
    dead = dead_relu(net, x) if n & (n - 1) == 0 else None  # epochs 1, 2, 4, 8, ...
    reasons = _given([explosion(losses, lr), dead])
    return reasons or _given([stillness(losses, lr)])


@contextlib.contextmanager
def advised(training: "Training", calls: dict[str, Any], say: Callable[[str], None] | None) -> Iterator[dict[str, Any]]:
    """The callbacks of a training to which every advice is said once; None: none is."""
    if say is None:
        yield calls
        return
    x, given = training.steps.some(SAMPLE)[0], set[str]()
    losses = [training.before(examples=SAMPLE)["train_loss"]]

    def tell(found: Iterable[Advice]) -> None:
        for advice in found:
            if not given & {advice.about, "explosion", "dead ReLU"}:
                say(str(advice))
            given.add(advice.about)

    def on_epoch(row: dict[str, float]) -> None:
        losses.append(row["train_loss"])
        tell(advice_after(training.net, x, losses, training.optimiser.lr))
        if calls["on_epoch"] is not None:
            calls["on_epoch"](row)

    tell(advice_before(training.net, training.loss, x, training.steps.target))
    try:
        yield calls | {"on_epoch": on_epoch}
    except NonFiniteError:
        tell(_given([explosion([*losses, math.inf], training.optimiser.lr)]))
        raise


def _given(found: Iterable[Advice | None]) -> list[Advice]:
    return [advice for advice in found if advice is not None]


def last_that_acts(net: Sequential) -> Layer:
    """The last layer, not counting those that act only in training."""
    return next((layer for layer in reversed(net.layers) if not isinstance(layer, Dropout)), net.layers[-1])


def warn(text: str) -> None:
    """Warn at the line outside the library that led here.

    Python shows a warning once for each such line.
    """
    frame, level = inspect.currentframe(), 1
    while frame is not None and str(frame.f_globals.get("__name__")).startswith(("scratchnet.", "contextlib")):
        frame, level = frame.f_back, level + 1
    warnings.warn(text, ScratchnetWarning, stacklevel=level)
