"""The bar of a notebook: output that is written anew, and a line at the end."""

import sys
import types

import numpy as np
import pytest

import scratchnet as sn
from scratchnet.engine import progress
from scratchnet.engine.bars import NotebookBar, TerminalBar, bar_for


class Cell:
    """The output of a cell of a notebook, as IPython.display offers it."""

    def __init__(self):
        self.pages = []

    def display(self, data, raw, display_id):
        assert raw and display_id
        self.pages.append(data)
        return self

    def update(self, data, raw):
        assert raw
        self.pages.append(data)


@pytest.fixture
def cell(monkeypatch):
    cell = Cell()
    monkeypatch.setitem(sys.modules, "IPython.display", types.SimpleNamespace(display=cell.display))
    return cell


class Console:
    def __init__(self, terminal=False, notebook=False):
        self.is_terminal, self.is_jupyter = terminal, notebook


def test_a_bar_is_written_anew_and_a_line_is_left(cell):
    bar = NotebookBar(8)
    bar.show(2.5, "loss <1>")
    bar.show(4.0, "loss 0.5")
    bar.close("8/8 epochs")
    assert [page["text/plain"] for page in cell.pages] == ["epoch 2/8  loss <1>", "epoch 4/8  loss 0.5", "8/8 epochs"]
    first, _, last = (page["text/html"] for page in cell.pages)
    assert '<progress value="2.500" max="8"></progress> epoch 2/8  loss &lt;1&gt;' in first
    assert "<progress" not in last


def test_a_training_too_short_for_a_bar_leaves_nothing(cell):
    NotebookBar(8).close("8/8 epochs")
    assert cell.pages == []


def test_which_bar_it_is():
    from rich.console import Console as Rich

    assert bar_for(Console(), 3, float) is None
    assert isinstance(bar_for(Console(notebook=True), 3, float), NotebookBar)
    assert isinstance(bar_for(Rich(force_terminal=True), 3, float), TerminalBar)


def test_fit_in_a_notebook(cell, monkeypatch):
    monkeypatch.setattr("rich.console.Console", lambda **options: Console(notebook=True))
    x = np.random.default_rng(0).normal(size=(60, 3))
    net = sn.Sequential(sn.Linear(3, 2), seed=0)
    common = (net, sn.CrossEntropyLoss(), sn.SGD(net, 0.1), x, (x[:, 0] > 0).astype(int))
    sn.fit(*common, epochs=3)
    assert cell.pages == []  # there is no notebook that anybody knows of
    monkeypatch.setitem(sys.modules, "ipykernel", types.ModuleType("ipykernel"))
    monkeypatch.setattr(progress, "DELAY", 1000.0)
    sn.fit(*common, epochs=3)
    assert cell.pages == []  # too short
    sn.fit(*common, epochs=3, progress=True)
    assert "<progress" in cell.pages[0]["text/html"] and cell.pages[0]["text/plain"].startswith("epoch 0/3  loss ")
    last = cell.pages[-1]["text/plain"]
    assert last.startswith("3/3 epochs in ") and "  loss " in last
