"""Sparse input of Linear: the same numbers as with a dense array, also in training."""

import numpy as np
import pytest
from scipy.sparse import csr_array, csr_matrix

from scratchnet import SGD, Adam, CrossEntropyLoss, Dropout, Linear, ReLU, Sequential, ShapeError, fit
from scratchnet.backend import sparse
from scratchnet.engine.metrics import evaluate
from scratchnet.errors import DataError


@pytest.fixture(autouse=True, params=[0, sparse.DENSE_FEATURES], ids=["sparse products", "whole array"])
def few(request, monkeypatch):
    """All is tested both ways: which one is taken depends on the number of features."""
    monkeypatch.setattr(sparse, "DENSE_FEATURES", request.param)


def batch(n=7, words=40, seed=0):
    rng = np.random.default_rng(seed)
    x = (rng.random((n, words)) < 0.1) * rng.integers(1, 4, (n, words)).astype(float)
    x[2] = 0  # a tweet with no known word
    return x, rng.integers(0, 3, n)


def network():
    return Sequential(Linear(40, 6), ReLU(), Linear(6, 3), seed=1, dtype="float64")


@pytest.mark.parametrize("kind", [csr_array, csr_matrix])
def test_forward_and_gradients_equal_the_dense_ones(kind):
    x, t = batch()
    net, loss = network(), CrossEntropyLoss()
    for p in net.params.values():
        p.grad[...] = np.nan  # what is not written is seen
    np.testing.assert_allclose(net(kind(x)), net(x), rtol=1e-13, atol=1e-15)
    value, grads = net.gradients(kind(x), t, loss)
    expected, dense = net.gradients(x, t, loss)
    assert value == pytest.approx(expected, rel=1e-13)
    for name, g in dense.items():
        np.testing.assert_allclose(grads[name], g, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize(
    "optimiser",
    [
        lambda net: SGD(net, 0.1),
        lambda net: SGD(net, 0.1, momentum=0.9, weight_decay=0.01, nesterov=True),
        lambda net: SGD(net, 0.1, clip_norm=0.5),
        lambda net: Adam(net, 0.01, weight_decay=0.01),
    ],
)
def test_training_equals_training_on_the_dense_array(optimiser, batch_size):
    x, t = batch(20)
    ends = []
    for data in (x, csr_array(x)):
        net = network()
        fit(net, CrossEntropyLoss(), optimiser(net), data, t, epochs=3, batch_size=batch_size, valid=(data, t))
        ends.append(np.concatenate([a.ravel() for a in net.state_dict().values()]))
    np.testing.assert_allclose(ends[1], ends[0], rtol=1e-10, atol=1e-12)


def test_float32_network_takes_float64_counts():
    x, t = batch()
    net = Sequential(Linear(40, 3), seed=0)
    assert net(csr_array(x)).dtype == np.float32
    assert evaluate(net, CrossEntropyLoss(), csr_array(x), t)[0] == pytest.approx(
        evaluate(net, CrossEntropyLoss(), x, t)[0], rel=1e-6
    )


def test_only_linear_takes_sparse_input():
    with pytest.raises(ShapeError, match=r"only Linear takes sparse input, not Dropout"):
        Sequential(Dropout(0.5), Linear(40, 3))(csr_array(batch()[0]))


def test_nan_in_sparse_data_names_the_example():
    x, t = batch()
    x[3, 5] = np.nan
    net = network()
    with pytest.raises(DataError, match="example 3 of the training data holds NaN"):
        fit(net, CrossEntropyLoss(), SGD(net, 0.1), csr_array(x), t)
