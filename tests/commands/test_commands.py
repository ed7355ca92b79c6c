"""`python -m scratchnet` lists the commands, and runs one as its own module does."""

import subprocess
import sys
import tomllib

import pytest

from scratchnet.__main__ import COMMANDS
from tests.places import ROOT
from tests.profiles import quick_first


def run(*args, cwd=ROOT):
    done = subprocess.run(
        [sys.executable, "-m", *args], cwd=cwd, capture_output=True, text=True, encoding="utf-8", timeout=120
    )
    return done.returncode, done.stdout, done.stderr


def test_all_commands_are_listed():
    files = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "scratchnet").glob("*.py")}
    commands = {name for name, text in files.items() if "\nif __name__ == " in text} - {"__main__"}
    commands |= {path.parent.name for path in (ROOT / "scratchnet").glob("*/__main__.py")}
    assert set(COMMANDS) == commands
    code, out, err = run("scratchnet")
    assert (code, err) == (0, "") and out == run("scratchnet", "--help")[1]
    listed = [line.split(maxsplit=1) for line in out.splitlines() if line.startswith("  ")]
    assert listed[: len(COMMANDS)] == [[name, about] for name, about in COMMANDS.items()]


@pytest.mark.parametrize(
    "args",
    quick_first(
        [
            ["train", "mnist", "--hiddn", "3"],
            ["shapes", "conv", "--size", "6", "--kernel", "2"],
            ["train"],
            ["train", "mnits"],
            ["predict"],
        ],
        1,
    ),
)
def test_a_command_is_the_module_of_that_name(args):
    assert run("scratchnet", *args) == run(f"scratchnet.{args[0]}", *args[1:])


def test_an_unknown_command_is_one_line():
    code, out, err = run("scratchnet", "trian")
    assert code == 2 and out == "" and err.count("\n") == 1 and "did you mean train?" in err


@pytest.mark.slow
def test_a_search_in_processes_of_its_own(tmp_path):
    """The processes find their main module again."""
    args = ["train", "iris", "--search", "hidden=2,3", "--epochs", "2", "--folds", "2", "--no-plots"]
    code, _, err = run("scratchnet", *args, "--out", str(tmp_path / "runs"))
    assert code == 0, err


def test_the_command_scratchnet_is_installed():
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    assert scripts == {"scratchnet": "scratchnet.__main__:console"}
