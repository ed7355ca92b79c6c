"""Layers of images in compiled loops, single and joined, beside the readable ones."""

import numpy as np
import pytest

from scratchnet import (
    SGD,
    Adam,
    AvgPool2d,
    BatchNorm1d,
    BatchNorm2d,
    Conv2d,
    ConvTranspose2d,
    CrossEntropyLoss,
    Dropout,
    Flatten,
    Linear,
    MaxPool2d,
    MedianPool2d,
    MinPool2d,
    ReLU,
    Sequential,
    Tanh,
    fit,
    step,
)
from scratchnet.engine import compiling
from scratchnet.engine.kernels import FusedSteps, choosing, kind_of_steps
from scratchnet.engine.kernels.fused_steps import joined
from scratchnet.engine.learner import Learner
from scratchnet.engine.steps import Steps
from scratchnet.engine.tuned import in_loops
from scratchnet.errors import NonFiniteError, ShapeError
from tests.profiles import quick_first

pytest.importorskip("numba", reason="numba, of the extra `fast`, is not installed")

TOLERANCE = {"float64": {"rtol": 1e-11, "atol": 1e-12}, "float32": {"rtol": 2e-4, "atol": 2e-5}}

#: (channels, height, width) and layers that take it
SINGLE = {
    "plain": ((2, 7, 6), lambda: [Conv2d(2, 3, 3)]),
    "a single cell": ((1, 1, 1), lambda: [Conv2d(1, 1, 1)]),
    "no bias": ((3, 5, 5), lambda: [Conv2d(3, 2, (2, 3), bias=False)]),
    "padding": ((2, 5, 4), lambda: [Conv2d(2, 4, 3, padding=2)]),
    "stride": ((2, 9, 8), lambda: [Conv2d(2, 3, 3, stride=(2, 3), padding=1)]),
    "dilation": ((1, 9, 9), lambda: [Conv2d(1, 2, (3, 2), dilation=(2, 4), padding=(0, 1))]),
    "more padding than image": ((1, 2, 2), lambda: [Conv2d(1, 2, 2, padding=3, stride=2)]),
    "two": ((2, 8, 8), lambda: [Conv2d(2, 5, 3), Tanh(), Conv2d(5, 3, 2, stride=2)]),
    "transposed": (
        (3, 4, 5),
        lambda: [Conv2d(3, 3, 1), ConvTranspose2d(3, 2, 3, stride=2, padding=1, output_padding=(1, 0))],
    ),
    "transposed, dilated": ((2, 4, 4), lambda: [Conv2d(2, 2, 1), ConvTranspose2d(2, 3, 2, dilation=2, bias=False)]),
    "max": ((2, 6, 6), lambda: [Conv2d(2, 2, 1), MaxPool2d(2)]),
    "min": ((2, 6, 7), lambda: [Conv2d(2, 2, 1), MinPool2d(3, stride=2, padding=1)]),
    "overlapping": ((1, 7, 7), lambda: [Conv2d(1, 2, 2), MaxPool2d((3, 2), stride=1, padding=1)]),
    "cells that no window covers": ((1, 8, 8), lambda: [Conv2d(1, 2, 1), MaxPool2d(2, stride=3)]),
    "of many cells": ((1, 20, 20), lambda: [Conv2d(1, 1, 1), MaxPool2d(20)]),
}
JOINED = {
    "block": ((2, 8, 9), lambda: [Conv2d(2, 3, 3), ReLU(), MaxPool2d(2)]),
    "two blocks": (
        (1, 14, 14),
        lambda: [Conv2d(1, 6, 4), ReLU(), MaxPool2d(2, 2, 1), Conv2d(6, 4, 2), ReLU(), MaxPool2d(2)],
    ),
    "no bias, overlapping": ((2, 9, 9), lambda: [Conv2d(2, 3, 3, 2, 1, bias=False), ReLU(), MaxPool2d(3, 1, 1)]),
    "gaps": ((1, 9, 9), lambda: [Conv2d(1, 2, 2, dilation=2), ReLU(), MaxPool2d(2, stride=3)]),
    "norm": ((2, 5, 5), lambda: [Conv2d(2, 3, 2, bias=False), BatchNorm2d(3), ReLU()]),
    "norm alone": ((2, 5, 5), lambda: [Conv2d(2, 3, 2), BatchNorm2d(3, momentum=0.3), Tanh()]),
    "norm of vectors": ((1, 4, 4), lambda: [Conv2d(1, 2, 2), Flatten(), BatchNorm1d(18), ReLU()]),
    "norm first": ((2, 4, 4), lambda: [BatchNorm2d(2), Conv2d(2, 2, 2)]),
    "others between": ((1, 6, 6), lambda: [Conv2d(1, 2, 2), ReLU(), AvgPool2d(2), MedianPool2d(2), Dropout(0.4)]),
}


