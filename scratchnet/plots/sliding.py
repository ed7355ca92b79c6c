"""A window that slides over an image, drawn: its places and what they give.

The same for a transposed convolution, whose window slides over its input spread out.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scratchnet.explaining.sliding import Case, by, coverage, describe, spread_out
from scratchnet.plots.style import BLUE, GREY, INK, ORANGE, new_figure, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def picture(case: Case, path: Path) -> None:
    """Draw the grids as a PNG.

    It shows the first and the last position of the window, and the output cells they
    give.
    """
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
    _cells(left, np.vectorize(colours.__getitem__)(grid), f"{panel}: {by(grid.shape)}")
    _cells(right, np.full((P, Q), "#FFFFFF"), f"The output: {by(case.out)}")
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

    for i, j in np.ndindex(colours.shape):
        ax.add_patch(Rectangle((j, i), 1, 1, facecolor=colours[i, j], edgecolor=GREY, linewidth=0.6))
    ax.set(xlim=(-0.15, colours.shape[1] + 0.15), ylim=(colours.shape[0] + 0.15, -0.15), aspect="equal")
    ax.set_title(title, size=11, color=INK, loc="left")
    ax.axis("off")


def _frame(ax: "Axes", top: int, left: int, height: int, width: int, colour: str) -> None:
    from matplotlib.patches import Rectangle

    ax.add_patch(Rectangle((left, top), width, height, fill=False, edgecolor=colour, linewidth=2.5, zorder=3))
