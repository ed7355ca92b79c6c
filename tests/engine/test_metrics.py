"""How good a network is: `evaluate` and `accuracy`, as a user calls them."""

import numpy as np
import pytest
import torch

import scratchnet as sn


@pytest.fixture
def net():
    return sn.Sequential(sn.Linear(5, 4), sn.Dropout(0.5), sn.Linear(4, 3), seed=1)


def data(n):
    rng = np.random.default_rng(2)
    return rng.normal(size=(n, 5)).astype(np.float32), rng.integers(0, 3, n)


@pytest.mark.parametrize("n", [1, 999, 1000, 2345])
def test_the_loss_is_that_of_all_examples_whatever_the_pieces(net, n):
    x, labels = data(n)
    value, y = sn.evaluate(net, sn.CrossEntropyLoss(), x, labels)
    logits = torch.from_numpy(np.asarray(net(x)))
    assert value == pytest.approx(torch.nn.functional.cross_entropy(logits, torch.from_numpy(labels)).item(), rel=1e-5)
    np.testing.assert_allclose(y, logits.numpy(), rtol=1e-5, atol=1e-6)
    assert sn.accuracy(y, labels) == (logits.argmax(1).numpy() == labels).mean()


def test_a_summed_loss_is_told_per_example(net):
    x, _ = data(1200)
    t = np.zeros((1200, 3))
    value, y = sn.evaluate(net, sn.MSELoss("sum"), x, t)
    assert value == pytest.approx((y.astype(float) ** 2).sum() / 1200, rel=1e-5)


def test_nothing_is_learnt_and_lists_and_tensors_are_taken(net):
    x, labels = data(6)
    before = net.state_dict()
    here = sn.evaluate(net, sn.CrossEntropyLoss(), x, labels)
    there = sn.evaluate(net, sn.CrossEntropyLoss(), torch.from_numpy(x), labels.tolist())
    assert here[0] == there[0]
    assert sn.accuracy(torch.from_numpy(here[1]), labels.tolist()) == sn.accuracy(here[1], np.eye(3)[labels])
    assert all((before[name] == value).all() for name, value in net.state_dict().items())


@pytest.mark.parametrize(
    ("outputs", "labels", "words"),
    [
        (
            np.ones((4, 3)),
            [0, 1],
            r"outputs \(N, K\) and labels \(N,\), whole numbers, are needed, not \(4, 3\) and \(2,\)",
        ),
        (np.ones(4), [0, 1, 0, 1], r"not \(4,\) and \(4,\)"),
        (np.ones((0, 3)), [], "are needed"),
        (np.ones((4, 3)), np.array([0.0, 1.0, 2.0, 0.0]), "are needed"),
    ],
)
def test_an_accuracy_needs_a_label_for_every_output(outputs, labels, words):
    with pytest.raises(sn.ShapeError, match=words):
        sn.accuracy(outputs, labels)


def test_what_is_no_network_is_said(net):
    x, labels = data(3)
    with pytest.raises(sn.SettingError, match="net must be a Sequential"):
        sn.evaluate("net", sn.CrossEntropyLoss(), x, labels)
    with pytest.raises(sn.SettingError, match="loss must be an object such as"):
        sn.evaluate(net, sn.CrossEntropyLoss, x, labels)
    with pytest.raises(sn.ShapeError, match="as many targets as examples"):
        sn.evaluate(net, sn.CrossEntropyLoss(), x, labels[:2])


def test_the_data_sets_have_public_doors(data_dir):
    images, labels, *_ = sn.load_mnist(data_dir=data_dir)
    assert images.shape == (60_000, 28, 28) and labels.shape == (60_000,)
    with pytest.raises(sn.DataError, match="fashion-mnist"):
        sn.load_fashion_mnist(data_dir / "mnist")
    assert sn.load_cifar10(data_dir).train_images.shape[1:] == (3, 32, 32)
