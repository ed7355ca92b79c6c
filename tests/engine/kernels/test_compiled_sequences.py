"""The compiled steps on sequences against the readable step, in any portions."""

import numpy as np
import pytest

from scratchnet import GRU, LSTM, SGD, Adam, CrossEntropyLoss, Linear, MSELoss, ReLU, Sequential, Sigmoid
from scratchnet.engine.kernels import CompiledSequences, kind_of_steps, supported_sequences
from scratchnet.engine.steps import Steps
from scratchnet.errors import NonFiniteError

pytest.importorskip("numba", reason="numba, of the extra `fast`, is not installed")

OPTIMISERS = {
    "plain": lambda net: SGD(net, 0.1),
    "momentum": lambda net: SGD(net, 0.02, momentum=0.9),
    "adam": lambda net: Adam(net, 0.01, betas=(0.8, 0.99), eps=1e-6),
}
HEADS = {
    "regression": (lambda: [Linear(20, 2)], MSELoss()),
    "sum": (lambda: [Linear(20, 2, bias=False), Sigmoid()], MSELoss(reduction="sum")),
    "classes": (lambda: [Linear(20, 7), ReLU(), Linear(7, 4)], CrossEntropyLoss()),
}
EXAMPLES = 33  # no multiple of a batch


def network(head, I=3, **options):
    return Sequential(LSTM(I, 20, **options), *HEADS[head][0](), seed=3)


def data(head, I=3):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(EXAMPLES, 6, I)).astype("float32")
    return x, rng.integers(0, 4, EXAMPLES) if head == "classes" else rng.random((EXAMPLES, 2), "float32")


def trained(kind, head, optimiser, N, portion=1000, I=3):
    """(weights, losses) after three epochs."""
    net, (x, t) = network(head, I), data(head, I)
    steps, found = kind(net, HEADS[head][1], OPTIMISERS[optimiser](net), x, t, N), []
    for epoch in range(3):
        losses = np.full(-(-EXAMPLES // N), np.nan, net.dtype)
        steps.begin(np.random.default_rng(epoch).permutation(EXAMPLES), losses)
        done = 0
        while done < len(losses):
            done += steps.run(min(portion, len(losses) - done))
        found.append(losses)
    return net.store.values, np.concatenate(found)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("optimiser", OPTIMISERS)
@pytest.mark.parametrize(("N", "I"), [(1, 1), (5, 3), (16, 3)])
def test_they_are_the_readable_steps(head, optimiser, N, I):
    plain, compiled = (trained(kind, head, optimiser, N, I=I) for kind in (Steps, CompiledSequences))
    assert np.any(plain[0] != network(head, I).store.values)
    for a, b in zip(plain, compiled, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("portion", [1, 2, 100])
def test_portions_give_the_same_bits(portion):
    np.testing.assert_array_equal(trained(CompiledSequences, "classes", "adam", 5, portion)[0],
                                  trained(CompiledSequences, "classes", "adam", 5)[0])  # fmt: skip


def test_a_step_that_is_not_finite_changes_nothing():
    net, (x, t) = network("regression"), data("regression")
    x[9] = np.nan
    steps = CompiledSequences(net, MSELoss(), Adam(net), x, t, 3)
    losses = np.zeros(11, net.dtype)
    steps.begin(np.arange(EXAMPLES), losses)
    steps.run(3)
    before = net.store.values.copy()
    with pytest.raises(NonFiniteError, match="at step 4: already in the input"):
        steps.run(8)
    np.testing.assert_array_equal(net.store.values, before)
    assert steps.optimiser.steps == 3


def test_which_trainings_they_make():
    def kind(net, steps=10**6, optimiser=Adam, threads=1):
        x, t = np.ones((6, 5, 3), net.dtype), np.ones((6, 2), net.dtype)
        return kind_of_steps(Steps(net, MSELoss(), optimiser(net), x, t, 2), steps, threads)

    assert kind(network("regression")) is CompiledSequences
    assert kind(network("regression"), steps=1000) is Steps  # compiling them would take longer
    assert kind(network("regression"), threads=2) is Steps
    for others in (
        network("regression", num_layers=2),
        Sequential(LSTM(3, 20, output="sequence"), Linear(20, 2)),
        Sequential(GRU(3, 20), Linear(20, 2)),
        Sequential(LSTM(3, 2)),
        Sequential(LSTM(3, 20), Linear(20, 2), dtype="float64"),
    ):
        assert supported_sequences(others, MSELoss(), Adam(others)) is not None
    decaying = network("regression")
    assert supported_sequences(decaying, MSELoss(), Adam(decaying, weight_decay=0.1)) is not None
