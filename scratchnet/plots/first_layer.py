"""What the first layer looks for: its weights, and where a convolution answers most."""

from typing import TYPE_CHECKING

import numpy as np

from scratchnet.backend.arrays import to_numpy
from scratchnet.engine.columns import to_columns
from scratchnet.engine.layers import Conv2d, Sequential
from scratchnet.errors import ShapeError
from scratchnet.plots.style import GREY, HEADER, INK, axes_for, figure_of, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_NEURONS = 24  # that are drawn
MOST_FILTERS, MOST_PLACES = 8, 9
MARGIN = 3  # pixels around the window of a convolution


def first_layer(net: Sequential, x: np.ndarray, images: np.ndarray) -> "Figure":
    """Draw the weights of the first layer that has any; returns the figure.

    Those of a Linear layer are images of its inputs. The few numbers of a convolution's
    kernel say little, so beside each stand the places of `images` (N, H, W) or
    (N, 3, H, W), bytes, where it answers most; `x` (N, ...) are the same images as
    inputs of the network.
    """
    i, layer = next((i, layer) for i, layer in enumerate(net.layers) if layer.params())
    W = net.state_dict()[f"{i}.weight"]
    if isinstance(layer, Conv2d):
        return filters_and_places(W, *strongest_places(net, i, x, images))
    return weights_as_images(W, images.shape[1:])


# -------------------------------------------------------------- a fully connected layer


