"""Every layer of the table against differences, PyTorch and the contract; then the full product of its options."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from scratchnet.engine import layers
from tests.cases import CASES, SPACES, Case, Space
from tests.checks import CHECKS, drawn_case_agrees, learner, torch


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("case", CASES, ids=str)
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


SPECIAL = (0.0, -0.0, np.nan, np.inf, -np.inf, 1.0, -1.0, 1e-320, 1e30, -1e30)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["ReLU", "Sigmoid", "Tanh"])
@pytest.mark.parametrize("in_place", [False, True])
def test_special_values_are_pytorchs(name: str, dtype: str, in_place: bool) -> None:
    """Every special z with every special δ, alone and in long rows: value, derivative and sign of zero."""
    z, delta = (a.ravel().astype(dtype) for a in np.meshgrid(SPECIAL, SPECIAL))
    z, delta = np.tile(z, (3, 1)), np.tile(delta, (3, 1))
    layer, rows = getattr(layers, name)(), torch.tensor(z, requires_grad=True)
    layer.in_place = in_place
    with np.errstate(all="ignore"):
        a, cache = layer.forward(z.copy(), learner())
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
    """Every value of every option of a layer is drawn by some case; a layer that is not in the table is found here."""
    layer = space.sample(1)[0].make()
    assert set(space.options) <= set(layer.options())


def test_every_layer_is_in_the_table() -> None:
    known = {space.layer for space in SPACES} | {"Layer", "Sequential"}
    assert not [name for name in layers.__all__ if name not in known]
