"""Exercises 16 and 17: a recurrent network, forward and back through time."""

from typing import Any

import numpy as np

from scratchnet.engine.layers import RNN
from scratchnet.exercises.engine import through
from scratchnet.exercises.neurons import BY_DEFINITION
from scratchnet.exercises.task import Arrays, Exercise, Part, Sizes, Slip, autograd, layered, slopes

TIMES = layered((3, 2, 3, 4), (1, 2, 3, 2), (3, 3, 3, 3), (4, 2, 3, 1), names="T I H N")

Random = np.random.Generator


# ------------------------------------------------------------------ 16, the RNN


def _reading(rng: Random, s: Sizes) -> Arrays:
    H = s["H"]
    return (rng.normal(size=(s["T"], s["I"], s["N"])), rng.normal(size=(H, s["I"])) / 2,
            rng.normal(size=(H, H)) / 2, rng.normal(size=H))  # fmt: skip


def _states(x: Any, W_x: Any, W_h: Any, b: Any) -> np.ndarray:
    layer = RNN(x.shape[1], len(W_h), output="sequence")
    return through(layer, x, W_x, W_h, b, np.zeros(len(W_h)))


def _read_by_torch(x: Any, W_x: Any, W_h: Any, b: Any) -> Any:
    import torch

    h, read = x.new_zeros(len(W_h), x.shape[2]), []
    for x_t in x:
        h = torch.tanh(W_x @ x_t + W_h @ h + b[:, None])
        read.append(h)
    return torch.stack(read)


def _rnn_by_torch(x: Any, W_x: Any, W_h: Any, b: Any) -> Arrays:
    """The states by torch.nn.RNN, whose examples are the middle axis."""
    import torch

    net = torch.nn.RNN(W_x.shape[1], len(W_h)).double()
    values = {"weight_ih_l0": W_x, "weight_hh_l0": W_h, "bias_ih_l0": b, "bias_hh_l0": 0 * b}
    net.load_state_dict({name: torch.tensor(value) for name, value in values.items()})
    return (net(torch.tensor(x.swapaxes(1, 2)))[0].detach().numpy().swapaxes(1, 2),)


RECURRENT = Exercise(
    "16_rnn",
    "a recurrent network, forward",
    (
        Part(
            "rnn",
            ("x", "W_x", "W_h", "b"),
            ("h",),
            TIMES,
            _reading,
            lambda x, W_x, W_h, b: (_states(x, W_x, W_h, b),),
            _rnn_by_torch,
            {"h": "compute the first time with h = 0, and then the second with the h of the first"},
            (
                Slip("h", lambda x, W_x, W_h, b: _states(x, W_x, 0 * W_h, b),
                     "the state is not carried from time to time"),
                Slip("h", lambda x, W_x, W_h, b: _states(x, W_x, W_h, 0 * b), "the bias is missing"),
                Slip("h", lambda x, W_x, W_h, b: _states(x, W_x, W_h, -b), "the bias is to be added"),
                Slip("h", lambda x, W_x, W_h, b: _states(x, W_x, W_h.T, b), "W_h is transposed, and must not be"),
                Slip("h", lambda x, W_x, W_h, b: np.arctanh(_states(x, W_x, W_h, b)), "the tanh is missing at the end"),
                Slip("h", lambda x, W_x, W_h, b: _states(x, W_x, W_h, b)[-1], "the states of all times are wanted"),
                Slip("h", lambda x, W_x, W_h, b: _states(x[::-1], W_x, W_h, b), "it begins with the last time"),
                Slip("h", lambda x, W_x, W_h, b: _states(x, W_x, W_h, b)[::-1],
                     "the times of the result are in reverse"),
                Slip("h", lambda x, W_x, W_h, b: np.repeat(_states(x, W_x, W_h, b)[-1:], len(x), 0),
                     "all times hold the last state: is one array written again and again?"),
                Slip("h", lambda x, W_x, W_h, b: np.tanh(_chained(x, W_x, W_h, b)),
                     "what is carried is h, after the tanh, and not its z"),
            ),
            BY_DEFINITION,
        ),
    ),
    (
        "Begin with h = np.zeros((H, N)), loop over the times, and keep each new h in a list.",
        "np.stack makes one array of a list of arrays, with the list's axis first.",
    ),
)  # fmt: skip


def _chained(x: Any, W_x: Any, W_h: Any, b: Any) -> np.ndarray:
    """z of every time, if z and not h were carried."""
    z, read = np.zeros((len(W_h), x.shape[2])), []
    for x_t in x:
        z = W_x @ x_t + W_h @ z + b[:, None]
        read.append(z)
    return np.stack(read)


# --------------------------------------------------- 17, backpropagation through time


def _back_case(rng: Random, s: Sizes) -> Arrays:
    x, W_x, W_h, b = _reading(rng, s)
    h = _states(x, W_x, W_h, b)
    return x, h, W_x, W_h, rng.normal(size=h.shape)


def _bias(x: Any, h: Any, W_x: Any, W_h: Any) -> np.ndarray:
    """The bias that led to these states: it follows from the first of them."""
    return (np.arctanh(h[0]) - W_x @ x[0])[:, 0]


