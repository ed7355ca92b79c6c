"""The sequence of letters: gates, gradients through time, and learning."""

import json

import numpy as np
import pytest

from scratchnet.errors import SettingError
from scratchnet.playing.remembering import LONGEST, SHOWN, UNITS, Remembering


def test_the_picture_is_that_of_the_engine() -> None:
    view = Remembering()
    picture = view.see({"text": "abca", "label": 2})
    assert json.loads(json.dumps(picture, allow_nan=False)) == picture
    for name in SHOWN:
        assert len(picture["lstm"][name]) == 4 * UNITS
    i, f, g, c = (np.array(picture["lstm"][name]).reshape(UNITS, 4) for name in "ifgc")
    np.testing.assert_allclose(c[:, 1:], f[:, 1:] * c[:, :-1] + i[:, 1:] * g[:, 1:], atol=1e-5)
    for kind in ("lstm", "rnn"):
        assert len(picture[kind]["dh"]) == 4 and sum(picture[kind]["p"]) == pytest.approx(1, abs=1e-5)


def test_both_learn_and_a_new_network_knows_nothing() -> None:
    view = Remembering()
    before = view.see({"text": "dabcabca"})
    assert before["label"] == 3 and before["lstm"]["right"] < 0.6
    for _ in range(3):
        after = view.train({"steps": 200})
    assert after["steps"] == 600 and after["lstm"]["right"] > 0.95 and after["rnn"]["right"] > 0.95
    assert int(np.argmax(after["lstm"]["p"])) == 3
    assert view.new({"seed": 0})["lstm"]["p"] == before["lstm"]["p"]


def test_learning_opens_the_way_back_through_time() -> None:
    """The gradient at the first time, as a share of that at the last, grows."""
    view = Remembering()

    def share(picture: dict) -> float:
        return picture["lstm"]["dc"][0] / picture["lstm"]["dc"][-1]

    before = share(view.see({"text": "abcdabcdabcd", "label": 1}))
    for _ in range(3):
        view.train({"steps": 200})
    assert share(view.see({"text": "abcdabcdabcd", "label": 1})) > 10 * before


@pytest.mark.parametrize("name", ["i", "f", "g", "o", "c", "h", "delta_f", "dc"])
def test_every_number_has_its_formula(name: str) -> None:
    view = Remembering()
    picture = view.see({"text": "abc", "label": 1})
    formula = view.formula({"kind": "lstm", "name": name, "t": 1, "unit": 3})
    assert formula["file"] == "scratchnet/engine/layers/lstm.py"
    if name in SHOWN:
        assert formula["value"] == pytest.approx(picture["lstm"][name][3 * 3 + 1], rel=1e-4)


@pytest.mark.parametrize(
    "action, message, says",
    [
        ("see", {"text": ""}, "letters"),
        ("see", {"text": "abe"}, "a to d"),
        ("see", {"text": "a" * (LONGEST + 1)}, "letters"),
        ("see", {"text": ["a"]}, "letters"),
        ("see", {"text": "a", "label": 4}, "label"),
        ("new", {"seed": -1}, "seed"),
        ("train", {"steps": 0}, "steps"),
        ("formula", {"kind": "gru", "name": "f", "t": 0, "unit": 0}, "kind"),
        ("formula", {"kind": "lstm", "name": "q", "t": 0, "unit": 0}, "q"),
        ("formula", {"kind": "lstm", "name": "x", "t": 0, "unit": 0}, "x"),
        ("formula", {"kind": "lstm", "name": "f", "t": 99, "unit": 0}, "t must"),
    ],
)
def test_a_wrong_message_is_refused_in_words(action: str, message: dict, says: str) -> None:
    view = Remembering()
    before = view.open({})
    with pytest.raises(SettingError, match=says):
        getattr(view, action)(message)
    assert view.open({}) == before
