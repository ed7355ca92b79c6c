"""Which neurons of the first layer are shown, and where a convolution answers most."""

import numpy as np
import pytest

import scratchnet as sn
from scratchnet.plots import first_layer, studies
from tests.plots.figures import laid_out, outside


def test_of_many_neurons_those_with_a_pattern_are_shown() -> None:
    rng = np.random.default_rng(0)
    W = rng.normal(0, 1, (60, 12, 12))  # noise, with large weights
    W[[7, 23]] = 0.1 * np.sin(np.arange(12) / 2)[:, None]  # and two stripes with small ones
    agreement = first_layer.agreement(W[:, None])
    assert set(np.argsort(-agreement)[:2]) == {7, 23} and abs(agreement[0]) < 0.3 and agreement[7] > 0.7
    fig = laid_out(first_layer.weights_as_images(W, (12, 12), most=24))
    assert "24 of the first layer's 60 neurons" in " ".join(fig.texts[1].get_text().split())
    assert outside(fig) == []
    sheet = fig.axes[0].images[0].get_array()
    assert sheet.shape == (4 * 13 - 1, 6 * 13 - 1)  # 24 in full rows


@pytest.mark.parametrize("colour", [False, True])
@pytest.mark.parametrize("stride", [1, 2])
def test_the_places_shown_are_those_of_the_largest_outputs(colour: bool, stride: int) -> None:
    rng = np.random.default_rng(1)
    C = 3 if colour else 1
    images = rng.integers(0, 200, (12, *((3,) if colour else ()), 10, 11), np.uint8)
    net = sn.Sequential(sn.Conv2d(C, 4, (3, 2), stride=stride), dtype="float64")
    x = images.reshape(12, C, 10, 11) / 255
    shown, patches, window = first_layer.strongest_places(net, 0, x, images)
    assert shown.tolist() == [0, 1, 2, 3] and window == (3, 2)
    m = first_layer.MARGIN
    assert patches.shape == (4, 9, 3 + 2 * m, 2 + 2 * m, *((3,) if colour else ()))
    seen = patches[:, :, m : m + 3, m : m + 2].reshape(4, 9, 3, 2, C) / 255
    state = net.state_dict()
    found = np.einsum("fnhwc,fchw->fn", seen, state["0.weight"]) + state["0.bias"][:, None]
    largest = np.sort(net(x).max(axis=(2, 3)), axis=0)[::-1][:9].T  # one an image, best first
    np.testing.assert_allclose(found, largest, rtol=1e-10, atol=1e-12)


def test_places_reach_into_the_padding() -> None:
    images = np.zeros((3, 6, 6), np.uint8)
    images[:, 0, 0] = 255  # a corner
    net = sn.Sequential(sn.Conv2d(1, 1, 3, padding=1, bias=False))
    net.load_state_dict({"0.weight": np.diag(np.float32([0, 1, 0]))[None, None]})
    _, patches, _ = first_layer.strongest_places(net, 0, images[:, None] / 255, images)
    corner = patches[0, 0][first_layer.MARGIN : -first_layer.MARGIN, first_layer.MARGIN : -first_layer.MARGIN]
    assert corner[1, 1] == 255 and not corner[2].any()  # the middle tap meets the white pixel, at the first place


IMAGES = np.random.default_rng(0).integers(0, 255, (20, 3, 8, 8), np.uint8)


@pytest.mark.slow
def test_filters_are_drawn_beside_the_places_that_they_answer_to() -> None:
    conv = sn.Sequential(sn.CropFlip(1), sn.Conv2d(3, 20, 3, padding=1), sn.Flatten(), sn.Linear(1280, 2))
    fig = laid_out(first_layer.first_layer(conv, IMAGES / 255, IMAGES))
    assert len(fig.axes) == 8 * (3 + 9) and outside(fig) == []
    assert "the 8 of 20 with the largest weights" in " ".join(fig.texts[1].get_text().split())


def test_units_are_drawn_as_one_picture_of_their_weights() -> None:
    dense = sn.Sequential(sn.Flatten(), sn.Linear(192, 5))
    fig = laid_out(first_layer.first_layer(dense, IMAGES / 255, IMAGES))
    assert len(fig.axes) == 1 and outside(fig) == []


def test_groups_of_classes() -> None:
    shares = {"cat": 0.2, "deer": 0.4, "car": 0.9}
    groups = {"natural": ("cat", "deer"), "man-made": ("car",)}
    fig = laid_out(studies.accuracy_by_group(shares, groups))
    assert [round(bar.get_height()) for bar in fig.axes[0].patches] == [40, 20, 90]
    assert "natural 30.0 %, man-made 90.0 %" in fig.texts[1].get_text() and outside(fig) == []


@pytest.mark.parametrize("K", [2, 3, 10])
def test_the_subtitle_of_a_confusion_is_no_wider_than_the_figure(K: int) -> None:
    table = np.full((K, K), 3)
    names = [f"a class of a long name {k}" if K < 10 else str(k) for k in range(K)]
    fig = laid_out(studies.confusion(table, names))
    assert outside(fig) == []


def test_pictures_of_several_sizes_grey_and_in_colour_stand_in_one_grid() -> None:
    fig = laid_out(studies.image_grid([np.ones((3, 32, 32)), np.zeros((28, 28))], ["the picture", "map 0"]))
    assert [ax.images[0].get_array().shape for ax in fig.axes] == [(32, 32, 3), (28, 28)]
