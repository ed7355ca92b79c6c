"""Crops and flips: what they may do to an image, and on what they depend."""

import numpy as np
import pytest

from scratchnet import CropFlip, Sequential
from scratchnet.engine.learner import Learner
from scratchnet.errors import SettingError

IMAGE = np.arange(1.0, 31).reshape(1, 5, 6, 1)


def every_result(padding: int) -> set[bytes]:
    """All shifts and flips of IMAGE by up to `padding`, by definition."""
    wide = np.pad(IMAGE[0, :, :, 0], padding)
    places = [(i, j) for i in range(2 * padding + 1) for j in range(2 * padding + 1)]
    # np.ascontiguousarray: a mirrored image is padded and then cut; both orders give
    # the same set
    cut = [wide[i : i + 5, j : j + 6] for i, j in places]
    return {np.ascontiguousarray(a).tobytes() for c in cut for a in (c, c[:, ::-1])}


def test_all_shifts_and_flips_occur_and_nothing_else() -> None:
    net = Sequential(CropFlip(1), dtype="float64")
    learn = Learner(seed=1)
    y, _ = net.layers[0].forward(np.repeat(IMAGE, 2000, axis=-1), learn)
    seen = {np.ascontiguousarray(y[0, :, :, n]).tobytes() for n in range(2000)}
    assert seen == every_result(1)


def test_half_are_flipped_and_shifts_are_even() -> None:
    y, _ = CropFlip(0).forward(np.repeat(IMAGE, 4000, axis=-1), Learner())
    assert abs((y[0, 0, 0] == 6).mean() - 0.5) < 0.05
    y, _ = CropFlip(2, flip=0.0).forward(np.repeat(IMAGE, 5000, axis=-1), Learner())
    top = (y[0, :, 2] == 0).argmin(axis=0)  # zeros above the image: it was moved down
    assert abs((top == 2).mean() - 0.2) < 0.05


def test_the_same_step_draws_the_same_and_the_next_another() -> None:
    x = np.repeat(IMAGE, 50, axis=-1)
    learn = Learner(seed=3)
    results = []
    for step in (0, 0, 1):
        learn.steps = step
        learn.begin()
        results.append(CropFlip().forward(x, learn)[0])
    assert np.array_equal(results[0], results[1]) and not np.array_equal(results[0], results[2])


def test_inference_leaves_images_alone() -> None:
    assert np.array_equal(Sequential(CropFlip(), dtype="float64")(IMAGE), IMAGE)


@pytest.mark.parametrize(("options", "message"), [
    ({"padding": -1}, "padding must be a whole number from 0, not -1"), ({"flip": 1.5}, "flip must be a number from 0"),
])  # fmt: skip
def test_settings_are_checked(options: dict, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        CropFlip(**options)
