"""The house style of all plots: colours, figure, axes, legend, and the PNG file.

Matplotlib is imported when the first plot is drawn, and its global state (pyplot) is
never touched, so plots may be drawn in any thread, with or without a screen. To draw
another kind of plot: `new_figure`, `style`, `save`. A plot that is one picture takes
the axes `ax` to draw on and begins with `axes_for` instead.
"""

import io
import logging
import os
import unicodedata
from typing import TYPE_CHECKING, Any

from scratchnet.engine import checks
from scratchnet.errors import SettingError
from scratchnet.files.atomic import atomic_write

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


Path = str | os.PathLike[str]

# Colours that people with any colour vision can tell apart. Source: M. Okabe and K.
# Ito, Color Universal Design (2008).
BLUE, ORANGE, GREEN, PURPLE, SKY, YELLOW = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00"
COLOURS = (BLUE, ORANGE, GREEN, PURPLE, SKY, YELLOW)
INK, GREY, RULE = "#1A1A1A", "#6B6B6B", "#E3E3E3"  # for text, lesser text, and lines of a grid
DPI = 150
HEADER = 0.78  # inches above the axes, for title and subtitle
LINE = 0.21  # inches for every further line of the subtitle


def new_figure(title: str, subtitle: str = "", width: float = 10.0, height: float = 5.0, pad: float = 0.12) -> "Figure":
    """An empty figure with a title (what it shows) and a subtitle (what to see).

    Sizes are in inches; `pad` is the space around the axes. A subtitle that is wider
    than the figure makes it higher.
    """
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it reports on its font cache
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    from scratchnet.plots.shown import ShownFigure

    lines = lines_of(subtitle, 10.5, width - 0.4)
    header = HEADER + (len(lines) - 1) * LINE
    height += header - HEADER
    fig = ShownFigure((width, height), dpi=DPI, facecolor="white")
    edge = 0.08
    inside = (edge / width, edge / height, 1 - 2 * edge / width, 1 - (header + edge) / height)
    fig.set_layout_engine(ConstrainedLayoutEngine(rect=inside, w_pad=pad, h_pad=pad, wspace=0.02, hspace=0.02))
    left = 0.2 / width
    fig.text(left, 1 - 0.19 / height, title, size=15, weight="bold", color=INK, va="top", parse_math=False)
    fig.text(left, 1 - 0.51 / height, "\n".join(lines), size=10.5, color=GREY, va="top", parse_math=False,
             linespacing=1.25)  # fmt: skip
    return fig


def axes_for(
    who: str, ax: "Axes | None", title: str, subtitle: str = "", width: float = 10.0, height: float = 5.0, *,
    x: str = "", y: str = "",
) -> "Axes":  # fmt: skip
    """Axes in the house style: `ax` with this title, or those of a new figure.

    `x` and `y` are their labels. Raises SettingError if `ax` is no pair of axes.
    """
    if ax is None:
        return style(new_figure(title, subtitle, width, height).subplots(), "", x, y)
    if not hasattr(ax, "contour"):
        raise SettingError(f"{who}: ax must be axes of Matplotlib, not {checks.shown(ax)}")
    return style(ax, title, x, y)


def figure_of(ax: "Axes") -> "Figure":
    """The figure that these axes are in."""
    return ax.get_figure(root=True)  # type: ignore[return-value]


def lines_of(text: str, size: float, width: float) -> list[str]:
    """A text in points of `size`, broken into lines of at most `width` inches."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(size=size)

    def is_wide(line: str) -> bool:
        return text_to_path.get_text_width_height_descent(line, font, ismath=False)[0] > 72 * width

    lines = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and is_wide(longer):
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def style(ax: "Axes", title: str = "", x: str = "", y: str = "") -> "Axes":
    """Give one pair of axes the house style: labels, light horizontal rules, no box."""
    ax.set_title(title, size=12, color=INK, loc="left", pad=10)
    ax.set_xlabel(x, size=11, color=INK)
    ax.set_ylabel(y, size=11, color=INK)
    ax.tick_params(colors=GREY, labelsize=10, length=3)
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(GREY)
    ax.grid(axis="y", color=RULE, linewidth=0.8)
    ax.set_axisbelow(True)
    return ax


def legend(ax: "Axes", **options: Any) -> None:
    """A legend without a box, readable on top of what lies below it."""
    ax.legend(edgecolor="none", framealpha=0.8, fontsize=10, labelcolor=INK, **options)


def drawable(text: str) -> str:
    """A text that Matplotlib's font can write: emoji as names, others as U+65E5."""

    def one(c: str) -> str:
        if ord(c) < 0x2000:
            return c
        return f"[{unicodedata.name(c, '?').lower()}]" if unicodedata.category(c)[0] != "L" else f"[U+{ord(c):04X}]"

    return "".join(map(one, text))


def save(fig: "Figure", path: Path) -> None:
    """Write the figure as a PNG, or as SVG where the file's name ends in .svg.

    Raises OSError and keeps the old file on failure.
    """
    # Equal figures give equal files. The layout's solver iterates over sets, so its
    # last digits depend on addresses.
    fig.draw_without_rendering()
    fig.set_layout_engine("none")
    for ax in fig.axes:
        ax.set_position([round(float(v), 6) for v in ax.get_position(original=True).bounds])  # type: ignore[arg-type]
    kind = "svg" if str(path).lower().endswith(".svg") else "png"
    content = io.BytesIO()
    fig.savefig(content, format=kind, metadata={"Date": None} if kind == "svg" else {"Software": None})
    atomic_write(path, content.getvalue())