def _through_time(x: Any, h: Any, W_x: Any, W_h: Any, delta: Any) -> Arrays:
    return slopes(_states, (x, W_x, W_h, _bias(x, h, W_x, W_h)), (0, 1, 2, 3), delta)


def _cut(x: Any, h: Any, W_x: Any, W_h: Any, delta: Any) -> Arrays:
    """The slopes, if nothing came from the future."""
    dz = delta * (1 - h**2)
    before = np.concatenate([0 * h[:1], h[:-1]])
    return (np.einsum("hi,thn->tin", W_x, dz), np.einsum("thn,tin->hi", dz, x), np.einsum("thn,tkn->hk", dz, before),
            dz.sum(axis=(0, 2)))  # fmt: skip


def _turned(x: Any, h: Any, W_x: Any, W_h: Any, delta: Any, bend: bool = True, turn: bool = True) -> Arrays:
    """The slopes with W_h for its transpose, or without the slope of tanh."""
    dz, future = np.zeros_like(h), np.zeros_like(h[0])
    for t in reversed(range(len(x))):
        dz[t] = (delta[t] + future) * (1 - h[t] ** 2 if bend else 1)
        future = (W_h if turn else W_h.T) @ dz[t]
    before = np.concatenate([0 * h[:1], h[:-1]])
    return (np.einsum("hi,thn->tin", W_x, dz), np.einsum("thn,tin->hi", dz, x), np.einsum("thn,tkn->hk", dz, before),
            dz.sum(axis=(0, 2)))  # fmt: skip


_OUTPUTS = ("dx", "dW_x", "dW_h", "db")


def _slips(wrong: Any, text: str, **options: Any) -> tuple[Slip, ...]:
    """The same mistake, as each of the outputs shows it."""

    def of(k: int) -> Any:
        return lambda *arguments: wrong(*arguments, **options)[k]

    return tuple(Slip(name, of(k), text) for k, name in enumerate(_OUTPUTS))


RECURRENT_BACK = Exercise(
    "17_rnn_back",
    "backpropagation through time",
    (
        Part(
            "rnn_back",
            ("x", "h", "W_x", "W_h", "delta"),
            _OUTPUTS,
            (TIMES[1], TIMES[0], *TIMES[2:]),
            _back_case,
            _through_time,
            lambda x, h, W_x, W_h, delta:
                autograd(_read_by_torch, (x, W_x, W_h, _bias(x, h, W_x, W_h)), range(4), delta),
            {"dx": "it is W_xᵀ dz[t] for each time", "dW_x": "add dz[t] x[t]ᵀ up over the times",
             "dW_h": "add dz[t] h[t − 1]ᵀ up over the times, where h is 0 before the first",
             "db": "add dz[t] up over the times and the examples"},
            (
                *_slips(_cut, "nothing comes from the future: dh[t] is delta[t] and W_hᵀ dz[t + 1]"),
                *_slips(_turned, "a transpose is missing: what comes from the future goes through W_hᵀ"),
                *_slips(_turned, "the slope of tanh, 1 − h², is missing", bend=False, turn=False),
                Slip("dW_h", lambda x, h, W_x, W_h, delta: np.einsum("thn,tkn->hk", _all_dz(x, h, W_h, delta), h),
                     "dW_h takes the state before, h[t − 1], which is 0 before the first time, and not h[t]"),
                Slip("dW_h", lambda x, h, W_x, W_h, delta: _through_time(x, h, W_x, W_h, delta)[2].T,
                     "dW_h is transposed"),
                Slip("dx", lambda x, h, W_x, W_h, delta: _through_time(x, h, W_x, W_h, delta)[0][::-1],
                     "the times of dx are in reverse: the walk goes backward, the result forward"),
                Slip("dW_x", lambda x, h, W_x, W_h, delta: _all_dz(x, h, W_h, delta)[0] @ x[0].T,
                     "only the first time is seen: add up over all with +="),
                Slip("db", lambda x, h, W_x, W_h, delta: _all_dz(x, h, W_h, delta).sum(axis=0).mean(axis=1),
                     "delta contains the 1/N already: take no mean over the examples"),
                Slip("db", lambda x, h, W_x, W_h, delta: _all_dz(x, h, W_h, delta)[0].sum(axis=1),
                     "only the first time is seen: add up over all with +="),
            ),
        ),
    ),
    (
        "Loop over reversed(range(T)) and carry one array, W_hᵀ dz of the time after; it begins as 0.",
        "Begin with zeros for dW_x, dW_h and db, and add the share of each time with +=.",
        "The state before h[0] is 0, so the first time gives dW_h nothing.",
    ),
)  # fmt: skip


def _all_dz(x: Any, h: Any, W_h: Any, delta: Any) -> np.ndarray:
    """∂C/∂z of every time, as the slopes of an input that is added to z."""
    unit = np.eye(len(W_h))
    z = np.arctanh(h) - np.concatenate([0 * h[:1], W_h @ h[:-1]])
    return slopes(_states, (z, unit, W_h, np.zeros(len(W_h))), (0,), delta)[0]
