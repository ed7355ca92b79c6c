"""fit shows its progress: where, when, and what a user's callbacks see of it."""

import os
import pty
import subprocess
import sys

import numpy as np
import pytest

import scratchnet as sn
from tests.places import ROOT
from tests.profiles import quick_first

TRAIN = """
import sys, numpy as np, scratchnet as sn
from scratchnet.engine import progress
progress.DELAY = 0.0
x = np.random.default_rng(0).normal(size=(300, 5))
net = sn.Sequential(sn.Linear(5, 2), seed=0)
sn.fit(net, sn.CrossEntropyLoss(), sn.SGD(net, 0.1), x, x[:, 0] > 0, epochs=4, batch_size=2, {})
print("done")
"""


def train(arguments, terminal):
    """(stdout, stderr) of a program that calls fit, with or without a terminal."""
    command = [sys.executable, "-c", TRAIN.format(arguments)]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "120"}
    if not terminal:
        done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=120)
        return done.stdout, done.stderr
    ours, theirs = pty.openpty()
    done = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs, text=True, env=env)
    os.close(theirs)
    said = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        said += part
    return done.communicate(timeout=120)[0], said.decode(errors="replace")


@pytest.mark.slow
def test_a_script_without_a_terminal_is_silent():
    assert train("", terminal=False) == ("done\n", "")


@pytest.mark.slow
def test_asked_for_without_a_terminal_it_is_a_line_per_epoch():
    out, err = train("progress=True", terminal=False)
    assert out == "done\n"
    assert [line.partition("  loss")[0] for line in err.splitlines()] == [f"epoch   {k}/4" for k in (1, 2, 3, 4)]


@pytest.mark.parametrize("arguments", quick_first(["", "progress=True"], 1))
def test_on_a_terminal_it_is_a_bar(arguments):
    out, err = train(arguments, terminal=True)
    assert out == "done\n" and "examples/s" in err and "epoch " in err
    assert "epoch   1/4" not in err


@pytest.mark.slow
def test_on_a_terminal_it_can_be_switched_off():
    assert train("progress=False", terminal=True) == ("done\n", "")


def trained(**options):
    x = np.random.default_rng(0).normal(size=(300, 5))
    net = sn.Sequential(sn.Linear(5, 2), seed=0)
    history = sn.fit(net, sn.CrossEntropyLoss(), sn.SGD(net, 0.1), x, x[:, 0] > 0, epochs=2, batch_size=2, **options)
    return net.state_dict()["0.weight"], history.step_losses


def test_it_changes_no_bit_and_keeps_the_users_callbacks(capsys):
    seen = {True: [], False: []}
    results = {
        progress: trained(progress=progress, on_step=lambda *a, of=seen[progress]: of.append(a[:2]),
                          on_epoch=lambda row, of=seen[progress]: of.append(row["train_loss"]))
        for progress in (True, False)
    }  # fmt: skip
    np.testing.assert_array_equal(results[True][0], results[False][0])
    assert results[True][1] == results[False][1]
    assert seen[True] == seen[False] and len(seen[True]) == 2 * 150 + 2
    assert capsys.readouterr().err.count("epoch") == 2


@pytest.mark.parametrize("options", [{"progress": "yes"}, {"progress": True, "on_step": print.__class__},
                                     {"progress": True, "on_epoch": 3}])  # fmt: skip
def test_what_cannot_be_is_told(options):
    with pytest.raises(sn.SettingError):
        trained(**options)
