"""Exercises 18 and 19: a step of an LSTM, forward and backward."""

from typing import Any

import numpy as np

from scratchnet.engine.layers import LSTM
from scratchnet.exercises.engine import sigmoid
from scratchnet.exercises.neurons import BY_DEFINITION
from scratchnet.exercises.task import Arrays, Exercise, Part, Sizes, Slip, autograd, layered, slopes

STEP = layered((2, 3, 4), (3, 3, 3), (2, 1, 1), names="I H N")

Random = np.random.Generator


# ------------------------------------------------------------------ 18, the LSTM


def _gated(rng: Random, s: Sizes) -> Arrays:
    I, H, N = s["I"], s["H"], s["N"]
    h, c = rng.normal(size=(2, H, N))
    return (rng.normal(size=(I, N)), np.tanh(h), c, rng.normal(size=(4 * H, I)), rng.normal(size=(4 * H, H)),
            rng.normal(size=4 * H))  # fmt: skip


def _cell(x: Any, h: Any, c: Any, W_x: Any, W_h: Any, b: Any) -> Arrays:
    layer = LSTM(len(x), len(h))
    joined, state = np.concatenate([W_h, W_x, b[:, None]], axis=1), np.concatenate([h, x, np.ones((1, x.shape[1]))])
    return layer.cell(joined, state, (h, c))[0]


def _cell_of_tensors(x: Any, h: Any, c: Any, W_x: Any, W_h: Any, b: Any) -> Any:
    import torch

    cell = torch.func.functional_call
    net = torch.nn.LSTMCell(x.shape[0], h.shape[0]).double()
    values = {"weight_ih": W_x, "weight_hh": W_h, "bias_ih": b, "bias_hh": 0 * b}
    h_new, c_new = cell(net, values, (x.T, (h.T, c.T)))
    return torch.stack([h_new.T, c_new.T])


def _lstm_by_torch(*arguments: Any) -> Arrays:
    import torch

    return tuple(_cell_of_tensors(*map(torch.tensor, arguments)).detach().numpy())


def _gates(x: Any, h: Any, W_x: Any, W_h: Any, b: Any) -> tuple[Any, Any, Any, Any]:
    """z_i, z_f, z_g and z_o."""
    z_i, z_f, z_g, z_o = np.split(W_x @ x + W_h @ h + b[:, None], 4)
    return z_i, z_f, z_g, z_o


def _squashed(i: Any, f: Any, g: Any, o: Any, c: Any, order: str = "ifgo") -> Arrays:
    """(h, c) from the four z, taken in another order."""
    z = dict(zip(order, (i, f, g, o), strict=True))
    c_new = sigmoid(z["f"]) * c + sigmoid(z["i"]) * np.tanh(z["g"])
    return sigmoid(z["o"]) * np.tanh(c_new), c_new


LONG = Exercise(
    "18_lstm",
    "a step of an LSTM",
    (
        Part(
            "lstm",
            ("x", "h", "c", "W_x", "W_h", "b"),
            ("h_new", "c_new"),
            STEP,
            _gated,
            _cell,
            _lstm_by_torch,
            {"h_new": "it is o ⊙ tanh(c_new); if c_new is wrong too, begin there",
             "c_new": "check the four gates one by one: which rows of z, and σ or tanh?"},
            (
                Slip("c_new", lambda x, h, c, W_x, W_h, b: _squashed(*_gates(x, h, W_x, W_h, b), c, "figo")[1],
                     "the gates i and f are swapped: the rows of z are i, f, g, o"),
                Slip("c_new", lambda x, h, c, W_x, W_h, b: _squashed(*_gates(x, h, W_x, W_h, b), c, "ifog")[1],
                     "g and o are swapped: the rows of z are i, f, g, o"),
                Slip("c_new", lambda x, h, c, W_x, W_h, b: _squashed(*_gates(x, h, W_x, W_h, 0 * b), c)[1],
                     "the bias is missing"),
                Slip("c_new", lambda x, h, c, W_x, W_h, b: _squashed(*_gates(x, 0 * h, W_x, W_h, b), c)[1],
                     "the old state h is missing from z"),
                Slip("c_new", lambda x, h, c, W_x, W_h, b: _squashed(*_gates(x, h, W_x, W_h, b), 0 * c)[1],
                     "the old cell state c is forgotten: f ⊙ c is missing"),
                Slip("c_new", lambda x, h, c, W_x, W_h, b: _with_sigmoid(c, *_gates(x, h, W_x, W_h, b)),
                     "g takes tanh, and not σ"),
                Slip("c_new", lambda x, h, c, W_x, W_h, b: c + _squashed(*_gates(x, h, W_x, W_h, b), 0 * c)[1],
                     "the gate f is missing: the old cell state is kept whole"),
                Slip("h_new", lambda x, h, c, W_x, W_h, b: _shown(np.array, *_gates(x, h, W_x, W_h, b), c),
                     "the tanh of c_new is missing"),
                Slip("h_new", lambda x, h, c, W_x, W_h, b: np.tanh(_cell(x, h, c, W_x, W_h, b)[1]),
                     "the gate o is missing"),
                Slip("h_new", lambda x, h, c, W_x, W_h, b: sigmoid(_gates(x, h, W_x, W_h, b)[3]) * np.tanh(c),
                     "it shows the old cell state: take c_new"),
                Slip("h_new", lambda x, h, c, W_x, W_h, b: _shown(sigmoid, *_gates(x, h, W_x, W_h, b), c),
                     "the cell state takes tanh, and not σ"),
            ),
            BY_DEFINITION,
        ),
    ),
    (
        "np.split(z, 4) gives the four blocks of rows, in their order.",
        "The σ of exercise 2 serves for i, f and o; g, and what is shown of c_new, take np.tanh.",
    ),
)  # fmt: skip


