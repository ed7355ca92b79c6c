"""One gate of a recurrent layer at one time: what opens it, and how its error becomes
∂C/∂ a weight.

Letters as in layers/lstm.py: i, f, g, o gates, c cell state, h hidden state, δ_f the
error of the weighted input of f.
"""

from collections.abc import Sequence

import numpy as np

from scratchnet.engine.layers import GRU, LSTM, Linear, Sequential
from scratchnet.engine.layers.recurrent import Recurrent
from scratchnet.engine.losses import Loss, MSELoss
from scratchnet.errors import SettingError
from scratchnet.explaining.formula import short
from scratchnet.explaining.lesson import Lesson, columns
from scratchnet.explaining.losses import loss_formula
from scratchnet.explaining.numbers import delta_formula, gradient_formula, time_formula
from scratchnet.explaining.recurrent import gates
from scratchnet.explaining.three_ways import three_ways

X = ((1.0, 0.0), (0.0, 1.0), (-1.0, 0.5), (0.5, 0.5))  # a sequence of four times
LENGTH = 6  # of the sequence that is drawn for a trained network
MOST_TIMES = 8  # rows of the table


def small() -> tuple[Sequential, np.ndarray, np.ndarray, Loss, str]:
    """An LSTM of two units that reads four times and is to end at 1."""
    net = Sequential(LSTM(2, 2), Linear(2, 1), dtype="float64", seed=3)
    return net, np.array([X]), np.array([[1.0]]), MSELoss(), "A sequence of 4 times with 2 features"


def drawn(net: Sequential) -> tuple[np.ndarray, np.ndarray, Loss, str]:
    """A sequence and a target from a random generator, for a network whose data are not
    at hand.
    """
    layer = _first(net)
    if layer != 0:
        raise SettingError("explain lstm: the recurrent layer must be the first of the network")
    recurrent = net.layers[0]
    assert isinstance(recurrent, Recurrent)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1, LENGTH, recurrent.input_size))
    target = rng.standard_normal((1, *net.shapes_from((LENGTH, recurrent.input_size))[-1]))
    features = f"{recurrent.input_size} feature{'s' * (recurrent.input_size > 1)}"
    return x, target, MSELoss(), f"A drawn sequence of {LENGTH} times with {features}"


def _first(net: Sequential) -> int:
    there = [i for i, layer in enumerate(net.layers) if isinstance(layer, Recurrent)]
    if not there:
        raise SettingError("explain lstm: this network has no recurrent layer")
    return there[0]


def lesson(
    net: Sequential, x: np.ndarray, target: np.ndarray, loss: Loss, about: str, gate: str | None = None,
    time: int | None = None, unit: int | None = None,
) -> Lesson:  # fmt: skip
    """The first recurrent layer of a network in float64. Raises SettingError if there
    is none, or no such gate.
    """
    trace = net.trace(x, target, loss, training=False)
    layer = _first(net)
    part = trace.layers[layer]
    kind = part.layer
    assert isinstance(kind, Recurrent)
    there = [letter for letter in gates(kind) if not (isinstance(kind, GRU) and letter == "n")]
    gate = ("f" if isinstance(kind, LSTM) else there[0]) if gate is None else gate
    if gate not in there:
        raise SettingError(f"--gate {gate!r}: {type(kind).__name__} has {', '.join(there)}")
    T, H = len(part.times), kind.hidden_size
    t = _within("--time", time, T, max(1, T - 2) if T > 1 else 0)
    deltas = [abs(float(part.times[t][f"delta_{gate}"][0, u])) for u in range(H)]
    u = _within("--unit", unit, H, int(np.argmax(deltas)))
    on = Lesson(f"One gate at one time: {gate}[{u}] at time {t} of layer {part.name}")
    on.say(f"One gate at one time: {gate}[{u}] at t = {t} of layer {layer}", "title")
    cost = loss_formula(trace)
    on.formulas.append(cost)
    on.say(f"{about}. Loss C = {short(cost.value)}. The layer: {kind}")
    on.blank()
    _table(on, part.times, gate, u, t)
    on.blank()
    letters = ["c", "h"] if isinstance(kind, LSTM) else ["n", "h"] if isinstance(kind, GRU) else []
    for letter in [gate, *letters]:
        on.step_of(f"{letter}[{u}]", time_formula(trace, layer, t, letter, u))
    if layer + 1 == len(net.layers) - 1:
        first = delta_formula(trace, layer + 1, (0,) * (trace.output.ndim - 1))
        on.step_of(f"{first.equation.partition(' =')[0]}[0]", first)
    error = [f"delta_{gate}"]
    if isinstance(kind, LSTM) and gate in "ifg":
        error = ["dc", *error]
    if isinstance(kind, GRU) and gate == "r":
        error = ["delta_n", *error]
    on.say(
        f"     ∂C/∂h[{u}] = {short(part.times[t].dh[0, u])}, sent back by later times and by the layer above", "note"
    )
    for letter in error:
        name = "∂C/∂c" if letter == "dc" else f"δ_{letter.removeprefix('delta_')}"
        on.step_of(f"{name}[{u}]", time_formula(trace, layer, t, letter, u))
    k = kind.num_layers - 1
    row = gates(kind).index(gate) * H + u
    bias = f"bias_ih_l{k}"
    on.step_of(f"∂C/∂{bias}[{row}]", gradient_formula(trace, layer, bias, (row,)))
    places = [(f"{which}_l{k}", c) for which in ("weight_ih", "weight_hh")
              for c in range(part.gradients[f"{which}_l{k}"].shape[1])]  # fmt: skip
    name, column = max(places, key=lambda at: abs(part.gradients[at[0]][row, at[1]]))
    on.step_of(f"∂C/∂{name}[{row},{column}]", gradient_formula(trace, layer, name, (row, column)))
    on.checked(three_ways(net, trace, layer, name, (row, column)))
    return on


def _within(option: str, value: int | None, size: int, default: int) -> int:
    if value is None:
        return default
    if not 0 <= value < size:
        raise SettingError(f"{option} must be a whole number from 0 to {size - 1}, not {value}")
    return value


def _table(on: Lesson, times: Sequence[object], gate: str, unit: int, t: int) -> None:
    """The unit at every time: what its gates let through, and the error that comes
    back.
    """
    first = times[0]
    letters = [letter for letter in vars(first) if letter in ("i", "f", "g", "o", "r", "z", "n", "c", "h", "dc", "dh")]
    letters.append(f"delta_{gate}")
    heads = {"dc": "dC/dc", "dh": "dC/dh"}
    line = columns(3, *(7 for _ in letters))
    on.say(line(["t", *(heads.get(letter, letter) for letter in letters)]), "title")
    shown = range(max(0, min(t - MOST_TIMES // 2, len(times) - MOST_TIMES)), len(times))[:MOST_TIMES]
    for k in shown:
        values = [short(vars(times[k])[letter][0, unit]) for letter in letters]
        on.say(line([k, *values]), "right" if k == t else "table")
