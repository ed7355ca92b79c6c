"""One cell of a feature map: the window that makes it, and how its δ becomes ∂C/∂ the
kernel.

Letters: x the image, W the kernel, y the feature map, δ = ∂C/∂y; (c, i, j) a tap of the
kernel.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from scratchnet.engine.layers import Conv2d, Flatten, Linear, ReLU, Sequential
from scratchnet.engine.losses import CrossEntropyLoss, Loss
from scratchnet.engine.trace import Trace
from scratchnet.errors import SettingError
from scratchnet.explaining.formula import Formula, short, sum_of, written
from scratchnet.explaining.lesson import Lesson
from scratchnet.explaining.losses import loss_formula
from scratchnet.explaining.numbers import delta_formula, gradient_formula, output_formula
from scratchnet.explaining.three_ways import three_ways

#: A seven, 6 x 6
SEVEN = ("......", ".####.", "....#.", "...#..", "..#...", "......")
#: Edges: bright above dark, and dark left of bright
KERNELS = [[[1, 1, 1], [0, 0, 0], [-1, -1, -1]], [[-1, 0, 1], [-1, 0, 1], [-1, 0, 1]]]
ROOM, NARROWEST = 80, 5  # characters of a line of grids, and of a number in it


def small() -> tuple[Sequential, np.ndarray, np.ndarray, Loss, str]:
    """A network of one convolution with two kernels that find edges, and a picture of a
    seven.
    """
    net = Sequential(Conv2d(1, 2, 3), ReLU(), Flatten(), Linear(32, 2), dtype="float64", seed=1)
    state = net.state_dict()
    state["0.weight"][:, 0] = 0.25 * np.array(KERNELS)
    state["0.bias"][:] = 0.125
    net.load_state_dict(state)
    x = np.array([[[[float(c == "#") for c in row] for row in SEVEN]]])
    return net, x, np.array([1]), CrossEntropyLoss(), "A picture of 6 x 6"


def lesson(
    net: Sequential, x: np.ndarray, target: np.ndarray, loss: Loss, about: str, cell: Sequence[int] | None = None
) -> Lesson:
    """The first convolution of a network in float64. Raises SettingError if there is
    none, or no such cell.
    """
    trace = net.trace(x, target, loss, training=False)
    there = [i for i, layer in enumerate(net.layers) if isinstance(layer, Conv2d)]
    if not there:
        raise SettingError("explain conv: this network has no convolution")
    layer = there[0]
    part = trace.layers[layer]
    at = _cell(part.output, part.delta, cell)
    channel, row, column = at
    window = part.window(*at)
    largest = np.abs(window.products if window.products.any() else window.input).argmax()
    tap = tuple(map(int, np.unravel_index(largest, window.input.shape)))
    c, i, j = tap
    name = f"{channel},{row},{column}"
    on = Lesson(f"One cell of a feature map: y[{name}] of layer {layer}, {net.layers[layer]}")
    on.say(f"One cell of a feature map: y[{name}] of layer {layer}", "title")
    cost = loss_formula(trace)
    on.say(f"{about}. Loss C = {short(cost.value)}. The layer: {net.layers[layer]}")
    on.say(f"The window: rows {_range(window.rows)}, columns {_range(window.columns)}; "
           f"channel {c} of {len(window.input)} is drawn")  # fmt: skip
    on.formulas.append(cost)
    on.blank()
    _grids(on, window.input[c], window.kernel[c], window.products[c], (i, j))
    on.blank()
    forward = output_formula(trace, layer, at)
    on.equation(forward, letters="y = Σ W x + b: all products, and the bias")
    parts = written([(("Σ", float(window.products.sum())),), (("b", window.bias),)])
    on.numbers(f"y[{name}]", forward, f"{parts} = {short(forward.value)}")
    following = layer + 1
    if isinstance(net.layers[following], ReLU):
        on.step_of(f"a[{name}]", output_formula(trace, following, at))
    _backwards(on, trace, net, layer, at)
    bias = gradient_formula(trace, layer, "bias", (channel,)) if "bias" in part.gradients else None
    if bias is not None:
        on.step_of(f"∂C/∂b[{channel}]", bias, _alive(bias))
    index = (channel, *tap)
    weight = gradient_formula(trace, layer, "weight", index)
    on.equation(weight, letters="∂C/∂W = Σ δ x over all places")
    own = ("δ", float(part.delta[(0, *at)])), ("x", float(window.input[tap]))
    on.say(f"     of which this cell has δ x = {written([own])} = {short(sum_of([own]))}")
    on.checked(three_ways(net, trace, layer, "weight", index))
    return on


def _cell(output: np.ndarray, delta: np.ndarray, cell: Sequence[int] | None) -> tuple[int, int, int]:
    """The cell asked for, or the one whose δ is largest. Raises SettingError for one
    that there is not.
    """
    if cell is None:
        channel, row, column = np.unravel_index(np.abs(delta[0]).argmax(), delta.shape[1:])
        return int(channel), int(row), int(column)
    sizes = output.shape[1:]
    if not all(0 <= k < size for k, size in zip(cell, sizes, strict=True)):
        raise SettingError(
            f"--cell {' '.join(map(str, cell))}: the feature map has {sizes[0]} channels, {sizes[1]} rows and "
            f"{sizes[2]} columns, counted from 0"
        )
    channel, row, column = cell
    return channel, row, column


def _grids(on: Lesson, x: np.ndarray, W: np.ndarray, products: np.ndarray, tap: tuple[int, int]) -> None:
    """Window ⊙ kernel = products, as grids beside each other, as many as fit; the
    followed tap is marked with >.
    """
    grids = [("window x", x), ("kernel W", W), ("products W x", products)]
    while grids and (ROOM - 2 * len(grids)) // (len(grids) * x.shape[1]) < NARROWEST:
        grids.pop()
    if not grids:
        return on.say("     (the window is too wide to be drawn)", "note")
    width = min(9, (ROOM - 2 * len(grids)) // (len(grids) * x.shape[1]))
    on.say("  ".join(f"{head:>{width * x.shape[1]}}" for head, _ in grids), "title")
    for r in range(len(x)):
        rows = []
        for _, a in grids:
            words = [f"{'>' * ((r, k) == tap)}{_two(v)}" for k, v in enumerate(a[r])]
            rows.append("".join(f"{word:>{width}}" for word in words))
        on.say("  ".join(rows), "table")
    return None


def _two(value: float) -> str:
    return "0.00" if abs(value) < 0.005 else f"{value:.2f}"


def _backwards(on: Lesson, trace: Trace, net: Sequential, layer: int, at: tuple[int, int, int]) -> None:
    """δ of the cell: from the loss through the layers after the convolution."""
    last = len(net.layers) - 1
    label = int(trace.target[0]) if trace.target.dtype.kind in "iu" else int(trace.target[0].argmax())
    first = delta_formula(trace, last, (label,))
    on.step_of(f"{first.equation.partition(' =')[0]}[{label}]", first)
    name = ",".join(map(str, at))
    after = layer + 1
    if isinstance(net.layers[after], ReLU):
        if isinstance(net.layers[after + 1], Flatten):
            flat = int(np.ravel_multi_index(at, trace.layers[after].output.shape[1:]))
            on.step_of(f"∂C/∂a[{flat}]", delta_formula(trace, after + 1, (flat,)))
        on.step_of(f"∂C/∂a[{name}]", delta_formula(trace, after, at))
    on.step_of(f"δ[{name}]", delta_formula(trace, layer, at))


def _range(cells: np.ndarray) -> str:
    return f"{cells.min()} to {cells.max()}" if cells.min() >= 0 else "beyond the edge"


def _alive(formula: Formula) -> str:
    """The sum without the terms that are 0, of which there are many where a ReLU is
    off.
    """
    alive = [term for term in formula.terms if all(value != 0 for _, value in term)]
    zeros = len(formula.terms) - len(alive)
    text = replace(formula, terms=tuple(alive)).numbers()
    return text + f" ({zeros:,} more are 0)" * (zeros > 0)
