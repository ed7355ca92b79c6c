"""A network as a diagram: its activations from left to right, and the layers between.

A vector is a column of circles, images are a stack of squares, one for each channel,
and a sequence is a row of such columns, one for each time. Where there are more than
fit, the middle ones are left out, and dots stand for them.
"""

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any, NamedTuple

from scratchnet.engine import checks
from scratchnet.engine.layers import Flatten, Layer, Linear, Sequential
from scratchnet.engine.layers.base import Shape
from scratchnet.engine.layers.norm import BatchNorm
from scratchnet.engine.layers.pool import Pool
from scratchnet.engine.progress import many
from scratchnet.errors import SettingError
from scratchnet.plots.style import BLUE, GREEN, GREY, HEADER, INK, ORANGE, Path, new_figure, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ENDINGS = (".png", ".svg")
SHOWN = 7  # circles of a vector, squares of a stack, times of a sequence, at most
PER_ROW = 5  # activations in a row of the diagram
STEP = 2.35  # inches from one activation to the next
ANY = 9  # times of a sequence, where they are not known; they are written as T
UNIT = 0.13  # inches, the radius of a circle


class Stage(NamedTuple):
    """An activation, and the layers that lead to it."""

    shape: Shape | None  # of one example; None where the layers do not tell it
    layers: Sequence[tuple[int, Layer]]


def draw_network(net: Sequential, path: Path | None = None, input_shape: Sequence[int] | None = None) -> "Figure":
    """`Sequential.draw`."""
    if path is not None and FilePath(path).suffix.lower() not in ENDINGS:
        raise SettingError(f"{path}: a network is drawn as {' or '.join(ENDINGS)}: end the file's name in one of them")
    shape = shape_of_input(net, input_shape)
    found = stages(net, shape)
    times = "T" if input_shape is None and shape and len(shape) == 2 and shape[0] == ANY else None
    rows = [found[k : k + PER_ROW] for k in range(0, len(found), PER_ROW)]
    wrapped = STEP - 0.5 if len(rows) > 1 else 0.0  # room for the arrow that begins a row
    width = max(STEP * max(map(len, rows)) + 0.5 + wrapped, 6.5)
    subtitle = f"{many(net.size, 'parameter')} in {many(len(net.layers), 'layer')}; shapes are of a batch of N examples"
    if found[0].shape is None:
        subtitle += ". The shapes follow from that of an example: give it as input_shape"
    row_height = 2.85 + 0.17 * (1 + max(len(_lines(stage)) for stage in found))
    height = row_height * len(rows) + HEADER + 0.1
    fig = new_figure("The network", subtitle, width, height)
    fig.set_layout_engine("none")
    fig_height = fig.get_figheight()
    ax = fig.add_axes((0, 0, 1, row_height * len(rows) / fig_height))
    ax.set(xlim=(0, width), ylim=(0, row_height * len(rows)))
    ax.set_axis_off()
    k = 0
    for r, row in enumerate(rows):
        middle = row_height * (len(rows) - r) - 1.45
        for c, stage in enumerate(row):
            x = 0.85 + STEP * c + (wrapped if r else 0)
            if k:
                before = found[k - 1] if c else None
                _layers(ax, x - STEP / 2, middle, stage, before)
            _activation(ax, x, middle, stage.shape, k, len(found), times)
            k += 1
    if path is not None:
        save(fig, path)
    return fig


def shape_of_input(net: Sequential, given: Sequence[int] | None) -> Shape | None:
    """The shape of one example: given, noted by a study, or fixed by a layer."""
    if given is not None:
        return checks.shape("draw", "input_shape", given)
    noted = net.info.get("input")
    shape = noted.get("shape") if isinstance(noted, dict) else None
    if isinstance(shape, (list, tuple)) and all(type(n) is int for n in shape):
        return tuple(shape)
    shape = net.layers[0].input_shape()
    if shape is None:
        return None
    over_time = any(layer.over_time for layer in net.layers)
    return (ANY, shape[-1]) if over_time else tuple(shape)


def stages(net: Sequential, shape: Shape | None) -> list[Stage]:
    """The activations that are drawn.

    A layer that only works on what the layer before it has made, such as ReLU, dropout
    and batch normalisation, leads to the same activation as that one.
    Raises ShapeError if examples of this shape do not fit.
    """
    shapes: list[Shape | None] = [None] * (len(net.layers) + 1)
    if shape is not None:
        shapes = list(net.shapes_from(shape))
    found = [Stage(shapes[0], ())]
    for i, layer in enumerate(net.layers):
        joins = isinstance(layer, BatchNorm) or not (layer.params() or isinstance(layer, (Flatten, Pool)))
        if joins and found[-1].layers:
            found[-1] = Stage(shapes[i + 1], (*found[-1].layers, (i, layer)))
        else:
            found.append(Stage(shapes[i + 1], ((i, layer),)))
    return found


