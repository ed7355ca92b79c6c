"""Every public name called with odd arguments: our errors alone, and unchanged inputs.

The calls are drawn from seeds, four times 500; they take about three seconds.
"""

import collections
import contextlib
import copy
import io
import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.sparse

import scratchnet as sn

#: Odd values, made anew for every call. No whole number lies between 10 and 10³⁰: it
#: might be a number of epochs.
ODD: list[Callable[[], Any]] = [
    lambda: None, lambda: True, lambda: -1, lambda: 0, lambda: 1, lambda: 3, lambda: 2.5, lambda: -0.5,
    lambda: math.nan, lambda: math.inf, lambda: 10**30, lambda: -(10**30), lambda: 1e300, lambda: 1j, lambda: "abc",
    lambda: "8", lambda: b"8", lambda: "", lambda: "cosine", lambda: "\ud800", lambda: (), lambda: (1, 2),
    lambda: (1, 2, 3), lambda: (0.9,), lambda: [], lambda: [[1.0], [2.0, 3.0]], lambda: [1, "a", None],
    lambda: [[1.0, None]], lambda: {}, lambda: {"a": 1}, lambda: {1, 2}, object, lambda: object, lambda: print,
    lambda: (lambda *a: None), lambda: range(6), lambda: iter([1.0, 2.0]), lambda: np.int32(3),
    lambda: np.float32(0.5), lambda: np.float64(2), np.bool_, lambda: np.array(3), lambda: np.array(2.0),
    lambda: np.ones(0), lambda: np.ones(4), lambda: np.ones(6, int), lambda: np.arange(6) % 3,
    lambda: (np.arange(6) % 3).astype(">i4"), lambda: np.arange(6) - 3, lambda: np.zeros((0, 4)),
    lambda: np.ones((6, 4)), lambda: np.ones((6, 4), np.float16), lambda: np.ones((6, 4), ">f8"),
    lambda: np.ones((5, 4)), lambda: np.ones((6, 5, 4)), lambda: np.ones((6, 4, 5, 5)), lambda: np.ones((6, 4), bool),
    lambda: np.ones((6, 4), int), lambda: np.full((6, 4), np.nan), lambda: np.full((6, 4), 1e300),
    lambda: np.ones((6, 4)) * 1j, lambda: np.zeros((6, 4), "M8[D]"), lambda: np.zeros(6, "m8[s]"),
    lambda: np.full((6, 4), "a"), lambda: np.full((6, 4), None), lambda: np.ones((6, 4), object),
    lambda: np.zeros(6, [("a", float)]), lambda: np.ma.masked_equal(np.eye(6, 4), 0), lambda: np.zeros((6, 4), "S3"),
    lambda: np.ones((6, 4), np.longdouble), lambda: np.ones((6, 8))[:, ::2], lambda: np.ones((4, 6)).T,
    lambda: scipy.sparse.eye_array(6, 4, format="csr"), lambda: scipy.sparse.eye_array(6, 4, format="csr") * 1j,
    lambda: sn.Linear(4, 3), lambda: sn.Linear, lambda: sn.SGD, lambda: sn.Sequential(sn.Linear(4, 3)), sn.MSELoss,
    lambda: sn.CrossEntropyLoss, lambda: sn.Cosine, lambda: np.ones((6, 4)).tolist(), lambda: [np.ones(4)] * 6,
    lambda: np.float32, lambda: np.dtype("f4"),
]  # fmt: skip


class Case:
    """What a call begins with: an ordinary and a recurrent network, with data."""

    def __init__(self) -> None:
        rng = np.random.default_rng(3)
        self.x, self.t = rng.standard_normal((6, 4)).astype(np.float32), np.arange(6) % 3
        self.net = sn.Sequential(sn.Linear(4, 5), sn.ReLU(), sn.Linear(5, 3))
        self.loss, self.rule = sn.CrossEntropyLoss(), sn.SGD(self.net, 0.1, momentum=0.9)
        self.sequences = rng.standard_normal((6, 5, 4)).astype(np.float32)
        self.recurrent = sn.Sequential(sn.LSTM(4, 3))
        self.its_rule = sn.Adam(self.recurrent)

    def build(self, x: Any, seed: int) -> tuple[Any, Any, Any]:
        net = sn.Sequential(sn.Linear(4, 3), seed=seed)
        return net, sn.CrossEntropyLoss(), sn.SGD(net, 0.1)


