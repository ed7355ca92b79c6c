"""Pictures that explain, drawn by the engine: every curve and number is computed.

The perceptron's step against the sigmoid, descent with three learning rates, a network,
the LSTM cell in numbers, and how a network learns to read digits.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from scratchnet.data.digits import load_digits
from scratchnet.engine.layers import Linear, ReLU, Sequential, Sigmoid
from scratchnet.engine.losses import CrossEntropyLoss, MSELoss
from scratchnet.engine.metrics import accuracy
from scratchnet.engine.optim import SGD
from scratchnet.engine.steps import step
from scratchnet.plots.lstm_cell import lstm
from scratchnet.plots.studies import percent
from scratchnet.plots.style import BLUE, GREEN, GREY, INK, ORANGE, SKY, legend, new_figure, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# -------------------------------------------------------------- perceptron and sigmoid


def perceptron() -> "Figure":
    """A neuron with a step and one with a sigmoid, and how its cost follows a weight.

    The neuron has two inputs and learns "or"; its cost is that of the four examples, as
    its first weight is moved. Source: M. Nielsen, Neural Networks and Deep Learning
    (2015), chapter 1.
    """
    z = np.linspace(-6, 6, 481)
    x, t = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], float), np.array([[0], [1], [1], [1]], float)
    net = Sequential(Linear(2, 1), Sigmoid(), dtype="float64")
    weights = np.linspace(-6, 6, 481)
    smooth, steps = [], []
    for w in weights:
        net.load_state_dict({"0.weight": np.array([[w, 3.0]]), "0.bias": np.array([-1.5])})
        a = net(x)
        smooth.append(((a - t) ** 2).mean())
        steps.append((((a > 0.5) - t) ** 2).mean())
    title = "Why neurons are smooth"
    about = (
        "A perceptron answers 0 or 1. Where a weight is moved a little, its cost mostly stays as it is, and no slope "
        "tells which way is better; the sigmoid's cost has a slope everywhere"
    )
    fig = new_figure(title, about, 11, 5.2)
    left, right = fig.subplots(1, 2)
    style(left, "What the neuron answers", "weighted input z = w₁x₁ + w₂x₂ + b", "output a")
    left.plot(z, z > 0, color=ORANGE, linewidth=2.2, label="perceptron: 1 if z > 0, else 0")
    left.plot(z, Sigmoid().forward(z.copy())[0], color=BLUE, linewidth=2.2, label="sigmoid: 1/(1 + exp(−z))")
    style(right, 'The cost of learning "or", as the first weight moves', "weight w₁", "mean squared error")
    right.plot(weights, steps, color=ORANGE, linewidth=2.2, label="perceptron")
    right.plot(weights, smooth, color=BLUE, linewidth=2.2, label="sigmoid")
    for ax in (left, right):
        legend(ax, loc="upper left", bbox_to_anchor=(-0.02, -0.15), ncols=2, borderpad=0)
    return fig


# ---------------------------------------------------------------- the valley

RATES = (("too small", 0.02), ("right", 0.35), ("too large", 1.04))
DESCENTS = 12


def descent(rate: float, steps: int = DESCENTS, start: float = -1.6) -> np.ndarray:
    """The weight of a neuron z = w x before each step of descent, (steps + 1,).

    It learns t = 1.5 x from examples with a mean square of 1, so that C(w) = (w − 1.5)²
    and a step multiplies the distance from the bottom by 1 − 2 rate.
    """
    x = np.array([[-(1.5**0.5)], [-(0.5**0.5)], [0.5**0.5], [1.5**0.5]])
    net = Sequential(Linear(1, 1, bias=False), dtype="float64")
    net.load_state_dict({"0.weight": np.array([[start]])})
    loss, optimiser, path = MSELoss(), SGD(net, lr=rate), [start]
    for _ in range(steps):
        step(net, loss, optimiser, x, 1.5 * x)
        path.append(float(net.state_dict()["0.weight"][0, 0]))
    return np.array(path)


def valley() -> "Figure":
    """One weight's way down its cost: learning rates too small, right, too large."""
    about = (
        f"The cost C of one weight w, and {DESCENTS} steps w ← w − rate · dC/dw from the same place. At the lowest "
        "point the slope is 0; too long a step lands on the other side, and higher up"
    )
    fig = new_figure("Down the valley", about, 12, 4.9)
    axes = fig.subplots(1, 3, sharey=True)
    w = np.linspace(-4.2, 7.2, 300)
    for ax, (name, rate), colour in zip(axes, RATES, (GREEN, BLUE, ORANGE), strict=True):
        way = descent(rate)
        style(ax, "", "weight w", "cost C(w)" if ax is axes[0] else "")
        ax.plot(w, (w - 1.5) ** 2, color=GREY, linewidth=1.5)
        ax.plot(way, (way - 1.5) ** 2, "o-", color=colour, markersize=5.5, linewidth=1.1, markeredgecolor="white")
        ax.annotate("start", (way[0], (way[0] - 1.5) ** 2), xytext=(-8, 8), textcoords="offset points", ha="right",
                    size=10, color=INK)  # fmt: skip
        ax.set_title(f"{name.capitalize()}: rate {rate:g}\nafter {DESCENTS} steps w = {way[-1]:.3g}, cost "
                     f"{(way[-1] - 1.5) ** 2:.2g}", size=12, color=colour, loc="left", pad=10)  # fmt: skip
        ax.set_xlim(-4.6, 7.6)
        ax.set_ylim(-1, 34)
    return fig


