"""The pictures that explain: their numbers are the engine's, and nothing is cut off."""

import numpy as np
import pytest

from scratchnet.errors import SettingError
from scratchnet.pictures import NAMES, main
from scratchnet.plots import story
from scratchnet.plots.lstm_cell import lstm_step
from tests.plots.figures import laid_out, outside, texts


def test_the_three_ways_down() -> None:
    """Each step multiplies the distance from the bottom by 1 − 2 rate."""
    for (_, rate), end in zip(story.RATES, (0.05, 0.0, 1.0), strict=True):
        way = story.descent(rate) - 1.5
        np.testing.assert_allclose(way, way[0] * (1 - 2 * rate) ** np.arange(len(way)), rtol=1e-9)
        share = abs(way[-1] / way[0])
        assert share > end if end else share < 1e-4  # hardly moved, there, further away
    assert abs(story.descent(0.02)[-1] - 1.5) < 3.1 < abs(story.descent(1.04)[-1] - 1.5)


def test_the_numbers_of_the_lstm_fit_together() -> None:
    n = lstm_step()
    sigma = {name: 1 / (1 + np.exp(-n[f"z_{name}"])) for name in "ifo"}
    for name, value in sigma.items():
        assert n[name] == pytest.approx(value, rel=1e-12)
    assert n["g"] == pytest.approx(np.tanh(n["z_g"]), rel=1e-12)
    assert n["c"] == pytest.approx(n["f"] * n["c_before"] + n["i"] * n["g"], rel=1e-12)
    assert n["h"] == pytest.approx(n["o"] * np.tanh(n["c"]), rel=1e-12)


@pytest.mark.parametrize("name", ["perceptron", "valley", "lstm"])
def test_nothing_reaches_out_of_the_page(name: str) -> None:
    fig = laid_out(story.PICTURES[name]())
    assert outside(fig) == []
    if name == "lstm":
        written = " ".join(text for text, _ in texts(fig))
        n = lstm_step()
        for key in "figo":
            assert f"{key} = {n[key]:.3f}" in written


@pytest.mark.slow
def test_a_network_learns_in_the_first_picture(monkeypatch) -> None:
    seen = story.learn_digits()
    assert seen["accuracies"][0, 1] < 0.3 and seen["accuracies"][-1, 1] > 0.95
    assert len(seen["looks"]) == len(story.LOOKS) and len(seen["losses"]) == story.LOOKS[-1]
    monkeypatch.setattr(story, "learn_digits", lambda: seen)
    assert outside(laid_out(story.learning())) == []


def test_the_command_draws_those_that_are_named(tmp_path, capsys) -> None:
    assert set(NAMES) == set(story.PICTURES)
    assert main(["valley", "network", "--out", str(tmp_path / "new" / "one"), "--format", "svg"]) == 0
    assert sorted(p.name for p in (tmp_path / "new" / "one").iterdir()) == ["network.svg", "valley.svg"]
    assert "valley.svg" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("args", "message"),
    [(["valey"], "no picture 'valey': did you mean valley"), (["--format", "gif"], "--format must be png or svg")],
)
def test_mistakes_of_the_command(args, message, tmp_path) -> None:
    with pytest.raises(SettingError, match=message):
        main([*args, "--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()
