"""The engine's side of the page: messages to plain data, without a browser."""

import json
import math

import numpy as np
import pytest

from scratchnet.engine.losses import CrossEntropyLoss
from scratchnet.errors import SettingError
from scratchnet.playing.digits import Digits
from scratchnet.playing.drawing import centred_drawing
from scratchnet.playing.taught import Model, Pictures, dense_network


def drawn(digits: Digits, label: int | None = 3) -> dict:
    pixels = digits.sample({"number": 5})["pixels"]
    return digits.see({"pixels": pixels, "label": label})


def seven() -> np.ndarray:
    """A seven in the upper left corner, drawn with a pen of two pixels."""
    pixels = np.zeros((28, 28), np.uint8)
    pixels[2:4, 2:12] = 255
    for k in range(12):
        pixels[4 + k, 10 - k // 2 : 12 - k // 2] = 255
    return pixels


def test_the_picture_is_that_of_the_engine(digits: Digits, learnt: Model) -> None:
    picture = drawn(digits)
    x = learnt.inputs(np.array(picture["seen"], np.uint8).reshape(1, 28, 28))
    trace = learnt.net.trace(x, np.array([3]), CrossEntropyLoss(), training=False)
    assert picture["loss"] == pytest.approx(trace.loss, rel=1e-5)
    assert sum(picture["p"]) == pytest.approx(1, abs=1e-5)
    for layer, part in zip(picture["layers"], trace.layers, strict=True):
        np.testing.assert_allclose(layer["output"], part.output.ravel(), rtol=1e-5)
        np.testing.assert_allclose(layer["delta"], part.delta.ravel(), rtol=1e-5)
    np.testing.assert_allclose(picture["dx"], trace.dx.ravel(), rtol=1e-5)
    np.testing.assert_allclose(picture["selected"]["gradient"], trace.gradients["0.weight"][0], rtol=1e-5)


def test_every_answer_is_json(digits: Digits) -> None:
    drawn(digits)
    for action, fields in {
        "open": {}, "sample": {"number": 1}, "select": {"layer": 2, "unit": 3}, "step": {}, "train": {"steps": 2},
        "set": {"rate": 0.1, "batch": 5, "optimiser": "adam"}, "undo": {},
        "new": {"hidden": [4, 3], "activation": "relu", "seed": 1},
        "formula": {"what": "output", "layer": 0, "index": [1]},
        "edit": {"layer": 0, "parameter": "weight", "index": [0, 1], "value": 2.5},
        "switch": {"layer": 0, "unit": 1},
    }.items():  # fmt: skip
        answer = getattr(digits, action)(fields)
        assert json.loads(json.dumps(answer, allow_nan=False)) == answer


def test_a_drawing_is_centred_as_training_pictures_are() -> None:
    seen = centred_drawing(seven()).astype(float)
    y, x = (np.average(np.arange(28), weights=seen.sum(axis=axis)) for axis in (1, 0))
    assert abs(y - 13.5) < 0.6 and abs(x - 13.5) < 0.6
    rows, columns = np.nonzero(seen)
    assert max(np.ptp(rows), np.ptp(columns)) == 19  # a box of 20 x 20


@pytest.mark.parametrize("ink", [0, 100])
def test_a_blank_or_faint_drawing_is_blank(ink: int) -> None:
    pixels = np.full((28, 28), ink, np.uint8)
    assert not centred_drawing(pixels).any()


def test_without_centring_the_network_sees_the_drawing_itself(digits: Digits) -> None:
    pixels = seven().ravel().tolist()
    assert digits.see({"pixels": pixels, "centre": False})["seen"] == pixels


def test_without_a_label_the_likeliest_class_counts(digits: Digits) -> None:
    picture = drawn(digits, None)
    assert picture["label"] == int(np.argmax(picture["p"]))


def test_an_edit_changes_one_number_and_undo_gives_it_back(digits: Digits) -> None:
    before = drawn(digits)
    after = digits.edit({"layer": 0, "parameter": "weight", "index": [0, 400], "value": 3.0})
    assert after["selected"]["weights"][400] == 3
    changed = [k for k, (a, b) in enumerate(zip(before["selected"]["weights"], after["selected"]["weights"])) if a != b]
    assert changed == [400]
    back = digits.undo({})
    assert back["selected"]["weights"] == before["selected"]["weights"] and back["p"] == before["p"]
    with pytest.raises(SettingError, match="nothing to undo"):
        digits.undo({})


def test_a_neuron_that_is_off_has_no_say_and_stays_off_in_training(digits: Digits) -> None:
    before = drawn(digits)
    off = digits.switch({"layer": 0, "unit": 4})
    assert off["layers"][0]["off"] == [4]
    assert off["layers"][0]["delta"][4] == 0
    assert off["p"] != before["p"]
    trained = digits.train({"steps": 5})
    assert trained["layers"][0]["delta"][4] == 0
    digits.undo({})
    on = drawn(digits)
    assert on["p"] == before["p"]


def test_a_neuron_comes_back_as_it_was(digits: Digits) -> None:
    before = drawn(digits)
    digits.switch({"layer": 0, "unit": 4})
    assert digits.switch({"layer": 0, "unit": 4})["p"] == before["p"]


def test_outputs_cannot_be_switched_off(digits: Digits) -> None:
    with pytest.raises(SettingError, match="hidden layer"):
        digits.switch({"layer": 2, "unit": 0})


def test_one_step_moves_against_the_gradient(digits: Digits) -> None:
    digits.set({"rate": 1e-3, "batch": 20, "optimiser": "sgd"})
    before = drawn(digits)
    after = digits.step({})
    told = after["stepped"]
    assert told["before"] == before["loss"] and told["after"] == after["loss"] < before["loss"]
    assert told["foretold"] == pytest.approx(told["after"], rel=1e-3)  # of so small a step
    moved = np.array(after["selected"]["weights"]) - np.array(before["selected"]["weights"])
    np.testing.assert_allclose(moved, -1e-3 * np.array(before["selected"]["gradient"]), atol=1e-6)


def test_training_learns_and_undo_goes_back_to_its_beginning(digits: Digits) -> None:
    digits.new({"hidden": [12], "activation": "sigmoid", "seed": 0})
    before = drawn(digits)
    losses = [digits.train({"steps": 100, "first": k == 0})["mean_loss"] for k in range(4)]
    assert losses[-1] < losses[0] / 2
    assert digits.train({"steps": 1})["steps"] == 401
    assert digits.undo({})["steps"] == 0
    assert drawn(digits)["p"] == before["p"]


def test_training_for_milliseconds_makes_a_step_at_least(digits: Digits) -> None:
    assert digits.train({"ms": 1})["trained"] >= 1


def test_numbers_that_overflow_are_no_numbers_and_can_be_undone(digits: Digits) -> None:
    drawn(digits)
    digits.set({"rate": 100, "batch": 20, "optimiser": "sgd"})
    for _ in range(4):
        answer = digits.edit({"layer": 2, "parameter": "bias", "index": [3], "value": 1000})
    assert json.dumps(answer, allow_nan=False)
    assert digits.undo({})["loss"] is not None


@pytest.mark.parametrize("layer, parameter, index", [(0, "weight", [3, 406]), (0, "bias", [2]), (2, "weight", [3, 1])])
def test_three_ways_to_one_gradient_agree(digits: Digits, layer: int, parameter: str, index: list[int]) -> None:
    drawn(digits)
    found = digits.check({"layer": layer, "parameter": parameter, "index": index})
    assert found["agree"], found
    assert found["by_hand"] == pytest.approx(found["difference"], rel=1e-4, abs=1e-9)


def test_a_wrong_gradient_is_told(digits: Digits, monkeypatch: pytest.MonkeyPatch) -> None:
    from scratchnet.engine import trace

    right = trace.bp4_weight
    monkeypatch.setattr(trace, "bp4_weight", lambda delta, a: 1.01 * right(delta, a))
    drawn(digits)
    assert not digits.check({"layer": 2, "parameter": "weight", "index": [3, 1]})["agree"]


def test_pytorch_agrees_where_it_is_installed(maps: Digits) -> None:
    pytest.importorskip("torch")
    drawn(maps)
    for layer, index in [(0, [2, 0, 1, 1]), (3, [1, 2, 0, 1]), (7, [3, 20])]:
        found = maps.check({"layer": layer, "parameter": "weight", "index": index})
        assert isinstance(found["torch"], float) and found["agree"], found


def test_without_pytorch_the_check_says_so(digits: Digits, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    found = digits.check({"layer": 0, "parameter": "bias", "index": [0]})
    assert "not installed" in found["torch"] and found["agree"]


def test_a_formula_has_the_number_that_is_shown(digits: Digits) -> None:
    picture = drawn(digits)
    for what, layer, index, value in [
        ("output", 0, [3], picture["layers"][0]["output"][3]),
        ("output", 1, [3], picture["layers"][1]["output"][3]),
        ("delta", 0, [3], picture["layers"][0]["delta"][3]),
        ("delta", 2, [7], picture["layers"][2]["delta"][7]),
        ("delta", -1, [400], picture["dx"][400]),
        ("probability", 2, [7], picture["p"][7]),
    ]:
        formula = digits.formula({"what": what, "layer": layer, "index": index})
        assert formula["value"] == pytest.approx(value, rel=1e-4)
        assert formula["file"].startswith("scratchnet/engine/") and formula["code"].startswith("def ")
    weight = digits.formula({"what": "gradient", "layer": 0, "parameter": "weight", "index": [0, 400]})
    assert weight["value"] == pytest.approx(picture["selected"]["gradient"][400], rel=1e-4, abs=1e-12)
    assert weight["name"] == "BP4" and weight["code"].startswith("def bp4_weight")
    assert digits.formula({"what": "loss"})["value"] == pytest.approx(picture["loss"])


def test_few_of_many_terms_are_shown(digits: Digits) -> None:
    drawn(digits)
    formula = digits.formula({"what": "output", "layer": 0, "index": [0]})
    assert formula["count"] == 785 and len(formula["terms"]) == 6


def test_the_window_behind_a_cell(maps: Digits) -> None:
    picture = drawn(maps)
    cell = maps.window({"layer": 0, "index": [2, 10, 11]})
    value = np.array(picture["layers"][0]["output"]).reshape(6, 24, 24)[2, 10, 11]
    assert cell["sum"] == pytest.approx(value, abs=1e-5)
    assert sum(cell["products"]) + cell["bias"] == pytest.approx(cell["sum"], abs=1e-5)
    assert cell["rows"] == [10, 11, 12, 13, 14] and cell["columns"][0] == 11
    pool = maps.window({"layer": 2, "index": [2, 3, 4]})
    assert pool["sum"] == max(pool["input"]) and pool["rows"] == [6, 7]
    with pytest.raises(SettingError, match="no windows"):
        maps.window({"layer": 1, "index": [0, 0, 0]})


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu"])
def test_networks_of_any_allowed_size(digits: Digits, activation: str) -> None:
    picture = digits.new({"hidden": [5, 4, 3, 2], "activation": activation, "seed": 3})
    assert [layer["shape"] for layer in picture["layers"]][::2] == [[5], [4], [3], [2], [10]]
    assert math.isfinite(digits.train({"steps": 3})["mean_loss"])
    assert digits.new({"given": True})["layers"][0]["shape"] == [12]


def test_a_network_that_ends_in_a_sigmoid_learns_too(pictures: Pictures) -> None:
    from scratchnet.engine.layers import Linear, Sequential, Sigmoid

    net = Sequential(Linear(784, 8), Sigmoid(), Linear(8, 10), Sigmoid())
    digits = Digits(Model(net, (784,), 1 / 255, 0.0, tuple("0123456789"), ""), pictures)
    before = drawn(digits)["loss"]
    assert digits.step({})["loss"] < before
    assert digits.check({"layer": 0, "parameter": "weight", "index": [0, 300]})["agree"]


@pytest.mark.parametrize(
    "action, message, says",
    [
        ("see", {"pixels": [0] * 783}, "784 pixels"),
        ("see", {"pixels": [256] * 784}, "255"),
        ("see", {"pixels": "x"}, "list"),
        ("see", {"pixels": [0] * 784, "label": 10}, "label"),
        ("see", {}, "pixels"),
        ("select", {"layer": 1, "unit": 0}, "no neurons"),
        ("select", {"layer": 0, "unit": 12}, "unit"),
        ("edit", {"layer": 0, "parameter": "weight", "index": [0, 784], "value": 1}, "no place"),
        ("edit", {"layer": 0, "parameter": "grad", "index": [0, 0], "value": 1}, "no parameter"),
        ("edit", {"layer": 0, "parameter": "bias", "index": [0], "value": float("nan")}, "value"),
        ("train", {"steps": 100_000}, "steps"),
        ("train", {}, "steps"),
        ("set", {"rate": -1, "batch": 1, "optimiser": "sgd"}, "rate"),
        ("set", {"rate": 1, "batch": 0, "optimiser": "sgd"}, "batch"),
        ("set", {"rate": 1, "batch": 1, "optimiser": "Adam"}, "did you mean 'adam'"),
        ("new", {"hidden": [0], "activation": "relu", "seed": 0}, "at least one"),
        ("new", {"hidden": [1] * 5, "activation": "relu", "seed": 0}, "at most 4"),
        ("new", {"hidden": [5], "activation": "relu", "seed": -1}, "seed"),
        ("formula", {"what": "output", "layer": 9, "index": [0]}, "layer"),
        ("formula", {"what": "gradient", "layer": 0, "parameter": [], "index": [0]}, "parameter"),
        ("window", {"layer": 0, "index": [0]}, "no cell"),
    ],
)
def test_a_wrong_message_is_refused_in_words_and_changes_nothing(
    digits: Digits, action: str, message: dict, says: str
) -> None:
    before = digits.open({})
    with pytest.raises(SettingError, match=says):
        getattr(digits, action)(message)
    after = digits.open({})
    assert after == before


def test_a_fresh_network_is_that_of_its_seed(digits: Digits) -> None:
    first = digits.new({"hidden": [6], "activation": "tanh", "seed": 4})
    expected = dense_network([6], "tanh", 4).state_dict()["0.weight"][0]
    np.testing.assert_allclose(first["selected"]["weights"], expected, rtol=1e-5)


def test_a_label_of_another_network_is_forgotten(pictures: Pictures) -> None:
    from scratchnet.engine.layers import Linear, Sequential

    letters = tuple("ABCDEFGHIJKL")
    digits = Digits(Model(Sequential(Linear(784, 12)), (784,), 1 / 255, 0.0, letters, ""), pictures)
    assert drawn(digits, 11)["label"] == 11
    picture = digits.new({"hidden": [3], "activation": "relu", "seed": 0})
    assert picture["label"] == int(np.argmax(picture["p"]))
