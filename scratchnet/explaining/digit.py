"""One image and one weight of a trained network, through FWD and BP1 to BP4 in numbers.

The weight is one of a Linear, W[j,i]: from its input i to its unit j. Letters: k units
of the next Linear, or the classes; p probability, t target.
"""

from collections.abc import Sequence

import numpy as np

from scratchnet.engine.layers import Dropout, Linear, LogSoftmax, Sequential, Sigmoid, Softmax
from scratchnet.engine.layers.activation import softmax
from scratchnet.engine.losses import Loss
from scratchnet.engine.trace import Trace
from scratchnet.errors import SettingError
from scratchnet.explaining.formula import short
from scratchnet.explaining.lesson import Lesson, Line, Picture, columns
from scratchnet.explaining.losses import loss_formula
from scratchnet.explaining.numbers import delta_formula, gradient_formula, output_formula
from scratchnet.explaining.three_ways import three_ways

MOST = 10  # rows of the table of BP2; a next layer of more units shows those that count most


def linears(net: Sequential) -> list[int]:
    return [i for i, layer in enumerate(net.layers) if isinstance(layer, Linear)]


def weight_to_follow(
    trace: Trace, net: Sequential, weight: Sequence[int] | None, ink: np.ndarray
) -> tuple[int, int, int]:
    """(layer, row, column): the one asked for, or of the first Linear the weight with
    the largest derivative.

    Where its inputs are pixels, `ink` (pixels,), it is one from a pixel with ink.
    Raises SettingError for a weight that there is not.
    """
    there = linears(net)
    if not there:
        raise SettingError("explain: this network has no Linear layer; `explain conv MODEL` follows a convolution")
    if weight is None:
        g = np.abs(trace.layers[there[0]].gradients["weight"])
        if g.shape[1] == ink.size and _reads_pixels(trace, there[0]):
            g = g * (ink > ink.max() / 2)
        j, i = np.unravel_index(g.argmax(), g.shape)
        return there[0], int(j), int(i)
    layer, row, column = weight
    if layer not in there:
        raise SettingError(
            f"--weight {layer} {row} {column}: layer {layer} is no Linear layer; "
            f"these are: {', '.join(map(str, there))}"
        )
    rows, cols = trace.layers[layer].parameters["weight"].shape
    if not (0 <= row < rows and 0 <= column < cols):
        raise SettingError(
            f"--weight {layer} {row} {column}: the weights of layer {layer} have rows 0 to {rows - 1} "
            f"and columns 0 to {cols - 1}"
        )
    return layer, row, column


def _reads_pixels(trace: Trace, layer: int) -> bool:
    """Whether nothing before this layer mixes the pixels."""
    return not any("weight" in before.parameters for before in trace.layers[:layer])


def probabilities_of(trace: Trace) -> tuple[np.ndarray, str]:
    """(one number for each class, what it is)."""
    last, y = trace.layers[-1].layer, trace.output[0]
    if isinstance(last, LogSoftmax):
        return np.exp(y), "exp(a)"
    if isinstance(last, (Softmax, Sigmoid)):
        return y, "a"
    return softmax(y[:, None])[:, 0], "softmax"


