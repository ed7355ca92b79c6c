"""The tweets' tutorial: the published matrix of counts, small files, lists of words."""

import json
from pathlib import Path

import numpy as np
import pytest

import scratchnet as sn
from scratchnet import predict, train
from scratchnet.data.tweets import count_words, make_numerical, preprocess_words
from scratchnet.data.words import MARKS, NAMES, SHORT_STOP_WORDS, STOP_WORDS, read_words
from scratchnet.errors import DataError
from tests.seven_tweets import PUBLISHED, SEVEN, write_seven


@pytest.fixture(autouse=True)
def seven(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return write_seven(tmp_path / "tweets.csv")


def run(*args):
    assert train.main(["tweets", "--no-plots", "--threads", "1", "--out", "out", *args]) == 0
    return json.loads(Path("out/metrics.json").read_text())


def test_the_published_matrix_step_by_step():
    words = preprocess_words([text.split() for _, text in SEVEN], stop_words=SHORT_STOP_WORDS)
    assert words[0] == ["woof", "woof", "promis", "i'm", "dog"] and "Mildred" in words[4]
    vectors, word_dict = make_numerical(words)
    assert count_words(vectors, len(word_dict)).tolist() == PUBLISHED


@pytest.mark.parametrize("preset", ["tutorial", "tutorial-batch"])
def test_one_command_gives_the_matrix_and_trains_on_all_seven(preset, seven, capsys):
    m = run("--preset", preset, "--csv", seven)
    said = capsys.readouterr().out
    assert "all 7 tweets of " in said and "none is set aside" in said and "7 training examples" in said
    assert m["train_examples"] == 7 and m["vocabulary"] == 24
    printed = said[said.index("[[") : said.index("]]") + 2]
    assert json.loads(printed) == PUBLISHED and max(map(len, printed.splitlines())) <= 80
    header, *rows = Path("out/counts.csv").read_text().splitlines()
    assert [[int(n) for n in row.split(",")] for row in rows] == PUBLISHED
    assert header.split(",") == sn.load("out/model.safetensors").info["input"]["words"]
    assert "Of the 3 tweets by disguised dog, " in said and "Of the 4 tweets by detective constable, " in said


@pytest.mark.slow
def test_one_step_an_epoch_has_the_published_course():
    """Published: 0.961 in the first epoch, 0.388 in the tenth.

    Twenty sets of initial weights show what chance makes of it.
    """
    losses = []
    for seed in range(20):
        run("--preset", "tutorial-batch", "--csv", "tweets.csv", "--seed", str(seed))
        _, before, *rows = Path("out/history.csv").read_text().splitlines()
        assert len(rows) == 10 and before.startswith("0,")  # the network before it is trained
        losses.append([float(row.split(",")[2]) for row in rows])
    found = np.array(losses)
    for epoch, published in ((0, 0.9610), (3, 0.7342), (6, 0.5474), (9, 0.3883)):
        assert found[:, epoch].min() < published < found[:, epoch].max(), epoch


def test_a_larger_file_is_a_handful_of_each_author(tmp_path, capsys):
    (tmp_path / "many.csv").write_text("author,text\n" + "A,fog ship\nB,bread jar\n" * 26)
    m = run("--preset", "tutorial", "--csv", "many.csv")
    assert m["train_examples"] == 6
    assert "6 of 52 tweets are trained on, the first 3 of each author" in capsys.readouterr().out
    (tmp_path / "some.csv").write_text("author,text\n" + "A,fog ship\nB,bread jar\n" * 25)
    assert run("--preset", "tutorial", "--csv", "some.csv")["train_examples"] == 50


# ----------------------------------------------------------------------- lists of words


def test_own_lists_take_the_place_of_the_built_in_ones(seven, tmp_path, capsys):
    (tmp_path / "stop.txt").write_text("i, a NOT\nwoof i'm\n")
    (tmp_path / "names.txt").write_text("prints\n")
    m = run("--preset", "tutorial", "--csv", seven, "--stop-words", "stop.txt", "--names", "names.txt")
    net = sn.load("out/model.safetensors")
    words = net.info["input"]["words"]
    assert m["vocabulary"] == len(words) and words[:3] == ["promis", "dog", "ello"]
    assert {"prints", "print", "mildr", "the", "you"} <= set(words)
    assert not {"i'm", "not", "woof", "Mildred"} & set(words)
    capsys.readouterr()
    # a text is treated as in the training: prints is a name there, and woof is dropped
    assert predict.main(["out/model.safetensors", "--text", "woof prints", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    with pytest.raises(DataError, match="nothing but stop words"):
        predict.main(["out/model.safetensors", "--text", "woof NOT woof."])
    x = np.zeros((1, len(words)))
    x[0, words.index("prints")] = 1
    p = predict.probabilities(net, x)[0]
    assert list(found["probabilities"].values()) == pytest.approx(p.tolist())


def test_with_other_lists_a_run_does_not_go_on(seven, tmp_path):
    (tmp_path / "stop.txt").write_text("i a not")
    run("--preset", "tutorial", "--csv", seven, "--stop-words", "stop.txt")
    (tmp_path / "stop.txt").write_text("i a")
    with pytest.raises(sn.CheckpointError, match="changed since then: stop words"):
        train.main(["tweets", "--no-plots", "--resume", "out", "--epochs", "11"])


@pytest.mark.parametrize("option", ["--stop-words", "--names"])
@pytest.mark.parametrize("content, message", [
    (None, "there is no such file"),
    (b"", "holds no words"),
    (b" ,\n", "holds no words"),
    (b"caf\xe9", "byte 3 is not UTF-8 text"),
    (b"a\x00b", "is not a word"),
    (b"a " * 600_000, "larger than"),
])  # fmt: skip
def test_bad_lists(option, content, message, seven, tmp_path):
    if content is not None:
        (tmp_path / "list.txt").write_bytes(content)
    with pytest.raises(DataError, match=f"{option} list.txt: .*{message}"):
        run("--csv", seven, "--preset", "tutorial", option, "list.txt")
    assert not (tmp_path / "out").exists(), "nothing is left behind"


def test_a_folder_is_no_list(seven, tmp_path):
    with pytest.raises(DataError, match="cannot be read: "):
        run("--csv", seven, "--preset", "tutorial", "--names", str(tmp_path))


def test_lists_of_words(tmp_path):
    assert MARKS < SHORT_STOP_WORDS < STOP_WORDS and "i'm" in STOP_WORDS - SHORT_STOP_WORDS
    assert "Mildred" in NAMES
    (tmp_path / "list.txt").write_bytes("\ufeffone two,three\r\n\tfour , Fünf\n".encode())
    assert read_words(tmp_path / "list.txt") == {"one", "two", "three", "four", "Fünf"}
