"""The studies of sequences: what they compute and write, and how they meet mistakes."""

import json

import numpy as np
import pytest

import scratchnet as sn
from scratchnet import train
from scratchnet.studies import chars, flights, memory, vanishing
from scratchnet.studies.flights import check_series, fit_scaling, forecast, prepare, rmse, windows
from tests.profiles import quick_first

rng = np.random.default_rng(3)


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def metrics(folder):
    return json.loads((folder / "metrics.json").read_text())


# ------------------------------------------------------------------------------ flights


def test_a_forecast_that_has_diverged_is_one_line():
    """One step of such a rate leaves a finite loss, and a forecast of 0 passengers."""
    with pytest.raises(sn.NonFiniteError, match="forecast is NaN or infinite: the training has diverged"):
        train.main(["flights", "--epochs", "1", "--no-plots", "--threads", "1", "--hidden", "4", "--lr", "999999999"])


@pytest.mark.parametrize("preset", quick_first(flights.PRESETS, 1))
def test_flights_leaves_its_files(preset, tmp_path):
    assert train.main(["flights", "--preset", preset, "--epochs", "2", "--threads", "1"]) == 0
    out = tmp_path / "runs" / f"flights-{preset}"
    m = metrics(out)
    assert m["rmse_seasonal_naive"] == pytest.approx(50.708, abs=1e-3)
    assert np.isfinite([m["rmse_recursive"], m["rmse_known"]]).all()
    assert len(m["forecast_recursive"]) == len(m["forecast_known"]) == 12
    for name in ("forecast.png", "training.png"):
        assert (out / name).read_bytes().startswith(b"\x89PNG")
    net = sn.load(out / "model.safetensors")
    assert net.info["series"]["unit"] == "thousand passengers"


@pytest.mark.slow
def test_the_default_preset_beats_the_naive_forecast(tmp_path):
    assert train.main(["flights", "--no-plots", "--threads", "1"]) == 0
    m = metrics(tmp_path / "runs" / "flights-default")
    assert m["rmse_recursive"] < 30 < m["rmse_seasonal_naive"]
    assert m["rmse_known"] < 30


def test_nothing_of_the_forecast_year_is_looked_at():
    """Other numbers in the last twelve months change neither windows nor scaling.

    They do not change the recursive forecast either.
    """
    series = np.exp(rng.standard_normal(144))
    other = np.concatenate([series[:132], np.full(12, 1e6)])
    for preset in flights.PRESETS.values():
        ours, theirs = prepare(series, 132, preset), prepare(other, 132, preset)
        assert ours[0] == theirs[0]
        assert all(np.array_equal(a, b) for a, b in zip(ours[1:], theirs[1:], strict=True))
        net = flights.network(preset)
        a, b = (forecast(net, ours[0], s, 132, preset.window) for s in (series, other))
        assert np.array_equal(a.recursive, b.recursive)
        assert a.known[0] == pytest.approx(a.recursive[0], rel=1e-5)


def test_windows_and_what_follows_them():
    x, t = windows(np.arange(6.0), 4)
    assert x[..., 0].tolist() == [[0, 1, 2, 3], [1, 2, 3, 4]]
    assert t.tolist() == [[4], [5]]


@pytest.mark.parametrize("kind", ["minmax", "log-differences"])
def test_scaling_and_back(kind):
    series = np.exp(rng.standard_normal(30))
    scaling = fit_scaling(kind, series)
    values = scaling.values(series)
    if kind == "minmax":
        assert (values.min(), values.max()) == (pytest.approx(-1), pytest.approx(1))
        assert scaling.passengers(values, series) == pytest.approx(series)
    else:
        assert (values.mean(), values.std()) == (pytest.approx(0), pytest.approx(1))
        assert scaling.passengers(values, series[:-1]) == pytest.approx(series[1:])


def test_a_perfect_network_has_perfect_forecasts():
    """A network that knows next month's value, by a rule it can express, is followed
    exactly.
    """
    series = 100 * 1.01 ** np.arange(60.0) * (1 + 0.1 * (np.arange(60) % 2))  # log-differences alternate
    scaling = fit_scaling("log-differences", series[:48])

    def net(x):
        return -x[:, -1] + (scaling.values(series)[:2].sum())

    f = forecast(net, scaling, series, 48, 5)  # type: ignore[arg-type]
    assert rmse(f.recursive, series[48:]) < 1e-9 * series[-1]
    assert rmse(f.known, series[48:]) < 1e-9 * series[-1]


