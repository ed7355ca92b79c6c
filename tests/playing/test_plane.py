"""The plane: every preset does what its sentence says."""

import json

import numpy as np
import pytest

from scratchnet.errors import SettingError
from scratchnet.playing.plane import MOST_POINTS, Plane
from scratchnet.playing.situations import DATA, PRESETS, Situation, points_of

OWN = {"data": "own", "hidden": [3], "activation": "tanh", "init": "usual", "optimiser": "adam", "rate": 0.1,
       "batch": 4, "decay": 0, "seed": 0, "points": [[0.5, 0.5, 1], [-0.5, -0.5, 0]]}  # fmt: skip


def trained(preset: str, steps: int) -> dict:
    plane = Plane()
    plane.preset({"name": preset})
    for _ in range(steps // 250):
        picture = plane.train({"steps": 250})
    return picture


@pytest.mark.parametrize("name", ["xor", "circles", "spiral"])
def test_what_goes_well_goes_well(name: str) -> None:
    picture = trained(name, 1500)
    assert PRESETS[name][1] and picture["right"] > 0.97 and picture["valid"] > 0.94


def test_a_rate_that_is_too_large_leaps_and_a_smaller_one_does_not() -> None:
    assert trained("rate", 1000)["loss"] > 1


def test_equal_weights_stay_equal() -> None:
    picture = trained("equal", 1000)
    (layer,) = picture["neurons"]
    assert all(z == layer[0] for z in layer) and picture["right"] < 0.8


def test_four_sigmoids_do_not_move_and_four_tanh_do() -> None:
    assert trained("deep", 1000)["right"] < 0.7


def test_dead_relus_never_change() -> None:
    plane = Plane()
    before = plane.preset({"name": "dead"})["neurons"]
    for _ in range(4):
        after = plane.train({"steps": 100})
    assert after["neurons"] == before and np.max(before) < 0


@pytest.mark.slow
def test_learning_by_heart_and_what_weight_decay_does() -> None:
    by_heart, held = trained("overfit", 3000), trained("decay", 3000)
    assert by_heart["right"] == 1 > held["right"]
    assert by_heart["valid_loss"] > 2 * held["valid_loss"]


@pytest.mark.parametrize("data", [name for name in DATA if name != "own"])
def test_points_are_in_the_plane_and_of_two_classes(data: str) -> None:
    x, labels, judge, judge_labels = points_of(Situation(data))
    for points, classes in [(x, labels), (judge, judge_labels)]:
        assert np.abs(points).max() <= 1 and 0.3 < classes.mean() < 0.7
    again = points_of(Situation(data))[0]
    np.testing.assert_array_equal(x, again)


def test_points_of_ones_own() -> None:
    plane = Plane()
    picture = plane.start(OWN)
    assert picture["points"] == [[0.5, 0.5, 1], [-0.5, -0.5, 0]] and picture["valid"] is None
    assert plane.add({"point": [0.1, -0.2, 1]})["points"][-1] == [0.1, -0.2, 1]
    for _ in range(8):
        picture = plane.train({"steps": 50})
    assert picture["right"] == 1
    assert json.loads(json.dumps(picture, allow_nan=False)) == picture
    side = picture["side"]
    p = np.array(picture["p"]).reshape(side, side)
    assert p[side // 4, 3 * side // 4] > 0 > p[3 * side // 4, side // 4]  # the first row is the top


def test_without_points_there_is_nothing_to_learn() -> None:
    plane = Plane()
    assert plane.start(OWN | {"points": []})["loss"] is None
    with pytest.raises(SettingError, match="no points yet"):
        plane.train({"steps": 1})


@pytest.mark.parametrize(
    "change, says",
    [
        ({"hidden": [9]}, "hidden"),
        ({"hidden": [0]}, "one to eight"),
        ({"hidden": [2] * 5}, "at most 4"),
        ({"data": "moons"}, "data"),
        ({"rate": -1}, "rate"),
        ({"points": [[0, 0]]}, "x, y"),
        ({"points": [[0, 2, 1]]}, "y must"),
        ({"points": [[0, 0, 2]]}, "class"),
        ({"points": "x"}, "list"),
        ({"points": [[0, 0, 0]] * (MOST_POINTS + 1)}, "at most"),
    ],
)
def test_wrong_settings_are_refused_in_words(change: dict, says: str) -> None:
    plane = Plane()
    before = plane.open({})
    with pytest.raises(SettingError, match=says):
        plane.start(OWN | change)
    assert plane.open({}) == before
