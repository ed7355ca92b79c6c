"""Learning-rate schedules: the rate of each epoch, as a function of its number.

The first epoch has the number 0.
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


def parse_schedule(text: str, lr: float, epochs: int) -> Schedule:
    """A schedule from the text of a command-line option.

    The text is constant, cosine, exponential:0.9, decay:0.01, or a list such as "0.5
    for 5, then 0.1 for 5". Raises SettingError.
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
            f"schedule '{text}' is not known: choose constant, cosine, exponential:GAMMA, decay:D "
            "or a list such as '0.5 for 5, then 0.1 for 5'"
        ) from None