def layers(name: str, **options: Any) -> tuple[str, "Make"]:
    return name, lambda c: (getattr(sn, name), options)


def packed(make: Callable[[], Any], shape: tuple[int, ...]) -> "Make":
    """A network of one layer called on a drawn batch."""
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    return lambda c: (sn.Sequential(make()), {"x": x.copy()})


Make = Callable[[Case], tuple[Callable[..., Any], dict[str, Any]]]

#: name → (function, arguments that are right)
CALLS: dict[str, Make] = dict([
    layers("Linear", in_features=4, out_features=3, bias=True),
    layers("Conv2d", in_channels=2, out_channels=3, kernel_size=3, stride=1, padding=0, dilation=1, bias=True),
    layers("ConvTranspose2d", in_channels=2, out_channels=3, kernel_size=3, stride=2, padding=0, output_padding=0,
           bias=True, dilation=1),
    *(layers(name, kernel_size=2, stride=2, padding=0) for name in ("MaxPool2d", "MinPool2d", "AvgPool2d")),
    layers("MedianPool2d", kernel_size=2, stride=2),
    *(layers(name, num_features=4, eps=1e-5, momentum=0.1) for name in ("BatchNorm1d", "BatchNorm2d")),
    layers("CropFlip", padding=4, flip=0.5), layers("Dropout", p=0.5),
    *(layers(name, input_size=4, hidden_size=3, num_layers=1, output="last") for name in ("RNN", "LSTM", "GRU")),
    layers("MSELoss", reduction="mean"), layers("Constant", lr=0.1), layers("Cosine", lr=0.1, epochs=3),
    layers("OneCycle", lr=0.1, epochs=3, warm_up=0.3), layers("Decay", lr=0.1, decay=0.1),
    layers("Exponential", lr=0.1, gamma=0.9), layers("PerEpoch", parts=[(0.1, 3)]),
])  # fmt: skip
CALLS |= {
    "Sequential": lambda c: (
        lambda layer, seed, dtype, device: sn.Sequential(layer, seed=seed, dtype=dtype, device=device),
        {"layer": sn.Linear(4, 3), "seed": 0, "dtype": "float32", "device": "cpu"},
    ),
    "SGD": lambda c: (sn.SGD, {"net": c.net, "lr": 0.1, "momentum": 0.0, "weight_decay": 0.0, "nesterov": False,
                               "clip_norm": None}),
    **{name: lambda c, name=name: (getattr(sn, name), {"net": c.net, "lr": 0.1, "betas": (0.9, 0.99), "eps": 1e-8,
                                                       "weight_decay": 0.0, "clip_norm": None})
       for name in ("Adam", "AdamW")},
    **{f"{name}()": lambda c, name=name: (getattr(sn, name)(), {"output": np.ones((6, 3)), "target": c.t})
       for name in ("CrossEntropyLoss", "NLLLoss")},
    **{f"{name}()": lambda c, name=name: (getattr(sn, name)(), {"output": np.ones((6, 4)), "target": c.x})
       for name in ("MSELoss", "QuadraticCost")},
    "net(x)": lambda c: (c.net, {"x": c.x}),
    "net.gradients": lambda c: (c.net.gradients, {"x": c.x, "target": c.t, "loss": c.loss}),
    "net.trace": lambda c: (c.net.trace, {"x": c.x, "target": c.t, "loss": c.loss, "training": True}),
    "net.summary": lambda c: (c.net.summary, {"input_shape": (4,)}),
    "net.load_state_dict": lambda c: (c.net.load_state_dict, {"state": c.net.state_dict()}),
    "fit": lambda c: (sn.fit, {"net": c.net, "loss": c.loss, "optimiser": c.rule, "x": c.x, "target": c.t, "epochs": 2,
                               "batch_size": 4, "valid": (c.x, c.t), "schedule": sn.Cosine(0.1, 2), "shuffle": True,
                               "seed": 0, "threads": 1, "on_step": None, "on_epoch": None, "history": None,
                               "patience": None, "callbacks": None}),
    "step": lambda c: (sn.step, {"net": c.net, "loss": c.loss, "optimiser": c.rule, "x": c.x, "target": c.t}),
    "evaluate": lambda c: (sn.evaluate, {"net": c.net, "loss": c.loss, "x": c.x, "target": c.t}),
    "accuracy": lambda c: (sn.accuracy, {"outputs": np.ones((6, 3)), "labels": c.t}),
    "gradcheck": lambda c: (sn.gradcheck, {"net": sn.Sequential(sn.Linear(4, 3)), "x": c.x, "target": c.t,
                                           "loss": c.loss, "samples": 2, "seed": 0}),
    "crossval": lambda c: (sn.crossval, {"build": c.build, "x": c.x, "target": c.t, "folds": 2, "seed": 0,
                                         "prepare": None, "epochs": 1, "batch_size": 4, "schedule": None,
                                         "threads": 1, "on_fold": None}),
    "run_with_state": lambda c: (sn.run_with_state, {"net": c.recurrent, "x": c.sequences, "state": None,
                                                     "mask": None}),
    "step_with_state": lambda c: (sn.step_with_state, {"net": c.recurrent, "loss": c.loss, "optimiser": c.its_rule,
                                                       "x": c.sequences, "target": c.t, "state": None, "mask": None}),
    **{f"{make().__class__.__name__} in a network": packed(make, shape) for make, shape in (
        (lambda: sn.LSTM(4, 3), (6, 5, 4)), (lambda: sn.Conv2d(4, 2, 3), (6, 4, 5, 5)),
        (lambda: sn.MaxPool2d(2), (6, 4, 5, 5)), (sn.Flatten, (6, 4, 5)), (sn.Sigmoid, (6, 4)), (sn.Softmax, (6, 4)),
        (sn.LogSoftmax, (6, 4)), (sn.Tanh, (6, 4)), (lambda: sn.BatchNorm1d(4), (6, 4)))},
}  # fmt: skip


