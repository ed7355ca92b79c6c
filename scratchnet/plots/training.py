"""How a training went: its loss over the steps, and its accuracy over the epochs."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from scratchnet.engine import checks
from scratchnet.engine.metrics import SAMPLE
from scratchnet.engine.progress import many
from scratchnet.errors import SettingError
from scratchnet.plots.style import BLUE, GREEN, ORANGE, SKY, axes_for, figure_of, legend, new_figure, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from scratchnet.engine.history import History

Rows = Sequence[Mapping[str, float]]

#: By quantity: title, label, factor, and the lines with their names and colours
BY_EPOCH = {
    "accuracy": ("Accuracy", "right answers (%)", 100,
                 [("valid_accuracy", "validation", ORANGE), ("train_accuracy", "training", BLUE)]),
    "loss": ("Mean loss", "loss", 1, [("valid_loss", "validation", ORANGE), ("train_loss", "training", BLUE)]),
}  # fmt: skip
MOST_POINTS = 250  # of the loss; through more of them a line would be a wall
MANY_EPOCHS = 40  # from here on a line has no dots and is smoothed


def loss_and_accuracy(
    history: "History",
    *,
    examples: int | None = None,
    dropout: bool = False,
    judged: tuple[str, float] | None = None,
) -> "Figure":
    """The loss of the training steps and, per epoch, the accuracy.

    Without classes, the mean loss takes the place of the accuracy. There is no second
    plot where it would show a single point, or the first curve once more. Returns the
    figure.

    `examples` is the number of training examples, and `dropout` whether neurons were
    left out while their loss was taken; both are then said. `judged` is an accuracy
    from 0 to 1 that was measured otherwise, with its name, such as ("cross-validated",
    0.95).
    """
    epochs, losses = history.rows, np.asarray(history.step_losses, float)  # with that of epoch 0
    classes = any("valid_accuracy" in row or "train_accuracy" in row for row in epochs)
    title, unit, factor, lines = BY_EPOCH["accuracy" if classes else "loss"]
    points = [sum(key in row for row in epochs) for key, _, _ in lines]
    two = max(points) > 1 and (classes or points[0] > 1)
    fig = new_figure("How the training went", _outcome(epochs, len(losses), judged), 11 if two else 8.2, 5.2)
    left, *rest = fig.subplots(1, 2 if two else 1, squeeze=False)[0]
    note = " (neurons left out by dropout)" if dropout else ""
    _loss_of_steps(style(left, f"Training loss{note}", "training step", "loss"), losses, epochs)
    for right in rest:
        style(right, f"{title}{_sampled(epochs, examples)}", "epoch", unit)
        _per_epoch(right, epochs, lines, factor, judged if classes else None)
    return fig


def by_epoch(history: "History", quantity: str = "loss", ax: "Axes | None" = None) -> "Figure":
    """The "loss" or the "accuracy" of every epoch, in training and validation.

    Draws on `ax` or in a new figure, and returns the figure. Raises SettingError for
    another quantity, and for a history that has no row with this one.
    """
    if quantity not in BY_EPOCH:
        raise SettingError(f"plot: quantity must be {' or '.join(map(repr, BY_EPOCH))}, not {checks.shown(quantity)}")
    title, unit, factor, lines = BY_EPOCH[quantity]
    epochs = [row for row in history.rows if any(key in row for key, _, _ in lines)]
    if not epochs:
        why = "train with labels and valid=(x, labels)" if quantity == "accuracy" else "train for one epoch at least"
        raise SettingError(f"plot: the history has no {quantity} yet: {why}")
    ax = axes_for("plot", ax, title, _outcome(epochs, len(history.step_losses), None), 8.2, 5.2, x="epoch", y=unit)
    _per_epoch(ax, epochs, lines, factor)
    return figure_of(ax)


def _outcome(epochs: Rows, steps: int, judged: tuple[str, float] | None) -> str:
    """The last figures, in words."""
    last = epochs[-1] if epochs else {}
    done = round(last["epoch"]) if epochs else 0
    words = [f"{name} loss {last[key]:.4g}" for key, name in
             (("train_loss", "training"), ("valid_loss", "validation")) if key in last]  # fmt: skip
    for key, name in (("valid_accuracy", "validation"), ("train_accuracy", "training")):
        if key in last:
            words.append(f"{name} accuracy {100 * last[key]:.2f} %")
            break
    words += [f"{judged[0]} accuracy {100 * judged[1]:.2f} %"] if judged else []
    return f"After {many(done, 'epoch')}, {many(steps, 'step')}: {', '.join(words)}"


def _sampled(epochs: Rows, examples: int | None) -> str:
    """Of how many examples the training accuracy is."""
    if not any("train_accuracy" in row for row in epochs) or (examples is not None and examples <= SAMPLE):
        return ""
    of = f"{SAMPLE:,} examples at most" if examples is None else f"first {SAMPLE:,} of {examples:,}"
    return f" (training: {of})"


def _loss_of_steps(ax: "Axes", losses: np.ndarray, epochs: Rows) -> None:
    from matplotlib.ticker import StrMethodFormatter

    n = len(losses)
    k = max(1, -(-n // MOST_POINTS))
    drawn = losses[: n // k * k].reshape(-1, k).mean(axis=1)
    label = "each step" if k == 1 else f"mean of {k:,} steps"
    calm = n <= MOST_POINTS and n > 2 and _is_smooth(losses)
    ax.plot((np.arange(n // k) + 0.5) * k + 0.5, drawn, ".-" if n < 5 else "-", color=BLUE if calm else SKY,
            linewidth=2 if calm else 1, label=label)  # fmt: skip
    window = n // 20
    if window > 1 and not calm:
        total = np.concatenate([[0], losses.cumsum()])
        smooth = (total[window:] - total[:-window]) / window
        every = -(-len(smooth) // 2000)
        middle = np.arange(len(smooth)) + (window + 1) / 2
        ax.plot(middle[::every], smooth[::every], color=BLUE, linewidth=2.2, label=f"mean of {window:,} steps")
    judged = [(row["epoch"], row["valid_loss"]) for row in epochs if "valid_loss" in row]
    if judged:
        at, values = np.array(judged).T
        ax.plot(n * at / max(row["epoch"] for row in epochs), values, "o", color=ORANGE, markersize=5,
                markeredgecolor="white", clip_on=False, zorder=3, label="validation")  # fmt: skip
    _log_if_wide(ax, np.concatenate([drawn, [value for _, value in judged]]))
    ax.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    ax.locator_params(axis="x", nbins=6)
    ax.set_xlim(0, max(n, 1) * 1.02)
    if len(ax.lines) > 1:
        below = {"loc": "upper left", "bbox_to_anchor": (-0.02, -0.15), "ncols": 3, "borderpad": 0}
        legend(ax, **below, columnspacing=1.4, handlelength=1.5)  # where no curve can come


def _is_smooth(losses: np.ndarray) -> bool:
    """Whether the steps go one way rather than up and down."""
    return bool(np.abs(np.diff(losses)).sum() < 3 * (np.ptp(losses) or 1.0))


def _per_epoch(
    ax: "Axes",
    epochs: Rows,
    lines: Sequence[tuple[str, str, str]],
    factor: float,
    judged: tuple[str, float] | None = None,
) -> None:
    """Lines over the epochs; the name and last value of each stand at its end."""
    from matplotlib.ticker import MaxNLocator

    ends = []
    for key, name, colour in lines:
        at = [row["epoch"] for row in epochs if key in row]
        values = np.array([row[key] * factor for row in epochs if key in row])
        if len(at) > MANY_EPOCHS:
            window = max(2, len(at) // 20)
            smooth = np.convolve(values, np.ones(window) / window, "valid")
            ax.plot(at, values, color=colour, linewidth=0.7, alpha=0.4)
            ax.plot(at[window - 1 :], smooth, color=colour, linewidth=2)
        elif at:
            ax.plot(at, values, "-o", color=colour, linewidth=2, markersize=5, markeredgecolor="white")
        if at:
            ends.append((values[-1], f"{name}\n{_figure(values[-1], factor)}", colour))
    if judged:
        name, value = judged
        across = [epochs[0]["epoch"], epochs[-1]["epoch"]]
        ax.plot(across, [factor * value] * 2, color=GREEN, linewidth=1.6, linestyle=(0, (5, 3)))
        ends.append((factor * value, f"{name}\n{_figure(factor * value, factor)}", GREEN))
    first, final = epochs[0]["epoch"], epochs[-1]["epoch"]
    span = max(final - first, 1)
    widest = max(len(text.partition("\n")[0]) for _, text, _ in ends)
    ax.set_xlim(first - 0.04 * span, final + (0.06 + 0.028 * widest) * span)
    ax.set_xticks([at for at in MaxNLocator(8, integer=True).tick_values(first, final) if first <= at <= final])
    if factor == 1:
        _log_if_wide(ax, np.array([row[key] for row in epochs for key, _, _ in lines if key in row]))
    else:
        low, high = ax.get_ylim()
        ax.set_ylim(low, min(high, 100 + 0.02 * (100 - low)))
    # The names stand at the ends of the lines but must not overlap; heights are shares
    # of the axes' height.
    ends.sort()
    to_share = ax.transData + ax.transAxes.inverted()
    heights = [float(np.clip(to_share.transform((final, value))[1], 0.06, 0.94)) for value, _, _ in ends]
    for k in range(1, len(heights)):
        heights[k] = max(heights[k], heights[k - 1] + 0.12)
    heights[-1] = min(heights[-1], 0.96)
    for k in range(len(heights) - 2, -1, -1):
        heights[k] = min(heights[k], heights[k + 1] - 0.12)
    for height, (_, text, colour) in zip(heights, ends, strict=True):
        ax.annotate(text, (final, height), xycoords=("data", "axes fraction"), xytext=(9, 0), annotation_clip=False,
                    textcoords="offset points", va="center", size=10, color=colour, weight="bold")  # fmt: skip


def _figure(value: float, factor: float) -> str:
    return f"{value:.2f} %" if factor == 100 else f"{value:.4g}"


def _log_if_wide(ax: "Axes", losses: np.ndarray) -> None:
    """A logarithmic axis for positive losses that span more than a factor of ten."""
    from matplotlib.ticker import StrMethodFormatter

    if len(losses) and losses.min() > 0 and np.quantile(losses, 0.02) * 10 < losses.max():
        ax.set_yscale("log")
        ax.set_ylim(np.quantile(losses, 0.005) / 1.4, losses.max() * 1.4)  # one lucky batch must not squeeze the rest
        ax.set_ylabel("loss (log scale)")
        ax.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
