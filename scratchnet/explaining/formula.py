"""A formula with its numbers: a sum of products, perhaps under a function, as data.

Whoever shows it, on a terminal or a page, finds in it the equation in letters, every
factor by name and value, the result, and the file and line that computed it.
"""

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import scratchnet
from scratchnet.engine.trace import LayerTrace, Trace

Factor = tuple[str, float]  # its letter, such as "W[0,1]", and its value
Term = tuple[Factor, ...]  # a product

#: What may stand around the sum
FUNCTIONS: dict[str, Callable[[float], float]] = {
    "": lambda z: z,
    "σ": lambda z: 1 / (1 + math.exp(-z)) if z > -700 else 0.0,
    "tanh": math.tanh,
    "max(0, ·)": lambda z: max(0.0, z),
}


@dataclass(frozen=True)
class Source:
    """The place where something is computed: file in the package, line, function."""

    file: str
    line: int
    function: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


def source_of(function: Callable[..., Any]) -> Source:
    """The file and line of a function, asked of Python itself."""
    path = Path(inspect.getsourcefile(function) or "?")
    package = Path(scratchnet.__file__).parent
    file = path.relative_to(package).as_posix() if path.is_relative_to(package) else path.name
    return Source(file, inspect.getsourcelines(function)[1], function.__qualname__)


@dataclass(frozen=True)
class Formula:
    """value = function(Σ of the terms, each a product of factors).

    `name` is FWD, BP1, BP2, BP3, BP4 or C; `equation` is in letters; `value` is what
    the engine computed, and `computed` is what the terms give: the same, apart from
    rounding.
    """

    name: str
    equation: str
    terms: tuple[Term, ...]
    value: float
    source: Source
    function: str = ""
    note: str = ""

    @property
    def computed(self) -> float:
        return FUNCTIONS[self.function](sum_of(self.terms))

    def numbers(self, most: int = 4, result: bool = True) -> str:
        """The equation with numbers: "0.25·1 - 1·0.5 + 0.25 = 0".

        Of more than `most` products of one kind only their sum is written.
        """
        kinds = {tuple(letter.partition("[")[0] for letter, _ in term) for term in self.terms}
        if len(self.terms) > most and len(kinds) == 1 and not self.function and result:
            return f"{short(self.value)}, the sum of {len(self.terms):,} terms"
        inside = written(self.terms, most)
        if self.function == "max(0, ·)":
            inside = f"max(0, {inside})"
        elif self.function:
            inside = f"{self.function}({inside})"
        known = inside == short(self.value)  # a copy of a number, or the only term of a sum
        return f"{inside} = {short(self.value)}" if result and not known else inside

    def as_dict(self) -> dict[str, Any]:
        """All of it as JSON takes it."""
        return {**asdict(self), "terms": [[list(f) for f in term] for term in self.terms], "numbers": self.numbers()}


@dataclass(frozen=True)
class Asked:
    """The number of a trace that is to be explained: its place and its value.

    For an output or a gradient, `part` is its own layer; for a δ it is the following
    layer, whose backward computes it, and `index` is a place in that layer's input.
    """

    trace: Trace
    part: LayerTrace
    index: tuple[int, ...]
    example: int
    value: float

    @property
    def which(self) -> str:
        """The equation of a δ through an activation: BP1 at the network's end, else
        BP2.
        """
        return "BP1" if self.part is self.trace.layers[-1] else "BP2"

    def formula(
        self, name: str, equation: str, terms: Sequence[Term], source: Callable[..., Any], function: str = "",
        note: str = "",
    ) -> Formula:  # fmt: skip
        plain = tuple(tuple((letter, float(v)) for letter, v in term) for term in terms)
        return Formula(name, equation, plain, self.value, source_of(source), function, note)


def place(letter: str, index: Sequence[int]) -> str:
    """W[0,1]"""
    return f"{letter}[{','.join(str(int(k)) for k in index)}]"


def sum_of(terms: Sequence[Term]) -> float:
    return math.fsum(math.prod(value for _, value in term) for term in terms)


def written(terms: Sequence[Term], most: int = 4) -> str:
    """Terms with their numbers and signs.

    If there are more than `most` of one kind, their sum and number are given.
    """
    kinds: dict[tuple[str, ...], list[Term]] = {}
    for term in terms:
        kinds.setdefault(tuple(letter.partition("[")[0] for letter, _ in term), []).append(term)
    pieces: list[tuple[float, str]] = []  # sign and text
    for same in kinds.values():
        if len(same) > most:
            total = sum_of(same)
            pieces.append((math.copysign(1, total), f"{short(abs(total))} (of {len(same):,} terms)"))
        else:
            pieces += map(_product, same)
    if not pieces:
        return "0"
    text = "-" * (pieces[0][0] < 0) + pieces[0][1]
    return text + "".join(f" {'-' if sign < 0 else '+'} {piece}" for sign, piece in pieces[1:])


def _product(term: Term) -> tuple[float, str]:
    """The sign of the first factor, and the factors with a · between them.

    Later factors keep their signs.
    """
    (_, first), *rest = term
    words = [short(abs(first)), *(short(v) if v >= 0 else f"({short(v)})" for _, v in rest)]
    return -1.0 if first < 0 else 1.0, "·".join(words)


def short(value: float) -> str:
    """A number for a formula.

    It has four decimals without trailing zeros, or two digits and an exponent.
    """
    if not math.isfinite(value):
        return str(value)
    if value != 0 and abs(value) < 1e-3:
        return f"{value:.1e}".replace("e-0", "e-")
    if abs(value) >= 1e5:
        return f"{value:.3e}".replace("e+0", "e+")
    text = f"{value:.4f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text
