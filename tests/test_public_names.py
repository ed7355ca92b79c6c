"""One list of public names: for `import scratchnet`, type checkers and pages."""

import importlib
import importlib.util
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import scratchnet as sn
from tests.places import ROOT

PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *(ROOT / "docs").glob("*.md"),
    *(ROOT / "benchmarks").glob("*.md"),
]


def run(*command, cwd=ROOT):
    return subprocess.run(list(map(str, command)), cwd=cwd, capture_output=True, text=True, timeout=300)


def test_every_name_is_there_and_says_where_it_lives():
    assert len(sn.__all__) >= 53 and set(sn.__all__) <= set(dir(sn))
    for name in sn.__all__:
        assert getattr(sn, name).__module__.startswith("scratchnet."), name
    everything = {}
    exec("from scratchnet import *", everything)
    assert set(sn.__all__) <= set(everything)


def test_all_layers_losses_and_optimisers_are_public():
    for room, base in (("layers", "Layer"), ("losses", "Loss"), ("optim", "Optimiser")):
        module = importlib.import_module(f"scratchnet.engine.{room}")
        kind = getattr(module, base)
        own = [c for c in vars(module).values() if isinstance(c, type) and c.__module__.startswith(module.__name__)]
        names = {c.__name__ for c in own if issubclass(c, kind) and not c.__name__.startswith("_")}
        names -= {kind.__name__, "ClassLoss"}  # what the others share
        assert len(names) > 2 and names <= set(sn.__all__), names - set(sn.__all__)


def test_the_first_import_is_light():
    script = "import sys, importlib; before = set(sys.modules); import scratchnet; print(set(sys.modules) - before)"
    assert run(sys.executable, "-c", script).stdout == "{'scratchnet'}\n"


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("Relu", "ReLU"),
        ("Lienar", "Linear"),
        ("crossentropyloss", "CrossEntropyLoss"),
        ("adam", "Adam"),
        ("fitt", "fit"),
    ],
)
def test_a_misspelt_name_is_told_the_right_one(wrong, right):
    with pytest.raises(AttributeError, match=f"no attribute '{wrong}'; did you mean {right}[?]$"):
        getattr(sn, wrong)
    said = run(sys.executable, "-c", f"import scratchnet as sn; sn.{wrong}").stderr
    assert said.endswith(f"; did you mean {right}?\n")  # Python's own suggestion is not appended


def test_a_name_like_no_other_gets_no_suggestion():
    with pytest.raises(AttributeError, match=r"has no attribute 'zzzzzz'$"):
        _ = sn.zzzzzz


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_pages_use_public_names(page):
    used = set(re.findall(r"\bsn\.([A-Za-z_]\w*)", page.read_text(encoding="utf-8")))
    assert used <= set(sn.__all__)


# ------------------------------------------------------------------------ type checkers


@pytest.fixture(scope="module")
def user(tmp_path_factory):
    """A user's program: line n + 2 asks for the type of name n.

    The last misspells one.
    """
    folder = tmp_path_factory.mktemp("user")
    lines = ["import scratchnet as sn", *(f"reveal_type(sn.{name})" for name in sn.__all__), "sn.Relu()", ""]
    (folder / "program.py").write_text("\n".join(lines))
    return folder


def test_they_are_told_that_the_package_has_types():
    assert (ROOT / "scratchnet" / "py.typed").is_file()
    ignored = run(
        "git", "check-ignore", "scratchnet/py.typed", "scratchnet/__init__.pyi"
    )  # what git ignores, hatch omits
    assert ignored.stdout == ""


@pytest.mark.slow
def test_mypy_sees_every_name(user):
    if importlib.util.find_spec("mypy") is None:
        pytest.skip("mypy is not installed")
    (user / "mypy.ini").write_text(f"[mypy]\nmypy_path = {ROOT}\nignore_missing_imports = True\ncache_dir = cache\n")
    lines = run(sys.executable, "-m", "mypy", "program.py", cwd=user).stdout.splitlines()
    revealed = [line for line in lines if "Revealed type" in line]
    assert len(revealed) == len(sn.__all__), lines
    assert not [line for line in revealed if re.search(r'type is "(Any|builtins\.object)', line)]
    assert [line for line in lines if f"program.py:{len(sn.__all__) + 2}: error" in line and "Relu" in line], lines


@pytest.mark.slow
def test_pyright_sees_every_name(user):
    pyright = shutil.which("basedpyright", path=str(Path(sys.executable).parent))
    if pyright is None:
        pytest.skip("basedpyright is not installed")
    settings = {"extraPaths": [str(ROOT)], "typeCheckingMode": "standard", "venvPath": "."}
    (user / "pyrightconfig.json").write_text(json.dumps(settings))
    done = run(pyright, "--outputjson", "--pythonpath", sys.executable, "program.py", cwd=user)
    found = json.loads(done.stdout)["generalDiagnostics"]
    revealed = [d["message"] for d in found if d["message"].startswith("Type of ")]
    assert len(revealed) == len(sn.__all__), found
    assert not [message for message in revealed if re.search(r'is "(Any|Unknown|object)"', message)]
    errors = [d for d in found if d["severity"] == "error"]
    assert [d["range"]["start"]["line"] for d in errors] == [len(sn.__all__) + 1] and "Relu" in errors[0]["message"]
