"""What a notebook shows of an object in a cell's last line: short, and to the point."""

import numpy as np
import pytest

import scratchnet as sn
from scratchnet.data import Images, Table
from scratchnet.data.sentences import Sentences
from scratchnet.data.tweets import load_tweets
from scratchnet.engine.history import History
from scratchnet.engine.tables import MOST_ROWS, html_table
from tests.profiles import slow_if

RNG = np.random.default_rng(0)
X, LABELS = RNG.normal(size=(60, 4)), np.arange(60) % 3


def deep() -> sn.Sequential:
    return sn.Sequential(*(layer for _ in range(60) for layer in (sn.Linear(4, 4), sn.Tanh())))


def trained() -> sn.History:
    net = sn.Sequential(sn.Linear(4, 3))
    return sn.fit(net, sn.CrossEntropyLoss(), sn.SGD(net, 0.1), X, LABELS, epochs=300, valid=(X, LABELS))


def build(x, seed):
    net = sn.Sequential(sn.Linear(4, 3), seed=seed)
    return net, sn.CrossEntropyLoss(), sn.SGD(net, 0.1)


SHOWN = {
    "network": deep,
    "history": trained,
    "trace": lambda: deep().trace(X, LABELS % 3, sn.CrossEntropyLoss()),
    "gradcheck": lambda: sn.gradcheck(deep(), X[:3], LABELS[:3], sn.CrossEntropyLoss()),
    "cross-validation": lambda: sn.crossval(build, X, LABELS, folds=20),
    "optimiser": lambda: sn.Adam(deep(), lr=0.1),
    "images": lambda: Images(*(np.zeros((9000, 28, 28), np.uint8), np.zeros(9000, int)) * 2),
    "table": lambda: Table(X, LABELS, ("a", "b", "c", "d"), ("x", "y", "z")),
    "tweets": load_tweets,
    "sentences": lambda: Sentences(["a sentence"] * 10_000, np.zeros(10_000, int)),
}


@pytest.mark.parametrize("make", [slow_if(name == "gradcheck", make) for name, make in SHOWN.items()], ids=SHOWN)
def test_it_is_no_longer_than_a_page(make) -> None:
    thing = make()
    page = thing._repr_html_() if hasattr(thing, "_repr_html_") else repr(thing)
    assert len(page) < 5_000 and page.count("<tr>") <= MOST_ROWS + 1
    if not hasattr(thing, "_repr_html_"):
        assert len(page) < 400 and "\n" not in page


def test_of_many_rows_the_first_two_and_the_last_are_shown() -> None:
    page = html_table([{"epoch": k, "loss": k / 7} for k in range(100)])
    shown = [line.split("</td>")[0] for line in page.split("<td>")[1::2]]
    assert shown == ["0", "1", "...", *map(str, range(91, 100))]
    assert html_table([{"epoch": k} for k in range(MOST_ROWS)]).count("<td>") == MOST_ROWS


def test_a_network_is_shown_as_a_table_of_its_layers() -> None:
    page = sn.Sequential(sn.Linear(784, 30), sn.Sigmoid(), sn.Linear(30, 10))._repr_html_()
    assert "Sequential: 23,860 parameters, float32, cpu" in page
    left = ' style="text-align: left"'  # words are, numbers are not
    assert f"<td>0</td><td{left}>Linear(784, 30)</td><td>23,550</td>" in page
    assert f"<td>1</td><td{left}>Sigmoid()</td><td>0</td>" in page


def test_data_tell_their_sizes() -> None:
    assert repr(SHOWN["table"]()) == "Table(values: float64 (60, 4), labels: int64 (60,), features: 4, classes: 3)"
    assert repr(SHOWN["cross-validation"]()).startswith("CrossValidation(20 folds: accuracy ")


def test_an_empty_history() -> None:
    assert History()._repr_html_() == "<p>History: 0 epochs, 0 steps</p><p>no rows</p>"