def arrays_in(value: Any) -> list[np.ndarray]:
    if isinstance(value, np.ndarray) and value.dtype.kind != "O":
        return [value]
    if isinstance(value, (list, tuple)):
        return [a for v in value for a in arrays_in(v)]
    return [value.data] if scipy.sparse.issparse(value) else []


def one_call(rng: np.random.Generator) -> tuple[str, str]:
    """(the call, what was wrong with its end); the latter is "" if all is well."""
    name = str(rng.choice(list(CALLS)))
    function, arguments = CALLS[name](Case())
    chosen = rng.choice(list(arguments), size=min(len(arguments), int(rng.integers(1, 3))), replace=False)
    odd = {str(k): ODD[rng.integers(len(ODD))]() for k in chosen}
    arguments = arguments | odd
    given = arrays_in(list(arguments.values()))
    before = [a.tobytes() for a in given]
    words = f"{name} with {', '.join(f'{k}={v!r:.60}' for k, v in odd.items())}".replace("\n", " ")
    wrong = ""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            function(**arguments)
        except sn.ScratchnetError as e:
            wrong = "a message of several lines" if "\n" in str(e) else ""
        except Exception as e:
            wrong = f"{type(e).__name__}: {e}"
    if [a.tobytes() for a in given] != before:
        wrong += " an input was changed"
    return words, wrong


def count(n: int, seed: int = 0) -> tuple[list[str], collections.Counter[str]]:
    """The calls that ended wrongly, in words, and how many of each kind of error."""
    rng, found, kinds = np.random.default_rng(seed), [], collections.Counter[str]()
    for _ in range(n):
        words, wrong = one_call(rng)
        if wrong:
            found.append(f"{words}\n    {wrong}")
            kinds[wrong.partition(":")[0]] += 1
    return found, kinds


@pytest.mark.parametrize("seed", range(4))
def test_no_call_ends_in_a_raw_error(seed: int) -> None:
    found, _ = count(500, seed)
    assert not found, "\n".join([f"{len(found)} of 500 calls", *found[:10]])


def test_right_calls_are_right() -> None:
    """The sweep's first arguments are accepted, so only odd ones are refused."""
    with contextlib.redirect_stdout(io.StringIO()):
        for make in CALLS.values():
            function, arguments = make(Case())
            function(**copy.copy(arguments))


@pytest.mark.parametrize("name", ["fit", "step", "Linear", "SGD", "gradcheck", "crossval"])
def test_a_wrong_argument_name_is_pythons_typeerror(name: str) -> None:
    function, arguments = CALLS[name](Case())
    with pytest.raises(TypeError, match="unexpected keyword argument 'colour'"):
        function(**arguments, colour="blue")
