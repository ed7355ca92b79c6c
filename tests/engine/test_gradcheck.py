"""gradcheck accepts what is right and finds what is wrong.

It names the parameter, the index, both values, and kinks.
"""

from dataclasses import dataclass

import numpy as np
import pytest

from scratchnet import (
    CrossEntropyLoss,
    Dropout,
    Linear,
    LogSoftmax,
    MSELoss,
    NLLLoss,
    NonFiniteError,
    QuadraticCost,
    ReLU,
    Sequential,  # fmt: skip
    ShapeError,
    Sigmoid,
    Softmax,
    Tanh,
    gradcheck,
    load,
)
from scratchnet.engine.layers import Layer
from scratchnet.engine.losses import Loss
from scratchnet.engine.params import Param, constant
from tests.cases import SPACES, Space


def network(*middle: Layer, dtype: str = "float32") -> Sequential:
    return Sequential(Linear(4, 5), *middle, Linear(5, 3), seed=1, dtype=dtype)


def batch(n: int = 6, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.standard_normal((n, 4)), rng.integers(0, classes, n)


@pytest.mark.parametrize("middle", [Sigmoid(), Tanh(), ReLU(), Softmax(), LogSoftmax(), Dropout(0.4)], ids=str)
@pytest.mark.parametrize("loss", [CrossEntropyLoss(), NLLLoss(), MSELoss(), MSELoss("sum"), QuadraticCost()], ids=str)
def test_a_right_network_passes_and_is_left_alone(middle: Layer, loss: Loss) -> None:
    net, (x, t) = network(type(middle)(**middle.options())), batch()
    target = t if loss.takes_labels else np.eye(3)[t]
    before = net.store.values.copy(), net.store.grads.copy(), x.copy()
    report = gradcheck(net, x, target, loss)
    assert report and report.ok and not report.no_complex_step, str(report)
    assert report.checked == {name: (p.size, p.size) for name, p in net.params.items()} | {"input": (24, 24)}
    assert all(np.array_equal(a, b) for a, b in zip(before, (net.store.values, net.store.grads, x), strict=True))
    assert "all gradients agree" in str(report)


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_every_layer_of_the_table_passes(space: Space) -> None:
    for case in space.sample(3):
        net = case.net()
        x = np.moveaxis(case.x(), -1, 0)
        report = gradcheck(net, x, np.zeros_like(net(x)), MSELoss(), samples=20)
        assert report, f"{case}: {report}"


# ------------------------------------------------------------------------- wrong layers


@dataclass(eq=False)
class Wrong(Layer):
    """y = s x³ with a learned scale s and a fault of choice."""

    fault: str = ""

    def __post_init__(self) -> None:
        self.scale = Param("scale", (5,), constant(0.7))

    def forward(self, x, learn=None):
        return self.scale.value[:, None] * x**3, x

    def backward(self, delta, x, learn, need_dx=True):
        ds = (delta * x**3).sum(1)
        if self.fault == "one element":
            ds[3] *= 1 + 1e-4
        if self.fault == "tiny":
            ds *= 1 + 1e-9
        if self.fault != "not written":
            self.scale.grad[...] = ds
        if self.fault == "shape":
            return delta[:2]
        factor = 2.0 if self.fault == "dx" else 3.0
        return factor * self.scale.value[:, None] * x**2 * delta


def test_the_custom_layer_without_a_fault_passes() -> None:
    assert gradcheck(network(Wrong()), *batch(), CrossEntropyLoss())


def test_one_wrong_element_is_found_and_named() -> None:
    x, t = batch()
    net = network(Wrong("one element"))
    report = gradcheck(net, x, t, CrossEntropyLoss())
    (d,) = report.disagreements
    assert (d.parameter, d.index, d.kink) == ("1.scale", (3,), "")
    assert d.backward == pytest.approx(d.central * (1 + 1e-4), rel=1e-6)
    assert d.complex_step == pytest.approx(d.central, rel=1e-6)
    assert f"1.scale[3]: backward {d.backward:.10g}" in str(report) and "no kink is near" in str(report)


def test_complex_step_finds_what_differences_cannot() -> None:
    report = gradcheck(network(Wrong("tiny")), *batch(), CrossEntropyLoss())
    assert {d.parameter for d in report.disagreements} == {"1.scale"}


def test_a_gradient_that_is_not_written_is_found() -> None:
    report = gradcheck(network(Wrong("not written")), *batch(), CrossEntropyLoss())
    assert len(report.disagreements) == 5 and np.isnan(report.disagreements[0].backward)


def test_a_wrong_dx_shows_in_the_layers_before() -> None:
    report = gradcheck(network(Wrong("dx")), *batch(), CrossEntropyLoss())
    assert {d.parameter for d in report.disagreements} == {"0.weight", "0.bias", "input"}


def test_a_dx_of_the_wrong_shape_is_an_error_that_names_the_layer() -> None:
    with pytest.raises(ShapeError, match=r"layer 1, .*Wrong.*backward returned \(N, 2\) for an input of \(N, 5\)"):
        gradcheck(network(Wrong("shape")), *batch(), CrossEntropyLoss())


def test_a_wrong_first_layer_shows_in_the_input() -> None:
    @dataclass(eq=False)
    class Minus(Layer):
        def forward(self, x, learn=None):
            return -x, None

        def backward(self, delta, cache, learn, need_dx=True):
            return delta

    report = gradcheck(Sequential(Minus(), Linear(4, 3)), *batch(), CrossEntropyLoss())
    assert {d.parameter for d in report.disagreements} == {"input"}


def test_one_wrong_element_of_many_is_found_by_halving() -> None:
    @dataclass(eq=False)
    class OneWrong(Linear):
        def backward(self, delta, a, learn, need_dx=True):
            da = super().backward(delta, a, learn, need_dx)
            self.W.grad[37, 11] += 0.01
            return da

    net = Sequential(OneWrong(40, 60), Tanh(), Linear(60, 3))
    rng = np.random.default_rng(0)
    report = gradcheck(net, rng.standard_normal((5, 40)), rng.integers(0, 3, 5), CrossEntropyLoss(), samples=5)
    (d,) = report.disagreements
    assert (d.parameter, d.index) == ("0.weight", (37, 11)) and d.backward == pytest.approx(d.central + 0.01, rel=1e-5)
    assert report.checked["0.weight"] == (5, 2400)


def test_a_wrong_loss_is_found() -> None:
    class Halved(MSELoss):
        def forward(self, y, t):
            value, delta = super().forward(y, t)
            return value / 2, delta

    x, t = batch()
    assert len(gradcheck(network(), x, np.eye(3)[t], Halved()).disagreements) > 40


def test_a_layer_that_cannot_compute_with_complex_numbers() -> None:
    @dataclass(eq=False)
    class Absolute(Layer):
        def forward(self, x, learn=None):
            return np.abs(x), np.sign(x)

        def backward(self, delta, sign, learn, need_dx=True):
            return delta * sign

    report = gradcheck(network(Absolute()), *batch(), CrossEntropyLoss())
    assert report and "complex step does not apply" in str(report)


# -------------------------------------------------------------------------------- kinks


def test_relu_at_zero_is_said_to_be_a_kink_and_not_an_error() -> None:
    net = Sequential(Linear(2, 2, bias=False), ReLU(), Linear(2, 2), dtype="float64", seed=0)
    net.params["0.weight"].value[...] = [[1.0, -1.0], [1.0, 0.5]]
    report = gradcheck(net, np.array([[1.0, 1.0], [2.0, 1.0]]), np.array([0, 1]), CrossEntropyLoss())
    assert report.ok and report.at_kinks, str(report)
    assert {d.index[0] for d in report.at_kinks if d.parameter == "0.weight"} == {0}
    assert "a kink is near: layer 1, ReLU(), output [0, 0], where its input is 0" in str(report)


def test_a_wrong_gradient_at_a_kink_is_still_wrong() -> None:
    @dataclass(eq=False)
    class Doubled(ReLU):
        def backward(self, delta, a, learn, need_dx=True):
            return 2 * super().backward(delta, a, learn, need_dx) + 5 * (a == 0)

    net = Sequential(Linear(2, 2, bias=False), Doubled(), Linear(2, 2), dtype="float64")
    net.params["0.weight"].value[...] = [[1.0, -1.0], [1.0, 0.5]]
    report = gradcheck(net, np.array([[1.0, 1.0]]), np.array([0]), CrossEntropyLoss())
    assert any(d.kink and d.index[0] == 0 for d in report.disagreements), str(report)


def test_a_tie_in_a_maximum_is_a_kink() -> None:
    from scratchnet import MaxPool2d

    net = Sequential(MaxPool2d(2), dtype="float64")
    report = gradcheck(net, np.ones((1, 1, 2, 2)), np.zeros((1, 1, 1, 1)), MSELoss())
    assert report.ok and len(report.at_kinks) == 4 and "layer 0, MaxPool2d" in report.at_kinks[0].kink, str(report)


def test_a_loss_that_is_not_finite() -> None:
    x, t = batch()
    x[0, 0] = np.nan
    with np.errstate(invalid="ignore"), pytest.raises(NonFiniteError, match="the loss is nan"):
        gradcheck(network(), x, t, CrossEntropyLoss())


def test_a_network_from_a_file_can_be_checked(tmp_path) -> None:
    """Its copy must not read the file again, which is closed."""
    net = Sequential(Linear(3, 4), Tanh(), Linear(4, 2), seed=1)
    net.save(tmp_path / "m.safetensors")
    assert gradcheck(load(tmp_path / "m.safetensors"), np.ones((2, 3)), [0, 1], CrossEntropyLoss())


# ------------------------------------------------------------------ how it is read


class Spoilt(Linear):
    """A Linear whose gradients are told through `spoil`."""

    def __init__(self, spoil) -> None:
        super().__init__(3, 3)
        self.spoil = spoil

    def backward(self, delta, a, learn, need_dx=True):
        dx = super().backward(delta.copy(), a, learn, need_dx)
        W = self.W.grad
        W[...] = self.spoil(W.copy())
        return dx


@pytest.mark.parametrize(
    ("spoil", "difference", "words"),
    [(lambda g: 2 * g, 1 / 3, "every element is 2 times what it should be: look for a missing or a doubled factor"),
     (lambda g: g / 2, 1 / 3, "every element is 0.5 times what it should be"),
     (lambda g: -g, 1.0, "every element has the wrong sign"),
     (lambda g: 0 * g, 1.0, "backward gives 0 everywhere"),
     (lambda g: 5 * g, 2 / 3, "every element is 5 times what it should be, and the batch has 5 examples"),
     (lambda g: g.T, None, "it is the transpose of what it should be"),
     (lambda g: g + np.eye(3), None, ""),
     (lambda g: np.nan * g, None, "backward never writes this gradient")],
)  # fmt: skip
def test_what_all_wrong_elements_have_in_common(spoil, difference, words) -> None:
    x = np.random.default_rng(0).standard_normal((5, 3))
    report = gradcheck(Sequential(Spoilt(spoil)), x, [0, 1, 2, 1, 0], CrossEntropyLoss())
    assert not report and report.factors["0.weight"].startswith(words) and (words or not report.factors["0.weight"])
    assert set(report.factors) == {"0.weight"} and words in str(report)
    if difference is not None:
        assert abs(report.differences["0.weight"] - difference) < 1e-6
    assert report.differences["0.bias"] < 1e-7
    text = " ".join(str(report).split())
    assert "normal? No: it is no rounding. 0.weight has a fault" in text
    html = report._repr_html_()
    assert "normal? No" in html and "<th>difference</th>" in html and (words in html)


def test_right_gradients_say_what_a_difference_may_be() -> None:
    net = Sequential(Linear(3, 4), Tanh(), Linear(4, 3))
    report = gradcheck(net, np.random.default_rng(0).standard_normal((5, 3)), [0, 1, 2, 1, 0], CrossEntropyLoss())
    assert report and 0 < max(report.differences.values()) < 1e-7 and report.factors == {}
    text = " ".join(str(report).split())
    assert "difference = ‖backward − central‖ / (‖backward‖ + ‖central‖)" in text and "normal?" not in text
    assert f"difference {report.differences['2.weight']:.1e})" in text and "kink" not in text
    assert max(map(len, str(report).splitlines())) <= 88


def test_a_small_fault_is_asked_about_otherwise() -> None:
    x = np.random.default_rng(0).standard_normal((5, 3))
    net = Sequential(Spoilt(lambda g: g * (1 + 1e-5)))
    report = gradcheck(net, x, [0, 1, 2, 1, 0], CrossEntropyLoss())
    assert not report and "It is small, but more than rounding leaves" in " ".join(str(report).split())


def test_kinks_are_explained() -> None:
    net = Sequential(ReLU(), Linear(3, 3))
    report = gradcheck(net, np.zeros((2, 3)), [0, 1], CrossEntropyLoss())
    assert report and len(report.at_kinks) == 6 and report.differences["input"] == 0.0
    for text in (" ".join(str(report).split()), report._repr_html_()):
        assert "C has no derivative: its slopes to the left and right differ" in text
        assert "the central difference is their mean. This is no fault" in text


def test_a_gradient_of_zero_has_no_difference() -> None:
    """Where both are rounding their ratio would say nothing."""
    net = Sequential(Linear(2, 2), LogSoftmax())
    report = gradcheck(net, np.zeros((1, 2)), [0], NLLLoss())
    assert report and report.differences["0.weight"] == 0.0
