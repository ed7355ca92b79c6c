"""What a network answers all over the plane of its two inputs."""

from typing import TYPE_CHECKING, Any

import numpy as np

from scratchnet.engine import checks
from scratchnet.engine.layers import Sequential
from scratchnet.engine.metrics import labels_of
from scratchnet.engine.prediction import outputs, probabilities
from scratchnet.errors import ShapeError
from scratchnet.plots.style import COLOURS, INK, axes_for, figure_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

RESOLUTION = 240  # points per side
MARGIN = 0.12  # around the examples, as a share of their range


def boundary(net: Sequential, x: Any, labels: Any, ax: "Axes | None" = None) -> "Figure":
    """Draw the examples x (N, 2) in front of the classes that a network sees.

    The colour of a point is that of its class, stronger where the network is surer; on
    the lines, the decision boundary, two classes are equally likely. `labels` are
    classes from 0, (N,), or a row of class values per example, (N, K). A network with
    one output, (N, 1), has two classes; the boundary is half way between the lowest and
    the highest label.

    Draws into `ax` where that is given, and returns the figure: it shows itself in a
    notebook, and `figure.savefig(path)` writes it. Raises ShapeError for other shapes,
    SettingError for what is no network or no axes.

    >>> plots.boundary(net, x, labels).savefig("xor.png")
    """
    checks.network("boundary", net)
    x = checks.array("boundary", "x", x, np)
    given = checks.array("boundary", "labels", labels, np)
    if x.ndim != 2 or x.shape[1] != 2:
        raise ShapeError(f"boundary: x must be points of a plane, (N, 2), not {x.shape}")
    checks.same_number("boundary", x, given)
    shape = net.shapes_from((2,))[-1]
    if len(shape) != 1:
        raise ShapeError(f"boundary: the network must have one number per class, (N, K), not (N, {shape})")
    across, up = (_axis(x[:, k]) for k in (0, 1))
    grid = np.stack(np.meshgrid(across, up), axis=-1).reshape(-1, 2)
    y = outputs(net, grid)
    if shape[0] == 1:
        values = given.reshape(-1)
        low, high = float(values.min()), float(values.max())
        p = np.clip((y[:, 0] - low) / ((high - low) or 1.0), 0, 1)
        shares, classes = np.stack([1 - p, p], axis=1), (values > (low + high) / 2).astype(int)
    else:
        shares, classes = probabilities(net, y), labels_of(given)
        if classes.ndim != 1 or classes.min() < 0 or classes.max() >= shape[0]:
            raise ShapeError(f"boundary: labels must be classes from 0 to {shape[0] - 1}, one for each example")
    shares = shares.reshape(RESOLUTION, RESOLUTION, -1)
    right = int((net_classes(net, x, given, shape[0]) == classes).sum())
    ax = axes_for("boundary", ax, "Where the network draws the line", f"{right:,} of {len(x):,} examples are on their "
                  "side", 6.6, 6.2, x="first input", y="second input")  # fmt: skip
    ax.grid(visible=False)
    _draw(ax, across, up, shares)
    for k in np.unique(classes):
        mine = x[classes == k]
        ax.plot(mine[:, 0], mine[:, 1], "o", color=COLOURS[k % len(COLOURS)], markersize=5, markeredgecolor="white",
                markeredgewidth=0.7, label=f"class {k}")  # fmt: skip
    ax.set_xlim(across[0], across[-1])
    ax.set_ylim(up[0], up[-1])
    # below the axes and their label, where no example lies
    ax.legend(loc="upper left", bbox_to_anchor=(-0.02, 0), borderaxespad=3.4, ncols=4, frameon=False, fontsize=10,
              labelcolor=INK)  # fmt: skip
    return figure_of(ax)


def net_classes(net: Sequential, x: np.ndarray, given: np.ndarray, K: int) -> np.ndarray:
    """The class that the network takes each example for, (N,)."""
    y = outputs(net, x)
    if K > 1:
        return y.argmax(1)
    return (y[:, 0] > (float(given.min()) + float(given.max())) / 2).astype(int)


def _axis(values: np.ndarray) -> np.ndarray:
    low, high = float(values.min()), float(values.max())
    more = MARGIN * ((high - low) or 1.0)
    return np.linspace(low - more, high + more, RESOLUTION)


def _draw(ax: "Axes", across: np.ndarray, up: np.ndarray, shares: np.ndarray) -> None:
    """The classes' colours, mixed by their shares (H, W, K), and lines between them."""
    from matplotlib.colors import to_rgb

    K = shares.shape[-1]
    colours = np.array([to_rgb(COLOURS[k % len(COLOURS)]) for k in range(K)])
    sure = np.clip((shares.max(axis=-1, keepdims=True) - 1 / K) / (1 - 1 / K), 0, 1)
    mixed = shares @ colours
    picture = 1 - (0.1 + 0.4 * sure) * (1 - mixed)
    ends = (across[0], across[-1], up[0], up[-1])
    ax.imshow(picture, extent=ends, origin="lower", aspect="auto", interpolation="bilinear", zorder=0)
    for k in range(K if K > 2 else 1):
        lead = shares[..., k] - np.delete(shares, k, axis=-1).max(axis=-1)
        if lead.min() < 0 < lead.max():
            ax.contour(across, up, lead, levels=[0.0], colors=INK, linewidths=1.3, zorder=1)
