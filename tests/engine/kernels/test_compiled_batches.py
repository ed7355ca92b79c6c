"""The compiled steps on batches against the readable step.

For every rule and loss, and in any portions. test_compiled_steps.py tests how `fit` and
the command take them.
"""

from itertools import pairwise

import numpy as np
import pytest

from scratchnet import (
    SGD,
    Adam,
    CrossEntropyLoss,
    Linear,
    LogSoftmax,
    MSELoss,
    NLLLoss,
    ReLU,
    Sequential,
    Tanh,
    step,
)
from scratchnet.engine import compiling
from scratchnet.engine.kernels import CompiledBatches, CompiledSteps, kind_of_steps, supported_in_batches
from scratchnet.engine.optim import AdamW
from scratchnet.engine.steps import Steps
from tests.engine.kernels.test_kernels import LOSSES, data, network, wide
from tests.profiles import quick_every, quick_first

pytest.importorskip("numba", reason="numba, of the extra `fast`, is not installed")

from scratchnet.engine.kernels import blas

OPTIMISERS = {
    "plain": lambda net: SGD(net, 0.02),
    "momentum": lambda net: SGD(net, 0.005, momentum=0.9),
    "adam": lambda net: Adam(net, 0.01, betas=(0.8, 0.99), eps=1e-6),
}


def log_softmax():
    return [Linear(6, 12), Tanh(), Linear(12, 3), LogSoftmax()]


def deep():
    return [Linear(6, 17), Tanh(), Linear(17, 1, bias=False), ReLU(), Linear(1, 9), Linear(9, 3)]


def one_by_one(net, loss, optimiser, x, t, batch_size):
    return [step(net, loss, optimiser, x[k : k + batch_size], t[k : k + batch_size])
            for k in range(0, len(x), batch_size)]  # fmt: skip


def in_portions(net, loss, optimiser, x, t, batch_size, portion=1000):
    many = CompiledBatches(net, loss, optimiser, x, t, batch_size)
    losses = np.full(-(-len(x) // batch_size), np.nan, net.dtype)
    many.begin(np.arange(len(x)), losses)
    done = 0
    while done < len(losses):
        done += many.run(min(portion, len(losses) - done))
    return losses


@pytest.mark.parametrize("optimiser", OPTIMISERS)
@pytest.mark.parametrize(("layers", "loss"), [*((layers, loss) for loss in LOSSES for layers in (wide, deep)),
                                              (log_softmax, NLLLoss())],
                         ids=lambda a: getattr(a, "__name__", str(a)))  # fmt: skip
@pytest.mark.parametrize(("dtype", "tolerance"), quick_first([("float64", 1e-11), ("float32", 1e-3)], 1))
@pytest.mark.parametrize("batch_size", quick_first([7, 1, 16], 2))
def test_they_are_the_readable_step(optimiser, layers, loss, dtype, tolerance, batch_size):
    x, t = data(30 * batch_size + batch_size // 2, loss)  # the last batch is smaller
    x = x.astype(dtype)
    here, there = network(layers(), "cpu", dtype), network(layers(), "cpu", dtype)
    begun = here.store.values.copy()
    expected = one_by_one(here, loss, OPTIMISERS[optimiser](here), x, t, batch_size)
    losses = in_portions(there, loss, other := OPTIMISERS[optimiser](there), x, t, batch_size)
    np.testing.assert_allclose(losses, expected, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(there.store.values, here.store.values, rtol=tolerance, atol=tolerance)
    assert other.steps == len(expected) and there.store.values.dtype == dtype
    assert not np.array_equal(here.store.values, begun)


@pytest.mark.parametrize("small", [0, 1_000_000])
@pytest.mark.parametrize("optimiser", OPTIMISERS)
@pytest.mark.parametrize(
    "sizes",
    quick_every(
        2, [[784, 100, 50, 10], [784, 2000, 10], [530, 33, 5], [784, 10], [783, 16], [512, 9, 300, 64], [3, 640, 2]]
    ),
)
@pytest.mark.parametrize("batch_size", quick_first([100, 128], 1))
def test_products_in_parts(optimiser, sizes, batch_size, small, monkeypatch):
    """Sizes that are computed in these parts, that leave a remainder, or that are read
    whole.
    """
    monkeypatch.setattr(blas, "blas_of", lambda dtype: (blas.address_of_gemm(dtype), small))
    rng = np.random.default_rng(1)
    x, t = rng.normal(size=(3 * batch_size, sizes[0])), rng.integers(0, sizes[-1], 3 * batch_size)
    nets = []
    for make in (one_by_one, in_portions):
        layers = [la for i, o in pairwise(sizes) for la in (Linear(i, o), ReLU())][:-1]
        net = Sequential(*layers, seed=3, dtype="float64")
        make(net, CrossEntropyLoss(), OPTIMISERS[optimiser](net), x, t, batch_size)
        nets.append(net.store.values)
    np.testing.assert_allclose(*nets, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_the_same_bits_in_any_portions(optimiser):
    x, t = data(700, CrossEntropyLoss())
    results = set()
    for portion in (1, 30, 117, 350):
        net = network(wide())
        in_portions(net, CrossEntropyLoss(), OPTIMISERS[optimiser](net), x, t, 2, portion)
        results.add(net.store.values.tobytes())
    assert len(results) == 1


def test_sums_that_have_become_tiny_are_forgotten_as_ever():
    x, t = np.zeros((200, 6)), np.zeros((200, 3))  # W of the first layer gets no gradient
    states = []
    for make in (one_by_one, in_portions):
        net = network(wide())
        optimiser = Adam(net, 0.01, betas=(0.001, 0.001))
        optimiser.m[:] = 1e-3
        make(net, MSELoss(), optimiser, x, t, 2)
        states.append(optimiser.m == 0)
    assert states[0].any() and np.array_equal(*states)


def test_which_trainings_take_them(monkeypatch):
    x = np.zeros((10, 6), "float32")

    mse = MSELoss()

    def taken(layers=wide, loss=mse, optimiser=Adam, steps=1_000_000, batch_size=32, threads=1, x=x):
        net = network(layers())
        return kind_of_steps(Steps(net, loss, optimiser(net), x, np.zeros(10), batch_size), steps, threads)

    assert taken() is taken(optimiser=OPTIMISERS["momentum"]) is taken(batch_size=1) is CompiledBatches
    assert taken(log_softmax, NLLLoss()) is CompiledBatches
    assert taken(optimiser=OPTIMISERS["plain"], batch_size=1) is CompiledSteps
    assert taken(steps=10_000) is taken(threads=2) is taken(x=x[:, :, None]) is taken(loss=NLLLoss()) is Steps
    assert taken(optimiser=AdamW) is Steps
    monkeypatch.setattr(compiling, "installed", lambda: False)
    assert taken() is Steps


def test_why_not():
    net = network(wide())
    for optimiser in (
        Adam(net, weight_decay=0.1),
        AdamW(net),
        SGD(net, 0.1, clip_norm=1.0),
        SGD(net, 0.1, weight_decay=0.1),
    ):
        assert "without weight decay and clipping" in supported_in_batches(net, MSELoss(), optimiser)
    assert "Nesterov" in supported_in_batches(net, MSELoss(), SGD(net, 0.1, momentum=0.9, nesterov=True))
    assert "loss NLLLoss" in supported_in_batches(net, NLLLoss(), SGD(net, 0.1))
    assert "LogSoftmax" in supported_in_batches(network(log_softmax()), CrossEntropyLoss(), SGD(net, 0.1))
