"""--config: the options of a run in a TOML file, which every run writes."""

import json

import pytest

from scratchnet.errors import SettingError
from scratchnet.runs.config import to_toml, with_config
from scratchnet.studies.mnist import PRESETS
from scratchnet.train import main

SMALL = ["iris", "--folds", "2", "--epochs", "1", "--no-plots", "--threads", "1"]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(text):
    with open("my.toml", "w", encoding="utf-8") as file:
        file.write(text)
    return "my.toml"


def test_a_run_is_repeated_by_its_file_alone(here):
    assert main([*SMALL, "--preset", "scratch", "--lr", "0.02", "--seed", "7", "--out", "first"]) == 0
    assert main(["--config", "first/config.toml", "--out", "second"]) == 0
    assert (here / "first/model.safetensors").read_bytes() == (here / "second/model.safetensors").read_bytes()
    assert (here / "first/config.toml").read_bytes() == (here / "second/config.toml").read_bytes()
    assert json.loads((here / "second/metrics.json").read_text())["preset"] == "scratch"


def test_what_stands_on_the_command_line_wins():
    path = write('study = "mnist"\nepochs = 3\nplots = false\ndata_dir = "a b"\nlr = 1e-3\n')
    given = ["--epochs=3", "--no-plots", "--data-dir=a b", "--lr=0.001"]
    assert with_config(["--config", path, "--epochs", "5"]) == ["mnist", *given, "--epochs", "5"]
    assert with_config(["mnist", f"--config={path}"]) == ["mnist", *given]
    assert with_config(["mnist", "--epochs", "2"]) == ["mnist", "--epochs", "2"]


def test_the_options_of_every_preset_come_back():
    from scratchnet.cli import parse
    from scratchnet.studies.mnist import Options

    for preset in PRESETS.values():
        with open("my.toml", "wb") as file:
            file.write(to_toml("mnist", preset))
        study, *rest = with_config(["--config", "my.toml"])
        assert study == "mnist" and parse(Options, rest, "train", PRESETS["default"]) == preset


@pytest.mark.parametrize(
    ("text", "args", "message"),
    [
        ("epochs = ", [], "my.toml is no TOML file"),
        ("epochs = 3", [], "my.toml: name the study"),
        ('study = "iris"', ["mnist"], "my.toml is of study iris, not mnist"),
        ('study = "mnist"\nepoch = 3', [], "there is no option --epoch; did you mean --epochs"),
        ('study = "mnist"\nepochs = "many"', [], "epochs"),
        ('study = "mnist"\n[epochs]\nn = 3', [], "my.toml: epochs must be a text, a number"),
        ('study = "mnist"\nepochs = 2026-11-28', [], "my.toml: epochs must be a text, a number"),
        ('study = "minst"', [], "did you mean mnist"),
    ],
)
def test_a_file_that_cannot_be_used_is_told_in_one_line(text, args, message):
    with pytest.raises(SettingError, match=message):
        main([*args, "--config", write(text)])


def test_a_file_that_is_not_there():
    with pytest.raises(FileNotFoundError):
        main(["--config", "nowhere.toml"])
    with pytest.raises(SettingError, match="--config needs the name of a TOML file"):
        main(["mnist", "--config"])
