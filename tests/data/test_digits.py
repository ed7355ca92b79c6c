"""The digits that the project draws: seeded, balanced, placed as MNIST's, and
learnable.
"""

import numpy as np
import pytest

import scratchnet
from scratchnet.data import digits
from scratchnet.data.digits import load_digits
from scratchnet.engine.metrics import accuracy
from scratchnet.engine.prediction import outputs
from scratchnet.errors import SettingError


@pytest.fixture(scope="module")
def data():
    return load_digits(seed=0)


def test_sizes_and_types(data):
    assert data.train_images.shape == (10_000, 28, 28) and data.test_images.shape == (2_000, 28, 28)
    assert data.train_images.dtype == np.uint8 and data.test_images.dtype == np.uint8
    assert data.train_labels.shape == (10_000,) and data.test_labels.shape == (2_000,)
    assert data.train_labels.dtype == np.int64 and data.test_labels.dtype == np.int64


def test_classes_are_balanced_and_shuffled(data):
    assert np.bincount(data.train_labels).tolist() == [1000] * 10
    assert np.bincount(data.test_labels).tolist() == [200] * 10
    assert len(set(data.train_labels[:100].tolist())) == 10
    assert (np.diff(data.train_labels) == 1).mean() < 0.2


def test_the_seed_decides():
    a, b, other = load_digits(3, 200, 50), load_digits(3, 200, 50), load_digits(4, 200, 50)
    for x, y in zip(a, b, strict=True):
        assert np.array_equal(x, y)
    assert not np.array_equal(a.train_images, other.train_images)
    # the test images do not depend on how many training images are drawn
    assert np.array_equal(load_digits(3, 70, 50).test_images, a.test_images)


def test_no_image_is_there_twice(data):
    everything = np.concatenate([data.train_images, data.test_images]).reshape(12_000, -1)
    assert len({image.tobytes() for image in everything}) == 12_000


def test_white_ink_on_black(data):
    images = data.train_images
    assert images.max(axis=(1, 2)).min() > 180
    share = (images > 127).mean(axis=(1, 2))
    assert share.min() > 0.01 and share.max() < 0.45
    assert 0.08 < share.mean() < 0.16  # MNIST: 0.12
    grey = ((images > 25) & (images < 230)).sum() / (images > 25).sum()
    assert 0.2 < grey < 0.7  # smooth edges


def test_placed_as_mnist_is(data):
    images = data.train_images.astype(float)
    mass = images.sum(axis=(1, 2))
    middle = np.arange(28) - 13.5
    x, y = (images.sum(axis=1) @ middle) / mass, (images.sum(axis=2) @ middle) / mass
    offset = np.hypot(x, y)
    assert np.median(offset) < 0.7 and np.quantile(offset, 0.99) < 1.6 and offset.max() < 3.5
    # the larger side is about 20 pixels, and nothing is cut off at the edge
    ink = data.train_images > 127
    sides = np.maximum(ink.any(axis=1).sum(axis=1), ink.any(axis=2).sum(axis=1))
    assert np.median(sides) in (19, 20, 21) and sides.min() >= 16 and sides.max() <= 22
    edge = np.concatenate([images[:, [0, -1]].ravel(), images[:, :, [0, -1]].ravel()])
    assert edge.max() < 100


def test_the_curve_goes_through_its_control_points():
    at = np.arange(5.0)
    assert np.allclose(digits._basis(5, at), np.eye(5))
    between = digits._basis(5, np.linspace(0, 4, 33))
    assert np.allclose(between.sum(axis=1), 1)  # moving all control points moves the curve with them


@pytest.mark.parametrize("digit", range(10))
def test_ink_lies_dense_along_every_template(digit):
    for _, strokes in digits.TEMPLATES[digit]:
        control, B, along = digits._compile(strokes)
        path = B @ control
        assert path.shape == (digits.POINTS, 2)
        starts = np.flatnonzero(along == 0)
        assert len(starts) == len(strokes)
        assert np.allclose(path[starts], [stroke[0] for stroke in strokes])
        steps = np.delete(np.hypot(*np.diff(path, axis=0).T), starts[1:] - 1)
        assert steps.max() * digits.BOX < 1.1  # pixels: less than the width of the thinnest pen


def test_a_small_network_learns_them(data):
    def inputs(images):
        return images.reshape(len(images), -1).astype(np.float32) / 255

    net = scratchnet.Sequential(scratchnet.Linear(784, 64), scratchnet.ReLU(), scratchnet.Linear(64, 10))
    x, test = inputs(data.train_images), inputs(data.test_images)
    scratchnet.fit(net, scratchnet.CrossEntropyLoss(), scratchnet.Adam(net, lr=0.003), x, data.train_labels,
                   epochs=3, batch_size=64, threads=1)  # fmt: skip
    learnt = accuracy(outputs(net, test), data.test_labels)
    assert 0.93 < learnt < 0.999  # learnable, and not trivial


def test_not_trivial_for_the_nearest_mean(data):
    x, t = data.train_images.reshape(10_000, -1).astype(float), data.test_images.reshape(2_000, -1).astype(float)
    means = np.stack([x[data.train_labels == k].mean(axis=0) for k in range(10)])
    nearest = (t @ means.T - (means**2).sum(axis=1) / 2).argmax(axis=1)
    assert 0.5 < (nearest == data.test_labels).mean() < 0.95


@pytest.mark.parametrize("wrong", [{"seed": -1}, {"train": 0}, {"test": -5}])
def test_bad_sizes_are_named(wrong):
    with pytest.raises(SettingError, match=str(next(iter(wrong.values())))):
        load_digits(**wrong)


def test_one_of_each_is_enough():
    data = load_digits(0, 1, 1)
    assert data.train_images.shape == (1, 28, 28) and data.train_images.max() > 180