@pytest.mark.parametrize(
    ("series", "window", "error", "words"),
    [
        ([], 3, sn.DataError, "the series is empty"),
        (np.ones((5, 2)), 3, sn.DataError, r"one axis, not shape \(5, 2\)"),
        ([1, 2, np.nan, 4, 5, 6], 3, sn.DataError, "nan at position 2"),
        ([1, 2, 3, np.inf, 5, 6], 3, sn.DataError, "inf at position 3"),
        ([1, 2, 3, 4], 3, sn.SettingError, "window of 3 months is too long for 4 months: at most 2"),
        ([1, 2, 3, 4], 0, sn.SettingError, "a month at least, not 0"),
    ],
)
def test_series_that_cannot_be_learnt_from(series, window, error, words):
    with pytest.raises(error, match=words):
        check_series(series, window)


@pytest.mark.parametrize("kind", ["minmax", "log-differences"])
def test_constant_series(kind):
    with pytest.raises(sn.DataError, match="nothing to learn from"):
        fit_scaling(kind, np.full(20, 7.0))


def test_a_series_without_logarithm():
    with pytest.raises(sn.DataError, match="has a value of 0"):
        fit_scaling("log-differences", np.arange(20.0))


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--window", "131"], "window of 131 months is too long for 132 months: at most 130"),
        (["--window", "0"], "--window must be a number of months from 1, not 0"),
        (["--hidden", "0"], "--hidden"),
        (["--year", "1970"], "--year must be from 1951 to 1960"),
    ],
)
def test_options_of_flights_out_of_range(args, words, tmp_path):
    with pytest.raises(sn.SettingError, match=words):
        train.main(["flights", *args])
    assert not (tmp_path / "runs").exists()


# ------------------------------------------------------------------------------- memory


def test_adding_asks_the_sum_of_the_marked_numbers():
    x, t = memory.adding(200, 10, rng)
    assert (x[..., 1].sum(1) == 2).all()
    assert (x[:, :5, 1].sum(1) == 1).all()
    assert (x[..., 0] * x[..., 1]).sum(1) == pytest.approx(t[:, 0])


def test_copy_asks_the_symbols_after_the_signal():
    x, asked = memory.copy(50, 4, rng)
    S, K = memory.SYMBOLS, memory.KINDS
    seen = x.argmax(-1)
    assert x.shape == (50, 2 * S + 4, K + 2)
    assert (x.sum(-1) == 1).all()
    assert np.array_equal(asked[:, -S:], seen[:, :S])
    assert (seen[:, :S] < K).all()
    assert (asked[:, :-S] == K).all()
    assert (seen[:, -S - 1] == K + 1).all()
    assert ((seen == K + 1).sum(1) == 1).all()


@pytest.mark.parametrize("study", ["adding", "copy"])
def test_memory_studies_compare_the_layers(study, tmp_path):
    args = ["--epochs", "1", "--examples", "100", "--hidden", "8", "--length", "6", "--threads", "1"]
    assert train.main([study, *args, "--layers", "RNN,GRU,LSTM"]) == 0
    out = tmp_path / "runs" / f"{study}-default"
    name = "test_mse" if study == "adding" else "recall_accuracy"
    assert {f"{layer}_{name}" for layer in ("rnn", "gru", "lstm", "guess")} <= set(metrics(out))
    assert (out / "memory.png").read_bytes().startswith(b"\x89PNG")


def test_options_of_memory_out_of_range():
    with pytest.raises(sn.SettingError, match="--layers must be out of RNN, GRU, LSTM, not RNN,LTSM"):
        train.main(["adding", "--layers", "RNN,LTSM"])
    with pytest.raises(sn.SettingError, match="--length must be a number from 2, not 1"):
        train.main(["copy", "--length", "1"])


@pytest.mark.nightly
def test_an_lstm_remembers_what_an_rnn_forgets(tmp_path):
    assert train.main(["adding", "--no-plots", "--threads", "1"]) == 0
    m = metrics(tmp_path / "runs" / "adding-default")
    assert m["lstm_test_mse"] < 0.02
    assert m["rnn_test_mse"] > 0.1


# ------------------------------------------------------------------ vanishing gradients


