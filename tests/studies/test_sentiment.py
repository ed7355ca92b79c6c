"""`train sentiment`: an LSTM and a bag of words, on a few synthetic sentences."""

import json
from pathlib import Path

import numpy as np
import pytest

import scratchnet as sn
from scratchnet import predict, train
from scratchnet.errors import Interrupted
from scratchnet.studies import sentiment
from tests.studies.test_small_studies import interrupt_at


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """160 sentences, praise and blame with the same words: their order alone tells."""
    rng, lines = np.random.default_rng(0), {"neg": [], "pos": []}
    for k in range(160):
        first, second = ("fine", "dull") if k % 2 else ("dull", "fine")
        filler = " ".join(rng.choice(["film", "plot", "actor", "scene"], 3))
        lines["pos" if k % 2 else "neg"].append(f"the {filler} is {first} , not {second} .")
    for name, texts in lines.items():
        (tmp_path / f"rt-polarity.{name}").write_text("\n".join(texts) + "\n", encoding="latin-1")
    monkeypatch.chdir(tmp_path)
    return tmp_path


SMALL = ["--data-dir", ".", "--no-plots", "--threads", "1", "--hidden", "8", "--batch-size", "8"]
LSTM = [*SMALL, "--embedding", "8", "--length", "10", "--lr", "0.02", "--epochs", "10", "--dropout", "0"]


def run(*args, out="out"):
    assert train.main(["sentiment", *args, "--out", out]) == 0
    return json.loads(Path(f"{out}/metrics.json").read_text())


def test_an_lstm_reads_the_order_of_words_and_predict_takes_a_text(capsys):
    m = run(*LSTM)
    assert m["test_accuracy"] == m["valid_accuracy"] == 1 and m["dataset"] == "sentence-polarity"
    assert set(m["per_class_accuracy"]) == {"negative", "positive"}
    said = capsys.readouterr().out
    assert all(f"surest {what}: “" in said for what in ("of praise", "of blame", "and wrong"))
    for text, label in (("The plot is dull, not FINE.", "negative"), ("the scene is fine, not dull.", "positive")):
        assert predict.main(["out/model.safetensors", "--text", text, "--json"]) == 0
        (found,) = json.loads(capsys.readouterr().out)
        assert found["label"] == label and found["probabilities"][label] > 0.8
    with pytest.raises(sn.DataError, match="no word of the text is known to the network, not 42"):
        predict.main(["out/model.safetensors", "--text", "42"])


def test_a_bag_of_words_does_not(capsys):
    m = run("--preset", "bag", *SMALL, "--epochs", "20", "--lr", "0.01")
    assert m["test_accuracy"] <= 0.75 and m["vocabulary"] == 11
    net = sn.load("out/model.safetensors")
    assert net.info["input"]["sentence"] == "bag" and net.layers[0].in_features == 11
    capsys.readouterr()
    assert predict.main(["out/model.safetensors", "--text", "fine film"]) == 0
    assert capsys.readouterr().out.startswith(("positive", "negative"))


@pytest.mark.parametrize("preset", ["default", "bag"])
def test_an_interrupted_run_goes_on_to_the_same_end(preset, folder, monkeypatch):
    args = ["--preset", preset, *SMALL, "--epochs", "4"]
    whole = run(*args, out="whole")
    with monkeypatch.context() as patch:
        interrupt_at(patch, 1, 2)
        with pytest.raises(Interrupted, match="--resume cut"):
            run(*args, out="cut")
    assert train.main(["sentiment", "--no-plots", "--resume", "cut"]) == 0
    again = json.loads((folder / "cut/metrics.json").read_text())
    assert again["test_accuracy"] == whole["test_accuracy"] and again["train_loss"] == whole["train_loss"]
    a, b = (sn.load(folder / name / "model.safetensors").state_dict() for name in ("whole", "cut"))
    assert all(np.array_equal(a[name], b[name]) for name in a)


def test_the_test_sentences_are_never_seen(monkeypatch):
    seen = []
    vocabulary = sentiment.vocabulary_of
    monkeypatch.setattr(sentiment, "vocabulary_of", lambda words, least: seen.append(words) or vocabulary(words, least))
    run(*LSTM, "--epochs", "1")
    labels = np.repeat([0, 1], 80)
    parts = sentiment.split(labels, 0)
    assert [len(part) for part in parts] == [130, 14, 16] and len(seen[0]) == 130
    assert sorted(np.concatenate(parts)) == list(range(160))
    assert np.bincount(labels[parts.test]).tolist() == [8, 8]


def test_other_data_are_refused_when_a_run_goes_on(folder):
    run(*LSTM, "--epochs", "1")
    (folder / "rt-polarity.pos").write_text("all new\nvery new\nquite new\n")
    with pytest.raises(sn.CheckpointError, match="changed since then: "):
        train.main(["sentiment", "--resume", "out", "--epochs", "2", "--no-plots"])


@pytest.mark.parametrize("args, message", [
    (["--length", "0"], "--length must be a number from 1"),
    (["--length", "1001"], "--length must be a number from 1 to 1,000"),
    (["--hidden", "0"], "--hidden must be a number from 1"),
    (["--dropout", "1"], "--dropout must be from 0 to below 1"),
    (["--least", "1000"], "no word occurs in 1000 sentences"),
    (["--preset", "bag", "--length", "9"], "--length has no effect with --preset bag"),
    (["--data-dir", "nowhere"], "no such folder; it should hold sentence-polarity/"),
])  # fmt: skip
def test_mistakes(args, message, folder):
    with pytest.raises(sn.ScratchnetError, match=message):
        train.main(["sentiment", *SMALL, *args, "--out", "out"])
    assert not (folder / "out").exists()


def test_too_few_sentences(folder):
    (folder / "rt-polarity.pos").write_text("fine\nfun\n")
    with pytest.raises(sn.DataError, match="each class needs at least three sentences"):
        run(*SMALL)


@pytest.mark.parametrize("length", ["forty", 0, 10**9, True])
def test_a_model_with_an_impossible_length(length):
    net = sn.Sequential(sn.Embedding(4, 2), sn.LSTM(2, 2))
    net.info = {"input": {"sentence": "default", "words": ["a", "b"], "length": length}}
    net.save("m.safetensors")
    with pytest.raises(sn.CheckpointError, match=r"reads sentences of .* words, which cannot be"):
        predict.main(["m.safetensors", "--text", "a b"])


@pytest.mark.nightly
@pytest.mark.parametrize("preset", ["default", "bag"])
def test_published_accuracy_over_three_seeds(preset, data_dir):
    found = []
    for seed in range(3):
        args = ["--preset", preset, "--data-dir", str(data_dir), "--seed", str(seed), "--no-plots"]
        found.append(run(*args)["test_accuracy"])
    assert np.mean(found) >= 0.76, found
