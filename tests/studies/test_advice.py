"""The studies give advice, and none of their presets is given any."""

import numpy as np
import pytest

from scratchnet import train
from scratchnet.engine import advice
from scratchnet.studies.catalogue import STUDIES, study_module

FEW = {  # the least of each study that is still itself; others need a download
    "digits": ["--epochs", "3"],
    "iris": ["--epochs", "8", "--folds", "2"],
    "tweets": ["--epochs", "4"],
    "flights": ["--epochs", "8"],
    "adding": ["--epochs", "5", "--examples", "400", "--length", "10"],
    "copy": ["--epochs", "5", "--examples", "400", "--length", "6"],
    "chars": ["--epochs", "4", "--sample", "3"],
    "waveforms": ["--epochs", "5", "--echoes", "2000", "--passes", "60", "--judged", "50"],
}
QUICK = {("iris", "default"), ("iris", "scratch"), ("digits", "logistic"), ("flights", "default"), ("copy", "default")}
CASES = [
    pytest.param(study, preset, marks=() if (study, preset) in QUICK else pytest.mark.nightly)
    for study in FEW
    for preset in study_module(study).PRESETS
]


def advice_in(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("advice: ")]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def run(study: str, *args: str) -> None:
    assert train.main([study, "--no-plots", "--threads", "1", "--out", "out", *args]) == 0


@pytest.mark.parametrize(("study", "preset"), CASES)
def test_a_preset_is_given_no_advice(study, preset, capsys, monkeypatch):
    asked = []
    monkeypatch.setattr(advice, "advice_after", lambda *a, f=advice.advice_after: asked.append(a) or f(*a))
    if study == "tweets":
        pytest.importorskip("nltk", reason="the package nltk, of the extra `text`, is not installed")
    run(study, "--preset", preset, *FEW[study])
    assert asked and advice_in(capsys.readouterr().out) == []


@pytest.mark.nightly
@pytest.mark.parametrize("study", ["mnist", "cifar10", "wheat", "sentiment"])
def test_presets_of_downloaded_data_are_given_no_advice(study, data_dir, capsys):
    for preset in study_module(study).PRESETS:
        run(study, "--preset", preset, "--epochs", "2", "--data-dir", str(data_dir))
        assert advice_in(capsys.readouterr().out) == []


@pytest.mark.parametrize("target", ["y", "kind", "colour"])
def test_a_table_of_ones_own_is_given_no_advice(target, tmp_path, capsys):
    """Numbers of very different sizes, categories, values and classes."""
    rng = np.random.default_rng(0)
    a, b, colours = rng.normal(size=80), 1000 * rng.normal(size=80), rng.choice(["red", "green", "blue"], 80)
    lines = [f"{x:.3f},{z:.1f},{c},{x + z / 1000:.3f},{'up' if x > 0 else 'down'}" for x, z, c in zip(a, b, colours)]
    (tmp_path / "t.csv").write_text("\n".join(["a,b,colour,y,kind", *lines]) + "\n", encoding="utf-8")
    run("table", "--csv", "t.csv", "--target", target, "--epochs", "10", "--folds", "2")
    assert advice_in(capsys.readouterr().out) == []


def test_every_study_that_needs_no_download_is_here():
    free = {name for name, (_, about) in STUDIES.items() if "no download" in about}
    assert free <= {*FEW}


def test_a_study_says_what_went_wrong(capsys):
    run("iris", "--lr", "1e-9", "--epochs", "6", "--folds", "2", "--optimizer", "sgd", "--dropout", "0")
    (said,) = advice_in(capsys.readouterr().out)
    assert "has stayed at" in said
