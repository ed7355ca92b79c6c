"""Plots of radar echoes, wave heights and a satellite's pass."""

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from scratchnet.data.waveforms import Echoes, G
from scratchnet.plots.style import BLUE, COLOURS, GREY, INK, ORANGE, SKY, axes_for, figure_of, legend, new_figure, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LAND = ("still water, ice", "several peaks", "several surfaces", "a slope")  # the kinds of `land_echoes`, in its order


def echoes(sea: Echoes, land: Echoes) -> "Figure":
    """Four echoes of the sea, with rising waves, above four of land."""
    about = "Power received by the satellite; the higher the waves, the flatter the leading edge"
    fig = new_figure("What comes back from the sea and from land", about, 12.5, 6.6)
    axes = fig.subplots(2, 4, sharex=True)
    for k in range(4):
        for row, (one, name, colour) in enumerate(((sea, f"waves of {sea.swh[k]:g} m", BLUE), (land, LAND[k], ORANGE))):
            ax = style(axes[row, k], f"{'sea' if row == 0 else 'land'}: {name}", "gate (3.125 ns)" if row else "",
                       "power (share of the largest)" if k == 0 else "")  # fmt: skip
            power = one.power[k] / one.power[k].max()
            ax.plot(np.arange(G), power, color=colour, linewidth=1.2)
            ax.fill_between(np.arange(G), power, color=colour, alpha=0.15, linewidth=0)
            ax.set_ylim(0, 1.05)
            ax.set_xlim(0, G - 1)
    return fig


def heights(estimates: Mapping[str, np.ndarray], truth: np.ndarray) -> "Figure":
    """Estimated against true wave height, and the error of each method.

    The estimates are shown by their mean and spread per metre.
    """
    about = "Points and bars: mean and standard deviation of the echoes within one metre of true wave height"
    fig = new_figure("Wave height: estimated and true", about, 12, 5.6)
    left, right = fig.subplots(1, 2)
    style(left, "Estimated against true", "true significant wave height (m)", "estimated (m)")
    style(right, "Error", "true significant wave height (m)", "root mean square error (m)")
    edges = np.linspace(truth.min(), truth.max(), 13)
    left.plot(edges[[0, -1]], edges[[0, -1]], color=GREY, linewidth=1, linestyle=(0, (4, 3)), label="perfect")
    for k, (name, swh) in enumerate(estimates.items()):
        colour = COLOURS[k % len(COLOURS)]
        rows = []
        for low, high in itertools.pairwise(edges):
            here = (truth >= low) & (truth <= high) & np.isfinite(swh)
            if here.any():
                error = swh[here] - truth[here]
                middle = truth[here].mean()
                rows.append((middle, middle + error.mean(), error.std(), np.sqrt((error**2).mean())))
        x, mean, spread, rmse = np.array(rows).T
        shift = 0.16 * (k - (len(estimates) - 1) / 2)  # beside each other, not on top
        left.errorbar(x + shift, mean, spread, fmt="o", color=colour, markersize=4, elinewidth=1.5, label=name)
        right.plot(x, rmse, "o-", color=colour, markersize=5, linewidth=1.8, label=name)
    right.set_ylim(0, None)
    legend(left, loc="upper left")
    legend(right, loc="upper left")
    return fig


def along_pass(truth: np.ndarray, alone: np.ndarray, tracked: np.ndarray, ax: "Axes | None" = None) -> "Figure":
    """Wave heights along one pass (T,), in m: true, of single echoes, and tracked.

    Draws on `ax` or in a new figure, and returns the figure.
    """

    def error(swh: np.ndarray) -> str:
        return f"{np.sqrt(((swh - truth) ** 2).mean()):.2f} m"

    about = f"Root mean square error: each echo alone {error(alone)}, tracked {error(tracked)}"
    ax = axes_for("along_pass", ax, "One pass of the satellite", about, 12, 5,
                  x="distance along the pass (km)", y="significant wave height (m)")  # fmt: skip
    x = np.arange(len(truth)) * 0.29  # the point below the satellite moves at 5.8 km/s, 20 echoes arrive per second
    ax.plot(x, alone, "o", color=SKY, markersize=3.5, markeredgewidth=0, label="network, each echo alone")
    ax.plot(x, truth, color=INK, linewidth=2.4, label="true")
    ax.plot(x, tracked, color=ORANGE, linewidth=2, label="tracked by the recurrent network")
    ax.set_xlim(x[0], x[-1])
    ax.set_ylim(0, None)
    legend(ax, loc="best")
    return figure_of(ax)
