"""Install commands: each message names one that is right where it is printed."""

import os
import re
import shutil
import subprocess
import sys
import tomllib

import pytest

from scratchnet import errors
from tests.places import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def command(package, folder):
    """What the copy of the package prints in the folder."""
    code = "from scratchnet.errors import install_command; print(install_command('onnx'))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=os.environ | {"PYTHONPATH": str(package)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.strip().replace('"', "'")


def test_the_command_is_right_where_it_is_printed(tmp_path):
    clone, elsewhere = tmp_path / "my clone", tmp_path / "elsewhere"
    elsewhere.mkdir()
    for folder in (clone, tmp_path / "site-packages", tmp_path / "vendored"):
        (folder / "scratchnet").mkdir(parents=True)
        for name in ("__init__.py", "__init__.pyi", "errors.py"):
            shutil.copy(ROOT / "scratchnet" / name, folder / "scratchnet")
    shutil.copy(ROOT / "pyproject.toml", clone)
    (tmp_path / "vendored" / "pyproject.toml").write_text('[project]\nname = "a-project-of-the-user"\n')
    assert command(clone, clone) == "pip install '.[onnx]'"
    assert command(clone, elsewhere) == f"pip install '{clone}[onnx]'"
    assert command(tmp_path / "site-packages", elsewhere) == "pip install 'scratchnet-engine[onnx]'"
    assert command(tmp_path / "vendored", tmp_path / "vendored") == "pip install 'scratchnet-engine[onnx]'"


def test_the_name_of_the_distribution():
    assert PROJECT["name"] == errors.DISTRIBUTION == "scratchnet-engine"


TEXTS = [
    *(
        path
        for folder in ("scratchnet", "docs", "benchmarks", "parity")
        for path in (ROOT / folder).rglob("*.[pm][yd]")
    ),
    *ROOT.glob("*.md"),
    ROOT / "pyproject.toml",
    ROOT / ".ci" / "run",
]


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_installs_the_package_of_that_name_of_others(path):
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"\bscratchnet\[[a-z]|pip3? install\b[^&|;`\n]*\bscratchnet\b(?!-engine|/)", text)


def test_every_extra_that_a_message_names_exists():
    sources = " ".join(path.read_text(encoding="utf-8") for path in (ROOT / "scratchnet").rglob("*.py"))
    named = set(re.findall(r"install_command\([\"'](\w+)[\"']\)", sources))
    assert {"onnx", "hdf5", "mpi", "cluster", "text", "cuda12"} <= named <= set(PROJECT["optional-dependencies"])
