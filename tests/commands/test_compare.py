"""python -m scratchnet.compare, and the learning curves that it draws."""

import json
import os
import subprocess
import sys

import pytest

import scratchnet as sn
from scratchnet.compare import compare, main
from scratchnet.engine.history import History
from scratchnet.errors import DataError, SettingError
from scratchnet.plots.learning import learning_curves
from scratchnet.plots.style import new_figure
from tests.places import ROOT
from tests.profiles import quick_first


def run(folder, accuracies, lr=0.1, **metrics):
    """A folder as a run leaves it."""
    folder.mkdir(parents=True)
    found = {"study": "iris", "test_accuracy": accuracies[-1], "valid_accuracy": None, **metrics}
    (folder / "metrics.json").write_text(json.dumps(found))
    lines = [f"{k},{1 - a},{a}" for k, a in enumerate(accuracies)]
    (folder / "history.csv").write_text("epoch,train_loss,train_accuracy\n" + "\n".join(lines) + "\n")
    (folder / "config.toml").write_text(f'study = "iris"\nlr = {lr}\nseed = 0\n')
    return folder


@pytest.fixture
def two(tmp_path):
    return [run(tmp_path / "slow", [0.3, 0.5, 0.6]), run(tmp_path / "fast", [0.3, 0.8, 0.9, 0.95], lr=0.5)]


def test_options_that_differ_and_results_are_shown_and_a_picture_written(two, tmp_path, capsys):
    out = tmp_path / "picture.png"
    assert main([*map(str, two), "--out", str(out)]) == 0
    said = capsys.readouterr().out
    rows = {line.split("│")[1].strip(): [cell.strip() for cell in line.split("│")[2:4]]
            for line in said.splitlines() if line.startswith("│")}  # fmt: skip
    assert rows == {"lr": ["0.1", "0.5"], "test accuracy": ["0.6", "0.95"]}
    assert out.read_bytes().startswith(b"\x89PNG") and f"written to {out}" in said.replace("\n", "")


def test_one_curve_for_each_run_from_epoch_0(two):
    (ax,) = compare(two).axes
    assert ax.get_ylabel() == "right answers (%)"
    curves = {line.get_label(): list(zip(*line.get_data())) for line in ax.lines}
    assert curves == {
        "slow": [(0, 30), (1, 50), (2, 60)],
        "fast": [(0, 30), (1, 80), (2, 90), (3, 95)],
    }


def test_it_draws_on_axes_that_it_is_given(two):
    fig = new_figure("mine")
    left, _ = fig.subplots(1, 2)
    assert compare(two, left) is fig and len(left.lines) == 2


def test_histories_are_compared_too_and_names_can_be_given(two):
    history = History([{"epoch": 1, "train_accuracy": 0.4}, {"epoch": 2, "train_accuracy": 0.7}], [1.0, 1.0])
    (ax,) = sn.compare([history, two[0]]).axes
    assert [(line.get_label(), line.get_ydata()[-1]) for line in ax.lines] == [("training 1", 70), ("slow", 60)]
    (ax,) = sn.compare({"mine": history, "theirs": str(two[1])}).axes
    assert [line.get_label() for line in ax.lines] == ["mine", "theirs"]
    assert len(sn.compare(two[0]).axes[0].lines) == 1
    with pytest.raises(SettingError, match="a run is a folder or the history of a training, not a int"):
        sn.compare([3])
    with pytest.raises(SettingError, match="give the folders of finished runs"):
        sn.compare([])


@pytest.mark.parametrize(
    "first", quick_first(["", "import scratchnet.compare", "from scratchnet.compare import main"], 1)
)
def test_the_function_and_the_module_of_its_name_share_it(first, two, tmp_path):
    """Whichever is asked for first."""
    said = subprocess.run(
        [sys.executable, "-c", f"{first}\nimport scratchnet as sn; print(len(sn.compare({list(map(str, two))}).axes))\n"
         "import scratchnet.compare as c; print(c.main.__module__, c.compare.__name__, len(c(['slow']).axes))"],
        cwd=tmp_path, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)})  # fmt: skip
    assert said.stdout.split() == ["1", "scratchnet.compare", "compare", "1"], said.stderr


def test_what_only_some_runs_have_is_not_drawn():
    (ax,) = learning_curves({"a": [{"epoch": 1, "train_loss": 2.0, "valid_accuracy": 0.5}],
                             "b": [{"epoch": 1, "train_loss": 3.0}]}).axes  # fmt: skip
    assert [line.get_ydata()[0] for line in ax.lines] == [2.0, 3.0] and ax.get_ylabel() == "loss"


def test_runs_of_one_name_are_told_apart(tmp_path):
    a, b = run(tmp_path / "a" / "iris-default", [0.1, 0.2]), run(tmp_path / "b" / "iris-default", [0.1, 0.3])
    assert [line.get_label() for line in compare([a, b, a]).axes[0].lines] == [f"{a} (1)", str(b), f"{a} (3)"]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "metrics.json").unlink(), "holds no finished run"),
        (lambda folder: (folder / "metrics.json").write_text("{"), "is damaged"),
        (lambda folder: (folder / "metrics.json").write_bytes(b"\xff"), "is damaged"),
        (lambda folder: (folder / "metrics.json").write_text("[]"), "is not what a run writes"),
        (lambda folder: (folder / "history.csv").write_text(""), "is not what a run writes"),
        (lambda folder: (folder / "history.csv").write_text("epoch,loss\n1,much\n"), "is damaged"),
        (lambda folder: (folder / "config.toml").write_text("="), "is damaged"),
    ],
)
def test_a_folder_without_a_finished_run_is_told(two, tmp_path, spoil, message):
    spoil(two[0])
    with pytest.raises(DataError, match=f"slow.* {message}"):
        main([*map(str, two), "--out", str(tmp_path / "no.png")])
    assert not (tmp_path / "no.png").exists()


def test_wrong_usage(two, tmp_path):
    with pytest.raises(SettingError, match="give the folders of finished runs"):
        main([])
    with pytest.raises(DataError, match="is no folder"):
        main([str(tmp_path / "nowhere")])
    with pytest.raises(SettingError, match=r"its name ends in \.png"):
        main([str(two[0]), "--out", "c.pdf"])
