"""The parts of Python steps that Numba compiles: Adam, the LSTM's walks."""

import numpy as np
import pytest

from scratchnet import LSTM, SGD, Adam, CrossEntropyLoss, Linear, MSELoss, ReLU, Sequential, fit, step
from scratchnet.engine import compiling
from scratchnet.engine.kernels import choosing, compile_parts
from scratchnet.engine.kernels.parts import MIN_UPDATES_TO_COMPILE, MIN_UPDATES_TO_COMPILE_AN_LSTM
from scratchnet.engine.learner import Learner
from scratchnet.engine.optim import AdamW, _adam
from tests.profiles import quick_first

pytest.importorskip("numba", reason="numba, of the extra `fast`, is not installed")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", [1, 7, 1000])
def test_adams_direction_has_the_same_bits(dtype, n):
    from scratchnet.engine.kernels.adam import direction

    rng = np.random.default_rng(n)
    g, m = (rng.normal(size=n).astype(dtype) for _ in range(2))
    v = rng.random(n).astype(dtype) ** 8
    special = np.array([0, -0.0, np.inf, -np.inf, np.nan, 1e30, -1e-40, 1e-300], dtype)[:n]
    g[: len(special)] = special
    v[-len(special) :: 2] = 0
    here, there = (g.copy(), m.copy(), v.copy()), (g, m, v)
    with np.errstate(all="ignore"):
        for _ in range(3):
            _adam(*here, 0.9, 0.999, 1e-8)
            direction(*there, 0.9, 0.999, 1e-8)
    for a, b in zip(here, there, strict=True):
        np.testing.assert_array_equal(a, b)
        assert a.dtype == b.dtype == dtype


@pytest.mark.parametrize("kind", [Adam, AdamW])
def test_a_training_by_adam_has_the_same_bits(kind):
    rng = np.random.default_rng(0)
    x, t = rng.normal(size=(64, 300)).astype("float32"), rng.integers(0, 3, 64)
    nets = []
    for steps in (1, MIN_UPDATES_TO_COMPILE):
        net = Sequential(Linear(300, 250), ReLU(), Linear(250, 3), seed=1)  # more parameters than one piece
        optimiser = kind(net, 0.01, weight_decay=0.1)
        compile_parts(optimiser, steps)
        assert optimiser.compiled == (steps == MIN_UPDATES_TO_COMPILE)
        for _ in range(5):
            step(net, CrossEntropyLoss(), optimiser, x, t)
        nets.append(net.store.values)
    np.testing.assert_array_equal(*nets)


