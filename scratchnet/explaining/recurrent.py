"""Formulas of one time step of an RNN, LSTM or GRU: gates, states, and their errors.

Letters as in layers/recurrent.py, lstm.py and gru.py. In a stack, the last layer is
explained.
"""

import math
from collections.abc import Callable

from scratchnet.engine import equations
from scratchnet.engine.inside import Time
from scratchnet.engine.layers import GRU, LSTM
from scratchnet.engine.layers.recurrent import Recurrent
from scratchnet.engine.trace import LayerTrace
from scratchnet.errors import SettingError
from scratchnet.explaining.formula import Asked, Factor, Formula, Term, place

#: A number of one time step: its equation, in letters, its terms, and what stands
#: around them
Made = tuple[str, str, list[Term], str]


def gates(kind: Recurrent) -> str:
    """The blocks of rows of the weights, in their order."""
    return "ifgo" if isinstance(kind, LSTM) else "rzn" if isinstance(kind, GRU) else "h"


def at_time(of: Asked, name: str) -> Formula:
    """The number `name` of a time step, index (t, unit): a gate, c, h, or a δ
    ("delta_f").
    """
    kind, (t, unit) = of.part.layer, of.index
    time = of.part.times[t]
    if name not in time or name == "x":
        there = ", ".join(letter for letter in time if letter != "x")
        raise SettingError(f"layer {of.part.name} has no {name!r} at a time: there are {there}")
    now = {letter: float(values[of.example, unit]) for letter, values in vars(time).items() if letter != "x"}
    assert isinstance(kind, Recurrent)
    table: Callable[..., Made] = _lstm if isinstance(kind, LSTM) else _gru if isinstance(kind, GRU) else _rnn
    if name in ("h_before", "c_before", "dh"):
        which = "BP2" if name == "dh" else "FWD"
        made: Made = which, f"{name}, from outside this time", [((place(name, (unit,)), now[name]),)], ""
    else:
        made = table(of, time, now, name)
    which, equation, terms, function = made
    return of.formula(which, equation, terms, type(kind).cell if which == "FWD" else type(kind).cell_back, function)


def output(of: Asked) -> Formula:
    last = len(of.part.times) - 1
    index = (last, *of.index) if len(of.index) == 1 else of.index
    return at_time(Asked(of.trace, of.part, index, of.example, of.value), "h")


def _lstm(of: Asked, time: Time, now: dict[str, float], name: str) -> Made:
    unit = of.index[1]
    i, f, g, o, c_before = ((place(letter, (unit,)), now[letter]) for letter in ("i", "f", "g", "o", "c_before"))
    dh, dc, tanh_c = ("∂C/∂h", now["dh"]), ("∂C/∂c", now["dc"]), ("tanh(c)", math.tanh(now["c"]))
    slope = ("1 - tanh²(c)", 1 - tanh_c[1] ** 2)
    if name in "ifgo":
        function = "tanh" if name == "g" else "σ"
        terms = _weighted(of.part, time, name, unit, of.example)
        return "FWD", f"{name} = {function}(W_ih x + b_ih + W_hh h + b_hh)", terms, function
    later = ("from later times", now["dc"] - now["dh"] * now["o"] * slope[1])
    made: dict[str, tuple[str, str, list[Term]]] = {
        "c": ("FWD", "c = f c_before + i g", [(f, c_before), (i, g)]),
        "h": ("FWD", "h = o tanh(c)", [(o, tanh_c)]),
        "dc": ("BP2", "∂C/∂c = ∂C/∂h o (1 - tanh²(c)) + later times", [(dh, o, slope), (later,)]),
        "delta_i": ("BP2", "δ_i = ∂C/∂c g i (1 - i)", [(dc, g, i, _rest(i))]),
        "delta_f": ("BP2", "δ_f = ∂C/∂c c_before f (1 - f)", [(dc, c_before, f, _rest(f))]),
        "delta_g": ("BP2", "δ_g = ∂C/∂c i (1 - g²)", [(dc, i, ("1 - g²", 1 - g[1] ** 2))]),
        "delta_o": ("BP2", "δ_o = ∂C/∂h tanh(c) o (1 - o)", [(dh, tanh_c, o, _rest(o))]),
    }
    return (*made[name], "")


