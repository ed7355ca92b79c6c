"""`fit(..., advice=True)`: every usual mistake is answered once, and nothing else."""

import contextlib
import re
import warnings

import numpy as np
import pytest

import scratchnet as sn
from scratchnet import Linear, Sequential
from scratchnet.engine import advice as module
from scratchnet.engine.advice import dead_relu, explosion, labels_from_one, stillness, unscaled_pixels

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 8)).astype(np.float32)
T = RNG.integers(0, 3, 60)
PIXELS = RNG.integers(0, 256, (60, 8)).astype(np.float32)


def net(*layers, **options):
    return Sequential(*(layers or (Linear(8, 16), sn.ReLU(), Linear(16, 3))), **options)


def said(n, x=X, target=T, *, lr=0.1, epochs=6, loss=None, **options):
    """What a training says, and what it raises."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        with contextlib.suppress(sn.NonFiniteError):
            sn.fit(n, loss or sn.CrossEntropyLoss(), sn.SGD(n, lr), x, target, epochs=epochs, **options)
    for warning in seen:
        assert warning.category is sn.ScratchnetWarning and warning.filename == __file__
    return [str(warning.message) for warning in seen]


def dead():
    n = net()
    state = n.state_dict()
    n.load_state_dict(state | {"0.bias": np.full(16, -100.0)})
    return n


MISTAKES = {
    "softmax twice": (
        lambda: said(net(Linear(8, 3), sn.Softmax()), advice=True),
        "softmax itself.*Leave the Softmax out",
    ),
    "no logarithms": (
        lambda: said(net(Linear(8, 3), sn.Softmax()), loss=sn.NLLLoss(), advice=True),
        "LogSoftmax follow",
    ),
    "labels from 1": (
        lambda: said(net(Linear(8, 4)), target=T + 1, advice=True),
        "labels go from 1 to 3.*Subtract 1",
    ),
    "pixels": (
        lambda: said(net(), x=PIXELS, lr=1e-6, epochs=1, advice=True),
        "up to 255, as pixels.*Divide the inputs by 255",
    ),
    "pixels of a picture": (
        lambda: said(net(sn.Flatten(), Linear(8, 3)), x=PIXELS.reshape(60, 2, 2, 2), lr=1e-6, epochs=1, advice=True),
        "as pixels",
    ),
    "explosion": (
        lambda: said(net(Linear(8, 3)), lr=300.0, advice=True),
        "loss rose from .*smaller learning rate, such as 30",
    ),
    "explosion to infinity": (
        lambda: said(net(Linear(8, 3)), target=np.eye(3)[T], loss=sn.MSELoss(), lr=1e12, advice=True),
        "loss rose from .* to (inf|[0-9.]+e)",
    ),
    "a dead layer": (
        lambda: said(dead(), advice=True),
        r"layer 1, ReLU\(\), answers to any of 60 examples.*smaller learning rate",
    ),
    "stillness": (
        lambda: said(net(), lr=1e-9, advice=True),
        "has stayed at 1.* for 3 epochs.*learning rate of 1e-08",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_answered_once(mistake):
    make, words = MISTAKES[mistake]
    texts = make()
    assert len(texts) == 1 and re.search(words, texts[0]), texts


def test_nothing_is_said_by_default(monkeypatch):
    monkeypatch.setattr(module, "advice_before", None)  # not even asked
    monkeypatch.setattr(module, "advice_after", None)
    assert said(net(), x=PIXELS, lr=1e-9) == [] and said(dead()) == []


def test_a_good_training_hears_nothing():
    for loss, target in ((sn.CrossEntropyLoss(), T), (sn.MSELoss(), np.eye(3)[T])):
        assert said(net(), loss=loss, target=target, epochs=20, advice=True) == []
    assert said(net(), x=PIXELS / 255, epochs=10, advice=True) == []


def test_advice_changes_no_weight_and_calls_the_users_function():
    plain, told, rows = net(), net(), []
    sn.fit(plain, sn.CrossEntropyLoss(), sn.SGD(plain, 0.1), X, T, epochs=3)
    sn.fit(told, sn.CrossEntropyLoss(), sn.SGD(told, 0.1), X, T, epochs=3, advice=True, on_epoch=rows.append)
    assert len(rows) == 3
    for name, value in plain.state_dict().items():
        assert np.array_equal(value, told.state_dict()[name])


def test_a_training_that_goes_on_is_not_still():
    n = net()
    optimiser = sn.SGD(n, 1e-9)
    history = sn.fit(n, sn.CrossEntropyLoss(), optimiser, X, T, epochs=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sn.fit(n, sn.CrossEntropyLoss(), optimiser, X, T, epochs=6, history=history, advice=True)


def test_advice_is_a_flag():
    n = net()
    with pytest.raises(sn.SettingError, match="advice"):
        sn.fit(n, sn.CrossEntropyLoss(), sn.SGD(n, 0.1), X, T, advice="yes")


def test_labels_from_1_that_are_out_of_range_are_told_so():
    n = net()
    with pytest.raises(
        sn.DataError, match=r"label 3 is out of range.* go from 1 to 3, but the first class is 0: subtract 1"
    ):
        sn.fit(n, sn.CrossEntropyLoss(), sn.SGD(n, 0.1), X, T + 1)
    with pytest.raises(sn.DataError) as caught:
        sn.fit(n, sn.CrossEntropyLoss(), sn.SGD(n, 0.1), X, T + 2)
    assert "subtract" not in str(caught.value)


def test_labels_that_lack_the_0_by_chance():
    loss = sn.CrossEntropyLoss()
    assert labels_from_one(loss, np.array([1, 2, 3]), 4)
    for labels, K in (([1, 3], 4), ([0, 1, 2, 3], 4), ([2, 3], 4), ([1], 2), ([1, 2], 4)):
        assert not labels_from_one(loss, np.array(labels), K)
    assert not labels_from_one(sn.MSELoss(), np.array([1, 2, 3]), 4)


def test_inputs_that_are_no_pixels():
    assert unscaled_pixels(net(), PIXELS)
    for x in (X, PIXELS / 255, PIXELS - 128, PIXELS * 2, PIXELS + 0.5, PIXELS % 20):
        assert not unscaled_pixels(net(), x)
    assert not unscaled_pixels(net(sn.BatchNorm1d(8), Linear(8, 3)), PIXELS)


def test_losses_that_rise_and_losses_that_stay():
    assert explosion([2.3, 50.0], 0.1) and explosion([2.3, np.inf], 0.1)
    assert not explosion([2.3, 4.0], 0.1) and not explosion([2.3], 0.1)
    assert stillness([2.3, 2.3, 2.3, 2.3], 0.1)
    assert not stillness([2.3, 2.3, 2.3], 0.1)  # so few epochs say little
    assert not stillness([2.3, 1.0, 1.0, 1.0], 0.1)  # it has arrived
    assert not stillness([2.3, 2.3, 2.29, 2.28], 0.1)


def test_one_neuron_that_lives_is_enough():
    n = dead()
    assert dead_relu(n, X)
    bias = np.full(16, -100.0)
    bias[3] = 0
    n.load_state_dict(n.state_dict() | {"0.bias": bias})
    assert not dead_relu(n, X)
