"""The README's Python runs as it stands there."""

import re

import pytest

from tests.places import ROOT

BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)


def test_the_librarys_section_runs_from_top_to_bottom(tmp_path, monkeypatch, capsys):
    pytest.importorskip("sklearn", reason="scikit-learn, of the extra `sklearn`, is not installed")
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    assert len(BLOCKS) >= 2
    for block in BLOCKS:
        exec(compile(block, "README.md", "exec"), names)
    assert names["history"].last["train_loss"] < 0.3
    assert (tmp_path / "xor.safetensors").exists()
    assert "parameters" in capsys.readouterr().out
