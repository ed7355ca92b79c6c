"""A year of airline passengers: the truth, and what was forecast for it."""

from typing import TYPE_CHECKING

import numpy as np

from scratchnet.data.flights import FIRST_YEAR
from scratchnet.plots.style import BLUE, GREY, INK, ORANGE, RULE, legend, new_figure, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

YEAR = 12  # months


def forecast_of_a_year(
    series: np.ndarray, year: int, start: int, known: np.ndarray, recursive: np.ndarray, about: str
) -> "Figure":
    """The whole series, and beside it the year whose first month is series[start].

    `known` and `recursive` are the forecasts of its months, from the true months before
    each and from the forecasts before it.
    """
    t = FIRST_YEAR + np.arange(len(series)) / YEAR
    last, naive = t[start : start + YEAR], series[start - YEAR : start]
    fig = new_figure(f"Airline passengers: {year} forecast from the months before it", about, 12, 5.4)
    whole, near = fig.subplots(1, 2, width_ratios=[1.5, 1])
    for ax in (whole, near):
        at = t if ax is whole else np.arange(YEAR)
        part = slice(None) if ax is whole else slice(start, start + YEAR)
        x = last if ax is whole else at
        marker = {} if ax is whole else {"marker": "o", "markersize": 4}
        ax.plot(at, series[part], color=INK, linewidth=1.4, label="passengers", **marker)
        ax.plot(x, naive, color=GREY, linewidth=1.2, linestyle=":", label="last year's months", **marker)
        ax.plot(x, known, color=BLUE, linewidth=1.6, label="from the known months", **marker)
        ax.plot(x, recursive, color=ORANGE, linewidth=1.6, label="from its own forecasts", **marker)
    style(whole, "The whole series", "year", "passengers per month (thousands)")
    whole.axvspan(year, year + 1, color=RULE, alpha=0.6, linewidth=0)
    whole.set_xticks(range(FIRST_YEAR, FIRST_YEAR + len(series) // YEAR + 1, 2))
    style(near, f"{year}", "month", "passengers per month (thousands)")
    near.set_xticks(range(YEAR), list("JFMAMJJASOND"))
    legend(whole, loc="upper left")
    return fig