def _gru(of: Asked, time: Time, now: dict[str, float], name: str) -> Made:
    unit = of.index[1]
    r, z, n, q, h_before = ((place(letter, (unit,)), now[letter]) for letter in ("r", "z", "n", "q", "h_before"))
    dh, delta_n = ("∂C/∂h", now["dh"]), ("δ_n", now["delta_n"])
    if name in "rz":
        return (
            "FWD",
            f"{name} = σ(W_ih x + b_ih + W_hh h + b_hh)",
            _weighted(of.part, time, name, unit, of.example),
            "σ",
        )
    if name == "n":
        from_x = _weighted(of.part, time, "n", unit, of.example, "x")
        return "FWD", "n = tanh(W_in x + b_in + r q)", [*from_x, (r, q)], "tanh"
    made: dict[str, tuple[str, str, list[Term]]] = {
        "q": ("FWD", "q = W_hn h + b_hn", _weighted(of.part, time, "n", unit, of.example, "h")),
        "h": ("FWD", "h = (1 - z) n + z h_before", [(_rest(z), n), (z, h_before)]),
        "delta_n": ("BP2", "δ_n = ∂C/∂h (1 - z) (1 - n²)", [(dh, _rest(z), ("1 - n²", 1 - n[1] ** 2))]),
        "delta_q": ("BP2", "∂C/∂q = δ_n r", [(delta_n, r)]),
        "delta_r": ("BP2", "δ_r = δ_n q r (1 - r)", [(delta_n, q, r, _rest(r))]),
        "delta_z": ("BP2", "δ_z = ∂C/∂h (h_before - n) z (1 - z)",
                    [(dh, ("h_before - n", h_before[1] - n[1]), z, _rest(z))]),
    }  # fmt: skip
    return (*made[name], "")


def _rnn(of: Asked, time: Time, now: dict[str, float], name: str) -> Made:
    if name == "h":
        terms = _weighted(of.part, time, "h", of.index[1], of.example)
        return "FWD", "h = tanh(W_ih x + b_ih + W_hh h + b_hh)", terms, "tanh"
    return "BP2", "δ = ∂C/∂h (1 - h²)", [(("∂C/∂h", now["dh"]), ("1 - h²", 1 - now["h"] ** 2))], ""


def _rest(factor: Factor) -> Factor:
    return f"1 - {factor[0]}", 1 - factor[1]


def _weighted(part: LayerTrace, time: Time, gate: str, unit: int, example: int, of: str = "xh") -> list[Term]:
    """W_ih x + b_ih + W_hh h + b_hh of one unit of one gate, or one half of it."""
    kind, p = part.layer, part.parameters
    assert isinstance(kind, Recurrent)
    row, k = gates(kind).index(gate) * kind.hidden_size + unit, kind.num_layers - 1
    terms: list[Term] = []
    for letter, which, values in (("x", "ih", time.x), ("h", "hh", time.h_before)):
        if letter in of:
            W, b = p[f"weight_{which}_l{k}"][row], p[f"bias_{which}_l{k}"][row]
            terms += [((place(f"W_{which}", (row, i)), w), (place(letter, (i,)), v))
                      for i, (w, v) in enumerate(zip(W, values[example]))]  # fmt: skip
            terms.append(((place(f"b_{which}", (row,)), b),))
    return terms


def back(of: Asked) -> Formula:
    """∂C/∂x_t of the first layer of the stack: all rows of W_ih times their δ."""
    kind, (t, i) = of.part.layer, of.index
    assert isinstance(kind, Recurrent)
    W, H, time = of.part.parameters["weight_ih_l0"][:, i], kind.hidden_size, of.part.stack[0][t]
    terms: list[Term] = []
    for row, w in enumerate(W):
        gate = gates(kind)[row // H]
        terms.append(
            ((place("W_ih", (row, i)), w), (place(f"δ_{gate}", (row % H,)), time[f"delta_{gate}"][of.example, row % H]))
        )
    return of.formula("BP2", "∂C/∂x = W_ihᵀ δ", terms, equations.bp2_propagate)


def gradient(of: Asked, parameter: str) -> Formula:
    """The sum over all times and examples of δ, for a weight times what it met."""
    kind, (row, *column) = of.part.layer, of.index
    assert isinstance(kind, Recurrent)
    (what, which, _), k = parameter.split("_"), int(parameter.rpartition("_l")[2])
    block, unit = divmod(row, kind.hidden_size)
    gate = gates(kind)[block]
    if isinstance(kind, GRU) and (gate, which) == ("n", "hh"):
        gate = "q"  # h has a product of its own there
    met = {"ih": "x", "hh": "h_before"}[which]
    terms: list[Term] = []
    for t, time in enumerate(of.part.stack[k]):
        for n, d in enumerate(time[f"delta_{gate}"][:, unit]):
            factor = (f"δ_{gate}[{t},{n}]", float(d))
            terms.append((factor, (place(met, (t, n)), time[met][n, column[0]])) if what == "weight" else (factor,))
    if what == "weight":
        return of.formula("BP4", f"∂C/∂W_{which} = Σ δ {met}ᵀ over all times", terms, equations.bp4_weight)
    return of.formula("BP3", f"∂C/∂b_{which} = Σ δ over all times", terms, equations.bp3_bias)
