"""`python -m scratchnet.shapes`: the output size of a convolution, and why it is that.

The same for transposed convolutions. Letters as in layers/window.py: k kernel, s
stride, p padding, d dilation; each (rows, columns).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scratchnet.cli import guard, known, parse
from scratchnet.engine.layers import Conv2d, ConvTranspose2d
from scratchnet.engine.layers.window import Size2d, Window, taps
from scratchnet.errors import SettingError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LARGEST_DRAWN = 40  # cells per side

HELP = """\
usage: python -m scratchnet.shapes conv|conv-transpose --size SIZE --kernel SIZE [OPTIONS]

Print the output size of a convolution or a transposed convolution, with the formula. Sizes are a number, or rows x
columns such as 6x8. `python -m scratchnet.shapes conv --help` shows the options. Try:

  python -m scratchnet.shapes conv --size 5 --kernel 2 --stride 2 --draw
  python -m scratchnet.shapes conv-transpose --size 3 --kernel 2 --stride 2 --draw --out shapes.png
"""


@dataclass(frozen=True, kw_only=True)
class Options:
    """The sizes of a convolution: numbers, or rows x columns such as 6x8."""

    size: str
    """Size of the input image."""
    kernel: str
    """Size of the window."""
    stride: str = "1"
    """How many cells the window moves from one position to the next."""
    padding: str = "0"
    """Rings of zeros around the image (conv) or cut off the output (conv-transpose)."""
    dilation: str = "1"
    """Distance in cells between neighbouring taps of the window."""
    output_padding: str = "0"
    """Additional rows and columns at the end of the output (conv-transpose only)."""
    draw: bool = False
    """Draw the grid and the positions of the window."""
    out: Path | None = None
    """Write the drawing to this PNG file."""


def sizes(text: str, option: str) -> Size2d:
    """A number, or (rows, columns), from "6" or "6x8". Raises SettingError."""
    found = re.fullmatch(r"(\d{1,4})(?:[x,](\d{1,4}))?", text.strip())
    if not found:
        raise SettingError(f"{option} must be a number, or rows x columns such as 6x8, not {text!r}")
    return int(found[1]) if found[2] in (None, found[1]) else (int(found[1]), int(found[2]))


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


def case_of(which: str, o: Options) -> Case:
    """The case that the options describe. Raises SettingError and ShapeError."""
    asked = sizes(o.size, "--size")
    size = asked if isinstance(asked, tuple) else (asked, asked)
    options: dict[str, Any] = {
        "kernel_size": sizes(o.kernel, "--kernel"), "stride": sizes(o.stride, "--stride"),
        "padding": sizes(o.padding, "--padding"), "dilation": sizes(o.dilation, "--dilation"),
    }  # fmt: skip
    if min(size) < 1:
        raise SettingError(f"--size must be from 1, not {o.size}")
    more = sizes(o.output_padding, "--output-padding")
    layer: Conv2d | ConvTranspose2d
    if which == "conv":
        if more != 0:
            raise SettingError("--output-padding belongs to conv-transpose: a convolution has none")
        layer = Conv2d(1, 1, **options)
    else:
        layer = ConvTranspose2d(1, 1, **options, output_padding=more)
    _, height, width = layer.output_shape((1, *size))
    return Case(layer, size, (height, width))


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


# ------------------------------------------------------------------------- as text


def describe(case: Case, covered: bool = True) -> list[str]:
    """The formulas, the result, and the cells that a convolution does not cover."""
    lines = []
    if case.formula(0) == case.formula(1):
        lines.append(f"height and width: {case.formula(0)}")
    else:
        lines += [f"height: {case.formula(0)}", f"width:  {case.formula(1)}"]
    lines.append(f"{_by(case.size)} → {_by(case.out)}")
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
    legend += [f"∘ rings around: dilation·(kernel − 1) − padding = {_by(rings)}"] if (grid == -1).any() else []
    legend += ["+ output padding"] if (grid == -2).any() else []
    lines = ["", f"the input spread out to {_by(grid.shape)}: {', '.join(legend)}"]
    if min(rings) < 0:
        cut = _by([max(0, -r) for r in rings])
        lines.append(f"(the padding exceeds dilation·(kernel − 1): {cut} rings of it are cut off)")
    lines += ["", *(f"      {' '.join(marks[int(v)] for v in row)}" for row in grid), ""]
    kernel = f"{_by([w.k for w in case.window])} kernel"
    lines.append(f"the {kernel}, turned over, moves over it by 1 and gives {_by(case.out)}")
    return lines


def _by(size: Sequence[int]) -> str:
    return " x ".join(map(str, size))


# ---------------------------------------------------------------------- as a picture


def picture(case: Case, path: Path) -> None:
    """Draw the grids as a PNG.

    It shows the first and the last position of the window, and the output cells they
    give.
    """
    from scratchnet.plots.style import BLUE, INK, ORANGE, new_figure, save

    title = "Transposed convolution" if case.transposed else "Convolution"
    subtitle = "; ".join(describe(case, covered=False))
    if case.transposed:
        colours = {1: "#9CC9E8", 0: "white", -1: "#EDEDED", -2: "#F6DDBF"}
        grid = spread_out(case)
        names = {1: "input", 0: "zeros between", -1: "rings of zeros around", -2: "output padding"}
        panel = "The input, spread out"
        step = (1, 1)
    else:
        colours = {1: "#9CC9E8", 2: "#F2B48C", 0: "#EDEDED"}
        (rows, cols), met = case.window, np.outer(*map(coverage, case.window, case.size)) > 0
        grid = np.pad(np.where(met, 1, 2), ((rows.p, rows.p), (cols.p, cols.p)))
        names = {1: "input", 2: "not covered", 0: "padding with zeros"}
        panel = "The input" + (", padded" if rows.p or cols.p else "")
        step = (rows.s, cols.s)
    names = {v: name for v, name in names.items() if (grid == v).any()}
    (H, W), (P, Q) = grid.shape, case.out
    cell = min(0.5, 11 / (W + Q + 2), 7 / max(H, P))  # inches
    wide, high = max(7.6, cell * (W + Q + 2) + 1.6), max(2.4, cell * max(H, P) + 1.2) + 0.9
    fig = new_figure(title, subtitle, wide, high)
    left, right = fig.subplots(1, 2, width_ratios=(W, Q))
    _cells(left, np.vectorize(colours.__getitem__)(grid), f"{panel}: {_by(grid.shape)}")
    _cells(right, np.full((P, Q), "#FFFFFF"), f"The output: {_by(case.out)}")
    for (o, q), colour in {(P - 1, Q - 1): ORANGE, (0, 0): BLUE}.items():
        rows, cols = case.window
        top, start = o * step[0], q * step[1]
        _frame(left, top, start, rows.span, cols.span, colour)
        for i, j in np.ndindex(rows.k, cols.k):
            left.plot(start + j * cols.d + 0.5, top + i * rows.d + 0.5, "o", color=colour, ms=min(7, 14 * cell))
        _frame(right, o, q, 1, 1, colour)
    for v, name in names.items():
        left.plot([], [], "s", color=colours[v], markeredgecolor=INK, markeredgewidth=0.5, ms=9, label=name)
    left.plot([], [], "o", color=BLUE, label="first place of the window")
    left.plot([], [], "o", color=ORANGE, label="last place")
    fig.legend(loc="outside lower left", ncols=5, frameon=False, fontsize=9.5)
    save(fig, path)


def _cells(ax: "Axes", colours: np.ndarray, title: str) -> None:
    from matplotlib.patches import Rectangle

    from scratchnet.plots.style import GREY, INK

    for i, j in np.ndindex(colours.shape):
        ax.add_patch(Rectangle((j, i), 1, 1, facecolor=colours[i, j], edgecolor=GREY, linewidth=0.6))
    ax.set(xlim=(-0.15, colours.shape[1] + 0.15), ylim=(colours.shape[0] + 0.15, -0.15), aspect="equal")
    ax.set_title(title, size=11, color=INK, loc="left")
    ax.axis("off")


def _frame(ax: "Axes", top: int, left: int, height: int, width: int, colour: str) -> None:
    from matplotlib.patches import Rectangle

    ax.add_patch(Rectangle((left, top), width, height, fill=False, edgecolor=colour, linewidth=2.5, zorder=3))


KINDS = ("conv", "conv-transpose")


def main(args: Sequence[str]) -> int:
    if not args or args[0] in ("-h", "--help"):
        print(HELP, end="")
        return 0
    which = known(args[0], KINDS, "kind of convolution")
    o = parse(Options, args[1:], f"python -m scratchnet.shapes {which}")
    case = case_of(which, o)
    if (o.draw or o.out) and max(*case.size, *case.out) > LARGEST_DRAWN:
        raise SettingError(f"--draw shows up to {LARGEST_DRAWN} cells a side, not {_by(case.size)} → {_by(case.out)}")
    print("\n".join([*describe(case), *(drawing(case) if o.draw else [])]))
    if o.out is not None:
        picture(case, o.out)
        print(f"drawn in {o.out}")
    return 0


if __name__ == "__main__":
    guard(main)
