"""The readable walks through time, the tuned ones of engine/kernels, and PyTorch's.

All give the same numbers.
"""

import contextlib
from collections.abc import Iterator

import numpy as np
import pytest

from scratchnet import GRU, LSTM, Linear, Sequential
from scratchnet.engine.kernels import gru, lstm
from scratchnet.engine.layers.recurrent import Recurrent
from scratchnet.engine.learner import Learner
from scratchnet.engine.tuned import best, hand_in
from tests.engine.layers import test_recurrent

TUNED = {LSTM: lstm, GRU: gru}


@contextlib.contextmanager
def readable() -> Iterator[None]:
    """Every layer walks as its own file says."""
    for kind in TUNED:
        hand_in(kind, kind)
    try:
        yield
    finally:
        for kind, tuned in TUNED.items():
            hand_in(kind, tuned)


def test_who_walks():
    assert best(LSTM) is lstm and best(GRU) is gru
    with readable():
        assert best(LSTM) is LSTM and best(GRU) is GRU
    assert best(Recurrent) is Recurrent

    class Mine(LSTM):
        """A changed layer has the walk written for it, not the tuned one of another."""

    assert best(Mine) is Mine


def everything(layer, net, x, mask, begin, delta, end):
    """Outputs, states and gradients of two walks, the second in used buffers."""
    learn = Learner()
    for _ in range(2):
        y, final, cache = layer.run(x, learn, begin, mask)
        y = y.copy()
        dx, first = layer.run_back(delta.copy(), cache, learn, state=end)
    states = [s for states in (final, first) for layers in states for s in layers]
    return [y, layer.run(x, None, begin, mask)[0], dx, *states, net.store.grads.copy()]


@pytest.mark.parametrize("special", [None, np.nan, np.inf])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(("N", "T", "layers", "output"), [(1, 1, 1, "last"), (1, 12, 2, "sequence"), (5, 7, 2, "last")])
@pytest.mark.parametrize("kind", TUNED)
def test_tuned_and_readable_walks_are_the_same(kind, N, T, layers, output, masked, special):
    rng = np.random.default_rng(N)
    net = Sequential(kind(3, 4, num_layers=layers, output=output), seed=1, dtype="float64")
    (layer,), x = net.layers, rng.normal(size=(T, 3, N))
    if special is not None:
        x[T // 2, 1, 0] = special
    mask = np.arange(T)[:, None] < 1 + rng.integers(0, T, N) if masked else None
    begin, end = ([tuple(rng.normal(size=(4, N)) for _ in range(layer.states)) for _ in range(layers)] for _ in "  ")
    delta = rng.normal(size=(T, 4, N) if output == "sequence" else (4, N))
    with np.errstate(all="ignore"):
        tuned = everything(layer, net, x, mask, begin, delta, end)
        with readable():
            plain = everything(layer, net, x, mask, begin, delta, end)
    assert special is not None or all(np.isfinite(a).all() and a.any() for a in plain)
    for a, b in zip(tuned, plain, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("output", ["last", "sequence"])
@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_the_readable_walks_are_those_of_pytorch(kind, output):
    with readable():
        for N, T in ((1, 1), (4, 12)):
            test_recurrent.test_gradients_through_time_are_those_of_pytorch(kind, output, N, T)
        test_recurrent.test_gradient_of_the_initial_state(kind)
        test_recurrent.test_a_carried_state_is_the_users_own(kind)
        test_recurrent.test_masked_sequences_end_where_they_end(kind)


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_nan_and_infinity_spread_through_the_readable_walks_too(kind):
    with readable():
        for case in test_recurrent.SPREADING[::3]:
            if case[0] == kind:
                test_recurrent.test_nan_and_infinity_spread_as_in_packed_sequences_of_pytorch(*case, "float64")


def test_what_a_walk_keeps_of_a_step_goes_with_its_learner():
    net, learn = Sequential(LSTM(3, 4), Linear(4, 1)), Learner()
    net.forward(np.ones((2, 3, 1), "float32"), learn)
    assert learn in lstm._views
    before = len(lstm._views)
    del learn
    assert len(lstm._views) < before
