"""Learning curves of several trainings in one plot."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from scratchnet.engine.progress import many
from scratchnet.plots.style import COLOURS, axes_for, figure_of, legend

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: What is drawn of each training: the first of these that all of them have
QUANTITIES = {
    "valid_accuracy": ("Validation accuracy", "right answers (%)", 100),
    "train_accuracy": ("Training accuracy", "right answers (%)", 100),
    "valid_loss": ("Validation loss", "loss", 1),
    "train_loss": ("Mean loss of the training", "loss", 1),
}
DASHES = ("-", "--", ":", "-.")  # so that there are as many looks as colours times dashes


def learning_curves(histories: Mapping[str, Sequence[Mapping[str, float]]], ax: "Axes | None" = None) -> "Figure":
    """One curve for each training, by epoch, on `ax` or in a new figure.

    Returns the figure. A history is its rows, each with "epoch" and losses or
    accuracies. What is drawn is the first of QUANTITIES that all of them have.
    """
    from matplotlib.ticker import MaxNLocator

    shared = [q for q in QUANTITIES if all(any(q in row for row in rows) for rows in histories.values())]
    quantity = shared[0] if shared else "train_loss"
    title, unit, factor = QUANTITIES[quantity]
    ax = axes_for("learning_curves", ax, f"{title} of {many(len(histories), 'training')}",
                  "One point per epoch; epoch 0 is before training", x="epoch", y=unit)  # fmt: skip
    ax.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    for k, (name, rows) in enumerate(histories.items()):
        points = [(row["epoch"], factor * row[quantity]) for row in rows if quantity in row]
        ax.plot(
            *zip(*points, strict=True), label=name, marker="o" if len(points) < 25 else "", markersize=3.5,
            color=COLOURS[k % len(COLOURS)], linestyle=DASHES[k // len(COLOURS) % len(DASHES)],
        )  # fmt: skip
    legend(ax, loc="best", ncols=1 + len(histories) // 12)
    return figure_of(ax)
