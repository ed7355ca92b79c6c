"""Learning-rate schedules: the rate of each epoch, as a function of its number.

The first epoch has the number 0. A schedule with a method `of_step` has a rate for each
step besides.
"""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from scratchnet.engine import checks
from scratchnet.errors import SettingError

Schedule = Callable[[int], float]


@dataclass(frozen=True)
class Constant:
    """The same lr in every epoch."""

    lr: float

    def __post_init__(self) -> None:
        checks.number("Constant", "lr", self.lr)

    def __call__(self, epoch: int) -> float:
        return self.lr


@dataclass(frozen=True)
class PerEpoch:
    """(rate, epochs) pairs, as [(0.5, 5), (0.1, 5)]; the last rate holds for ever."""

    parts: Sequence[tuple[float, int]]

    def __post_init__(self) -> None:
        parts = self.parts
        if (
            not isinstance(parts, (tuple, list))
            or not parts
            or any(not isinstance(part, (tuple, list)) or len(part) != 2 for part in parts)
        ):
            raise SettingError(f"PerEpoch: parts must be such as [(0.5, 5), (0.1, 5)], not {checks.shown(parts)}")
        for lr, epochs in parts:
            checks.number("PerEpoch", "a rate", lr)
            checks.whole("PerEpoch", "a number of epochs", epochs, 1)

    def __call__(self, epoch: int) -> float:
        for lr, epochs in self.parts:
            if epoch < epochs:
                return lr
            epoch -= epochs
        return self.parts[-1][0]


@dataclass(frozen=True)
class Exponential:
    """lr · gammaᵉᵖᵒᶜʰ, as torch's ExponentialLR."""

    lr: float
    gamma: float

    def __post_init__(self) -> None:
        checks.number("Exponential", "lr", self.lr)
        checks.number("Exponential", "gamma", self.gamma)

    def __call__(self, epoch: int) -> float:
        try:
            return self.lr * self.gamma**epoch
        except OverflowError:
            return math.inf


@dataclass(frozen=True)
class Decay:
    """lr / (1 + decay · epoch)."""

    lr: float
    decay: float

    def __post_init__(self) -> None:
        checks.number("Decay", "lr", self.lr)
        checks.number("Decay", "decay", self.decay)

    def __call__(self, epoch: int) -> float:
        return self.lr / (1 + self.decay * epoch)


@dataclass(frozen=True)
class Cosine:
    """lr · ½ (1 + cos(π · epoch / epochs)), as torch's CosineAnnealingLR.

    Source: I. Loshchilov and F. Hutter, SGDR: stochastic gradient descent with warm
    restarts, ICLR 2017.
    """

    lr: float
    epochs: int

    def __post_init__(self) -> None:
        checks.number("Cosine", "lr", self.lr)
        checks.whole("Cosine", "epochs", self.epochs, 1)

    def __call__(self, epoch: int) -> float:
        return self.lr * 0.5 * (1 + math.cos(math.pi * epoch / self.epochs))


@dataclass(frozen=True)
class OneCycle:
    """Up to lr and down again, both linear, in every step: as torch's OneCycleLR.

    The rate rises from lr/25 to lr in the first part of the training, `warm_up` of all
    steps, and falls to lr/250,000 in the rest. Torch's arguments for this are
    max_lr=lr, pct_start=warm_up, anneal_strategy="linear" and cycle_momentum=False. In
    batches whose number is not known it changes from epoch to epoch only.
    Source: L. Smith and N. Topin, Super-convergence: very fast training of neural
    networks using large learning rates (2017).
    """

    lr: float
    epochs: int
    warm_up: float = 0.3

    def __post_init__(self) -> None:
        checks.number("OneCycle", "lr", self.lr)
        checks.whole("OneCycle", "epochs", self.epochs, 1)
        checks.number("OneCycle", "warm_up", self.warm_up, most=1.0)

    def of_step(self, number: int, steps_per_epoch: int) -> float:
        """The rate of a step; the first of the whole training has the number 0."""
        return self._at(number, self.warm_up * self.epochs * steps_per_epoch - 1, self.epochs * steps_per_epoch - 1)

    def __call__(self, epoch: int) -> float:
        return self._at(epoch, self.warm_up * self.epochs, self.epochs)

    def _at(self, place: float, top: float, end: float) -> float:
        """The rate where the largest is at `top`, and the last at `end`."""
        if place <= top:
            return self.lr / 25 + (self.lr - self.lr / 25) * (place / top if top > 0 else 1)
        return self.lr - (self.lr - self.lr / 25e4) * min(1, (place - top) / (end - top))


def rate_of(schedule: Schedule, epoch: int, k: int = 0, steps: int = 0) -> float:
    """The rate of step k of the `steps` of an epoch, if their number is known."""
    of_step = getattr(schedule, "of_step", None)
    return schedule(epoch) if of_step is None or not steps else of_step(epoch * steps + k, steps)


def parse_schedule(text: str, lr: float, epochs: int) -> Schedule:
    """A schedule from the text of a command-line option.

    The text is constant, cosine, one-cycle, exponential:0.9, decay:0.01, or a list such
    as "0.5 for 5, then 0.1 for 5". Raises SettingError.
    """
    schedule = _parsed(text, lr, epochs)
    try:
        last = schedule(max(epochs, 1) - 1)
    except OverflowError:
        last = math.inf
    if not math.isfinite(last):
        raise SettingError(f"schedule '{text}': in {epochs} epochs the rate grows beyond all numbers")
    return schedule


def _parsed(text: str, lr: float, epochs: int) -> Schedule:
    name, _, value = text.strip().partition(":")
    try:
        if name == "constant" and not value:
            return Constant(lr)
        if name == "cosine" and not value:
            return Cosine(lr, max(1, epochs))
        if name == "one-cycle":
            return OneCycle(lr, max(1, epochs), float(value)) if value else OneCycle(lr, max(1, epochs))
        if name == "exponential":
            return Exponential(lr, float(value))
        if name == "decay":
            return Decay(lr, float(value))
        parts = [re.fullmatch(r"(?:then )?(\S+) for (\d+)", part.strip()) for part in text.split(",")]
        return PerEpoch(tuple((float(m[1]), int(m[2])) for m in parts))  # type: ignore[index]
    except SettingError as e:
        raise SettingError(f"schedule '{text}': {e}") from None
    except (ValueError, TypeError):
        raise SettingError(
            f"schedule '{text}' is not known: choose constant, cosine, one-cycle, exponential:GAMMA, "
            "decay:D or a list such as '0.5 for 5, then 0.1 for 5'"
        ) from None
