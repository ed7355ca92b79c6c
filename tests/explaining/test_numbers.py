"""The formula of every number of every layer gives that number.

It is computed from the numbers that stand in the formula.
"""

import itertools
import json
import re
from pathlib import Path

import numpy as np
import pytest

import scratchnet as sn
from scratchnet.explaining.formula import Formula, short, source_of, written
from scratchnet.explaining.losses import loss_formula
from scratchnet.explaining.numbers import delta_formula, gradient_formula, output_formula, time_formula
from tests.cases import cases_by_profile
from tests.profiles import quick_first

MOST = 60  # numbers of an array that are looked at


def near(formula: Formula, value: float, size: float) -> None:
    assert formula.value == value
    assert abs(formula.computed - value) <= 1e-12 * max(1.0, size), f"{formula}"
    assert formula.source.line > 0 and formula.equation and formula.name in ("FWD", "BP1", "BP2", "BP3", "BP4", "C")


def some(a: np.ndarray) -> list[tuple[int, ...]]:
    """Indices of some elements of an array, spread over all of it."""
    return [
        tuple(map(int, np.unravel_index(k, a.shape))) for k in np.unique(np.linspace(0, a.size - 1, MOST, dtype=int))
    ]


def check(trace: sn.Trace) -> None:
    """Every formula of a trace."""
    near(loss_formula(trace), trace.loss, abs(trace.loss))
    for n, *index in some(trace.dx):
        near(delta_formula(trace, -1, index, n), trace.dx[(n, *index)], np.abs(trace.dx).max())
    for i, part in enumerate(trace.layers):
        for n, *index in some(part.output):
            near(output_formula(trace, i, index, n), part.output[(n, *index)], np.abs(part.output).max())
            near(delta_formula(trace, i, index, n), part.delta[(n, *index)], np.abs(part.delta).max())
        for name, g in part.gradients.items():
            for index in some(g):
                near(gradient_formula(trace, i, name, index), g[index], np.abs(g).max())


@pytest.mark.parametrize("training", quick_first([True, False], 1))
@pytest.mark.parametrize("case", cases_by_profile(1), ids=str)
def test_every_number_of_every_layer(case, training: bool) -> None:
    net, x = case.net(), case.x()
    rows = np.moveaxis(x, -1, 0)[:3]
    y = (len(rows), *net.shapes_from(rows.shape[1:])[-1])
    trace = net.trace(rows, np.random.default_rng(1).normal(size=y), sn.MSELoss(), training=training)
    if type(net.layers[0]).__name__ != "CropFlip":  # whose output says where it came from only by its value
        check(trace)
    if type(net.layers[0]).__name__ in ("RNN", "LSTM", "GRU"):
        for t, time in enumerate(trace.layers[0].times):
            for name, (n, unit) in itertools.product(set(time) - {"x"}, some(time.h)[:7]):
                near(time_formula(trace, 0, t, name, unit, n), time[name][n, unit], np.abs(time[name]).max())


LOSSES = {
    "cross entropy": (sn.CrossEntropyLoss(), []),
    "nll": (sn.NLLLoss(), [sn.LogSoftmax()]),
    "quadratic": (sn.QuadraticCost(), [sn.Sigmoid()]),
    "mse": (sn.MSELoss(), [sn.Softmax()]),
    "sum": (sn.MSELoss("sum"), [sn.Tanh(), sn.Dropout(0.5), sn.ReLU()]),
}


@pytest.mark.parametrize("n", quick_first([4, 1], 1))
@pytest.mark.parametrize("name", LOSSES)
def test_every_number_of_a_network(name: str, n: int) -> None:
    loss, end = LOSSES[name]
    net = sn.Sequential(sn.Conv2d(1, 2, 3, padding=1), sn.ReLU(), sn.MaxPool2d(2), sn.Flatten(), sn.Linear(18, 5),
                        sn.Tanh(), sn.Dropout(0.3), sn.Linear(5, 4), *end, dtype="float64", seed=2)  # fmt: skip
    rng = np.random.default_rng(0)
    x, t = rng.normal(size=(n, 1, 6, 6)), rng.integers(0, 4, n)
    check(net.trace(x, t if loss.takes_labels else np.eye(4)[t], loss))


@pytest.mark.parametrize("classes", ["first", "last"])
def test_losses_of_many_places(classes: str) -> None:
    net = sn.Sequential(
        *([sn.Conv2d(1, 3, 2)] if classes == "first" else [sn.LSTM(2, 3, output="sequence")]), dtype="float64"
    )
    rng = np.random.default_rng(0)
    x, t = (rng.normal(size=(2, 1, 4, 3)), rng.integers(0, 3, (2, 3, 2))) if classes == "first" else (
        rng.normal(size=(2, 4, 2)), rng.integers(0, 3, (2, 4)))  # fmt: skip
    check(net.trace(x, t, sn.CrossEntropyLoss(classes=classes)))


