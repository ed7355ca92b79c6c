"""What a gradient check found, and how to read it: numbers, and what they mean.

Letters: C loss, g = ∂C/∂w as backward computes it, c the central difference.
"""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

import numpy as np

from scratchnet.engine.tables import html_table

Index = tuple[int, ...]
#: A relative difference above this is a fault, and not an approximation
FAULT = 1e-4

HOW_TO_READ = (
    "difference = ‖backward − central‖ / (‖backward‖ + ‖central‖), over the elements "
    "checked one by one. In float64, rounding leaves less than 1e-7; a wrong term or "
    "factor usually leaves 1e-3 to 1."
)
AT_A_KINK = (
    "At a kink, such as a ReLU whose input is 0 or a tie in a maximum, C has no "
    "derivative: its slopes to the left and right differ. Backward takes one of them, "
    "as PyTorch does, and the central difference is their mean. This is no fault; take "
    "another x to check these elements, for example one with a little noise."
)


@dataclass(frozen=True)
class Disagreement:
    """An element of a gradient for which backward and differences of C disagree."""

    parameter: str  # a name of `state_dict`, or "input"
    index: Index
    backward: float
    central: float
    complex_step: float | None  # None where it does not apply
    kink: str = ""  # the kink within h of this point, if there is one

    def __str__(self) -> str:
        numbers = f"backward {self.backward:.10g}, central difference {self.central:.10g}"
        if self.complex_step is not None:
            numbers += f", complex step {self.complex_step:.10g}"
        place = f"{self.parameter}[{', '.join(map(str, self.index))}]"
        return f"{place}: {numbers}" + (f"; {self.kink}" if self.kink else "; no kink is near")


@dataclass(frozen=True)
class GradientReport:
    """What `gradcheck` found: true if all gradients agree; print it for details.

    `disagreements` are wrong gradients. `at_kinks` are points where C has no
    derivative: backward gives a slope between those of the two sides, and differences
    cannot say more. `checked` says, for every parameter and the input, how many of how
    many elements were checked one by one; the others were checked together, along a
    random direction. `differences` are ‖backward − central‖ / (‖backward‖ + ‖central‖)
    over the former, without those at kinks, and `factors` says in words what all
    elements of a wrong gradient have in common.
    """

    disagreements: list[Disagreement] = field(default_factory=list)
    at_kinks: list[Disagreement] = field(default_factory=list)
    checked: dict[str, tuple[int, int]] = field(default_factory=dict)
    no_complex_step: str = ""  # why complex step does not apply
    differences: dict[str, float] = field(default_factory=dict)
    factors: dict[str, str] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return not self.disagreements

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        lines = []
        for name, (some, size) in self.checked.items():
            wrong = [d for d in self.disagreements if d.parameter == name]
            how = f"all {size:,} elements" if some == size else f"{some:,} of {size:,} elements, the rest together"
            apart = f", difference {self.differences[name]:.1e}" if name in self.differences else ""
            lines.append(f"{name:16} {f'{len(wrong)} WRONG' if wrong else 'right'} ({how}{apart})")
            lines += [f"    {d}" for d in wrong[:5]] + ([f"    and {len(wrong) - 5} more"] if len(wrong) > 5 else [])
            lines += [f"    {self.factors[name]}"] if self.factors.get(name) else []
            lines += [f"    not judged, at a kink: {d}" for d in self.at_kinks if d.parameter == name][:3]
        return "\n".join([*lines, *(textwrap.fill(text, 88) for text in self.explanations()), self.verdict])

    def explanations(self) -> list[str]:
        """How to read the numbers, in sentences."""
        lines = [HOW_TO_READ] if self.differences else []
        if self.disagreements and self.differences:
            names = {d.parameter for d in self.disagreements}
            worst = max(names, key=lambda name: self.differences.get(name, 0.0))
            size = self.differences.get(worst, 0.0)
            if not size < FAULT:  # NaN is not
                lines.append(
                    f"Is a difference of {size:.2g} normal? No: it is no rounding. {worst} has a fault in its formula "
                    "or its code. A gradient twice as large as it should be gives 1/3, a wrong sign or a gradient of "
                    "0 gives 1."
                )
            else:
                lines.append(
                    f"Is a difference of {size:.2g} normal? It is small, but more than rounding leaves: look for a "
                    "few wrong elements, a term that is nearly 0, or an approximation in the code."
                )
        lines += [AT_A_KINK] if self.at_kinks else []
        lines += [f"complex step does not apply: {self.no_complex_step}"] if self.no_complex_step else []
        return lines

    @property
    def verdict(self) -> str:
        return "all gradients agree" if self.ok else f"{len(self.disagreements)} elements of gradients disagree"

    def _repr_html_(self) -> str:
        """What a notebook shows: a row for each parameter and the input, then text."""
        rows = []
        for name, (some, size) in self.checked.items():
            wrong = [d for d in self.disagreements if d.parameter == name]
            kinks = sum(d.parameter == name for d in self.at_kinks)
            rows.append({"gradient of": name, "elements": size, "checked one by one": some,
                         "difference": self.differences.get(name, ""), "at a kink": kinks, "wrong": len(wrong),
                         "first wrong": str(wrong[0]) if wrong else "",
                         "in common": self.factors.get(name, "")})  # fmt: skip
        text = "".join(f"<p>{escape(line)}</p>" for line in [*self.explanations(), self.verdict])
        return html_table(rows) + text


def relative(found: Sequence[Disagreement], least: float) -> float:
    """‖backward − central‖ / (‖backward‖ + ‖central‖); 0 if none exceeds `least`."""
    g, c = (np.array([getattr(d, name) for d in found]) for name in ("backward", "central"))
    if not np.abs(np.concatenate([g, c])).max(initial=0.0) > least and np.isfinite(g).all():
        return 0.0
    return float(np.linalg.norm(g - c) / (np.linalg.norm(g) + np.linalg.norm(c)))


def factor_of(found: Sequence[Disagreement], shape: Index, examples: int) -> str:
    """What all elements of a wrong gradient have in common, in words; or nothing.

    `shape` is that of the gradient, and `examples` the size of the batch.
    """
    g, c = (np.array([getattr(d, name) for d in found]) for name in ("backward", "central"))
    if np.isnan(g).all():
        return "backward never writes this gradient"
    size = np.abs(c).max(initial=0.0)
    if not g.any() and size:
        return "backward gives 0 everywhere"
    large = np.abs(c) > 1e-3 * size
    if not size or large.sum() < 2:
        return ""
    ratios = g[large] / c[large]
    r = float(np.median(ratios))
    if np.abs(ratios - r).max() <= 1e-4 * abs(r):
        if examples > 1 and abs(abs(r) - examples) < 1e-4 * examples:
            return (
                f"every element is {r:.4g} times what it should be, and the batch has {examples} examples: a sum "
                "over the batch where C takes the mean?"
            )
        if abs(r + 1) < 1e-4:
            return "every element has the wrong sign"
        return f"every element is {r:.4g} times what it should be: look for a missing or a doubled factor"
    square = len(shape) == 2 and shape[0] == shape[1] > 1 and g.size == shape[0] ** 2
    if square and np.allclose(g.reshape(shape).T, c.reshape(shape), rtol=1e-4, atol=1e-6 * size):
        return "it is the transpose of what it should be"
    return ""