@pytest.mark.parametrize("layer", ["RNN", "GRU", "LSTM"])
def test_the_norms_are_those_of_the_gradient_of_every_state(layer):
    """∂C/∂h_t by central differences: the sequence from t on, from a changed h_t."""
    o = vanishing.Options(hidden=4).task(5)
    net = memory.network("adding", layer, o)
    net = sn.Sequential(type(net.layers[0])(2, 4), sn.Linear(4, 1), seed=2, dtype="float64")
    x, t = memory.adding(3, 5, rng)
    norms = vanishing.gradient_norms(net, x, t)
    for k in range(1, 5):
        _, state = sn.run_with_state(net, x[:, :k])
        grad = np.empty((4, 3))
        for i in np.ndindex(grad.shape):
            costs = []
            for h in (1e-5, -1e-5):
                changed = [[tuple(s.copy() for s in state[0][0])], None]
                changed[0][0][0][i] += h
                y, _ = sn.run_with_state(net, x[:, k:], changed)
                costs.append(float(((y - t) ** 2).mean()))
            grad[i] = (costs[0] - costs[1]) / 2e-5
        assert norms[k - 1] == pytest.approx(np.linalg.norm(grad, axis=0).mean() * 3, rel=1e-6)


def test_vanishing_draws_its_picture(tmp_path, capsys):
    args = ["--lengths", "4,7", "--epochs", "1", "--examples", "60", "--hidden", "6"]
    assert vanishing.main(args) == 0
    assert (tmp_path / "runs" / "vanishing" / "vanishing.png").read_bytes().startswith(b"\x89PNG")
    assert "LSTM, T =   7" in capsys.readouterr().out
    with pytest.raises(sn.SettingError, match="--lengths"):
        vanishing.main(["--lengths", "ten"])


# -------------------------------------------------------------------------------- chars


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("the cat sat on the mat. " * 60, encoding="utf-8")
    return path


def test_chars_learns_a_text_and_writes(text, tmp_path, capsys):
    args = ["--epochs", "8", "--batch-size", "4", "--length", "10", "--hidden", "24", "--sample", "48", "--lr", "0.02"]
    assert train.main(["chars", "--text", str(text), *args, "--threads", "1", "--prompt", "the "]) == 0
    m = metrics(tmp_path / "runs" / "chars-default")
    assert m["valid_bits_per_character"] < 1.0 < np.log2(m["vocabulary"])
    assert len(m["sample"]) == 48
    assert m["sample"] in capsys.readouterr().out.replace("\n", "")


def test_streams_follow_one_another():
    ids = np.arange(100)
    parts = chars.streams(ids, 3, 8)
    assert parts.shape == (3, 33)
    assert np.array_equal(parts[0], ids[:33])
    assert np.array_equal(parts[:-1, -1], parts[1:, 0])


def test_temperature_near_zero_takes_the_most_probable():
    net = sn.Sequential(sn.LSTM(3, 4, output="sequence"), sn.Linear(4, 3), seed=1)
    first = chars.write(net, list("abc"), "ab", 20, 1e-6, seed=1)
    assert first == chars.write(net, list("abc"), "ab", 20, 1e-6, seed=2)
    assert len(set(chars.write(net, list("abc"), "ab", 200, 50.0, seed=1))) == 3


@pytest.mark.parametrize(
    ("content", "args", "words"),
    [
        (b"", [], "a text of 0 characters"),
        (b"aaaa", [], "4 characters, 1 different, has nothing to learn from"),
        (b"ab\xff", [], r"not a text in UTF-8 \(byte 2\)"),
        (b"abcdef" * 10, [], "too few for 32 streams of 50"),
        (b"abcdef" * 400, ["--temperature", "0"], "--temperature must be a number above 0"),
        (b"abcdef" * 400, ["--prompt", "x"], "--prompt must be of characters that the text has, not 'x'"),
    ],
)
def test_texts_that_cannot_be_learnt(content, args, words, tmp_path):
    (tmp_path / "t.txt").write_bytes(content)
    with pytest.raises(sn.ScratchnetError, match=words):
        train.main(["chars", "--text", "t.txt", *args])
    assert not (tmp_path / "runs").exists()


def test_chars_without_a_text_learns_sonnets(tmp_path, capsys):
    assert (
        train.main(["chars", "--epochs", "1", "--hidden", "8", "--sample", "20", "--no-plots", "--threads", "1"]) == 0
    )
    m = metrics(tmp_path / "runs" / "chars-small")
    assert m["dataset"] == "sonnets" and 15_000 < m["characters"] < 20_000 and len(m["sample"]) == 20
    assert "batches of 8" in capsys.readouterr().out
    assert chars.usual_preset(["--text", "t.txt"]) == chars.usual_preset(["--text=t.txt"]) == "default"


def test_the_sonnets_are_whole():
    poems = chars.read_text(chars.SONNETS).rstrip("\n").split("\n\n")
    assert len(poems) == 28 and all(len(poem.splitlines()) == 14 for poem in poems)


def test_a_text_that_is_not_there():
    with pytest.raises(sn.DataError, match=r"no-such-file.txt: cannot be read"):
        train.main(["chars", "--text", "no-such-file.txt"])
