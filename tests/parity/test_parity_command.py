"""The command line of the proof: its exit codes, its file of rows, its help."""

import json
import subprocess
import sys

import pytest

pytest.importorskip("torch", reason="PyTorch is what networks are compared with")

import parity.__main__ as command
import parity.mutants
from parity import report
from scratchnet import SGD, SettingError
from scratchnet.engine.learner import Learner
from tests.places import ROOT


def test_rows_go_to_a_file(tmp_path, capsys) -> None:
    path = tmp_path / "rows.json"
    assert command.main(["--network", "parity/narrow", "--steps", "3", "--json", str(path)]) == 0
    rows = json.loads(path.read_text())
    assert len(rows) == 9 and all(row["ok"] and row["error"] <= row["tolerance"] for row in rows)
    assert {row["dtype"] for row in rows} == {"float64", "float32"}
    assert "all 9 rows are within tolerance" in capsys.readouterr().out


def test_exit_code_1_if_anything_exceeds_its_tolerance(monkeypatch, capsys) -> None:
    class Wrong(SGD):
        def _descend(self) -> None:
            super()._descend()
            self.w *= 1 - 1e-7

    monkeypatch.setitem(report.OPTIMISERS, "SGD", Wrong)
    assert command.main(["--network", "parity/narrow", "--steps", "3", "--dtype", "float64"]) == 1
    out = capsys.readouterr().out
    assert "FAIL" in out and "1 of 5 rows exceed their tolerance" in out


@pytest.mark.parametrize(
    ("args", "message"),
    [(["--steps", "0"], "--steps must be a number from 1"), (["--network", "none"], "there is no network 'none'"),
     (["--json", "no-such-folder/rows.json"], "there is no folder no-such-folder")],
)  # fmt: skip
def test_wrong_usage(args: list[str], message: str) -> None:
    with pytest.raises(SettingError, match=message) as error:
        command.main(args)
    assert error.value.exit_code == 2


def test_help(capsys) -> None:
    with pytest.raises(SystemExit) as end:
        command.main(["--help"])
    assert not end.value.code and "--json" in capsys.readouterr().out


# ------------------------------------------------------------ as a command

QUICK = ("--network", "parity/narrow", "--steps", "2", "--dtype", "float64")


def parity_process(*args: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "parity", *args]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)


@pytest.mark.slow
def test_process_with_all_right_exits_with_0(tmp_path) -> None:
    path = tmp_path / "rows.json"
    done = parity_process(*QUICK, "--json", str(path))
    assert done.returncode == 0 and done.stderr == ""
    rows = json.loads(path.read_text())
    assert isinstance(rows, list) and len(rows) == 5 and all(isinstance(row, dict) and row["ok"] for row in rows)


def test_a_fault_exits_with_1_and_says_where(tmp_path, monkeypatch, as_command) -> None:
    """∂C/∂b of every Linear is a thousandth too large."""
    path, right = tmp_path / "rows.json", Learner.bias
    monkeypatch.setattr(Learner, "bias", lambda self, b, delta: right(self, b, delta * 1.001))
    done = as_command(command.main, *QUICK, "--json", str(path))
    assert done.returncode == 1 and done.stderr == ""
    assert "exceed their tolerance" in done.stdout and "FAIL" in done.stdout
    bad = [row for row in json.loads(path.read_text()) if not row["ok"]]
    assert {row["what"] for row in bad} >= {"gradient"} and all("bias" in row["where"] for row in bad[:1])
    assert bad[0]["error"] > bad[0]["tolerance"]


@pytest.mark.parametrize(
    ("args", "message"),
    [(("--device", "tpu"), "device"), (("--json", "/proc/rows.json"), "/proc/rows.json"), (("--steps", "two"), "two"),
     (("--network", "none"), "there is no network 'none'"), (("--stepps", "3"), "did you mean --steps?")],
    ids=str,
)  # fmt: skip
def test_a_mistake_exits_with_2_and_one_line(args: tuple[str, ...], message: str, as_command) -> None:
    done = as_command(command.main, *QUICK[:2] if args[0] != "--network" else (), *args)
    assert done.returncode == 2 and message in done.stderr, done
    assert len(done.stderr.splitlines()) == 1 and done.stdout == ""


def test_without_a_gpu_it_exits_with_2_and_one_line(as_command) -> None:
    if command.resolve_device("auto") == "cuda":
        pytest.skip("there is a GPU")
    done = as_command(command.main, *QUICK, "--device", "cuda")
    assert done.returncode == 2 and done.stdout == ""
    assert len(done.stderr.splitlines()) == 1 and "device 'cuda' cannot be used" in done.stderr


@pytest.mark.parametrize(
    ("args", "message"), [(["--module", "none"], "--module none: there are equations, "), (["--jobs", "0"], "from 1")]
)
def test_mistakes_in_the_command_of_planted_faults(args: list[str], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        parity.mutants.main(args)
