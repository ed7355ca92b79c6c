"""Every layer of the table against differences, PyTorch and the contract.

Then the full product of its options.
"""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from scratchnet import Sequential
from scratchnet.engine import layers
from tests.cases import CASES, SPACES, Case, Space, cases_by_profile
from tests.checks import CHECKS, drawn_case_agrees, float32_errors, learner, torch


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("case", cases_by_profile(2), ids=str)
def test_layer(case: Case, check) -> None:
    check(case)


@pytest.mark.parametrize("space", SPACES, ids=str)
@given(data=st.data())
def test_full_product_of_options(space: Space, data: st.DataObject) -> None:
    """Any options, shape, batch, seed, memory order and dtype against PyTorch."""
    case = space.draw(lambda values: data.draw(st.sampled_from(values)))
    assume(case is not None)
    order = data.draw(st.sampled_from(("C", "Fortran", "strided", "reversed")))
    drawn_case_agrees(
        case, data.draw(st.integers(0, 2**32 - 1)), order, data.draw(st.sampled_from(("float64", "float32")))
    )


def test_a_gate_that_is_nearly_closed_rounds_as_it_may() -> None:
    """If a GRU's z is nearly 1, 1 − z magnifies errors of in-place results."""
    (space,) = (space for space in SPACES if space.layer == "GRU")
    options = {"input_size": 4, "hidden_size": 1, "num_layers": 1, "output": "last"}
    drawn_case_agrees(Case("GRU", tuple(options.items()), (2, 4), 1, space), 497812951, "C", "float32")


def faulty(net: Sequential, place: str, factor: float) -> Sequential:
    """The network, with y, dx or the gradient of a parameter multiplied by a factor."""
    (layer,) = net.layers
    forward, backward = layer.forward, layer.backward

    def wrong_forward(x, learn=None):
        y, cache = forward(x, learn)
        return (y * x.dtype.type(factor) if place == "y" else y), cache

    def wrong_backward(delta, cache, learn, need_dx=True):
        dx = backward(delta, cache, learn, need_dx)
        if place in net.params:
            net.params[place].grad[...] *= factor
        return dx * dx.dtype.type(factor) if place == "dx" else dx

    layer.forward, layer.backward = wrong_forward, wrong_backward
    return net


@pytest.mark.parametrize("case", cases_by_profile(1), ids=str)
def test_a_relative_error_of_1e_5_in_float32_is_found(case: Case) -> None:
    """In y, in dx and in every gradient, one at a time.

    Provided that the exact result is neither 0 nor a sum that nearly cancels.
    """
    x, made = case.x("float32"), []
    for what, error, _ in float32_errors(case, case.net("float32"), x, made):
        if error > 0:
            wrong = float32_errors(case, faulty(case.net("float32"), what, 1 + 1e-5), x, made)
            if {w: limit for w, _, limit in wrong}[what] < 8e-6:
                assert [w for w, error, limit in wrong if error > limit] == [what]


@pytest.mark.slow
def test_nearly_all_results_in_float32_are_judged_that_sharply() -> None:
    """The others are sums that nearly cancel: rounding alone changes them by 1e-5."""
    limits = [limit for case in CASES for _, _, limit in float32_errors(case, case.net("float32"), case.x("float32"))]
    assert len(limits) > 500 and np.mean(np.array(limits) < 8e-6) > 0.95


@pytest.mark.parametrize("n", [10, 100, 784])
def test_a_relative_error_of_1e_5_in_one_term_of_every_product_is_found(n: int) -> None:
    """One input of n is multiplied by 1 + 1e-5 √n.

    This moves y by as much as an error of 1e-5 in all of them would.
    """
    case = Case("Linear", (("in_features", n), ("out_features", 30)), (n,), 20, SPACES[0])
    net = case.net("float32")
    forward = net.layers[0].forward

    def wrong(x, learn=None):
        x = x.copy()
        x[n // 2] *= np.float32(1 + 1e-5 * n**0.5)
        return forward(x, learn)

    errors = {what: (error, limit) for what, error, limit in float32_errors(case, net, case.x("float32"))}
    assert all(error <= limit for error, limit in errors.values())
    net.layers[0].forward = wrong
    errors = {what: (error, limit) for what, error, limit in float32_errors(case, net, case.x("float32"))}
    assert errors["y"][0] > errors["y"][1]


SPECIAL = (0.0, -0.0, np.nan, np.inf, -np.inf, 1.0, -1.0, 1e-320, 1e30, -1e30)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["ReLU", "Sigmoid", "Tanh"])
@pytest.mark.parametrize("in_place", [False, True])
def test_special_values_are_pytorchs(name: str, dtype: str, in_place: bool) -> None:
    """Every special z with every special δ: value, derivative and sign of zero.

    They stand alone and in long rows.
    """
    z, delta = (a.ravel().astype(dtype) for a in np.meshgrid(SPECIAL, SPECIAL))
    z, delta = np.tile(z, (3, 1)), np.tile(delta, (3, 1))
    layer, rows = getattr(layers, name)(), torch.tensor(z, requires_grad=True)
    own = z.copy()
    with np.errstate(all="ignore"):
        a, cache = layer.forward(own, learner(), own if in_place else None)
        value = a.copy()
        dz = layer.backward(delta.copy(), cache, learner())
    theirs = getattr(torch.nn, name)()(rows)
    theirs.backward(torch.tensor(delta))
    for ours, torchs in ((value, theirs.detach().numpy()), (dz, rows.grad.numpy())):
        np.testing.assert_array_equal(np.isnan(ours), np.isnan(torchs))
        np.testing.assert_allclose(ours, torchs, rtol=4e-7 if dtype == "float32" else 1e-15)
    if name == "ReLU":
        np.testing.assert_array_equal(np.signbit(value), np.signbit(theirs.detach().numpy()))


def test_relu_is_dead_at_zero() -> None:
    layer = layers.ReLU()
    _, cache = layer.forward(np.zeros((1, 2)), learner())
    assert layer.backward(np.ones((1, 2)), cache, learner()).tolist() == [[0.0, 0.0]]


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_table_covers_every_option(space: Space) -> None:
    """Every value of every option occurs in some case.

    Layers missing in the table are found.
    """
    layer = space.sample(1)[0].make()
    assert set(space.options) <= set(layer.options())


def test_every_layer_is_in_the_table() -> None:
    known = {space.layer for space in SPACES} | {"Layer", "Sequential"}
    assert not [name for name in layers.__all__ if name not in known]