def network(shape, layers, dtype):
    """These layers and a Linear."""
    n = int(np.prod(Sequential(*layers(), Flatten()).shapes_from(shape)[-1]))
    return Sequential(*layers(), Flatten(), Linear(n, 3), seed=3, dtype=dtype)


def everything(net, of, x, t, compiled):
    """Loss, output and gradients of two passes, the second in used buffers."""
    learn = Learner(5)
    learn.compiled = compiled
    for _ in range(2):
        value, delta, y, caches = of.cost(x, t, CrossEntropyLoss(), learn)
        y = y.copy()
        of.backward(delta, caches, learn)
    return [np.array(value), y, *(p.grad.copy() for p in net.params.values() if p.trained)]


@pytest.mark.parametrize("dtype", quick_first(["float64", "float32"], 1))
@pytest.mark.parametrize("N", [1, 5, 64])
@pytest.mark.parametrize("case", SINGLE)
def test_layers_in_loops(case, N, dtype):
    shape, layers = SINGLE[case]
    rng = np.random.default_rng(N)
    x, t = rng.normal(size=(N, *shape)).astype(dtype), rng.integers(0, 3, N)
    net = network(shape, layers, dtype)
    for a, b in zip(everything(net, net, x, t, True), everything(net, net, x, t, False), strict=True):
        np.testing.assert_allclose(a, b, **TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", quick_first(["float64", "float32"], 1))
@pytest.mark.parametrize("N", [2, 5, 64])
@pytest.mark.parametrize("case", JOINED)
def test_joined_layers(case, N, dtype):
    shape, layers = JOINED[case]
    rng = np.random.default_rng(N)
    x, t = rng.normal(size=(N, *shape)).astype(dtype), rng.integers(0, 3, N)
    net = network(shape, layers, dtype)
    twin = joined(net)
    assert twin.store is net.store
    assert (len(twin.layers) < len(net.layers)) == (case not in ("norm alone", "norm first", "others between"))
    for a, b in zip(everything(net, twin, x, t, True), everything(net, net, x, t, False), strict=True):
        np.testing.assert_allclose(a, b, **TOLERANCE[dtype])


@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("kind", [MaxPool2d, MinPool2d])
def test_pools_choose_the_same_cell_of_equal_and_special_ones(kind, special):
    rng = np.random.default_rng(0)
    x = rng.choice([special, 0.0, -0.0, 1.0], size=(2, 9, 9, 8))
    layer, delta = kind(3, stride=2, padding=1), rng.normal(size=(2, 5, 5, 8))
    found = []
    for compiled in (True, False):
        learn = Learner()
        learn.compiled = compiled
        y, cache = layer.forward(x, learn)
        found.append((y.copy(), np.signbit(y), cache[1], layer.backward(delta.copy(), cache, learn).copy()))
    for a, b in zip(found[0][:3], found[1][:3], strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_allclose(found[0][3], found[1][3], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("where", [0, 17])
def test_nan_is_never_hidden_by_joined_layers(where):
    shape, layers = JOINED["block"]
    net = network(shape, layers, "float64")
    x = np.random.default_rng(0).normal(size=(3, *shape))
    x.reshape(-1)[where] = np.nan
    results = [everything(net, of, x, np.array([0, 1, 2]), of is not net) for of in (joined(net), net)]
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(np.isnan(a), np.isnan(b))


def test_a_layer_of_ones_own_keeps_its_own_code():
    class Mine(Conv2d):
        pass

    learn = Learner()
    learn.compiled = True
    assert in_loops(Conv2d(1, 1, 1), learn) is not Conv2d
    assert in_loops(Mine(1, 1, 1), learn) is Mine
    assert len(joined(Sequential(Mine(1, 1, 1), ReLU(), MaxPool2d(1))).layers) == 3
    learn.compiled = False
    assert in_loops(Conv2d(1, 1, 1), learn) is in_loops(Conv2d(1, 1, 1), None) is Conv2d


def cnn(dtype="float64"):
    return Sequential(
        Conv2d(1, 3, 3), ReLU(), MaxPool2d(2), Conv2d(3, 4, 2), BatchNorm2d(4), ReLU(), Flatten(), Linear(36, 3),
        seed=1, dtype=dtype,
    )  # fmt: skip


@pytest.mark.parametrize("make", [lambda net: SGD(net, 0.1), lambda net: SGD(net, 0.05, 0.9), Adam])
def test_fit_with_them_is_fit_without(monkeypatch, make):
    """The last batch is smaller than the others; running statistics move alike."""
    rng = np.random.default_rng(0)
    x, t = rng.normal(size=(23, 1, 10, 10)), rng.integers(0, 3, 23)
    states, losses = [], []
    monkeypatch.setattr(choosing, "worth_compiling", lambda kind, plain, steps: True)
    for there in (True, False):
        monkeypatch.setattr(compiling, "installed", lambda there=there: there)
        net = cnn()
        optimiser = make(net)
        assert (kind_of_steps(Steps(net, CrossEntropyLoss(), optimiser, x, t, 5), 1, 1) is FusedSteps) == there
        losses.append(fit(net, CrossEntropyLoss(), optimiser, x, t, epochs=3, batch_size=5, valid=(x, t)).step_losses)
        assert optimiser.compiled == there and optimiser.steps == 15
        states.append(net.state_dict())
    np.testing.assert_allclose(*losses, rtol=1e-9)
    for name, value in states[0].items():
        np.testing.assert_allclose(value, states[1][name], rtol=1e-8, atol=1e-10, err_msg=name)


def test_which_trainings_take_them(monkeypatch):
    x, t = np.zeros((640, 1, 10, 10), "float32"), np.zeros(640, int)

    def taken(steps, net=None, x=x):
        net = net or cnn("float32")
        return kind_of_steps(Steps(net, CrossEntropyLoss(), SGD(net, 0.1), x, t, 64), steps, 1)

    assert taken(100_000) is FusedSteps and taken(1_000) is Steps
    assert taken(100_000, Sequential(Flatten(), Linear(100, 3))) is Steps
    monkeypatch.setattr(compiling, "installed", lambda: False)
    assert taken(100_000) is Steps


def test_errors_are_those_of_the_network():
    net = cnn()
    net.layers[0].W.value[...] = 1e308
    steps = FusedSteps(net, CrossEntropyLoss(), SGD(net, 0.1), np.ones((4, 1, 10, 10)), np.zeros(4, int), 4)
    before = net.store.values.copy()
    steps.begin(np.arange(4), np.zeros(1))
    with pytest.raises(NonFiniteError, match=r"layer 0, Conv2d\(1, 3, 3\)"), np.errstate(all="ignore"):
        steps.run(1)
    np.testing.assert_array_equal(net.store.values, before)
    one = Sequential(Conv2d(1, 2, 3), BatchNorm2d(2), ReLU(), Flatten(), Linear(2, 2))
    steps = FusedSteps(one, CrossEntropyLoss(), SGD(one, 0.1), np.ones((1, 1, 3, 3)), np.zeros(1, int), 1)
    steps.begin(np.arange(1), np.zeros(1))
    with pytest.raises(ShapeError, match="more than one number per channel"):
        steps.run(1)


def test_steps_made_by_them_are_steps():
    """One step at a time, from the same weights."""
    x, t = np.random.default_rng(2).normal(size=(8, 1, 10, 10)), np.arange(8) % 3
    nets = cnn(), cnn()
    optimisers = [SGD(net, 0.1, momentum=0.9) for net in nets]
    steps = FusedSteps(nets[0], CrossEntropyLoss(), optimisers[0], x, t, 8)
    for _ in range(4):
        steps.begin(np.arange(8), np.zeros(1))
        steps.run(1)
        step(nets[1], CrossEntropyLoss(), optimisers[1], x, t)
    np.testing.assert_allclose(nets[0].store.values, nets[1].store.values, rtol=1e-9, atol=1e-12)
