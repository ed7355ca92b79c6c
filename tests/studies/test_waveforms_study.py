"""The command `train waveforms`: three networks, least squares, files and plots."""

import json
from pathlib import Path

import numpy as np
import pytest

import scratchnet as sn
from scratchnet import train
from scratchnet.data.waveforms import as_input, passes, sea_echoes
from scratchnet.errors import SettingError
from scratchnet.studies import waveforms as study


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_tiny_run_leaves_three_networks(here):
    tiny = ["--echoes", "300", "--passes", "5", "--judged", "3", "--epochs", "1", "--threads", "1", "--out", "out"]
    assert train.main(["waveforms", *tiny, "--no-plots"]) == 0
    m = json.loads(Path("out/metrics.json").read_text())
    assert set(m["wave_height"]) == {"network", "network, singly", "least squares", "least squares, weighted"}
    nets = {name: sn.load(here / "out" / f"{name}.safetensors") for name in ("model", "classifier", "tracker")}
    x = as_input(sea_echoes(np.random.default_rng(5), np.linspace(1, 11, 5)).power)
    assert nets["model"](x).shape == (5, 1) and nets["classifier"](x).shape == (5, 2)
    assert nets["tracker"](np.zeros((2, 30, 1))).shape == (2, 30, 1)


@pytest.mark.slow
def test_a_small_run_leaves_three_networks_and_its_pictures(here, capsys):
    small = ["--echoes", "4000", "--passes", "20", "--judged", "50", "--epochs", "4", "--threads", "1", "--out", "out"]
    assert train.main(["waveforms", *small]) == 0
    m = json.loads(Path("out/metrics.json").read_text())
    assert m["test_accuracy"] > 0.95 and m["dataset"] == "simulated"
    assert set(m["wave_height"]) == {"network", "network, singly", "least squares", "least squares, weighted"}
    assert m["rmse_m"] == m["wave_height"]["network"]["rmse_m"] < 1.5
    assert {"bias_m", "rmse_m", "failed", "us_per_echo"} == set(m["wave_height"]["least squares"])
    time = {name: way["us_per_echo"] for name, way in m["wave_height"].items()}
    assert m["times_as_fast_as_least_squares"] == pytest.approx(time["least squares"] / time["network"])
    assert m["times_as_fast_for_a_single_echo"] == pytest.approx(time["least squares"] / time["network, singly"])
    assert m["tracker_rmse_m"] == m["along_pass"]["tracker"]
    for name in ("training", "confusion", "echoes", "heights", "pass"):
        assert (here / "out" / f"{name}.png").stat().st_size > 10_000
    echoes = sea_echoes(np.random.default_rng(5), np.linspace(1, 11, 50))
    x = as_input(echoes.power)
    height, land, along = (sn.load(here / "out" / f"{n}.safetensors") for n in ("model", "classifier", "tracker"))
    y = height(x)[:, 0] * height.info["output"]["std"] + height.info["output"]["mean"]
    assert np.corrcoef(y, echoes.swh)[0, 1] > 0.95
    assert land(x).argmax(1).mean() > 0.9 and land.info["classes"] == ["land", "water"]
    assert along(np.zeros((2, 30, 1))).shape == (2, 30, 1)
    assert "wave height along 200 passes" in capsys.readouterr().out


def test_running_mean():
    np.testing.assert_allclose(study.running_mean(np.array([[1.0, 2, 3, 4]]), 2), [[1, 1.5, 2.5, 3.5]])
    np.testing.assert_allclose(study.running_mean(np.array([[1.0, 2, 3]]), 9), [[1, 1.5, 2]])


def test_rmse_leaves_failed_fits_out():
    assert study.rmse(np.array([1.0, np.nan, 3.0]), np.array([0.0, 0.0, 3.0])) == pytest.approx(0.5**0.5)


def test_every_set_of_echoes_is_drawn_from_a_stream_of_its_own():
    o = study.PRESETS["default"]
    first = [study.stream(o, k).random() for k in range(11)]
    assert len(set(first)) == 11


@pytest.mark.parametrize(
    "option, value", [("--units", "0"), ("--echoes", "0"), ("--tracker-lr", "0"), ("--hidden", "3,x")]
)
def test_bad_options(option, value, here):
    with pytest.raises(SettingError, match=option):
        train.main(["waveforms", option, value])
    assert not (here / "runs").exists()


@pytest.mark.nightly
def test_what_the_study_must_show():
    assert train.main(["waveforms", "--no-plots", "--threads", "1", "--out", "out"]) == 0
    m = json.loads(Path("out/metrics.json").read_text())
    assert m["test_accuracy"] >= 0.99
    assert m["rmse_m"] <= m["least_squares_rmse_m"]
    assert m["tracker_rmse_m"] < m["along_pass"]["network, each echo alone"]


def test_networks_for_the_proofs():
    assert {name: net(np.zeros((2, *shape))).shape for name, (net, shape, _) in study.networks().items()} == {
        "classifier": (2, 2), "height": (2, 1), "tracker": (2, 100, 1),
    }  # fmt: skip


def test_a_pass_is_tracked_from_the_past_alone():
    """Causality: what comes later changes nothing before."""
    net = study.tracker(study.PRESETS["default"])
    heights = passes(np.random.default_rng(0), 1, 40).swh
    later = heights.copy()
    later[:, 25:] = 3
    a, b = study.track(net, heights), study.track(net, later)
    np.testing.assert_array_equal(a[:, :25], b[:, :25])
    assert (a[:, 25:] != b[:, 25:]).any()