def lesson(
    net: Sequential, image: np.ndarray, x: np.ndarray, target: np.ndarray, loss: Loss, names: Sequence[str],
    label: int, about: str, weight: Sequence[int] | None = None,
) -> Lesson:  # fmt: skip
    """`net` in float64, `image` (28, 28) from 0 to 1 and the same as its input x (1,
    ...), the target for `loss`.

    `about` says which image it is. Raises SettingError for a weight that there is not.
    """
    trace = net.trace(x, target, loss, training=False)
    layer, j, i = weight_to_follow(trace, net, weight, image.ravel())
    later = [k for k in linears(net) if k > layer]
    p, how = probabilities_of(trace)
    said = int(p.argmax())
    part = trace.layers[layer]
    cost = loss_formula(trace)
    on = Lesson(f"{about}: target {names[label]}, the network says {names[said]}")
    on.say(f"{about}. Target: {names[label]}; the network says {names[said]} ({p[said]:.1%}).", "title")
    of_class = f" = -ln {short(float(p[label]))}" if loss.takes_labels else ""
    on.parts.append(Line(f"{cost.equation}{of_class} = {short(cost.value)}", "numbers", cost.source))
    on.formulas.append(cost)
    of_pixels = part.input.shape[-1] == image.size and _reads_pixels(trace, layer)
    row, column = divmod(i, image.shape[1])
    where = f"pixel ({row}, {column}), marked," if of_pixels else f"input {i}"
    on.say(f"Followed: {layer}.weight[{j},{i}] = {short(part.parameters['weight'][j, i])}, from {where} to unit {j}")
    on.blank()
    source = j if later else i  # whose ∂C/∂a the table adds up: the unit, or the input of the last layer
    table = _table(trace, net, source, layer, later, p, how, label, said, names)
    on.parts.append(Picture(image, (row, column) if of_pixels else None, table))
    on.blank()
    on.step_of(f"z[{j}]", output_formula(trace, layer, (j,)))
    between = range(layer + 1, later[0] if later else len(net.layers))
    for k in between:
        if not isinstance(net.layers[k], Dropout):  # which does nothing when a network is used
            on.step_of(f"a[{j}]", output_formula(trace, k, (j,)))
    first = delta_formula(trace, len(net.layers) - 1, (label if later else j,))
    shown = label if later else j
    on.step_of(f"{first.equation.partition(' =')[0]}[{shown}]", first)
    if first.note:
        on.say(f"     {first.note}", "note")
    if later:
        for k in reversed(range(later[-1], len(net.layers) - 1)):
            if not isinstance(net.layers[k + 1], Dropout):
                on.step_of(f"δ[{label}]", delta_formula(trace, k, (label,)))
        sent = delta_formula(trace, later[0] - 1, (j,))
        on.step_of(f"∂C/∂a[{j}]", sent, f"{short(sent.value)}, the sum of the last column of the table")
    for k in reversed(range(layer, later[0] - 1 if later else len(net.layers) - 1)):
        if not isinstance(net.layers[k + 1], Dropout):
            on.step_of(f"δ[{j}]", delta_formula(trace, k, (j,)))
    if not later:
        sent = delta_formula(trace, layer - 1, (i,))
        on.step_of(f"∂C/∂a[{i}]", sent, f"{short(sent.value)}, the sum of the last column: sent back to input {i}")
    if "bias" in part.gradients:
        on.step_of(f"∂C/∂b[{j}]", gradient_formula(trace, layer, "bias", (j,)), short(part.gradients["bias"][j]))
    on.step_of(f"∂C/∂W[{j},{i}]", gradient_formula(trace, layer, "weight", (j, i)))
    on.checked(three_ways(net, trace, layer, "weight", (j, i)))
    return on


def _table(
    trace: Trace, net: Sequential, j: int, layer: int, later: list[int], p: np.ndarray, how: str, label: int,
    said: int, names: Sequence[str],
) -> list[Line]:  # fmt: skip
    """The units that j feeds, with the sum of BP2; where these are the classes, also
    how BP1 made their δ.
    """
    if later and later[0] != linears(net)[-1]:
        return _next_units(trace, j, later[0])
    last = trace.layers[later[0] if later else layer]
    z, delta, W = last.output[0], last.delta[0], last.parameters["weight"]
    hot = _targets(trace, len(z), label)
    line = columns(2, 6, 7, 4, 8, 7, 8)
    lines = [Line(line(["k", "z", how, "t", "delta", "W[k,j]" if later else "W[k,i]", "W delta"]), "title")]
    for k in range(len(z)):
        words = [names[k][:2], f"{z[k]:.2f}", f"{p[k]:.4f}", f"{hot[k]:g}", short(delta[k])]
        words += [short(W[k, j]), short(W[k, j] * delta[k])]
        kind = "right" if k == label else "wrong" if k == said else "table"
        lines.append(Line(line(words), kind))
    lines.append(Line(line(["", "", "", "", "", "sum", short(float(W[:, j] @ delta))]), "title"))
    return lines


def _next_units(trace: Trace, j: int, after: int) -> list[Line]:
    """Of a next layer that is hidden: the units that count most in the sum, and the
    others together.
    """
    part = trace.layers[after]
    W, delta = part.parameters["weight"][:, j], part.delta[0]
    product = W * delta
    order = np.argsort(-np.abs(product), kind="stable")[:MOST]
    line = columns(9, 10, 10, 10)
    lines = [Line(line(["k", "delta", "W[k,j]", "W delta"]), "title")]
    lines += [Line(line([k, short(delta[k]), short(W[k]), short(product[k])]), "table") for k in order]
    rest = product.sum() - product[order].sum()
    if len(product) > len(order):
        lines.append(Line(line([f"{len(product) - len(order)} others", "", "", short(rest)]), "table"))
    lines.append(Line(line(["", "", "sum", short(product.sum())]), "title"))
    return lines


def _targets(trace: Trace, classes: int, label: int) -> np.ndarray:
    return np.eye(classes)[label] if trace.target.dtype.kind in "iu" else trace.target[0]
