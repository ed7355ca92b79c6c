"""Batch normalisation beyond the table: running statistics, loading into PyTorch,
errors.
"""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is what the layers are compared with")

from parity import compare_training, from_torch, to_torch  # noqa: E402
from parity.errors import difference  # noqa: E402
from scratchnet import (  # noqa: E402
    SGD,
    Adam,
    BatchNorm1d,
    BatchNorm2d,
    Conv2d,
    CrossEntropyLoss,
    Flatten,
    Linear,
    NonFiniteError,
    ReLU,
    Sequential,
    step,
)  # fmt: skip
from scratchnet.engine.learner import Learner  # noqa: E402
from scratchnet.errors import SettingError, ShapeError  # noqa: E402

RNG = np.random.default_rng(0)


def image_net(dtype: str = "float64") -> Sequential:
    # no bias in front of a normalisation: its gradient is 0, computed as rounding,
    # which Adam would blow up to ±lr
    return Sequential(Conv2d(2, 3, 3, bias=False), BatchNorm2d(3, momentum=0.3), ReLU(), Flatten(),
                      Linear(27, 6, bias=False), BatchNorm1d(6), ReLU(), Linear(6, 3), dtype=dtype)  # fmt: skip


@pytest.mark.parametrize("make", [lambda net: SGD(net, 0.1, momentum=0.9), lambda net: Adam(net, 0.01)])
def test_twenty_steps_and_running_statistics_are_pytorchs(make) -> None:
    """`compare_training` compares the whole state, including running_mean and
    running_var.
    """
    net = image_net()
    rows = compare_training(net, (RNG.standard_normal((30, 2, 5, 5)), RNG.integers(0, 3, 30)), make(net), steps=20)
    assert rows.ok, rows.worst
    assert {"1.running_mean", "1.running_var", "5.running_var"} <= {row.parameter for row in rows}
    assert not np.array_equal(net.state_dict()["1.running_var"], np.ones(3))


def test_a_bias_that_the_normalisation_subtracts_again_has_a_gradient_of_rounding_errors() -> None:
    """Inference in between does not change it.

    The studies have no such bias, because Adam makes whole steps of it.
    """
    x, labels = RNG.standard_normal((12, 2, 5, 5)), RNG.integers(0, 3, 12)
    net = Sequential(Conv2d(2, 3, 3), BatchNorm2d(3), ReLU(), Flatten(), Linear(27, 6), BatchNorm1d(6), ReLU(),
                     Linear(6, 3), dtype="float64")  # fmt: skip
    _, gradients = net.gradients(x, labels, CrossEntropyLoss())
    net(x)
    again = net.gradients(x, labels, CrossEntropyLoss())[1]
    assert all(np.array_equal(g, again[name]) for name, g in gradients.items())
    for name in ("0.bias", "4.bias"):
        assert np.abs(gradients[name]).max() <= 1e-15
    assert (np.abs(gradients["7.bias"]) > 1e-6).all()


def test_gradients_of_a_network_as_it_is_used_are_pytorchs() -> None:
    """With `training` false, running means and variances apply.

    Nothing is dropped or moved.
    """
    net = image_net()
    rng = np.random.default_rng(3)
    for name, p in net.params.items():
        if not p.trained:
            p.value[...] = rng.uniform(0.5, 1.5, p.shape) if name.endswith("var") else rng.normal(size=p.shape)
    x, labels = rng.standard_normal((12, 2, 5, 5)), rng.integers(0, 3, 12)
    kept, learn = net.state_dict(), Learner(training=False)
    value, delta, _, caches = net.cost(x, labels, CrossEntropyLoss(), learn)
    net.backward(delta, caches, learn)
    twin = to_torch(net).eval()
    theirs = torch.nn.functional.cross_entropy(twin(torch.from_numpy(x)), torch.from_numpy(labels))
    theirs.backward()
    assert value == pytest.approx(theirs.item(), rel=1e-14)
    for name, g in twin.named_parameters():
        assert difference(net.params[name].grad, g.grad.numpy()).norm_relative <= 1e-13, name
    assert all(np.array_equal(a, kept[name]) for name, a in net.state_dict().items())


