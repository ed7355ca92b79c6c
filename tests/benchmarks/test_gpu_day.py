"""The day with a GPU, on machines without one: how its parts end, and its report."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import gpu_day
from benchmarks.gpu_day import Part
from scratchnet.errors import SettingError
from tests.cuda import stub

ROOT = Path(__file__).parents[2]
SAYS, HANGS = "print('so far')", "import time; print('so far', flush=True); time.sleep(100)"
STEPS = '{"device": "a device", "missing": {"cnn": "no"}, "steps": {"mlp": {"events": %s, "host": %s}}}' % (
    ('{"median": 12.5, "low": 12, "high": 13}',) * 2
)


def part(code: str) -> Part:
    return Part("something", [sys.executable, "-c", code], 60)


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> dict[str, Part]:
    given = {"doctor": part(SAYS), "sweep": part("raise SystemExit('no rival')"), "steps": part(SAYS)}
    monkeypatch.setattr(gpu_day, "parts_of", lambda options: given)
    return given


def test_a_part_that_fails_does_not_stop_the_day(parts, tmp_path, capsys):
    tmp_path.joinpath("steps.json").write_text(STEPS)
    assert gpu_day.main(["--out", str(tmp_path)]) == 1
    said = (tmp_path / "report.md").read_text()
    assert "| [doctor](doctor.txt) | something | done |" in said
    assert "| [sweep](sweep.txt) | something | failed with exit code 1 |" in said and "## sweep: failed" in said
    assert "A day with a device" in said and "| mlp | 12.5 (12.0 to 13.0) | 12.5 (12.0 to 13.0) |" in said
    assert "* Not here: cnn: no" in said and (tmp_path / "steps.png").read_bytes()[:4] == b"\x89PNG"
    assert "wrote" in capsys.readouterr().out


def test_a_part_that_hangs_is_stopped_and_what_it_said_is_kept(tmp_path):
    outcome = gpu_day.run("tests", part(HANGS), 3, tmp_path)
    assert outcome.how == "stopped after 3 s" and outcome.seconds < 60
    gpu_day.report([outcome], {"tests": part(HANGS), "sweep": part(SAYS)}, tmp_path)
    said = (tmp_path / "report.md").read_text()
    assert "```\nso far\n```" in said and "| sweep | something | not yet |" in said


def test_the_parts_end_within_eight_minutes(tmp_path):
    assert sum(p.seconds for p in gpu_day.parts_of(gpu_day.Options(out=tmp_path)).values()) <= 480


def test_an_unknown_part(tmp_path):
    with pytest.raises(SettingError, match="'rivals' is not one of doctor, tests"):
        gpu_day.main(["--out", str(tmp_path / "out"), "--parts", "rivals"])
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_the_day_with_the_stub(tmp_path):
    """Its figures mean nothing; but every process finds the stub, and CuPy computes."""
    why = stub.problem()
    if why is not None:
        pytest.skip(why)
    path = os.pathsep.join([str(ROOT / "tests/cuda/everywhere"), str(ROOT)])
    command = [
        sys.executable,
        "-m",
        "benchmarks.gpu_day",
        "--out",
        tmp_path,
        "--hidden",
        "10",
        "--parts",
        "doctor",
        "steps",
    ]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True)
    said = (tmp_path / "report.md").read_text()
    assert done.stderr == "" and "A day with stub GPU (host memory)" in said, said
    assert "| 784-10-10, batch 1 |" in said and "--device cuda" in (tmp_path / "doctor.txt").read_text()
