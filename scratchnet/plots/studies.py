"""What a run's network saw, and took for what: one plot a function."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from scratchnet.engine.progress import many
from scratchnet.errors import ShapeError
from scratchnet.plots.style import (
    BLUE,
    COLOURS,
    GREEN,
    GREY,
    HEADER,
    INK,
    ORANGE,
    axes_for,
    figure_of,
    legend,
    new_figure,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def confusion(table: np.ndarray, class_names: Sequence[str], ax: "Axes | None" = None) -> "Figure":
    """How often class i (row) was taken for class j (column), as shares of the row.

    Right answers are blue, mistakes orange. Draws on `ax` or in a new figure, and
    returns the figure. Raises ShapeError unless `table` is (K, K) for K names.
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
        times = many(wrong[i, j], "time")
        subtitle += f"; the most common mistake: {class_names[i]} taken for {class_names[j]}, {times}"
    longest = max(map(len, class_names))
    turned = longest > 4
    cell = 0.85 if K <= 4 else 0.62 if K <= 12 else max(0.2, 7.5 / K)
    side = K * cell
    names = 0.095 * longest + 0.5
    ax = axes_for("confusion", ax, "What was taken for what", subtitle, max(side + names + 1.3, 5.6),
                  side + HEADER + (names if turned else 0.6) + 0.5, x="taken for", y="is")  # fmt: skip
    ax.grid(visible=False)
    edges = np.arange(K + 1) - 0.5
    # cells, not a picture of K x K pixels: Matplotlib would need 100 MB to enlarge it
    ax.pcolormesh(edges, edges, _confusion_colours(share))
    ax.set(aspect="equal", ylim=(K - 0.5, -0.5))
    for edge in edges:
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
    recall.set_ylabel("recognised", size=11, color=INK)
    recall.tick_params(length=0, colors=GREY)
    recall.spines[:].set_visible(False)
    return figure_of(ax)


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


def accuracy_by_group(
    shares: Mapping[str, float], groups: Mapping[str, Sequence[str]], ax: "Axes | None" = None
) -> "Figure":
    """The share of each class that was recognised: bars, best first in each group.

    `shares` are from 0 to 1; a dashed line is the mean of a group's classes. Draws on
    `ax` or in a new figure, and returns the figure.
    """
    means = {name: float(np.mean([shares[k] for k in members])) for name, members in groups.items()}
    words = ", ".join(f"{name} {100 * mean:.1f} %" for name, mean in means.items())
    title = f"{' and '.join(groups).capitalize()} classes"
    about = f"Share of each class that was recognised: {words} in the mean (dashed)"
    ax = axes_for("accuracy_by_group", ax, title, about, 9, 4.6, y="recognised (%)")
    at, names = 0.0, dict[float, str]()
    for (name, members), colour in zip(groups.items(), (GREEN, BLUE, *COLOURS), strict=False):
        best = sorted(members, key=lambda k: -shares[k])
        x = at + np.arange(len(best))
        bars = ax.bar(x, [100 * shares[k] for k in best], 0.72, color=colour, label=name)
        ax.bar_label(bars, [f"{100 * shares[k]:.0f}" for k in best], size=10, color=INK, padding=2,
                     bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8})  # fmt: skip
        ax.plot([x[0] - 0.45, x[-1] + 0.45], [100 * means[name]] * 2, color=INK, linewidth=1.4, linestyle=(0, (4, 3)))
        names |= dict(zip(x.tolist(), best, strict=True))
        at = x[-1] + 1.6
    ax.set_xticks(list(names), list(names.values()), color=INK, rotation=30, ha="right", rotation_mode="anchor")
    ax.set_ylim(0, min(112, 100 * max(shares.values()) * 1.12 + 3))
    ax.set_yticks([tick for tick in ax.get_yticks() if tick <= 100])
    legend(ax, loc="lower right", bbox_to_anchor=(1, 1.0), ncols=len(groups))
    return figure_of(ax)


def worst_mistakes(
    images: Any,
    labels: np.ndarray,
    predicted: np.ndarray,
    probabilities: np.ndarray,
    class_names: Sequence[str],
    most: int = 24,
) -> "Figure":
    """The mistakes that the network was surest of, with its answers.

    `images` as for `image_grid`, or an object that gives those of some numbers;
    `labels` and `predicted` class numbers (N,), `probabilities` (N, K). If there are no
    mistakes, the examples that it was least sure of are shown. Returns the figure.
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
    captions = [f"is {a}, {taken} {b} ({percent(p)})" for a, b, p in zip(names, seen, sure[worst], strict=True)]
    chosen = np.asarray(images)[worst] if isinstance(images, (list, tuple)) else images[worst]
    return image_grid(chosen, captions, title, subtitle)


def image_grid(
    images: np.ndarray | Sequence[np.ndarray], captions: Sequence[str], title: str = "", subtitle: str = ""
) -> "Figure":
    """Images with a caption under each; returns the figure.

    They are grey, (N, H, W) or (N, 1, H, W), or in colour, (N, 3, H, W); uint8 or
    floats; a list may hold images of several sizes, grey and in colour. Bytes are shown
    from 0 to 255, floats from the lowest to the highest value of all. Raises ShapeError
    for other shapes.
    """
    pictures = [_as_picture(image, len(images)) for image in images]
    if len(pictures) != len(captions) or not pictures:
        raise ShapeError(f"there must be one caption per image, and at least one: {len(captions)} and {len(pictures)}")
    low, high = 0.0, 255.0
    if pictures[0].dtype != np.uint8:
        low, high = (float(end([f(a) for a in pictures])) for end, f in ((min, np.min), (max, np.max)))
    # as few empty places in the last row as may be
    columns = min(len(pictures), min((6, 7), key=lambda c: (-len(pictures) % c, c)))
    rows = -(-len(pictures) // columns)
    long = max(map(len, captions)) > 20  # then in two lines
    fig = new_figure(title, subtitle, max(columns * 1.75, 7.4), rows * (2.1 if long else 1.95) + HEADER, 0.05)
    texts = [caption.replace(", ", ",\n", 1) if long else caption for caption in captions]
    widest = max(len(line) for text in texts for line in [*text.splitlines(), " "])
    size = min(9.5, 215 / widest)  # so that it fits into its column
    for k, ax in enumerate(fig.subplots(rows, columns, squeeze=False).flat):
        if k >= len(pictures):
            ax.set_axis_off()
            continue
        levels = ((pictures[k] - low) / ((high - low) or 1.0)).astype(np.float32)
        ax.imshow(levels, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
        ax.set_xlabel(texts[k], size=size, color=INK, labelpad=4, parse_math=False)
    return fig


def percent(p: float) -> str:
    """Whole percentages, but never 100 % for what is not certain."""
    return f"{100 * p:.0f} %" if p < 0.995 else f"{np.floor(1000 * p) / 10:.1f} %" if p < 0.9995 else "> 99.9 %"


def _as_picture(image: np.ndarray, n: int) -> np.ndarray:
    """(H, W) or (1, H, W) as (H, W), and (3, H, W) as (H, W, 3)."""
    image = np.asarray(image)
    if image.ndim == 3 and image.shape[0] in (1, 3):
        return image[0] if image.shape[0] == 1 else np.moveaxis(image, 0, -1)
    if image.ndim != 2:
        raise ShapeError(f"images are (N, H, W), (N, 1, H, W) or (N, 3, H, W), not {(n, *image.shape)}")
    return image
