"""The plots of a run, one function each.

Each function writes a PNG, whole or not at all, and prints nothing.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from scratchnet.engine.metrics import SAMPLE
from scratchnet.errors import ShapeError
from scratchnet.plots.style import BLUE, GREY, HEADER, INK, ORANGE, SKY, Path, legend, new_figure, save, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from scratchnet.engine.training import History


# ---------------------------------------------------------------- the plots of a run


def loss_and_accuracy(history: "History", path: Path) -> None:
    """The loss of every training step and, per epoch, the accuracy.

    Without classes, the mean loss takes the place of the accuracy.
    """
    epochs, rows, losses = history.epochs, history.rows, np.asarray(history.step_losses, float)
    classes = any("valid_accuracy" in row or "train_accuracy" in row for row in epochs)
    last = epochs[-1] if epochs else {}
    outcome = [f"training loss {last['train_loss']:.4g}"] if epochs else []
    outcome += [f"validation loss {last['valid_loss']:.4g}"] if "valid_loss" in last else []
    shown = "valid" if "valid_accuracy" in last else "train"
    name = {"valid": "validation", "train": "training"}[shown]
    outcome += [f"{name} accuracy {100 * last[f'{shown}_accuracy']:.2f} %"] if f"{shown}_accuracy" in last else []
    subtitle = f"After {_count(len(epochs), 'epoch')}, {_count(len(losses), 'step')}: {', '.join(outcome)}"
    fig = new_figure("How the training went", subtitle, 11, 4.9)
    left, right = fig.subplots(1, 2)
    _loss_per_step(style(left, "Loss of every step", "training step", "loss"), losses, rows)
    if classes:
        sampled = any("train_accuracy" in row for row in epochs)
        note = f" (training: of {SAMPLE:,} examples at most)" if sampled else ""
        style(right, f"Accuracy{note}", "epoch", "right answers (%)")
        lines = [("valid_accuracy", "validation", ORANGE), ("train_accuracy", "training", BLUE)]
    else:
        style(right, "Mean loss", "epoch", "loss")
        lines = [("valid_loss", "validation", ORANGE), ("train_loss", "training", BLUE)]
    _per_epoch(right, rows, lines, 100 if classes else 1)
    save(fig, path)


def _loss_per_step(ax: "Axes", losses: np.ndarray, rows: list[dict[str, float]]) -> None:
    from matplotlib.ticker import StrMethodFormatter

    n = len(losses)
    if n <= 2000:
        drawn = losses
        ax.plot(np.arange(1, n + 1), losses, ".-" if n < 5 else "-", color=SKY, linewidth=0.6, label="each step")
    else:  # lines through all the steps would be one solid block
        k = n // 250
        drawn = np.quantile(losses[: n // k * k].reshape(-1, k), (0.1, 0.9), axis=1)
        at = (np.arange(n // k) + 0.5) * k
        ax.fill_between(at, *drawn, color=SKY, alpha=0.45, linewidth=0, label="8 of 10 steps")
    window = n // 40
    if window > 1:
        total = np.concatenate([[0], losses.cumsum()])
        smooth = (total[window:] - total[:-window]) / window
        every = -(-len(smooth) // 2000)
        middle = np.arange(len(smooth)) + (window + 1) / 2
        ax.plot(middle[::every], smooth[::every], color=BLUE, linewidth=2, label=f"mean of {window:,} steps")
    validated = [row for row in rows if "valid_loss" in row]
    if validated:
        ends = [n * row["epoch"] / max(rows[-1]["epoch"], 1) for row in validated]
        values = [row["valid_loss"] for row in validated]
        drawn = np.concatenate([drawn.ravel(), values])
        ax.plot(ends, values, "o", color=ORANGE, markersize=5, clip_on=False,
                markeredgecolor="white", zorder=3, label="validation, after each epoch")  # fmt: skip
    _log_if_wide(ax, drawn)
    ax.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    ax.locator_params(axis="x", nbins=6)
    ax.set_xlim(0, max(n, 1) * 1.02)
    legend(ax, loc="upper right")


def _per_epoch(ax: "Axes", rows: list[dict[str, float]], lines: list[tuple[str, str, str]], factor: float) -> None:
    """Lines over the epochs; the name and last value of each stand at its end."""
    from matplotlib.ticker import MaxNLocator

    ends = []
    for key, name, colour in lines:
        at = [row["epoch"] for row in rows if key in row]
        values = [row[key] * factor for row in rows if key in row]
        if at:
            few = len(at) <= 40
            ax.plot(at, values, "-o" if few else "-", color=colour, linewidth=2, markersize=5, markeredgecolor="white")
            ends.append((values[-1], f"{name}\n{values[-1]:.2f} %" if factor == 100 else f"{name}\n{values[-1]:.4g}",
                         colour))  # fmt: skip
    if not ends:
        ax.text(0.5, 0.5, "no validation set", ha="center", va="center", transform=ax.transAxes, color=GREY)
        return
    first, final = rows[0]["epoch"], rows[-1]["epoch"]
    span = max(final - first, 1)
    ax.set_xlim(first - 0.04 * span, final + 0.3 * span)
    ax.set_xticks([at for at in MaxNLocator(8, integer=True).tick_values(first, final) if first <= at <= final])
    if factor == 1:
        _log_if_wide(ax, np.array([row[key] for row in rows for key, _, _ in lines if key in row]))
    else:
        low, high = ax.get_ylim()
        ax.set_ylim(low, min(high, 100 + 0.02 * (100 - low)))
    # The names stand at the ends of the lines but must not overlap; heights are shares
    # of the axes' height.
    ends.sort()
    for height, (_, text, colour) in zip(_heights(ax, final, [end[0] for end in ends]), ends, strict=True):
        ax.annotate(text, (final, height), xycoords=("data", "axes fraction"), xytext=(9, 0), annotation_clip=False,
                    textcoords="offset points", va="center", size=10, color=colour, weight="bold")  # fmt: skip


def _heights(ax: "Axes", x: float, values: list[float]) -> list[float]:
    """Where names stand beside these ascending values, as shares of the height.

    They do not overlap each other or the title of the axes.
    """
    gap, top = 0.12, 0.96
    heights: list[float] = []
    for value in values:
        own = ax.transAxes.inverted().transform(ax.transData.transform((x, value)))[1]
        heights.append(max(own, heights[-1] + gap) if heights else own)
    for k in reversed(range(len(heights))):
        heights[k] = min(heights[k], top - gap * (len(heights) - 1 - k))
    return heights


def _log_if_wide(ax: "Axes", losses: np.ndarray) -> None:
    """A logarithmic axis for positive losses that span more than a factor of ten."""
    from matplotlib.ticker import StrMethodFormatter

    if len(losses) and losses.min() > 0 and np.quantile(losses, 0.02) * 10 < losses.max():
        ax.set_yscale("log")
        ax.set_ylim(np.quantile(losses, 0.005) / 1.4, losses.max() * 1.4)  # one lucky batch must not squeeze the rest
        ax.set_ylabel("loss (log scale)")
        ax.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))


def confusion(table: np.ndarray, class_names: Sequence[str], path: Path) -> None:
    """How often class i (row) was taken for class j (column), as shares of the row.

    Right answers are blue, mistakes orange. Raises ShapeError unless `table` is (K, K)
    for K names.
    """
    table = np.asarray(table)
    K = len(class_names)
    if table.shape != (K, K):
        raise ShapeError(f"a confusion table of {K} classes has shape {(K, K)}, not {table.shape}")
    total, right = int(table.sum()), int(table.trace())
    wrong = table - np.diag(table.diagonal())
    share = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    subtitle = f"{right:,} of {total:,} right ({100 * right / max(total, 1):.2f} %)"
    if wrong.any():
        i, j = divmod(int(wrong.argmax()), K)
        times = _count(wrong[i, j], "time")
        subtitle += f"; the most common mistake: {class_names[i]} taken for {class_names[j]}, {times}"
    longest = max(map(len, class_names))
    turned = longest > 4
    cell = 0.62 if K <= 12 else max(0.2, 7.5 / K)
    side = K * cell
    names = 0.095 * longest + 0.5
    fig = new_figure("What was taken for what", subtitle, max(side + names + 1.0, 7.4),
                     side + HEADER + (names if turned else 0.6) + 0.5)  # fmt: skip
    ax = style(fig.subplots(), x="taken for", y="is")
    ax.grid(visible=False)
    ax.imshow(_confusion_colours(share), aspect="equal")
    for edge in np.arange(K + 1) - 0.5:
        ax.axhline(edge, color="white", linewidth=1.5)
        ax.axvline(edge, color="white", linewidth=1.5)
    ax.spines[:].set_visible(False)
    size = 10 if K <= 12 else max(4.0, 130 / K)
    ax.set_xticks(range(K), class_names, rotation=45 if turned else 0, ha="right" if turned else "center",
                  rotation_mode="anchor", size=max(size, 6), parse_math=False)  # fmt: skip
    ax.set_yticks(range(K), class_names, size=max(size, 6), parse_math=False)
    ax.tick_params(length=0, colors=INK)
    if K <= 30:
        for i in range(K):
            for j in range(K):
                dark = share[i, j] > (0.55 if i == j else 0.2)
                if table[i, j]:
                    ax.text(j, i, f"{table[i, j]:,}", ha="center", va="center", size=size * 0.95,
                            color="white" if dark else INK)  # fmt: skip
    recall = ax.secondary_yaxis("right")
    recall.set_yticks(range(K), [f"{100 * share[k, k]:.1f} %" for k in range(K)], size=max(size, 6))
    recall.set_ylabel("share that was recognised", size=11, color=INK)
    recall.tick_params(length=0, colors=GREY)
    recall.spines[:].set_visible(False)
    save(fig, path)


def _confusion_colours(share: np.ndarray) -> np.ndarray:
    """RGB (K, K, 3): blue on the diagonal, orange beside it.

    Orange starts strong, because even one mistake in fifty should be seen.
    """
    from matplotlib.colors import to_rgb

    diagonal = np.eye(len(share), dtype=bool)
    strength = np.where(diagonal, share * 0.9, np.minimum(1, share / 0.3) ** 0.5)[..., None]
    colour = np.where(diagonal[..., None], to_rgb(BLUE), to_rgb(ORANGE))
    empty = np.array([0.965, 0.965, 0.965])
    return empty + strength * (colour - empty)


def weights_as_images(W: np.ndarray, path: Path, shape: tuple[int, ...] = (28, 28), most: int = 128) -> None:
    """The first layer's weights (out, in), each row drawn as a picture.

    It shows what the row's neuron looks for. `shape` is that of the input, (H, W), or
    (3, H, W) for colour. One scale serves all. Of more than `most` neurons, those with
    the largest weights are shown. Raises ShapeError if the weights do not fit this
    shape."""
    W = np.asarray(W, float).reshape(len(W), -1)
    if W.shape[1] != np.prod(shape):
        raise ShapeError(f"weights of {W.shape[1]} inputs cannot be shown as images of shape {shape}")
    shape = shape[1:] if len(shape) == 3 and shape[0] == 1 else shape
    n = len(W)
    norm = np.sqrt((W**2).sum(axis=1))
    shown = np.sort(np.argsort(-norm, kind="stable")[:most])
    limit = float(np.quantile(np.abs(W[shown]), 0.995)) or 1.0
    images = W[shown].reshape(-1, *shape)
    which = f"all {n:,}" if len(shown) == n else f"the {len(shown)} of {n:,} with the largest weights"
    subtitle = f"The weights of the neurons of the first layer, each as an image of its inputs: {which}"
    subtitle += "; grey is no weight" if len(shape) == 3 else ""
    columns = min(len(shown), max(6, round((1.8 * len(shown)) ** 0.5)))
    rows = -(-len(shown) // columns)
    tile = min(0.9, 13 / columns)  # inches
    fig = new_figure("What the first layer looks for", subtitle, max(columns * tile + 1.4, 8.2),
                     max(rows * tile, 2.4) + HEADER + 0.3)  # fmt: skip
    ax = fig.subplots()
    ax.axis("off")
    if len(shape) == 3:
        ax.imshow(_mosaic(np.clip(0.5 + np.moveaxis(images, 1, -1) / (2 * limit), 0, 1), columns, 1.0))
    else:
        drawn = ax.imshow(_mosaic(images, columns, np.nan), cmap="RdBu_r", vmin=-limit, vmax=limit)
        bar = fig.colorbar(drawn, ax=ax, aspect=30, shrink=0.9, extend="both", pad=0.02)
        bar.set_label("weight (red: for, blue: against)", size=10, color=INK)
        bar.ax.tick_params(colors=GREY, labelsize=9)
        bar.outline.set_visible(False)
    save(fig, path)


def _mosaic(images: np.ndarray, columns: int, gap: float) -> np.ndarray:
    """Images (n, H, W, ...) in rows of `columns`, with gaps of this value."""
    n, H, W = images.shape[:3]
    margin = max(1, round(W / 14))
    rows = -(-n // columns)
    sheet = np.full((rows * (H + margin) - margin, columns * (W + margin) - margin, *images.shape[3:]), gap)
    for k in range(n):
        y, x = k // columns * (H + margin), k % columns * (W + margin)
        sheet[y : y + H, x : x + W] = images[k]
    return sheet


def worst_mistakes(
    images: np.ndarray,
    labels: np.ndarray,
    predicted: np.ndarray,
    probabilities: np.ndarray,
    class_names: Sequence[str],
    path: Path,
    most: int = 24,
) -> None:
    """The mistakes that the network was surest of, with its answers.

    `images` as for `image_grid`, `labels` and `predicted` class numbers (N,),
    `probabilities` (N, K). If there are no mistakes, the examples that it was least
    sure of are shown.
    """
    labels, predicted = np.asarray(labels), np.asarray(predicted)
    n = len(labels)
    sure = np.asarray(probabilities)[np.arange(n), predicted]
    wrong = np.flatnonzero(labels != predicted)
    if len(wrong):
        title = "The worst mistakes"
        subtitle = f"{len(wrong):,} of {n:,} test images ({100 * len(wrong) / n:.2f} %) were taken for another class; "
        subtitle += "here those that the network was surest of" if len(wrong) > most else "surest first"
        worst = wrong[np.argsort(-sure[wrong], kind="stable")][:most]
        taken = "taken for"
    else:
        title, subtitle = "No mistakes", f"All {n:,} test images were recognised; here those that were hardest to tell"
        worst = np.argsort(sure, kind="stable")[:most]
        taken = "seen as"
    names, seen = [class_names[i] for i in labels[worst]], [class_names[i] for i in predicted[worst]]
    captions = [f"is {a}, {taken} {b} ({_percent(p)})" for a, b, p in zip(names, seen, sure[worst], strict=True)]
    image_grid(np.asarray(images)[worst], captions, path, title, subtitle)


def image_grid(images: np.ndarray, captions: Sequence[str], path: Path, title: str = "", subtitle: str = "") -> None:
    """Images with a caption under each.

    They are grey, (N, H, W) or (N, 1, H, W), or in colour, (N, 3, H, W); uint8 or
    floats. Bytes are shown from 0 to 255, floats from the lowest to the highest value
    of all images. Raises ShapeError for other shapes.
    """
    images = np.asarray(images)
    if images.ndim == 4 and images.shape[1] in (1, 3):
        images = images[:, 0] if images.shape[1] == 1 else np.moveaxis(images, 1, -1)
    elif images.ndim != 3:
        raise ShapeError(f"images are (N, H, W), (N, 1, H, W) or (N, 3, H, W), not {images.shape}")
    if len(images) != len(captions) or not len(images):
        raise ShapeError(f"there must be one caption per image, and at least one: {len(captions)} and {len(images)}")
    low, high = (0.0, 255.0) if images.dtype == np.uint8 else (float(images.min()), float(images.max()))
    images = (images - low) / ((high - low) or 1.0)
    columns = min(len(images), 6)
    rows = -(-len(images) // columns)
    long = max(map(len, captions)) > 20  # then in two lines
    fig = new_figure(title, subtitle, max(columns * 1.75, 7.4), rows * (2.1 if long else 1.95) + HEADER, 0.05)
    texts = [caption.replace(", ", ",\n", 1) if long else caption for caption in captions]
    widest = max(len(line) for text in texts for line in [*text.splitlines(), " "])
    size = min(9.5, 215 / widest)  # so that it fits into its column
    for k, ax in enumerate(fig.subplots(rows, columns, squeeze=False).flat):
        if k >= len(images):
            ax.set_axis_off()
            continue
        ax.imshow(images[k], cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
        ax.set_xlabel(texts[k], size=size, color=INK, labelpad=4, parse_math=False)
    save(fig, path)


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def _percent(p: float) -> str:
    """Whole percentages, but never 100 % for what is not certain."""
    return f"{100 * p:.0f} %" if p < 0.995 else f"{np.floor(1000 * p) / 10:.1f} %" if p < 0.9995 else "> 99.9 %"