def test_the_state_loads_into_pytorch_strictly_and_back() -> None:
    net = image_net("float32")
    net.load_state_dict({name: np.abs(value) + 0.1 for name, value in net.state_dict().items()})
    nn = torch.nn
    theirs = nn.Sequential(nn.Conv2d(2, 3, 3, bias=False), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(),
                           nn.Linear(27, 6, bias=False), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3))  # fmt: skip
    theirs.eval()
    theirs.load_state_dict({name: torch.from_numpy(value) for name, value in net.state_dict().items()})
    x = RNG.standard_normal((4, 2, 5, 5)).astype(np.float32)
    np.testing.assert_allclose(net(x), theirs(torch.from_numpy(x)).detach().numpy(), rtol=1e-5)
    np.testing.assert_allclose(from_torch(theirs)(x), net(x), rtol=1e-5)


def test_inference_and_gradients_leave_the_running_statistics_alone() -> None:
    net = image_net()
    before = net.state_dict()
    x = RNG.standard_normal((4, 2, 5, 5))
    net(x)
    net.gradients(x, np.array([0, 1, 2, 0]), CrossEntropyLoss())
    for name, value in net.state_dict().items():
        assert np.array_equal(value, before[name]), name


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_step_that_is_given_up_leaves_the_running_statistics_alone() -> None:
    net = image_net()
    before = net.state_dict()
    x = RNG.standard_normal((4, 2, 5, 5))
    x[1, 0, 2, 2] = np.inf
    with pytest.raises(NonFiniteError):
        step(net, CrossEntropyLoss(), SGD(net, 0.1), x, np.array([0, 1, 2, 0]))
    for name, value in net.state_dict().items():
        assert np.array_equal(value, before[name]), name


def test_one_example_has_no_variance() -> None:
    net = Sequential(BatchNorm1d(3), dtype="float64")
    with pytest.raises(ShapeError, match=r"BatchNorm1d\(3\) needs more than one number per channel in training"):
        net.layers[0].forward(np.zeros((3, 1)), SGD(net, 0.1))
    net(np.zeros((1, 3)))  # at inference it needs none


def test_sequences_of_features() -> None:
    """(N, C, L), as PyTorch's BatchNorm1d takes it."""
    net = Sequential(BatchNorm1d(3), dtype="float64")
    x = RNG.standard_normal((4, 3, 5))
    y, _ = net.layers[0].forward(np.moveaxis(x, 0, -1).copy(), SGD(net, 0.1))
    theirs = torch.nn.BatchNorm1d(3).double()(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(np.moveaxis(y, -1, 0), theirs, rtol=1e-12, atol=1e-12)


def test_a_large_mean_costs_no_accuracy() -> None:
    """σ² is the mean of (x − μ)², not of x² minus μ²: in float32 that would be noise
    here.
    """
    net = Sequential(BatchNorm2d(1))
    x = (1000 + RNG.standard_normal((1, 8, 8, 16))).astype(np.float32)
    y, _ = net.layers[0].forward(x, SGD(net, 0.1))
    assert abs(float(y.mean())) < 1e-3 and abs(float(y.std()) - 1) < 1e-3


@pytest.mark.parametrize(("make", "message"), [
    (lambda: BatchNorm1d(0), "num_features must be a whole number from 1"),
    (lambda: BatchNorm2d(3, eps=-1.0), "eps must be a number from 0"),
    (lambda: BatchNorm2d(3, momentum=2.0), "momentum must be a number from 0 to 1"),
])  # fmt: skip
def test_settings_are_checked(make, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        make()


@pytest.mark.parametrize(("layer", "shape", "message"), [
    (lambda: BatchNorm2d(3), (4, 5, 5), r"BatchNorm2d\(3\) takes \(N, 3, height, width\), but is given \(N, 4, 5, 5\)"),
    (lambda: BatchNorm1d(3), (4,), r"BatchNorm1d\(3\) takes \(N, 3\) or \(N, 3, length\), but is given \(N, 4\)"),
    (lambda: BatchNorm1d(3), (3, 5, 5), r"but is given \(N, 3, 5, 5\)"),
])  # fmt: skip
def test_other_shapes_are_refused(layer, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        Sequential(layer())(np.zeros((2, *shape), np.float32))


def test_an_infinite_gamma_gives_infinity_and_not_nan() -> None:
    """γ x̂ as it stands.

    PyTorch takes γ μ/σ from γ x/σ, so if both have the same sign it gets ∞ − ∞.
    """
    net = Sequential(BatchNorm1d(1), dtype="float64")
    net.params["0.weight"].value[...] = np.inf
    y, _ = net.forward(np.array([[1.0, 2.0, 4.0]]), Learner())
    assert y.tolist() == [[-np.inf, -np.inf, np.inf]]
