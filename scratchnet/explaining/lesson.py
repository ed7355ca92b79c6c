"""What `explain` shows, as data: lines of text with the source beside them, and the
formulas behind them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from scratchnet.explaining import pytorch
from scratchnet.explaining.formula import Formula, Source, short
from scratchnet.explaining.three_ways import ETA, ThreeWays

KINK = 1e-6  # what three right derivatives of a smooth C do not differ by


@dataclass(frozen=True)
class Line:
    """One line of text, and the place in the source that stands beside it."""

    text: str = ""
    kind: str = "numbers"  # or "title", "equation", "table", "right", "wrong", "note"
    source: Source | None = None


@dataclass(frozen=True)
class Picture:
    """Grey values (H, W) from 0 to 1 beside lines, with one pixel marked."""

    values: np.ndarray
    marked: tuple[int, int] | None
    beside: list[Line]


@dataclass
class Lesson:
    """A screen in the making."""

    title: str
    parts: list[Line | Picture] = field(default_factory=list)
    formulas: list[Formula] = field(default_factory=list)
    ways: ThreeWays | None = None

    def blank(self) -> None:
        self.parts.append(Line())

    def say(self, text: str, kind: str = "numbers") -> None:
        self.parts.append(Line(text, kind))

    def equation(self, formula: Formula, name: str = "", letters: str = "") -> None:
        """The heading of some numbers: FWD or BP1 to BP4, the equation, and where it
        stands in the source.
        """
        self.parts.append(Line(f"{name or formula.name:<4} {letters or formula.equation}", "equation", formula.source))

    def numbers(self, letter: str, formula: Formula, text: str = "") -> None:
        """A number by its letter, with its formula in numbers or with `text`."""
        self.formulas.append(formula)
        self.say(f"     {letter} = {text or formula.numbers()}")

    def step_of(self, letter: str, formula: Formula, text: str = "") -> None:
        self.equation(formula)
        self.numbers(letter, formula, text)

    def checked(self, ways: ThreeWays, letter: str = "") -> None:
        """The end of every screen: the derivative of a weight, called `letter`, three
        ways, and one step of it.
        """
        self.ways = ways
        self.blank()
        self.say(f"The derivative ∂C/∂{letter or ways.text} three ways", "title")
        rows: list[tuple[str, float | str]] = [
            ("this engine, by hand", ways.by_hand),
            ("central difference (C(w+h) - C(w-h))/2h, h = 1e-5", ways.central_difference),
            (f"{pytorch.version()}, autograd", ways.pytorch),
        ]
        for what, value in rows:
            words = value if isinstance(value, str) else f"{value:+.15f}"
            self.say(f"     {what:<50} {words}")
        apart = [abs(v - ways.by_hand) for _, v in rows[1:] if isinstance(v, float)]
        self.say(f"     they differ by at most {max(apart):.0e}", "note")
        if max(apart) > KINK * max(1.0, abs(ways.by_hand)):
            self.say("     C has a kink within h of this weight, such as a ReLU through 0 or a tie in a", "note")
            self.say("     maximum: the slopes of its two sides differ, and the difference sees both", "note")
        self.say("One step of this weight against its slope; foretold: C - η (∂C/∂w)²", "title")
        g = short(ways.by_hand) if ways.by_hand >= 0 else f"({short(ways.by_hand)})"
        self.say(f"     w - η ∂C/∂w = {short(ways.weight)} - {ETA:g}·{g} = {short(ways.weight_after)}")
        self.say(f"     C before {ways.loss:.8f}, after {ways.loss_after:.8f}, foretold {ways.foretold:.8f}")
        self.say(f"     and after such a step of all weights at once {ways.all_after + 0.0:.8f}")

    def as_dict(self) -> dict[str, Any]:
        """For --json: the followed weight three ways, and every formula with its
        numbers and source.
        """
        about = {} if self.ways is None else self.ways.as_dict()
        formulas = [{"name": f.name, "equation": f.equation, "numbers": f.numbers(), "value": f.value,
                     "source": str(f.source)} for f in self.formulas]  # fmt: skip
        return {**about, "title": self.title, "formulas": formulas}


def columns(*widths: int) -> Any:
    """A function that sets words to the right in columns of these widths, one space
    between.
    """

    def line(words: Sequence[Any]) -> str:
        return " ".join(f"{word:>{width}}" for word, width in zip(words, widths, strict=True))

    return line
