"""The flat store: each parameter an aligned view, in order, seeded, packed once."""

import numpy as np
import pytest

from scratchnet import CheckpointError, Linear, Sequential, Sigmoid
from scratchnet.engine.params import ALIGN, Param, Store, constant, uniform


def network(seed: int = 0, dtype: str = "float64") -> Sequential:
    return Sequential(Linear(5, 7), Sigmoid(), Linear(7, 3, bias=False), Linear(3, 2), seed=seed, dtype=dtype)


def test_parameters_are_aligned_views_in_declaration_order() -> None:
    net = network()
    assert list(net.params) == ["0.weight", "0.bias", "2.weight", "3.weight", "3.bias"]
    starts = [p.start for p in net.params.values()]
    assert starts == sorted(starts) and all(start % ALIGN == 0 for start in starts)
    for p in net.params.values():
        for view, flat in ((p.value, net.store.values), (p.grad, net.store.grads)):
            assert view.shape == p.shape and view.flags.c_contiguous and np.shares_memory(view, flat)
        p.value[...] = p.start + 1
        assert (net.store.values[p.start : p.start + p.size] == p.start + 1).all()
    assert net.size == sum(p.size for p in net.params.values()) == 35 + 7 + 21 + 6 + 2


def test_untrained_parameters_lie_apart_and_have_no_gradient() -> None:
    a, b = Param("a", (3,), constant(1.0)), Param("b", (2,), constant(2.0), trained=False)
    store = Store([a, b], np.random.default_rng(0), np.dtype("float64"), np)
    assert b.grad is None and np.shares_memory(b.value, store.fixed) and not np.shares_memory(b.value, store.values)
    assert b.value.tolist() == [2.0, 2.0] and a.value.tolist() == [1.0, 1.0, 1.0]


def test_a_layer_is_packed_once() -> None:
    layer = Linear(3, 3)
    with pytest.raises(ValueError, match="once: make a new layer object"):
        Sequential(layer, Sigmoid(), layer)
    layer = Linear(3, 3)
    Sequential(layer)
    with pytest.raises(ValueError, match="once: make a new layer object"):
        Sequential(layer)


def test_initial_values_come_from_the_seed_and_are_pytorchs_distribution() -> None:
    assert np.array_equal(network(3).store.values, network(3).store.values)
    assert not np.array_equal(network(3).store.values, network(4).store.values)
    W = Sequential(Linear(400, 300), dtype="float64").params["0.weight"].value
    bound = 400**-0.5
    assert abs(W).max() <= bound and abs(W).max() > 0.999 * bound and abs(W.mean()) < 0.01 * bound
    assert W.std() == pytest.approx(bound / 3**0.5, rel=0.01)
    np.testing.assert_array_equal(network(1).store.values.astype("float32"), network(1, "float32").store.values)
    assert uniform(0.0)(np.random.default_rng(0), (2,)).tolist() == [0.0, 0.0]


def test_state_is_a_copy_and_goes_back() -> None:
    net, other = network(1), network(2)
    state = net.state_dict()
    other.load_state_dict(state)
    assert np.array_equal(other.store.values, net.store.values)
    state["0.weight"][...] = 0
    assert net.params["0.weight"].value.all()
    arrays = [p.value for p in other.params.values()]
    other.load_state_dict(net.state_dict())
    assert all(p.value is a for p, a in zip(other.params.values(), arrays, strict=True)), "a parameter was rebound"


@pytest.mark.parametrize(
    ("change", "message"),
    [(lambda s: s.pop("0.bias"), "missing '0.bias'"), (lambda s: s.update({"9.x": s["0.bias"]}), "unexpected '9.x'"),
     (lambda s: s.update({"0.weight": s["0.weight"].T}), r"0.weight has shape \(7, 5\), but is given \(5, 7\)")],
)  # fmt: skip
def test_a_state_that_does_not_fit_changes_nothing(change, message: str) -> None:
    net = network()
    state, before = network(5).state_dict(), net.store.values.copy()
    change(state)
    with pytest.raises(CheckpointError, match=message):
        net.load_state_dict(state)
    assert np.array_equal(net.store.values, before)
