"""Predicted values beside the true ones."""

from typing import TYPE_CHECKING

import numpy as np

from scratchnet.plots.style import BLUE, GREY, axes_for, figure_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def predicted_against_true(predicted: np.ndarray, true: np.ndarray, ax: "Axes | None" = None) -> "Figure":
    """One point per example; on the grey line the prediction is exact.

    Draws on `ax` or in a new figure, and returns the figure.
    """
    rmse = float(np.sqrt(np.mean((predicted - true) ** 2)))
    about = f"Every example by the network that was not trained on it; on the line both are equal. RMSE {rmse:.4g}"
    ax = axes_for("predicted_against_true", ax, "What the network predicts, beside what is true", about, 7.5, 6.5,
                  x="true value", y="predicted value")  # fmt: skip
    ends = [float(min(true.min(), predicted.min())), float(max(true.max(), predicted.max()))]
    ax.plot(ends, ends, color=GREY, linewidth=1)
    ax.plot(true, predicted, "o", color=BLUE, markersize=4, alpha=0.6, markeredgewidth=0)
    return figure_of(ax)