def _layers(ax: "Axes", x: float, y: float, stage: Stage, before: Stage | None) -> None:
    """The arrow to an activation; below it the layers' names and their parameters."""
    first = stage.layers[0][1]
    if before is not None and isinstance(first, Linear) and _is_vector(before.shape) and _is_vector(stage.shape):
        for _, y0 in _column(before.shape[0]):  # type: ignore[index]
            for _, y1 in _column(stage.shape[0]):  # type: ignore[index]
                ax.plot([x - STEP / 2 + UNIT, x + STEP / 2 - UNIT], [y + y0, y + y1], color=GREY, lw=0.35, alpha=0.55)
    else:
        ax.annotate("", (x + 0.28, y), (x - 0.28, y), arrowprops={"arrowstyle": "-|>", "color": INK, "lw": 1.3})
    lines = _lines(stage)
    size = sum(p.size for _, layer in stage.layers for p in layer.params() if p.trained)
    numbers = f"{many(size, 'parameter')}" if size else ""
    words: dict[str, Any] = {"ha": "center", "va": "top", "size": 8.5, "parse_math": False}
    ax.text(x, y - 1.28, "\n".join(lines), color=INK, linespacing=1.2, **words)
    if numbers:
        ax.text(x, y - 1.28 - 0.17 * len(lines), numbers, color=BLUE, **words)


def _lines(stage: Stage) -> list[str]:
    """The layers as they are written, broken where one is wider than its place."""
    return [line for _, layer in stage.layers for line in textwrap.wrap(str(layer), 27, break_long_words=False)]


def _is_vector(shape: Shape | None) -> bool:
    return shape is not None and len(shape) == 1


def _column(n: int) -> list[tuple[int, float]]:
    """(number, height) of the units that are drawn of a vector of n, first on top."""
    gap = 2.5 * UNIT
    if n <= SHOWN:
        return [(k, gap * ((n - 1) / 2 - k)) for k in range(n)]
    half = SHOWN // 2
    top = [(k, gap * (half - k)) for k in range(half)]
    return [*top, *((n - half + k, gap * (-1 - k)) for k in range(half))]


def _activation(ax: "Axes", x: float, y: float, shape: Shape | None, k: int, of: int, times: str | None) -> None:
    """One activation with its shape above it: vector, images, sequence, or unknown."""
    colour = GREEN if k == 0 else ORANGE if k == of - 1 else BLUE
    name = "input" if k == 0 else "output" if k == of - 1 else ""
    if shape is None:
        _square(ax, x, y, 0.5, colour)
        ax.text(x, y, "?", ha="center", va="center", size=12, color=INK)
    elif len(shape) == 1:
        _vector(ax, x, y, shape[0], UNIT, colour)
    elif len(shape) == 2:
        T = shape[0]
        drawn = min(T, 4)
        for t in range(drawn):
            at = x + 0.34 * (t - (drawn - 1) / 2)
            if drawn < T and t == drawn - 2:
                ax.text(at, y, "...", ha="center", va="center", size=12, color=GREY)
                continue
            _vector(ax, at, y, shape[1], 0.75 * UNIT, colour)
    elif len(shape) == 3:
        _stack(ax, x, y, shape, colour)
    else:
        _square(ax, x, y, 0.5, colour)
    sizes = [times or shape[0], *shape[1:]] if shape and len(shape) == 2 else shape
    text = "" if sizes is None else f"(N, {', '.join(map(str, sizes))})"
    ax.text(x, y + 1.16, f"{name}\n{text}".strip(), ha="center", va="bottom", size=9, color=INK, weight="bold")


def _vector(ax: "Axes", x: float, y: float, n: int, radius: float, colour: str) -> None:
    from matplotlib.patches import Circle

    scale = radius / UNIT
    for _, dy in _column(n):
        ax.add_patch(Circle((x, y + scale * dy), radius, facecolor=colour, edgecolor="white", lw=1, zorder=3))
    if n > SHOWN:
        for dot in (-1, 0, 1):
            ax.add_patch(Circle((x, y + 0.07 * dot), 0.018, facecolor=GREY, edgecolor="none", zorder=3))


def _stack(ax: "Axes", x: float, y: float, shape: Shape, colour: str) -> None:
    """Channels as squares behind each other; sides grow as the logarithm."""
    C, H, W = shape
    drawn = min(C, SHOWN - 1)
    side = min(1.25, 0.22 + 0.2 * math.log2(max(H, W, 1) + 1))
    high, wide = (max(0.1, side * n / max(H, W)) for n in (H, W))
    shift = 0.085
    for k in range(drawn):
        d = shift * ((drawn - 1) / 2 - k)
        _rectangle(ax, x + d, y + d, wide, high, colour, k)
    if drawn < C:
        ax.text(x + wide / 2 + shift * drawn / 2 + 0.02, y - high / 2 - 0.05, f"... {C}", ha="center", va="top",
                size=8.5, color=GREY)  # fmt: skip


def _square(ax: "Axes", x: float, y: float, side: float, colour: str) -> None:
    _rectangle(ax, x, y, side, side, colour, 0)


def _rectangle(ax: "Axes", x: float, y: float, wide: float, high: float, colour: str, k: int) -> None:
    from matplotlib.colors import to_rgb
    from matplotlib.patches import Rectangle

    light = tuple(0.65 + 0.35 * c for c in to_rgb(colour))
    ax.add_patch(Rectangle((x - wide / 2, y - high / 2), wide, high, facecolor=light, edgecolor=colour, lw=1,
                           zorder=2 + 0.01 * k))  # fmt: skip
