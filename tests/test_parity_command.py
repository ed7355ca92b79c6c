"""The command line of the proof: its exit codes, its file of rows, its help."""

import json

import pytest

pytest.importorskip("torch", reason="PyTorch is what networks are compared with")

import parity.__main__ as command
from parity import report
from scratchnet import SGD, SettingError


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
