"""docs/own-layer.md: its code runs, and gradcheck finds the fault that it names."""

import contextlib
import io
import re

import numpy as np
import pytest

import scratchnet as sn
from scratchnet.models import network
from tests.places import ROOT

BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "own-layer.md").read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture
def names(tmp_path, monkeypatch):
    """What the page defines, in an empty folder; its layers are forgotten later."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(network, "OWN", dict(network.OWN))
    return {"__name__": "reader"}


def test_the_page_runs(names):
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        for block in BLOCKS:
            exec(compile(block, "own-layer.md", "exec"), names)
    assert "all gradients agree" in said.getvalue() and "Slopes(8)" in said.getvalue()
    history = names["history"]
    assert history.last["train_loss"] < history.step_losses[0]
    assert set(network.OWN) >= {"Swish", "Slopes"}


def test_the_fault_that_it_names_is_found(names):
    with contextlib.redirect_stdout(io.StringIO()):
        exec(BLOCKS[0].replace("(s + y * (1 - s))", "s"), names)
        with pytest.raises(AssertionError):
            exec(BLOCKS[1], names)
    wrong = {d.parameter for d in names["report"].disagreements}
    assert "0.weight" in wrong and "2.weight" not in wrong


def test_mistakes_with_the_layer_are_one_line(names):
    with contextlib.redirect_stdout(io.StringIO()):
        for block in BLOCKS[:3]:
            exec(block, names)
    slopes = names["Slopes"]
    with pytest.raises(sn.ShapeError, match=r"layer 1: Slopes\(7\) takes \(N, 7\), but is given \(N, 8\)"):
        sn.Sequential(sn.Linear(4, 8), slopes(7))
    net = sn.Sequential(sn.Linear(4, 8), slopes(8), seed=1)
    net.save("m.safetensors")
    network.OWN.clear()
    with pytest.raises(sn.CheckpointError, match="must be imported before it is loaded"):
        sn.load("m.safetensors")
    assert np.isfinite(net(np.ones((2, 4)))).all()
