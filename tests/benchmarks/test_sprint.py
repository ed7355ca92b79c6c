"""The sprint: three engines train the same network; words and numbers of the report."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from benchmarks import sprint
from benchmarks.sprint import Curve
from scratchnet.studies import mnist
from tests.profiles import quick_first

MODULES = {"pytorch": "torch", "jax_": "jax"}


@pytest.mark.parametrize("rival", quick_first(MODULES, 1))
@pytest.mark.slow
def test_every_engine_trains_the_same_network(rival: str) -> None:
    if importlib.util.find_spec(MODULES[rival]) is None:
        pytest.skip(f"{MODULES[rival]} is not installed")
    rng = np.random.default_rng(0)
    batches = [(rng.random((8, 1, 28, 28), dtype=np.float32), rng.integers(0, 10, 8)) for _ in range(3)]
    answers = []
    for engine in (sprint.ours, getattr(sprint, rival)):
        step, predict = engine(mnist.network(mnist.PRESETS["sprint"]), [batches[0][0]], batches[0][1])
        before = np.array(predict(batches[0][0]))
        for x, t in batches:
            step(x, t, 0.001)
        answers.append((before, np.array(predict(batches[0][0]))))
    assert np.abs(answers[0][1] - answers[0][0]).max() > 0.1
    np.testing.assert_allclose(answers[0][0], answers[1][0], atol=1e-5)
    np.testing.assert_allclose(answers[0][1], answers[1][1], atol=1e-2)


def test_report(tmp_path: Path) -> None:
    curves = [
        Curve("scratchnet", 0, [1.0, 2.0, 3.0], [97.5, 98.2, 99.1]),
        Curve("scratchnet", 1, [1.0, 2.0, 3.0], [96.0, 98.0, 98.9]),
        Curve("JAX", 0, [2.0, 4.0, 6.0], [90.0, 95.0, 96.0]),
    ]
    assert curves[0].until(98) == 2.0 and curves[1].until(99) is None
    table = sprint.table(curves)
    assert "| scratchnet | 1.50 s | 2.00 s | 3.00 s (1 of 2) | 3.00 s | 99.00 % |" in table
    assert "| JAX | – | – | – | 6.00 s | 96.00 % |" in table
    sprint.draw(curves, "a processor", tmp_path / "sprint.png")
    assert (tmp_path / "sprint.png").stat().st_size > 10_000
