"""net.predict and net.predict_proba: outputs read as classes and probabilities."""

import numpy as np
import pytest

import scratchnet as sn
from scratchnet.engine import prediction


def net(*end, outputs=3):
    return sn.Sequential(sn.Linear(4, outputs), *end, seed=0)


X = np.random.default_rng(0).normal(size=(2500, 4)).astype("f4")


@pytest.mark.parametrize("end", [(), (sn.Softmax(),), (sn.LogSoftmax(),), (sn.Sigmoid(),)], ids=str)
def test_probabilities_sum_to_1_and_the_most_probable_class_is_predicted(end):
    model = net(*end)
    p = model.predict_proba(X)
    assert p.shape == (2500, 3) and p.dtype == np.float32
    np.testing.assert_allclose(p.sum(1), 1, rtol=1e-5)
    np.testing.assert_array_equal(model.predict(X), p.argmax(1))
    np.testing.assert_array_equal(model.predict(X), model(X).argmax(1))


def test_logits_and_logarithms_give_the_same_probabilities_as_a_softmax():
    p = net(sn.Softmax()).predict_proba(X)
    np.testing.assert_allclose(net().predict_proba(X), p, rtol=1e-5)
    np.testing.assert_allclose(net(sn.LogSoftmax()).predict_proba(X), p, rtol=1e-5)


def test_sigmoid_outputs_are_divided_by_their_sum():
    model = net(sn.Sigmoid())
    y = model(X)
    np.testing.assert_allclose(model.predict_proba(X), y / y.sum(1, keepdims=True), rtol=1e-6)


def test_one_output_comes_back_as_a_value():
    model = net(outputs=1)
    np.testing.assert_array_equal(model.predict(X), np.concatenate([model(X[k : k + 1000]) for k in (0, 1000, 2000)]))
    with pytest.raises(sn.ShapeError, match=r"at least two, stand for probabilities, not \(2500, 1\)"):
        model.predict_proba(X)


def test_many_examples_go_in_pieces(monkeypatch):
    sizes = []
    model, forward = net(), sn.Sequential.forward
    monkeypatch.setattr(sn.Sequential, "forward", lambda self, x, *a: sizes.append(x.shape[-1]) or forward(self, x, *a))
    model.predict(X)
    assert sizes == [prediction.CHUNK, prediction.CHUNK, 500]


@pytest.mark.parametrize("x", [[[1, 2, 3, 4]], np.zeros((1, 4), ">i2"), np.zeros((0, 4))], ids=["list", "int", "none"])
def test_it_takes_what_a_network_takes(x):
    assert net().predict(x).shape == net().predict_proba(x).shape[:1] == (len(x),)


def test_bad_input_is_refused_as_by_the_network():
    with pytest.raises(sn.ShapeError):
        net().predict(np.zeros((2, 5)))
    with pytest.raises(sn.DataError):
        net().predict([["a"] * 4])
