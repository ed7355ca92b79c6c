"""`train text`: texts of one's own in classes of one's own."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import scratchnet as sn
from scratchnet import predict, train
from scratchnet.data.tweets import read_texts

pytest.importorskip("nltk", reason="the package nltk, of the extra `text`, is not installed")

TOPICS = {
    "cooking": "bread oven yeast salt butter pan",
    "sailing": "ship fog horn harbour rope wave",
    "garden": "rose soil spade worm seed hedge",
}


def write(path: str, header: tuple[str, ...] = ("label", "text"), n: int = 20, delimiter: str = ",") -> str:
    rng = np.random.default_rng(0)
    rows = [(topic, "The " + " and the ".join(rng.choice(words.split(), 3))) for topic, words in TOPICS.items()
            for _ in range(n)]  # fmt: skip
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerow(header)
        writer.writerows([*row, *(f"more {k}" for k in range(len(header) - 2))] for row in rows)
    return path


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(*args: str) -> dict[str, Any]:
    assert train.main(["text", "--threads", "1", "--folds", "2", "--out", "out", *args]) == 0
    return json.loads(Path("out/metrics.json").read_text())


def test_three_topics(capsys: pytest.CaptureFixture) -> None:
    m = run("--csv", write("topics.csv"), "--epochs", "30")
    assert m["test_accuracy"] == 1 and m["cv_accuracy"] > 0.9 and set(m["per_class_accuracy"]) == set(TOPICS)
    assert m["dataset"] == "topics" and set(m["telling_words"]["garden"]) & {"rose", "soil", "spade", "worm", "seed"}
    said = capsys.readouterr().out
    assert "Of the 4 texts of garden, 4 were correctly identified." in said
    assert "advice: " not in said
    assert "The words that speak most for each class" in said and "author" not in said and "tweet" not in said
    names = {"training.png", "confusion.png", "words.png", "metrics.json", "history.csv", "config.toml"}
    assert names <= {path.name for path in Path("out").iterdir()}
    assert predict.main(["out/model.safetensors", "--text", "Ropes on a ship"]) == 0
    assert capsys.readouterr().out.startswith("sailing ")


@pytest.mark.parametrize(
    ("header", "args", "delimiter"),
    [
        (("label", "text"), {}, ","),
        (("topic", "text", "id"), {}, ";"),
        (("what", "sentence"), {"target": "what"}, "\t"),
        (("what", "sentence"), {"text": "sentence"}, ","),
        (("what", "text"), {}, ","),
        (("a", "b", "text"), {"target": "A", "text": "b"}, ","),
        (("sentiment", "text", "x"), {}, ","),
    ],
)
def test_the_columns_are_found(header: tuple[str, ...], args: dict[str, str], delimiter: str) -> None:
    found = read_texts(write("t.csv", header, 3, delimiter), **args)
    assert found.authors == list(TOPICS) and len(found.texts) == 9 and found.texts[0].startswith("The ")


@pytest.mark.parametrize(
    ("header", "args", "words"),
    [
        (("a", "b"), [], "which columns hold the texts and their classes"),
        (("a", "b", "c"), ["--target", "a"], "two of: a, b, c"),
        (("label", "text"), ["--target", "kind"], "there is no column kind; row 1 must name the columns kind,text"),
        (("label", "text"), ["--target", "text", "--text", "text"], "which columns hold"),
        (("label", "text"), ["--folds", "9"], "cooking has 10 texts, too few for a test split and 9 folds"),
        (("text", "label"), [], "has 1 text, too few"),
    ],
)
def test_mistakes_are_one_line(header: tuple[str, ...], args: list[str], words: str) -> None:
    path = write("t.csv", header, 10)
    with pytest.raises(sn.ScratchnetError, match=words) as error:
        run("--csv", path, *args)
    assert "\n" not in str(error.value) and not Path("out/metrics.json").exists()


def test_without_a_file_and_with_endless_labels() -> None:
    with pytest.raises(sn.SettingError, match="text needs --csv FILE"):
        run()
    Path("t.csv").write_text("label,text\n" + "x" * 101 + ",hello\ny,hello\n")
    with pytest.raises(sn.DataError, match=r"row 2 has the label 'x{40}'\.\.\.: it must be on one line"):
        run("--csv", "t.csv")


def test_the_same_texts_as_tweets_give_the_same_network() -> None:
    run("--csv", write("t.csv", ("author", "text")), "--epochs", "2", "--no-plots")
    args = ["--csv", "t.csv", "--threads", "1", "--folds", "2", "--epochs", "2", "--no-plots", "--out", "tweets"]
    assert train.main(["tweets", *args]) == 0
    a, b = (sn.load(f"{folder}/model.safetensors").state_dict() for folder in ("out", "tweets"))
    assert all(np.array_equal(a[name], b[name]) for name in a)


@pytest.mark.slow
def test_a_search_is_judged_by_cross_validation() -> None:
    args = ["text", "--threads", "1", "--folds", "2", "--epochs", "1", "--out", "out"]
    assert train.main([*args, "--csv", write("t.csv"), "--search", "hidden=4,8"]) == 0
    assert Path("out/search.csv").read_text().startswith("hidden,cv_accuracy")
