"""The day with a GPU, on machines without one: how its parts end, and its report."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from benchmarks import gpu_day, gpu_report, gpu_sections, gpu_steps, hidden_sweep, timing
from benchmarks.gpu_day import Part
from scratchnet.errors import SettingError
from tests.cuda import stub

ROOT = Path(__file__).parents[2]
SAYS = "print('so far')"
HANGS = "import time; print('so far', flush=True); time.sleep(100)"
DIES = "import os; print('so far', flush=True); os.kill(os.getpid(), 9)"
TIMES = {"median": 12.5, "low": 12.0, "high": 13.0}
STEPS = {
    "device": "a device",
    "steps": {"mlp": {"scratchnet cupy": {"host": TIMES, "events": TIMES}, "PyTorch CUDA graph": {"host": TIMES}}},
    "kernels": {
        "mlp": {
            "scratchnet cupy": {
                "how": "in CUDA graphs", "kernels of a step": 6.01, "steps in a launch": 100,
                "times": {"forward, 30 × 224": 3.25},
            }
        }
    },
    "missing": {"PyTorch eager cuda": {"mlp": "no room"}, "JAX jit cuda": {"": "its process ended with code -11"}},
}  # fmt: skip
POINT = {
    "engine": "scratchnet cupy", "device": "cuda", "threads": 1, "hidden": 200, "batch": 1, "floor": 0.0,
    "step": {"median": 1e-5, "low": 1e-5, "high": 2e-5},
}  # fmt: skip
ROWS = {"points": [POINT], "missing": {"JAX jit cuda": "no"}, "environment": {}, "device": "a device and a processor"}
LINE = {
    "network": "mnist/fcn", "dtype": "float64", "device": "cuda", "what": "value", "compared": 4, "error": 1e-15,
    "tolerance": 1e-12, "where": "layer 0", "ok": True,
}  # fmt: skip


def part(code: str) -> Part:
    return Part("something", [sys.executable, "-c", code], 60)


def day(monkeypatch: pytest.MonkeyPatch, out: Path, **codes: str) -> tuple[int, str]:
    """(exit code, report) of a day with these parts."""
    given = {name: part(code) for name, code in codes.items()}
    monkeypatch.setattr(gpu_day, "parts_of", lambda options: given)
    code = gpu_day.main(["--out", str(out)])
    return code, (out / "report.md").read_text()


def test_a_part_that_fails_or_dies_does_not_stop_the_day(monkeypatch, tmp_path):
    tmp_path.joinpath(gpu_steps.FILE).write_text(json.dumps(STEPS))
    code, said = day(monkeypatch, tmp_path, doctor=SAYS, parity=DIES, sweep="raise SystemExit('no rival')", steps=SAYS)
    assert code == 1
    assert "| [doctor](doctor.txt) | something | done |" in said and "## parity: killed by SIGKILL" in said
    assert "| [sweep](sweep.txt) | something | failed with exit code 1 |" in said and "## sweep: failed" in said
    assert "Nothing is here yet of: parity, sweep." in said


def test_what_the_report_says_of_steps(tmp_path):
    tmp_path.joinpath(gpu_steps.FILE).write_text(json.dumps(STEPS))
    said = "\n".join(gpu_sections.steps_of(tmp_path))
    assert "| mlp | 12.5 | 12.5 (12 to 13) | 12.5 (12 to 13) |" in said
    assert "* Not here: PyTorch eager cuda: no room" in said
    assert "* Not here: JAX jit cuda: its process ended with code -11" in said
    assert "| mlp | scratchnet cupy | in CUDA graphs | 6.01 | 1 for 100 steps |" in said
    assert "| mlp | scratchnet cupy | forward, 30 × 224 | 3.25 |" in said
    assert (tmp_path / "steps.png").read_bytes()[:4] == b"\x89PNG"


def test_a_sweep_that_was_stopped_is_reported_as_far_as_it_came(tmp_path):
    tmp_path.joinpath(hidden_sweep.ROWS).write_text(json.dumps(ROWS) + "\n" + json.dumps(ROWS)[:50])
    said = "\n".join(gpu_sections.sweep_of(tmp_path))
    assert "| scratchnet cupy | GPU | 3 |" in said and "| published: GPU, K80 | GPU | 362 |" in said
    assert "| scratchnet cupy | GPU | 10 |" in said  # microseconds
    assert "Not measured here: H = 1000, H = 2000, H = 5000." in said and "Not here: JAX jit cuda: no" in said
    assert (tmp_path / "hidden_sweep-a-device-and-a-processor.png").exists()
    assert "\n".join(gpu_sections.sweep_of(tmp_path)) == said  # and so it stays
    assert "* H = 200: 3 s here, 362 s as published on a K80: 121 times as fast." in gpu_report.in_short(tmp_path)


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        ("..F [ 50%]\n.s", "Until they were stopped: 3 passed, 1 failed, 1 skipped."),
        (".F [100%]\nFAILED tests/test_a.py::test_b - no\n1 failed, 1 passed in 3.20s\n", "1 failed, 1 passed."),
    ],
)
def test_what_the_report_says_of_tests(tmp_path, log, expected):
    tmp_path.joinpath("tests.txt").write_text(log)
    said = gpu_sections.tests_of(tmp_path)
    assert expected in said and ("FAILED" not in log or "* FAILED tests/test_a.py::test_b - no" in said)


def test_what_the_report_says_of_parity(tmp_path):
    wrong = {**LINE, "network": "xor", "error": 1e-3, "ok": False}
    tmp_path.joinpath(gpu_sections.PARITY).write_text(json.dumps([LINE, wrong]))
    tmp_path.joinpath("parity.txt").write_text("")
    said = "\n".join(gpu_sections.parity_of(tmp_path))
    assert "2 networks, 2 comparisons, 1 beyond their tolerance" in said
    assert "| float64 | value | xor | 2 | 8 | 1.0e-03 | 1.0e-12 | 1 |" in said and "* beyond: xor float64" in said


@pytest.mark.slow
def test_a_part_that_hangs_is_stopped_and_what_it_said_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(gpu_day, "GRACE", 1.0)
    outcome = gpu_day.run("tests", part(HANGS), 4, tmp_path)
    assert outcome.how.startswith("stopped after") and outcome.seconds < 60
    gpu_report.write([outcome], {"tests": part(HANGS), "sweep": part(SAYS)}, tmp_path)
    said = (tmp_path / "report.md").read_text()
    assert "```\nso far\n" in said and "| sweep | something | not yet |" in said


@pytest.mark.slow
@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_a_day_that_is_stopped_ends_its_part_and_reports(monkeypatch, tmp_path, capsys, sent):
    if os.name != "posix":
        pytest.skip("signals")
    wait = f"import os, time; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(100)"

    def stop() -> None:
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
            pass
        os.kill(os.getpid(), sent)

    thread = threading.Thread(target=stop)
    thread.start()
    code, said = day(monkeypatch, tmp_path, doctor=SAYS, tests=wait, steps=SAYS)
    thread.join()
    assert code == 130 and "stopped; what was found until then" in capsys.readouterr().out
    assert "stopped, as the whole day" in said and "| steps | something | not yet |" in said
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_nothing_of_a_day_before_passes_for_one_of_today(monkeypatch, tmp_path):
    given = {"steps": Part("something", [sys.executable, "-c", SAYS], 60, (gpu_steps.FILE,))}
    monkeypatch.setattr(gpu_day, "parts_of", lambda options: given)
    for name in ("report.md", gpu_steps.FILE):
        (tmp_path / name).write_text(json.dumps(STEPS))
    assert gpu_day.main(["--out", str(tmp_path)]) == 0
    assert "12.5" not in (tmp_path / "report.md").read_text()


def test_an_engine_that_takes_its_process_down_is_missed_alone(monkeypatch, tmp_path):
    """At the second size; the first one is measured already."""
    rows, asked = tmp_path / "rows", []

    def in_child(module: str, options: dict[str, Any]) -> dict[str, Any]:
        asked.append((options["engines"], options["hidden"]))
        if "bad" in options["engines"]:
            rows.write_text(json.dumps(ROWS))
            raise subprocess.CalledProcessError(-11, "python")
        return {**ROWS, "points": [{**POINT, "hidden": 1000}], "missing": {}}

    monkeypatch.setattr(timing, "in_child", in_child)
    options = {"engines": ["good", "bad"], "hidden": [200, 1000], "rows": str(rows)}
    answers = list(hidden_sweep.measured(options))
    assert asked == [(["good", "bad"], [200, 1000]), (["good"], [1000]), (["bad"], [1000])]
    assert [[p["hidden"] for p in answer["points"]] for answer in answers] == [[200], [1000], []]
    assert answers[-1]["missing"] == {"bad": "its process ended with code -11"}


def test_the_parts_end_within_eight_minutes(tmp_path):
    assert sum(p.seconds for p in gpu_day.parts_of(gpu_day.Options(out=tmp_path)).values()) <= 480


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--parts", "rivals"], "'rivals' is not one of doctor, tests"),
        (["--share", "0"], "--share must be above 0"),
        (["--hidden", "0"], "--hidden must be whole numbers from 1"),
    ],
)
def test_mistakes(tmp_path, options, message):
    with pytest.raises(SettingError, match=message):
        gpu_day.main(["--out", str(tmp_path / "out"), *options])
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_the_day_with_the_stub(tmp_path):
    """Its figures mean nothing; but every process finds the stub, and CuPy computes."""
    why = stub.problem()
    if why is not None:
        pytest.skip(why)
    path = os.pathsep.join([str(ROOT / "tests/cuda/everywhere"), str(ROOT)])
    parts = ["doctor", "tests", "parity", "steps"]
    options = ["--small", "--share", "5", "--hidden", "10", "--parts", *parts]
    command = [sys.executable, "-m", "benchmarks.gpu_day", "--out", tmp_path, *options]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True)
    said = (tmp_path / "report.md").read_text()
    assert done.stderr == "" and done.returncode == 0, said
    assert "A day with stub GPU (host memory)" in said and "A small run" in said
    assert "| 784-10-10, batch 1 |" in said and "--device cuda" in (tmp_path / "doctor.txt").read_text()
    assert "passed" in said and "1 network, 9 comparisons, 0 beyond" in said
    assert "| 784-10-10, batch 1 | scratchnet cupy, in graphs | in CUDA graphs | 6.01 | 1 for 100 steps |" in said