def _with_sigmoid(c: Any, i: Any, f: Any, g: Any, o: Any) -> np.ndarray:
    return sigmoid(f) * c + sigmoid(i) * sigmoid(g)


def _shown(bend: Any, i: Any, f: Any, g: Any, o: Any, c: Any) -> np.ndarray:
    return sigmoid(o) * bend(_squashed(i, f, g, o, c)[1])


# -------------------------------------------------------- 19, the LSTM, backward

_ALL = ("dx", "dh", "dc", "dW_x", "dW_h", "db")


def _gated_back(rng: Random, s: Sizes) -> Arrays:
    return *_gated(rng, s), *rng.normal(size=(2, s["H"], s["N"]))


def _cell_back(x: Any, h: Any, c: Any, W_x: Any, W_h: Any, b: Any, dh_new: Any, dc_new: Any) -> Arrays:
    return slopes(lambda *a: np.stack(_cell(*a)), (x, h, c, W_x, W_h, b), range(6), np.stack([dh_new, dc_new]))


def _cell_back_by_torch(*arguments: Any) -> Arrays:
    *values, dh_new, dc_new = arguments
    return autograd(_cell_of_tensors, tuple(values), range(6), np.stack([dh_new, dc_new]))


def _without(which: str) -> tuple[Slip, ...]:
    """What comes out if one of the two slopes is forgotten."""
    text = {
        "dh": "dh_new is forgotten: it acts on o, and through tanh(c_new) on c_new",
        "dc": "dc_new is forgotten: the cell state acts on the next time directly",
    }[which]

    def of(k: int) -> Any:
        def wrong(x: Any, h: Any, c: Any, W_x: Any, W_h: Any, b: Any, dh_new: Any, dc_new: Any) -> Any:
            return _cell_back(x, h, c, W_x, W_h, b, dh_new * (which != "dh"), dc_new * (which != "dc"))[k]

        return wrong

    return tuple(Slip(name, of(k), text) for k, name in enumerate(_ALL))


LONG_BACK = Exercise(
    "19_lstm_back",
    "a step of an LSTM, backward",
    (
        Part(
            "lstm_back",
            ("x", "h", "c", "W_x", "W_h", "b", "dh_new", "dc_new"),
            _ALL,
            STEP,
            _gated_back,
            _cell_back,
            _cell_back_by_torch,
            {"dx": "it is W_xᵀ dz; check the four blocks of dz one by one",
             "dh": "it is W_hᵀ dz, which is BP2 for the state",
             "dc": "the old cell state came in through f: dc_total ⊙ f",
             "dW_x": "it is dz xᵀ, which is BP4 for the input", "dW_h": "it is dz hᵀ, with the state from before",
             "db": "it is dz, added up over the examples: BP3"},
            (
                Slip("dc", lambda *a: a[7] * sigmoid(_gates(a[0], a[1], *a[3:6])[1]),
                     "the way of dh_new through tanh(c_new) is missing from dc_total"),
                *_without("dh"),
                *_without("dc"),
                Slip("dc", lambda *a: _cell_back(*a)[2] / sigmoid(_gates(a[0], a[1], *a[3:6])[1]),
                     "the gate f is missing: c_new holds f ⊙ c"),
                Slip("db", lambda *a: _cell_back(*a)[5] / a[0].shape[1],
                     "delta contains the 1/N already: take no mean"),
                Slip("dW_h", lambda *a: _dz(*a) @ _cell(*a[:6])[0].T, "dW_h takes the state before, h, and not h_new"),
            ),
        ),
    ),
    (
        "Compute z, i, f, g, o, c_new and tanh(c_new) again, with the lines of exercise 18.",
        "di = dc_total ⊙ g: what is the factor of i in c_new? So too for f, g and the old c.",
        "dz_i = di ⊙ i (1 − i), and likewise f and o; for g it is 1 − g². np.concatenate joins them.",
    ),
)  # fmt: skip


def _dz(x: Any, h: Any, c: Any, W_x: Any, W_h: Any, b: Any, dh_new: Any, dc_new: Any) -> np.ndarray:
    """∂C/∂z, as the slopes of an input that is added to z."""
    z = W_x @ x + W_h @ h + b[:, None]
    unit, none = np.eye(len(z)), np.zeros_like(b)
    return slopes(lambda z: np.stack(_cell(z, h, c, unit, 0 * W_h, none)), (z,), (0,), np.stack([dh_new, dc_new]))[0]