# ---------------------------------------------------------------- a network


def network() -> "Figure":
    """A fully connected network for digits as a diagram."""
    return Sequential(Linear(784, 200), Sigmoid(), Linear(200, 10), Sigmoid()).draw()


# ---------------------------------------------------------------- how a network learns

LOOKS = (0, 10, 100, 400, 2400)  # the steps after which the weights are drawn
NEURONS = 4


def learn_digits() -> dict[str, Any]:
    """Train 784-24-10 on digits that this project draws itself, and look on.

    Returns the losses of the steps, the test accuracies (step, accuracy), and after
    each of LOOKS steps the weights of the hidden neurons and the probabilities of one
    test image.
    """
    data = load_digits(0)
    x, test = (images.reshape(-1, 784).astype("float32") / 255 for images in (data.train_images, data.test_images))
    net = Sequential(Linear(784, 24), ReLU(), Linear(24, 10), seed=0)
    loss, optimiser = CrossEntropyLoss(), SGD(net, lr=0.2, momentum=0.5)
    rng = np.random.default_rng(0)
    losses, accuracies, looks = [], [], []
    judged = {round(k) for k in np.geomspace(1, LOOKS[-1], 40)} | {0}
    shown = int(np.flatnonzero(data.test_labels == 3)[0])
    for k in range(LOOKS[-1] + 1):
        if k in LOOKS:
            y = net(test[shown : shown + 1])[0].astype(float)
            looks.append((net.state_dict()["0.weight"].copy(), np.exp(y - y.max()) / np.exp(y - y.max()).sum()))
        if k in judged:
            accuracies.append((k, accuracy(net(test), data.test_labels)))
        batch = rng.integers(0, len(x), 32)
        losses.append(float(step(net, loss, optimiser, x[batch], data.train_labels[batch])))
    return {"losses": np.array(losses[:-1]), "accuracies": np.array(accuracies), "looks": looks,
            "image": data.test_images[shown], "label": int(data.test_labels[shown])}  # fmt: skip