def test_a_layer_of_ones_own_has_its_values() -> None:
    class Double(sn.Linear):
        """Which is no Linear any more."""

        def forward(self, a, learn=None):
            y, cache = super().forward(a, learn)
            return 2 * y, cache

        def backward(self, delta, a, learn, need_dx=True):
            return super().backward(2 * delta, a, learn, need_dx)

    trace = sn.Sequential(Double(3, 2), dtype="float64").trace(np.ones((1, 3)), [1], sn.CrossEntropyLoss())
    check(trace)
    assert output_formula(trace, 0, (1,)).source.file == Path(__file__).name


def test_formulas_are_json_and_readable() -> None:
    net = sn.Sequential(sn.Linear(2, 2), sn.Sigmoid(), dtype="float64")
    net.load_state_dict({"0.weight": np.array([[0.25, -1], [0.5, 0.5]]), "0.bias": np.array([0.25, -0.25])})
    trace = net.trace([[1.0, -0.5]], [[1.0, 0.0]], sn.QuadraticCost())
    z = output_formula(trace, 0, (0,))
    assert z.numbers() == "0.25·1 - 1·(-0.5) + 0.25 = 1" and z.equation == "z = W a + b"
    assert [term[0][0] for term in z.terms] == ["W[0,0]", "W[0,1]", "b[0]"]
    assert z.numbers(most=1) == "0.75 (of 2 terms) + 0.25 = 1"
    a = output_formula(trace, 1, (0,))
    assert a.numbers() == f"σ(1) = {short(a.value)}" == "σ(1) = 0.7311"
    back = json.loads(json.dumps(z.as_dict()))
    assert back["value"] == 1 and back["terms"][0] == [["W[0,0]", 0.25], ["a[0]", 1.0]]
    assert back["numbers"] == z.numbers() and back["source"]["function"] == "Linear.forward"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (-0.0, "0"), (1.0, "1"), (-0.25, "-0.25"), (0.12345, "0.1235"), (0.00012, "1.2e-4"),
     (-3e-12, "-3.0e-12"),     (123456.0, "1.235e+5"), (float("nan"), "nan"), (float("-inf"), "-inf")],
)  # fmt: skip
def test_short_numbers(value: float, text: str) -> None:
    assert short(value) == text


def test_no_terms_are_nothing() -> None:
    assert written(()) == "0"


def test_the_source_is_where_the_function_is() -> None:
    """Found by Python, so that it stays right when a file changes."""
    trace = sn.Sequential(sn.Linear(2, 2), dtype="float64").trace([[1.0, 2.0]], [0], sn.CrossEntropyLoss())
    root = Path(sn.__file__).parent
    of_weight, of_bias = (gradient_formula(trace, 0, *what) for what in (("weight", (0, 1)), ("0.bias", (1,))))
    deltas = delta_formula(trace, -1, (0,)), delta_formula(trace, 0, (1,))
    for formula in (output_formula(trace, 0, (0,)), of_weight, of_bias, *deltas, loss_formula(trace)):
        line = (root / formula.source.file).read_text(encoding="utf-8").splitlines()[formula.source.line - 1]
        assert re.match(rf"\s*def {formula.source.function.rpartition('.')[2]}\(", line), line
    assert str(source_of(short)).startswith("explaining/formula.py:")


@pytest.mark.parametrize(
    ("call", "words"),
    [(lambda t: output_formula(t, 3, (0,)), "the layer must be a whole number from 0 to 1, not 3"),
     (lambda t: output_formula(t, 0, (2,)), "an index of output must be a whole number from 0 to 1, not 2"),
     (lambda t: output_formula(t, 0, (0, 0)), r"one number of output has 1 indices, in \[2\], not \[0, 0\]"),
     (lambda t: output_formula(t, 0, (0,), 1), "the example must be a whole number from 0 to 0, not 1"),
     (lambda t: delta_formula(t, -2, (0,)), "the layer must be"),
     (lambda t: gradient_formula(t, 0, "weights", (0, 0)), r"has no parameter 'weights'; there are: weight, bias"),
     (lambda t: gradient_formula(t, 1, "weight", (0, 0)), r"ReLU\(\) has no parameter 'weight'; there are: none"),
     (lambda t: time_formula(t, 0, 0, "i", 0), r"layer 0 Linear\(2, 2\) is not recurrent")],
)  # fmt: skip
def test_a_number_that_is_not_there(call, words: str) -> None:
    trace = sn.Sequential(sn.Linear(2, 2), sn.ReLU()).trace([[1.0, 2.0]], [0], sn.CrossEntropyLoss())
    with pytest.raises(sn.SettingError, match=words):
        call(trace)


def test_a_letter_that_a_time_does_not_have() -> None:
    trace = sn.Sequential(sn.RNN(2, 3)).trace(np.ones((1, 2, 2)), [0], sn.CrossEntropyLoss())
    with pytest.raises(sn.SettingError, match="has no 'f' at a time: there are h_before, h, dh, delta_h"):
        time_formula(trace, 0, 1, "f", 0)
    with pytest.raises(sn.SettingError, match="the time must be a whole number from 0 to 1, not 2"):
        time_formula(trace, 0, 2, "h", 0)
