"""Predicted values beside the true ones."""

import numpy as np

from scratchnet.plots.style import BLUE, GREY, Path, new_figure, save, style


def predicted_against_true(predicted: np.ndarray, true: np.ndarray, path: Path) -> None:
    """One point per example; on the grey line the prediction is exact."""
    rmse = float(np.sqrt(np.mean((predicted - true) ** 2)))
    fig = new_figure("What the network predicts, beside what is true",
                     f"Every example by the network that was not trained on it; on the line both are equal. "
                     f"RMSE {rmse:.4g}", 7.5, 6.5)  # fmt: skip
    ax = style(fig.subplots(), "", "true value", "predicted value")
    ends = [float(min(true.min(), predicted.min())), float(max(true.max(), predicted.max()))]
    ax.plot(ends, ends, color=GREY, linewidth=1)
    ax.plot(true, predicted, "o", color=BLUE, markersize=4, alpha=0.6, markeredgewidth=0)
    save(fig, path)
