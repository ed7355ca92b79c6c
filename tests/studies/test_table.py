"""train table: a column of one's own table, learnt from the others."""

import json

import numpy as np
import pytest

import scratchnet as sn
from scratchnet.errors import DataError, SettingError
from scratchnet.train import main
from tests.profiles import quick_first


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def draw(rows=120, gaps=False):
    """A table in which the kind follows from size and colour, and the weight too."""
    rng = np.random.default_rng(0)
    lines = ["size,colour,kind,weight"]
    for k in range(rows):
        size, colour = rng.uniform(1, 9), ("red", "blue")[k % 2]
        kind = "berry" if (size < 5) == (colour == "red") else "bead"
        shown = "" if gaps and k % 10 == 3 else f"{size:.3f}"
        lines.append(f"{shown},{colour},{kind},{3 * size + 10 * (colour == 'red'):.3f}")
    with open("my.csv", "w") as file:
        file.write("\n".join(lines) + "\n")


COMMON = ["table", "--csv", "my.csv", "--folds", "3", "--no-plots", "--epochs", "60", "--lr", "0.02", "--out", "out"]


def metrics(here):
    return json.loads((here / "out/metrics.json").read_text())


def test_classes(here, capsys):
    draw()
    assert main([*COMMON, "--target", "kind", "--drop", "weight"]) == 0
    said = capsys.readouterr().out
    assert "kind is one of 2 classes: bead, berry" in said
    assert "from 1 column of numbers and from the kinds of colour (2 kinds)" in said
    assert metrics(here)["cv_accuracy"] > 0.85
    net = sn.load("out/model.safetensors")
    assert net.info["inputs"] == ["size", "colour=blue", "colour=red"] and net.info["classes"] == ["bead", "berry"]


def test_values_are_judged_in_their_own_units(here, capsys):
    draw()
    assert main([*COMMON, "--target", "weight", "--drop", "kind"]) == 0
    assert "weight is a value, from" in capsys.readouterr().out
    found = metrics(here)
    assert found["cv_rmse"] < 2.0 and len(found["cv_folds"]) == 3
    assert "cv_accuracy" not in found and "valid_accuracy" not in {k for k, v in found.items() if v is not None}
    net = sn.load("out/model.safetensors")
    red = [(7.0 - c["mean"]) / c["std"] for c in net.info["columns"][:1]] + [0, 1]
    weight = net([red])[0, 0] * net.info["output"]["std"] + net.info["output"]["mean"]
    assert weight == pytest.approx(31, abs=3)


@pytest.mark.parametrize(("way", "used"), quick_first([("mean", 120), ("drop", 108)], 1))
def test_gaps(here, capsys, way, used):
    draw(gaps=True)
    with pytest.raises(DataError, match=r"column size lacks values in 12 of 120 rows \(lines 5, 15"):
        main([*COMMON, "--target", "kind"])
    assert not (here / "out").exists()
    assert main([*COMMON, "--target", "kind", "--missing", way]) == 0
    said = capsys.readouterr().out
    assert f"120 rows, of which {used} are used" in said
    assert ("filled in: size in 12 rows" in said) == (way == "mean")


@pytest.mark.slow
def test_pictures(here):
    draw(60)
    plots = [word for word in COMMON if word != "--no-plots"]
    assert main([*plots, "--epochs", "5", "--target", "kind"]) == 0
    assert main([*plots, "--epochs", "5", "--target", "weight", "--out", "w"]) == 0
    for name in ("out/training.png", "out/confusion.png", "w/training.png", "w/predicted.png"):
        assert (here / name).read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_settings_can_be_searched_for_classes_only(here, capsys):
    draw(60)
    assert main([*COMMON, "--target", "kind", "--search", "lr=0.02,0.00001"]) == 0
    assert "0.02" in capsys.readouterr().out
    with pytest.raises(SettingError, match="values have none of"):
        main([*COMMON, "--target", "weight", "--search", "lr=0.02,0.1"])


@pytest.mark.parametrize(
    ("more", "error", "message"),
    [
        ([], SettingError, "--target COLUMN"),
        (["--target", "kin"], SettingError, "the columns of my.csv are size, colour, kind, weight"),
        (["--target", "kind", "--drop", "wight"], SettingError, "--drop wight: choose from"),
        (["--target", "kind", "--drop", "kind"], SettingError, "--drop kind"),
        (["--target", "kind", "--drop", "size", "colour", "weight"], DataError, "no column beside kind"),
        (["--target", "kind", "--folds", "100"], DataError, "too few for 100 folds"),
        (["--target", "weight", "--folds", "1000"], DataError, "too few for 1000 folds"),
        (["--target", "kind", "--data-dir", "."], SettingError, "--data-dir has no effect"),
    ],
)
def test_what_cannot_be_is_told_before_anything_is_written(here, more, error, message):
    draw(60)
    with pytest.raises(error, match=message):
        main([*COMMON, *more])
    assert not (here / "out").exists()
