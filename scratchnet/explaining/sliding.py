"""A window that slides over an image, in formulas and in characters.

The same for a transposed convolution. Letters as in layers/window.py: k kernel, s
stride, p padding, d dilation; each (rows, columns).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scratchnet.engine.layers import Conv2d, ConvTranspose2d
from scratchnet.engine.layers.window import Window, taps


@dataclass(frozen=True)
class Case:
    """A case to explain: the layer, made only for its shapes, and the sizes."""

    layer: Conv2d | ConvTranspose2d
    size: tuple[int, int]
    out: tuple[int, int]

    @property
    def window(self) -> tuple[Window, Window]:
        return self.layer.window

    @property
    def transposed(self) -> bool:
        return isinstance(self.layer, ConvTranspose2d)

    def formula(self, axis: int) -> str:
        if isinstance(self.layer, ConvTranspose2d):
            return self.window[axis].covered_text(self.size[axis], self.layer.more[axis])
        return self.window[axis].places_text(self.size[axis])


def coverage(w: Window, size: int) -> np.ndarray:
    """How many positions of a convolution's window cover each cell of an axis."""
    counts = np.zeros(size, int)
    for _, cells in taps(w, size, w.places(size)):
        counts[cells] += 1
    return counts


def spread_out(case: Case) -> np.ndarray:
    """The grid that a transposed convolution of stride 1 would read.

    It is the input with zeros between and around its cells: 1 is a cell of the input, 0
    a zero between two cells, −1 the rings of zeros around them, −2 those of the output
    padding. A window that is turned over and moves over this grid by 1 gives the
    output. A padding above d·(k − 1) cuts cells off.
    """
    assert isinstance(case.layer, ConvTranspose2d)
    axes = []
    for w, size, more in zip(case.window, case.size, case.layer.more, strict=True):
        inner = np.zeros((size - 1) * w.s + 1, int)
        inner[:: w.s] = 1
        ring = w.span - 1 - w.p
        axis = np.pad(inner, ring, constant_values=-1) if ring >= 0 else inner[-ring : len(inner) + ring]
        axes.append(np.pad(axis, (0, more), constant_values=-2))
    rows, cols = axes[0][:, None], axes[1][None, :]
    return np.where((rows >= 0) & (cols >= 0), rows * cols, np.minimum(rows, cols))


def describe(case: Case, covered: bool = True) -> list[str]:
    """The formulas, the result, and the cells that a convolution does not cover."""
    lines = []
    if case.formula(0) == case.formula(1):
        lines.append(f"height and width: {case.formula(0)}")
    else:
        lines += [f"height: {case.formula(0)}", f"width:  {case.formula(1)}"]
    lines.append(f"{by(case.size)} → {by(case.out)}")
    if covered and not case.transposed:
        for axis, what in enumerate(("row", "column")):
            missed = np.flatnonzero(coverage(case.window[axis], case.size[axis]) == 0)
            if len(missed):
                many = len(missed) > 1
                which = f"{what}{'s' * many} {', '.join(map(str, missed))}, counted from 0,"
                if missed[0] + len(missed) == case.size[axis]:
                    which = f"the last {f'{len(missed)} {what}s' if many else what} of the input"
                lines.append(f"{which} {'are' if many else 'is'} not covered: no place of the window meets "
                             f"{'them' if many else 'it'}")  # fmt: skip
    return lines


def drawing(case: Case) -> list[str]:
    """The grids in characters."""
    if case.transposed:
        return _draw_spread(case)
    w, size = case.window[1], case.size[1]
    lines = ["", "the window along the columns, place by place (■ tap, · cell, ∘ padding):", ""]
    places = case.out[1]
    for o in range(min(places, 12)):
        marks = ["∘"] * w.p + ["·"] * size + ["∘"] * w.p
        for i in range(w.k):
            marks[o * w.s + i * w.d] = "■"
        lines.append(f"  {o:>2}  {' '.join(marks)}")
    if places > 12:
        lines.append(f"  ... and so on to {places - 1}")
    counts = np.outer(*map(coverage, case.window, case.size))
    wide, missed = len(str(counts.max())), bool(counts.min() == 0)
    lines += ["", "how many places meet each cell of the input" + " (× none: not covered)" * missed, ""]
    pad = " ".join(["∘".rjust(wide)] * (size + 2 * w.p))
    side = ["∘".rjust(wide)] * w.p
    lines += [f"      {pad}"] * case.window[0].p
    for row in counts:
        lines.append("      " + " ".join([*side, *((str(v) if v else "×").rjust(wide) for v in row), *side]))
    return [*lines, *[f"      {pad}"] * case.window[0].p]


def _draw_spread(case: Case) -> list[str]:
    assert isinstance(case.layer, ConvTranspose2d)
    grid, marks = spread_out(case), {1: "■", 0: "0", -1: "∘", -2: "+"}
    rings = [w.span - 1 - w.p for w in case.window]
    legend = ["■ input"]
    legend += ["0 zeros between (stride − 1)"] if (grid == 0).any() else []
    legend += [f"∘ rings around: dilation·(kernel − 1) − padding = {by(rings)}"] if (grid == -1).any() else []
    legend += ["+ output padding"] if (grid == -2).any() else []
    lines = ["", f"the input spread out to {by(grid.shape)}: {', '.join(legend)}"]
    if min(rings) < 0:
        cut = by([max(0, -r) for r in rings])
        lines.append(f"(the padding exceeds dilation·(kernel − 1): {cut} rings of it are cut off)")
    lines += ["", *(f"      {' '.join(marks[int(v)] for v in row)}" for row in grid), ""]
    kernel = f"{by([w.k for w in case.window])} kernel"
    lines.append(f"the {kernel}, turned over, moves over it by 1 and gives {by(case.out)}")
    return lines


def by(size: Sequence[int]) -> str:
    return " x ".join(map(str, size))
