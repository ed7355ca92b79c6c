"""Every layer of the table against differences, PyTorch and the contract; then the full product of its options."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from scratchnet import layers
from tests.cases import CASES, SPACES, Case, Space
from tests.checks import CHECKS, drawn_case_agrees


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


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_table_covers_every_option(space: Space) -> None:
    """Every value of every option of a layer is drawn by some case; a layer that is not in the table is found here."""
    layer = space.sample(1)[0].make()
    assert set(space.options) <= set(layer.options())


def test_every_layer_is_in_the_table() -> None:
    known = {space.layer for space in SPACES} | {"Layer", "Sequential"}
    assert not [name for name in layers.__all__ if name not in known]
