"""Texts and series of one's own, as explain lstm gives them to a trained network."""

import json

import numpy as np
import pytest

import scratchnet as sn
from scratchnet import train
from scratchnet.errors import CheckpointError, DataError, SettingError
from scratchnet.explain import main
from scratchnet.studies import sentiment
from scratchnet.studies.sequences import numbers_of, read_numbers, read_text


def of_characters() -> sn.Sequential:
    net = sn.Sequential(sn.LSTM(4, 3, output="sequence"), sn.Linear(3, 4), seed=1)
    net.info["vocabulary"] = "abc "
    return net


def of_sentences() -> sn.Sequential:
    o = sentiment.PRESETS["default"]
    net = sentiment.network(3, o)
    net.info |= {"classes": ["negative", "positive"],
                 "input": {"sentence": "default", "words": ["good", "bad", "film"], "length": 6}}  # fmt: skip
    return net


def of_passengers(kind: str = "log-differences") -> sn.Sequential:
    net = sn.Sequential(sn.LSTM(1, 4), sn.Linear(4, 1), seed=2)
    net.info["series"] = {"unit": "thousand passengers", "window": 12, "kind": kind, "shift": 0.5, "scale": 2.0}
    return net


def test_characters_are_each_followed_by_the_next() -> None:
    x, target, loss, about = read_text(of_characters(), "a cab")
    assert x.shape == (1, 4, 4) and x[0].argmax(1).tolist() == [0, 3, 2, 0] and target.tolist() == [[3, 2, 0, 1]]
    assert loss.classes == "last" and about == "4 characters, each to be followed by the next"


def test_a_sentence_is_to_be_what_the_network_says_or_what_is_asked_for() -> None:
    net = of_sentences()
    x, target, _, about = read_text(net, "A good film!")
    assert x.tolist() == [[0, 0, 1, 2, 4, 1]] and target == net.predict(x) and about.startswith("4 words, to be ")
    for k, name in enumerate(("negative", "positive")):
        assert read_text(net, "a good film", name).target == k


def test_passengers_are_scaled_as_in_training() -> None:
    x, target, _, _ = read_numbers(of_passengers("minmax"), [1, 2, 4])
    assert x[0, :, 0].tolist() == [0.25, 0.75] and target.tolist() == [[1.75]]
    x, target, _, about = read_numbers(of_passengers(), [1, 2, 4, 2])
    np.testing.assert_allclose(x[0, :, 0], [(np.log(2) - 0.5) / 2] * 2)
    np.testing.assert_allclose(target, [[(-np.log(2) - 0.5) / 2]])
    assert about == "2 months' changes, to be followed by 2"


@pytest.mark.parametrize(
    ("read", "kind", "message"),
    [
        (lambda: read_text(of_passengers(), "abc"), CheckpointError, "this network reads no text"),
        (lambda: read_text(of_characters(), "abc", "a"), CheckpointError, "no label goes with characters"),
        (lambda: read_text(of_characters(), "abd"), DataError, "has never read 'd'"),
        (lambda: read_text(of_characters(), "a"), DataError, "from 2 to 200 characters, not 1"),
        (lambda: read_text(of_sentences(), "nothing that it knows"), DataError, "none of its words|no word"),
        (lambda: read_text(of_sentences(), "good", "great"), DataError, "there are negative, positive"),
        (lambda: read_numbers(of_characters(), [1, 2]), CheckpointError, "does not read one number at a time"),
        (lambda: read_numbers(of_passengers(), [1, 2]), DataError, "takes from 3 to 200 finite numbers"),
        (lambda: read_numbers(of_passengers(), [1, 0, 2]), DataError, "0 passengers have no logarithm"),
        (lambda: read_numbers(of_passengers("minmax"), [1, np.inf]), DataError, "takes from 2 to 200 finite numbers"),
        (lambda: numbers_of("1 two"), DataError, "could not convert string to float: 'two'"),
    ],
)
def test_what_cannot_be_read_is_one_line(read, kind, message) -> None:
    with pytest.raises(kind, match=message):
        read()


@pytest.mark.parametrize("spoil", [{"words": 3}, {"length": 0}, {"length": None}, {"words": [1]}])
def test_a_damaged_model_is_told(spoil) -> None:
    net = of_sentences()
    net.info["input"] |= spoil
    with pytest.raises(CheckpointError, match="is damaged"):
        read_text(net, "good")
    other = of_passengers()
    other.info["series"]["scale"] = "2"
    with pytest.raises(CheckpointError, match="scaling is damaged"):
        read_numbers(other, [1, 2, 3])


@pytest.mark.parametrize(
    ("make", "option", "value", "said"),
    [
        (of_characters, "--text", "a cab", "4 characters"),
        (of_sentences, "--text", "a good film", "3 words"),
        (of_passengers, "--sequence", "112, 118 132 129", "2 months' changes"),
    ],
)
def test_the_screen_follows_it(make, option, value, said, tmp_path, capsys) -> None:
    make().save(tmp_path / "m.safetensors")
    args = ["lstm", str(tmp_path / "m.safetensors"), option, value]
    assert main(args) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert said in shown and "FWD" in shown
    assert main([*args, "--json"]) == 0
    numbers = json.loads(capsys.readouterr().out)
    assert numbers["by_hand"] == pytest.approx(numbers["central_difference"], rel=1e-5, abs=1e-9)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["lstm", "--text", "abc"], "--text goes with lstm and a MODEL"),
        (["m.safetensors", "--sequence", "1 2"], "--sequence goes with lstm and a MODEL"),
        (["lstm", "m.safetensors", "--text", "a", "--sequence", "1 2"], "name two sequences"),
        (["lstm", "m.safetensors", "--label", "a"], "--label goes with a MODEL of images"),
    ],
)
def test_options_that_say_nothing(args, message) -> None:
    with pytest.raises(SettingError, match=message):
        main(args)


def test_a_model_of_flights_is_read(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert train.main(["flights", "--epochs", "1", "--no-plots", "--threads", "1", "--out", "run"]) == 0
    assert main(["lstm", "run/model.safetensors", "--sequence", "112 118 132 129 121"]) == 0
    assert "3 months' changes, to be followed by 121" in capsys.readouterr().out