@pytest.mark.parametrize("output", ["last", "sequence"])
@pytest.mark.parametrize(("N", "T", "layers"), [(1, 12, 1), (1, 1, 1), (5, 7, 2), (32, 3, 1)])
@pytest.mark.parametrize(("dtype", "tolerance"), quick_first([("float32", 3e-6), ("float64", 1e-13)], 1))
def test_the_walks_of_an_lstm(output, N, T, layers, dtype, tolerance):
    rng = np.random.default_rng(N)
    x = rng.normal(size=(N, T, 3)).astype(dtype)
    net = Sequential(LSTM(3, 8, num_layers=layers, output=output), Linear(8, 2), seed=4, dtype=dtype)
    t = rng.normal(size=net(x).shape).astype(dtype)
    lstm, found = net.layers[0], []
    for compiled in (False, True):
        learn = Learner()
        learn.compiled = compiled
        for _ in range(2):  # the second time with buffers that have been used
            _, delta, _, caches = net.cost(x, t, MSELoss(), learn)
            net.backward(delta, caches, learn)
        columns = np.ascontiguousarray(x.transpose(1, 2, 0))
        y, _, cache = lstm.run(columns, learn)
        end = [tuple(rng.normal(size=(8, N)).astype(dtype) for _ in range(2)) for _ in range(layers)]
        end = end if not found else found[0][2]
        dx, begin = lstm.run_back(np.ones_like(y), cache, learn, state=end)
        grads = {name: p.grad.copy() for name, p in net.params.items()}
        found.append(([dx, *(s for states in begin for s in states), *grads.values()], compiled, end))
    assert np.all(found[0][0][0] != 0)
    for a, b in zip(found[0][0], found[1][0], strict=True):
        np.testing.assert_allclose(b, a, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("N", [1, 16, 32])
def test_an_lstm_walks_in_loops(N, monkeypatch):
    from scratchnet.engine.kernels import lstm_loops

    x = np.random.default_rng(0).normal(size=(6, 3, N)).astype("float32")
    walked, walk = [], lstm_loops.walk
    monkeypatch.setattr(lstm_loops, "walk", lambda *args: walked.append(walk(*args)))
    for dtype, compiled in (("float32", False), ("float32", True), ("float64", True)):
        (layer,) = Sequential(LSTM(3, 20), seed=1, dtype=dtype).layers
        learn = Learner()
        learn.compiled = compiled
        y, ((h, c),), _ = layer.run(x.astype(dtype), learn)
        if not compiled:
            expected = y.copy(), h, c
        for a, b in zip((y, h, c), expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=2e-6, atol=2e-7)
        assert len(walked) == (dtype == "float32" and compiled) + (dtype == "float64")  # in float64, NumPy is faster


def test_squash_is_tanh_and_sigma():
    from scratchnet.engine.kernels.gates import squash

    x = np.concatenate([np.linspace(-40, 40, 200_001), np.geomspace(1e-30, 1, 1000), [0.0, np.inf, -np.inf, 3e38]])
    x = np.concatenate([x, [np.nan]]).astype("float32")
    with np.errstate(over="ignore"):
        expected = np.tanh(x.astype("float64")), 1 / (1 + np.exp(-x.astype("float64")))
    for s, y in zip((1, 0.5), expected, strict=True):
        z = x.copy()
        squash(z, np.float32(s))
        np.testing.assert_allclose(z, y, rtol=6e-7 if s == 1 else 0, atol=1e-40 if s == 1 else 1.5e-7)
        assert np.isnan(z[-1]) and np.all(np.abs(z[:-1]) <= 1 + 2**-23)


def test_a_mask_is_kept_to():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4, 3, 2))
    mask = np.array([[1, 1], [1, 0], [1, 0], [0, 0]], bool)
    lstm = LSTM(3, 5, output="sequence")
    net = Sequential(lstm, Linear(5, 1), dtype="float64")
    grads = []
    for compiled in (False, True):
        learn = Learner()
        learn.compiled = compiled
        y, _, cache = lstm.run(x, learn, mask=mask)
        lstm.run_back(np.ones_like(y), cache, learn)
        grads.append(net.store.grads.copy())
    np.testing.assert_array_equal(*grads)
    assert np.any(grads[0] != 0)


def test_when_they_are_taken(monkeypatch):
    def taken(steps, *layers):
        net = Sequential(*layers, Linear(10, 10))
        optimiser = SGD(net, 0.1)
        compile_parts(optimiser, steps)
        return optimiser.compiled

    size = Sequential(Linear(10, 10)).store.values.size
    assert taken(-(-MIN_UPDATES_TO_COMPILE // size)) and not taken(MIN_UPDATES_TO_COMPILE // size - 1)
    size = Sequential(LSTM(3, 10), Linear(10, 10)).store.values.size
    assert taken(-(-MIN_UPDATES_TO_COMPILE_AN_LSTM // size), LSTM(3, 10))
    assert not taken(MIN_UPDATES_TO_COMPILE_AN_LSTM // size - 1, LSTM(3, 10))
    monkeypatch.setattr(compiling, "installed", lambda: False)
    assert not taken(MIN_UPDATES_TO_COMPILE)


def test_a_training_tells_how_many_steps_will_come(monkeypatch):
    x, t = np.ones((10, 4, 3)), np.ones((10, 2))
    net, told = Sequential(LSTM(3, 4), Linear(4, 2)), []
    monkeypatch.setattr(choosing, "compile_parts", lambda optimiser, steps: told.append(steps))
    fit(net, MSELoss(), Adam(net), x, t, epochs=3, batch_size=4, threads=1)
    assert told == [9]
