"""Numbers of the engine as JSON takes them, and settings of a message, checked."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from scratchnet.engine import checks
from scratchnet.errors import SettingError

Message = Mapping[str, Any]


def number(value: Any) -> float | None:
    """A number with six digits; None where it is NaN or infinite."""
    value = float(value)
    return float(f"{value:.6g}") if math.isfinite(value) else None


def numbers(values: Any) -> list[float | None]:
    """All numbers of an array, in one list."""
    return [number(v) for v in np.asarray(values).ravel().tolist()]


def field(message: Message, name: str) -> Any:
    """What the message says under this name. Raises SettingError if it says nothing."""
    if name not in message:
        raise SettingError(f"the message says nothing about {name}")
    return message[name]


def whole(message: Message, name: str, least: int, most: int) -> int:
    return checks.whole("play", name, field(message, name), least, most)


def real(message: Message, name: str, least: float, most: float) -> float:
    return checks.number("play", name, field(message, name), least, most)


def word(message: Message, name: str, choices: tuple[str, ...]) -> str:
    return checks.choice("play", name, field(message, name), choices)


def wholes(message: Message, name: str, most: int, longest: int) -> list[int]:
    """A list of at most `longest` whole numbers from 0 to `most`."""
    values = field(message, name)
    if not isinstance(values, list) or len(values) > longest:
        raise SettingError(f"play: {name} must be a list of at most {longest} numbers, not {checks.shown(values)}")
    return [checks.whole("play", f"a number of {name}", v, 0, most) for v in values]
