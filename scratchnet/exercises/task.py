"""What an exercise is: its functions, the cases they are tried on, known mistakes.

Letters as in `engine/equations.py`: z, a, delta, W, b; N examples in a batch. All
numbers are float64.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

TEXTS = Path(__file__).parent / "texts"

Arrays = tuple[Any, ...]
Sizes = Mapping[str, int]

# step of central differences; the error is of order h²
H = 1e-5


@dataclass(frozen=True)
class Slip:
    """A mistake that many make: the value that it gives, and what to say about it."""

    output: str
    wrong: Callable[..., Any]  # of the function's arguments
    text: str


@dataclass(frozen=True)
class Part:
    """One function that the learner writes.

    `right` and `pytorch` compute its outputs from the same arguments, by the engine and
    differences of the loss, and by PyTorch. `look` says for each output where to look
    if it is wrong. `sizes` are the cases, the easiest to understand first.
    """

    function: str
    arguments: tuple[str, ...]
    outputs: tuple[str, ...]
    sizes: tuple[Sizes, ...]
    draw: Callable[[np.random.Generator, Sizes], Arrays]
    right: Callable[..., Arrays]
    pytorch: Callable[..., Arrays]
    look: Mapping[str, str]
    slips: Sequence[Slip] = ()
    judge: str = "differences of the loss give"


@dataclass(frozen=True)
class Exercise:
    """A file to fill in. `about` is its title, `hints` go from vague to plain."""

    name: str
    about: str
    parts: tuple[Part, ...]
    hints: tuple[str, ...] = field(default=())

    @property
    def file(self) -> str:
        return f"{self.name}.py"

    @property
    def text(self) -> str:
        """The lesson and the stubs, as they are given to the learner."""
        return (TEXTS / self.file).read_text(encoding="utf-8")


def layered(*sizes: tuple[int, ...], names: str) -> tuple[Sizes, ...]:
    """Cases from numbers: layered((3, 4, 5), names="in out N")."""
    return tuple(dict(zip(names.split(), numbers, strict=True)) for numbers in sizes)


def slopes(f: Callable[..., Any], arguments: Arrays, which: Sequence[int], delta: Any = 1.0) -> Arrays:
    """∂C/∂w for C = Σ delta ⊙ f(arguments), by central differences.

    `which` are the numbers of the arguments w. With delta = ∂C/∂y this is what the
    backward pass of y = f(w) has to give.
    """
    found = []
    for k in which:
        values = [np.array(a, float) if i == k else a for i, a in enumerate(arguments)]
        w, slope = values[k], np.zeros_like(values[k])
        for place in np.ndindex(w.shape):
            kept = w[place]
            w[place] = kept + H
            above = np.sum(delta * f(*values))
            w[place] = kept - H
            below = np.sum(delta * f(*values))
            w[place] = kept
            slope[place] = (above - below) / (2 * H)
        found.append(slope)
    return tuple(found)


def autograd(f: Callable[..., Any], arguments: Arrays, which: Sequence[int], delta: Any = 1.0) -> Arrays:
    """The same as `slopes`, by PyTorch: f is written with torch."""
    import torch

    tensors: list[Any] = [torch.tensor(a, requires_grad=i in which) if isinstance(a, np.ndarray) else a
               for i, a in enumerate(arguments)]  # fmt: skip
    (f(*tensors) * torch.as_tensor(delta)).sum().backward()
    return tuple(tensors[k].grad.numpy() for k in which)