def learning() -> "Figure":
    """How a network learns: its weights, one digit's answer, loss and accuracy."""
    seen = learn_digits()
    about = (
        "784-24-10, ReLU, on digits that this project draws itself. Above: four neurons' weights (red: for, blue: "
        "against) become strokes out of noise, and the answer for one test image becomes sure. Below: loss and accuracy"
    )
    fig = new_figure("How a network learns to read", about, 12, 8.2)
    grid = fig.add_gridspec(3, 1, height_ratios=(1.45, 1.0, 2.3))
    weights = grid[0].subgridspec(1, len(LOOKS) + 1)
    answers = grid[1].subgridspec(1, len(LOOKS) + 1)
    below = grid[2].subgridspec(1, 2)
    last = seen["looks"][-1][0]
    best = np.argsort(-np.abs(last).sum(axis=1), kind="stable")[:NEURONS]
    limit = float(np.quantile(np.abs(last[best]), 0.995))
    ax = fig.add_subplot(weights[0])
    ax.imshow(seen["image"], cmap="gray")
    ax.set_title("the test image", size=10.5, color=INK, loc="left")
    _bare(ax)
    note = fig.add_subplot(answers[0])
    note.text(0, 0.5, "the network's\nanswer, 0 to 9", size=10.5, color=INK, va="center", transform=note.transAxes)
    note.set_axis_off()
    for c, (k, (W, p)) in enumerate(zip(LOOKS, seen["looks"], strict=True), start=1):
        ax = fig.add_subplot(weights[c])
        tiles = W[best].reshape(2, 2, 28, 28).swapaxes(1, 2)
        sheet = np.full((58, 58), np.nan)
        for i, j in np.ndindex(2, 2):
            sheet[30 * i : 30 * i + 28, 30 * j : 30 * j + 28] = tiles[i, :, j]
        ax.imshow(sheet, cmap="RdBu_r", vmin=-limit, vmax=limit)
        ax.set_title(f"after {k:,} steps" if k else "before training", size=10.5, color=INK, loc="left")
        _bare(ax)
        ax = style(fig.add_subplot(answers[c]))
        ax.bar(range(10), 100 * p, color=[GREEN if d == seen["label"] else GREY for d in range(10)])
        ax.set(xticks=range(10), ylim=(0, 128), yticks=[])
        ax.tick_params(labelsize=8, length=0)
        ax.text(seen["label"], 100 * p[seen["label"]] + 4, percent(p[seen["label"]]), ha="center",
                size=9, color=GREEN, weight="bold")  # fmt: skip
    n = len(seen["losses"])
    left, right = fig.add_subplot(below[0]), fig.add_subplot(below[1])
    style(left, "Loss of the training steps", "training step", "cross entropy")
    smooth = np.convolve(seen["losses"], np.ones(40) / 40, "valid")
    left.plot(np.arange(1, n + 1), seen["losses"], color=SKY, linewidth=0.5, label="each step, 32 images")
    left.plot(np.arange(len(smooth)) + 20.5, smooth, color=BLUE, linewidth=2.2, label="mean of 40 steps")
    left.set(xlim=(0, n), ylim=(0, None))
    style(right, "Accuracy on the test images", "training steps (log scale from 1)",
          "right answers (%)")  # fmt: skip
    at, value = seen["accuracies"].T
    right.plot(at, 100 * value, "o-", color=ORANGE, linewidth=2, markersize=4, markeredgecolor="white")
    right.set_xscale("symlog", linthresh=1)
    right.set_xticks([0, 1, 10, 100, 1000], ["0", "1", "10", "100", "1,000"])
    right.set_xticks([], minor=True)
    right.set_ylim(0, 103)
    right.text(0.97, 0.12, f"{100 * value[0]:.1f} % before training,\n{100 * value[-1]:.1f} % after {n:,} steps",
               ha="right", transform=right.transAxes, size=11, color=ORANGE, weight="bold")  # fmt: skip
    legend(left, loc="upper left", bbox_to_anchor=(-0.02, -0.2), ncols=2, borderpad=0)
    return fig


def _bare(ax: "Axes") -> None:
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)


PICTURES = {
    "perceptron": perceptron,
    "valley": valley,
    "network": network,
    "lstm": lstm,
    "learning": learning,
}
