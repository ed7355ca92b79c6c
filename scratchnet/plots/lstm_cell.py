"""The LSTM cell as a diagram, with the numbers of a real step in it."""

import itertools
from typing import TYPE_CHECKING

import numpy as np

from scratchnet.engine.layers import LSTM, Sequential
from scratchnet.engine.layers.activation import sigmoid
from scratchnet.plots.style import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def lstm_step() -> dict[str, float]:
    """One time of an LSTM of one input and one unit: every number in it, by name."""
    layer = LSTM(1, 1)
    Sequential(layer, seed=3, dtype="float64")
    x, h, c = 0.8, 0.25, -0.4
    column = np.array([[h], [x], [1.0]])
    (h_after, c_after), kept = layer.cell(layer.joined(0, None), column, (np.array([[h]]), np.array([[c]])))
    W = {p.name: np.ravel(p.value) for p in layer.params()}
    z = W["weight_ih_l0"] * x + W["bias_ih_l0"] + W["weight_hh_l0"] * h + W["bias_hh_l0"]
    i, f, o = sigmoid(z[[0, 1, 3]])
    g = np.tanh(z[2])
    found = {"x": x, "h_before": h, "c_before": c, "z_i": z[0], "z_f": z[1], "z_g": z[2], "z_o": z[3], "i": i, "f": f,
             "g": g, "o": o, "c": float(c_after[0, 0]), "tanh_c": float(np.ravel(kept[-1])[0]),
             "h": float(h_after[0, 0])}  # fmt: skip
    return {name: float(value) for name, value in found.items()}


def lstm() -> "Figure":
    """The LSTM cell as a diagram, with the numbers of a real step in it."""
    n = lstm_step()
    about = (
        "One time step of an LSTM with one unit, in numbers. The cell state runs along the top: the forget gate f says "
        "how much of it stays, the input gate i how much of the candidate g is added, the output gate o how much is "
        "shown"
    )
    fig = new_figure("Inside an LSTM cell", about, 11, 6.0)
    fig.set_layout_engine("none")
    ax = fig.add_axes((0.01, 0.01, 0.98, 0.8))
    ax.set(xlim=(0, 11), ylim=(0, 4.9))
    ax.set_axis_off()
    _frame(ax)
    top, low = 4.3, 1.35
    _arrow(ax, (0.2, top), (10.8, top))
    _arrow(ax, (0.2, 0.62), (8.0, 0.62), head=False)
    gates = (("f", 2.6, "σ", ORANGE), ("i", 4.4, "σ", GREEN), ("g", 6.0, "tanh", PURPLE), ("o", 8.0, "σ", BLUE))
    for name, x, function, colour in gates:
        _arrow(ax, (x, 0.62), (x, low - 0.17))
        _box(ax, x, low, f"{function}({n[f'z_{name}']:.3f})", colour)
        ax.text(x + 0.12, low + 0.5, f"{name} = {n[name]:.3f}", size=10.5, color=colour, weight="bold")
    _dot(ax, 2.6, top, "×")
    _arrow(ax, (2.6, low + 0.17), (2.6, top - 0.2))
    _dot(ax, 5.2, 3.05, "×")
    _arrow(ax, (4.4, low + 0.17), (4.4, 3.05), (5.0, 3.05))
    _arrow(ax, (6.0, low + 0.17), (6.0, 3.05), (5.4, 3.05))
    _dot(ax, 5.2, top, "+")
    _arrow(ax, (5.2, 3.25), (5.2, top - 0.2))
    ax.text(5.34, 3.6, f"i·g = {n['i'] * n['g']:.3f}", size=10, color=INK)
    _arrow(ax, (9.2, top), (9.2, 3.47))
    _box(ax, 9.2, 3.3, f"tanh({n['c']:.3f})", GREY)
    _dot(ax, 9.2, 2.3, "×")
    _arrow(ax, (9.2, 3.13), (9.2, 2.5))
    ax.text(9.32, 2.7, f"{n['tanh_c']:.3f}", size=10, color=INK)
    _arrow(ax, (8.0, low + 0.17), (8.0, 2.3), (9.0, 2.3))
    _arrow(ax, (9.4, 2.3), (10.8, 2.3))
    ax.text(0.2, top + 0.16, f"c before = {n['c_before']:.3f}", size=10.5, color=INK, weight="bold")
    ax.text(2.75, top + 0.16, f"f·c = {n['f'] * n['c_before']:.3f}", size=10, color=INK)
    ax.text(5.6, top + 0.16, f"c = f·c before + i·g = {n['c']:.3f}", size=10.5, color=INK, weight="bold")
    ax.text(9.55, 2.42, f"h = {n['h']:.3f}", size=10.5, color=INK, weight="bold")
    ax.text(9.55, 2.0, "h = o·tanh(c)", size=9.5, color=GREY)
    ax.text(0.2, 0.74, f"x = {n['x']:.3f}\nh before = {n['h_before']:.3f}", size=10.5, color=INK, weight="bold")
    ax.text(0.2, 0.12, "Each z is a weighted sum of x and h before, plus a bias, with weights of its own",
            size=9.5, color=GREY)  # fmt: skip
    return fig


def _frame(ax: "Axes") -> None:
    from matplotlib.patches import FancyBboxPatch

    ax.add_patch(FancyBboxPatch((1.75, 0.4), 8.0, 4.2, boxstyle="round,pad=0.05,rounding_size=0.2", facecolor="#F7F7F7",
                                edgecolor="#CFCFCF", zorder=0))  # fmt: skip


def _arrow(ax: "Axes", *points: tuple[float, float], head: bool = True) -> None:
    """A line through the points, with an arrow's head at its end."""
    for a, b in itertools.pairwise(points[:-1]):
        ax.plot([a[0], b[0]], [a[1], b[1]], color=INK, lw=1.3, zorder=1)
    kind = "-|>" if head else "-"
    ax.annotate("", points[-1], points[-2], arrowprops={"arrowstyle": kind, "color": INK, "lw": 1.3, "shrinkA": 0,
                "shrinkB": 0}, zorder=1)  # fmt: skip


def _box(ax: "Axes", x: float, y: float, text: str, colour: str) -> None:
    box = {"boxstyle": "round,pad=0.35", "facecolor": "white", "edgecolor": colour, "linewidth": 1.8}
    ax.text(x, y, text, ha="center", va="center", size=10.5, color=INK, bbox=box, zorder=3)


def _dot(ax: "Axes", x: float, y: float, sign: str) -> None:
    from matplotlib.patches import Circle

    ax.add_patch(Circle((x, y), 0.2, facecolor="white", edgecolor=INK, linewidth=1.3, zorder=2))
    ax.text(x, y, sign, ha="center", va="center", size=13, color=INK, zorder=3)