def weights_as_images(
    W: np.ndarray, shape: tuple[int, ...] = (28, 28), most: int = MOST_NEURONS, ax: "Axes | None" = None
) -> "Figure":
    """The first layer's weights (out, in), each row drawn as a picture.

    It shows what the row's neuron looks for. `shape` is that of the input, (H, W), or
    (3, H, W) for colour. One scale serves all. Of more than `most` neurons, those whose
    weights are least like noise are shown. Draws on `ax` or in a new figure, and
    returns the figure. Raises ShapeError if the weights do not fit this shape.
    """
    W = np.asarray(W, float).reshape(len(W), -1)
    if W.shape[1] != np.prod(shape):
        raise ShapeError(f"weights of {W.shape[1]} inputs cannot be shown as images of shape {shape}")
    shape = shape[1:] if len(shape) == 3 and shape[0] == 1 else shape
    n = len(W)
    shown = np.sort(np.argsort(-agreement(W.reshape(n, -1, *shape[-2:])), kind="stable")[:most])
    limit = float(np.quantile(np.abs(W[shown]), 0.995)) or 1.0
    images = W[shown].reshape(-1, *shape)
    subtitle = f"The weights of the first layer's neurons, each as an image of its inputs: all {n:,}"
    if len(shown) < n:
        subtitle = (
            f"The weights of {len(shown)} of the first layer's {n:,} neurons, each as an image of its inputs: those "
            "with the clearest patterns, where neighbouring weights agree most. The grain is what is left of the "
            "random initial values"
        )
    subtitle += "; grey is no weight" if len(shape) == 3 else ""
    ideal = min(len(shown), max(6, round((1.8 * len(shown)) ** 0.5)))
    # as few empty places in the last row as may be
    columns = min(range(max(1, ideal - 1), ideal + 2), key=lambda c: (-len(shown) % c, abs(c - ideal)))
    rows = -(-len(shown) // columns)
    tile = min(1.3 if len(shown) > 12 else 0.9, 13 / columns)  # inches
    ax = axes_for("weights_as_images", ax, "What the first layer looks for", subtitle, max(columns * tile + 1.4, 8.2),
                  max(rows * tile, 2.4) + HEADER + 0.3)  # fmt: skip
    ax.axis("off")
    if len(shape) == 3:
        ax.imshow(_mosaic(np.clip(0.5 + np.moveaxis(images, 1, -1) / (2 * limit), 0, 1), columns, 1.0))
    else:
        mosaic = _mosaic(images, columns, np.nan).astype(np.float32)  # enlarged with half of the memory
        drawn = ax.imshow(mosaic, cmap="RdBu_r", vmin=-limit, vmax=limit)
        bar = figure_of(ax).colorbar(drawn, ax=ax, aspect=30, shrink=0.9, extend="both", pad=0.02)
        bar.set_label("weight (red: for, blue: against)", size=10, color=INK)
        bar.ax.tick_params(colors=GREY, labelsize=9)
        bar.outline.set_visible(False)
    return figure_of(ax)


def agreement(W: np.ndarray) -> np.ndarray:
    """How much the weights (n, C, H, W) of a neuron are a pattern: (n,).

    It is the mean product of neighbours in a row or column, over the mean square: 1
    where they change slowly, about 0 for noise.
    """
    W = W - W.mean(axis=(2, 3), keepdims=True)
    total = np.maximum((W**2).mean(axis=(1, 2, 3)), 1e-30)
    pairs = [W[..., 1:] * W[..., :-1], W[..., 1:, :] * W[..., :-1, :]]
    means = [product.mean(axis=(1, 2, 3)) for product in pairs if product.size]
    return np.mean(means, axis=0) / total if means else total


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


# ---------------------------------------------------------------- a convolution


def strongest_places(
    net: Sequential, i: int, x: np.ndarray, images: np.ndarray
) -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
    """(filters, patches, window): where layer i, a Conv2d, answers most.

    The filters, at most MOST_FILTERS, are those with the largest weights. The patches
    (filters, places, rows, columns[, 3]) are bytes, one from each of the images with
    the largest outputs before any activation; they reach MARGIN pixels beyond the
    window of (rows, columns).
    """
    layer = net.layers[i]
    assert isinstance(layer, Conv2d)
    a = to_columns(net.as_input(x))
    for before in net.layers[:i]:
        a, _ = before.forward(a)
    z = np.moveaxis(to_numpy(layer.forward(a)[0]), -1, 1)  # (filters, N, P, Q)
    W = to_numpy(layer.W.value)
    shown = np.sort(np.argsort(-(W**2).sum(axis=(1, 2, 3)), kind="stable")[:MOST_FILTERS])
    colour = np.moveaxis(images, 1, -1) if images.ndim == 4 else images
    (rows, columns), edge = layer.window, MARGIN
    pads = [(w.p + edge, w.p + edge) for w in (rows, columns)]
    padded = np.pad(colour, [(0, 0), *pads, *[(0, 0)] * (colour.ndim - 3)], mode="edge")
    size = [w.span for w in (rows, columns)]
    patches = []
    for f in shown:
        peak = z[f].reshape(len(images), -1)
        best = np.argsort(-peak.max(axis=1), kind="stable")[:MOST_PLACES]
        places = [np.unravel_index(peak[n].argmax(), z.shape[2:]) for n in best]
        patches.append([padded[n, p * rows.s : p * rows.s + size[0] + 2 * edge,
                               q * columns.s : q * columns.s + size[1] + 2 * edge]
                        for n, (p, q) in zip(best, places, strict=True)])  # fmt: skip
    return shown, np.array(patches), (size[0], size[1])


def filters_and_places(W: np.ndarray, shown: np.ndarray, patches: np.ndarray, window: tuple[int, int]) -> "Figure":
    """Kernels W (out, C, kh, kw), one a row, and the places where they answer most."""
    W = np.asarray(W, float)
    channels, n = W.shape[1], len(W)
    names = ("red", "green", "blue") if channels == 3 else ("weights",)
    limit = float(np.abs(W[shown]).max()) or 1.0
    which = f"all {n}" if len(shown) == n else f"the {len(shown)} of {n} with the largest weights"
    subtitle = (
        f"The kernels of the first convolution, {which}: the weights of each colour (red: for, blue: against), and the "
        "places of test pictures, one each, where it answers most. The frame is what it sees"
        if channels == 3
        else f"The kernels of the first convolution, {which}: the weights (red: for, blue: against), and the places of "
        "test pictures, one each, where it answers most. The frame is what it sees"
    )
    columns = len(names) + patches.shape[1]
    fig = new_figure("What the first layer looks for", subtitle, columns * 0.92 + 1.0,
                     len(shown) * 0.95 + HEADER + 0.45, 0.04)  # fmt: skip
    axes = fig.subplots(len(shown), columns, squeeze=False)
    for row, (f, places) in enumerate(zip(shown, patches, strict=True)):
        for c, name in enumerate(names):
            ax = _bare(axes[row, c])
            ax.imshow(W[f, c], cmap="RdBu_r", vmin=-limit, vmax=limit)
            if row == 0:
                ax.set_title(name, size=10, color=INK)
        axes[row, 0].set_ylabel(f"filter {f}", size=10, color=INK)
        for ax, patch in zip(axes[row, len(names) :], places, strict=True):
            _bare(ax).imshow(patch, cmap="gray", vmin=0, vmax=255)
            corner = MARGIN - 0.5
            ax.add_patch(_frame(corner, window))
    axes[0, len(names)].set_title("where it answers most", size=10, color=INK, loc="left")
    return fig


def _bare(ax: "Axes") -> "Axes":
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    return ax


def _frame(corner: float, window: tuple[int, int]):  # type: ignore[no-untyped-def]
    from matplotlib.patches import Rectangle

    return Rectangle((corner, corner), window[1], window[0], fill=False, edgecolor="#E69F00", linewidth=1.4)
