"""Plots as Matplotlib's figures, to look at what stands where in them."""

import itertools
from collections.abc import Iterator
from typing import Any

Box = tuple[float, float, float, float]


def laid_out(fig: Any) -> Any:
    """The figure, drawn, so that all its boxes are known."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(fig).draw()
    return fig


def texts(fig: Any) -> Iterator[tuple[str, Any]]:
    """(text, its box in pixels) of all that is written and seen."""
    from matplotlib.text import Text

    renderer = fig.canvas.get_renderer()
    for text in fig.findobj(Text):
        if text.get_visible() and text.get_text().strip() and text.get_window_extent(renderer).width:
            yield text.get_text(), text.get_window_extent(renderer)


def outside(fig: Any) -> list[str]:
    """Titles, labels, legends and captions that reach out of the figure."""
    page = fig.bbox
    ticks = {label for ax in fig.axes for axis in (ax.xaxis, ax.yaxis) for label in hidden_ticks(axis)}
    return [text for text, box in texts(fig)
            if (box.x0 < page.x0 - 1 or box.x1 > page.x1 + 1 or box.y0 < page.y0 - 1 or box.y1 > page.y1 + 1)
            and text not in ticks]  # fmt: skip


def hidden_ticks(axis: Any) -> set[str]:
    """Labels of ticks that are never drawn: beyond the ends, or of no axis."""
    if not axis.axes.axison:
        return {tick.label1.get_text() for tick in axis.get_major_ticks()}
    low, high = sorted(axis.get_view_interval())
    return {tick.label1.get_text() for tick in axis.get_major_ticks() if not low <= tick.get_loc() <= high}


def legends_on_axes(fig: Any) -> int:
    """The number of legends that lie on a pair of axes, and so may hide a curve."""
    renderer = fig.canvas.get_renderer()
    legends = [ax.get_legend() for ax in fig.axes if ax.get_legend() is not None]
    return sum(
        box.overlaps(ax.bbox.padded(-2))
        for legend, ax in itertools.product(legends, fig.axes)
        for box in [legend.get_window_extent(renderer)]
    )
