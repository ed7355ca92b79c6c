"""No pickle, eval or extractall anywhere in the package's syntax trees."""

import ast

import pytest

from tests.places import ROOT

PACKAGE = ROOT / "scratchnet"
MODULES = {"pickle", "_pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
CALLS = {"eval", "exec", "compile", "__import__"}
METHODS = {"extractall", "unpack_archive", "urlretrieve"}
NEEDED = {
    # Numba's compiled code can be kept in no other way; that file says from whose
    # folder alone it is read
    "engine/kernels/kept.py": {"pickle"},
    # the learner's own file is run, in a process of its own
    "exercises/child.py": {"exec", "compile"},
    # layers of a network, from a text of the package's own
    "exercises/bugs.py": {"eval"},
}
SHELLS = {"os.system", "os.popen"}


def forbidden(tree):
    """What must not be in the source: (line, what)."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or "", *(alias.name for alias in node.names)]
        elif isinstance(node, ast.Call):
            keywords = {k.arg: getattr(k.value, "value", None) for k in node.keywords}
            if keywords.get("allow_pickle") or keywords.get("verify") is False or keywords.get("shell"):
                yield node.lineno, ast.unparse(node)
            if isinstance(node.func, ast.Name) and node.func.id in CALLS:
                yield node.lineno, node.func.id
            continue
        elif isinstance(node, ast.Attribute) and (node.attr in METHODS or ast.unparse(node) in SHELLS):
            yield node.lineno, ast.unparse(node)
            continue
        elif isinstance(node, ast.Assert):
            yield node.lineno, "assert, which python -O leaves out"
            continue
        else:
            continue
        for name in names:
            if name.split(".")[0] in MODULES or name in METHODS:
                yield node.lineno, name


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_package(path):
    found = list(forbidden(ast.parse(path.read_text(encoding="utf-8"))))
    if "data" not in path.parts:  # elsewhere an assert may state what a programmer relies on
        found = [(line, what) for line, what in found if not what.startswith("assert")]
    needed = NEEDED.get(path.relative_to(PACKAGE).as_posix(), set())
    assert {what for _, what in found} == needed, found


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from pickle import loads",
        "import joblib.externals",
        "eval('1')",
        "exec(text)",
        "archive.extractall('.')",
        "from shutil import unpack_archive",
        "np.load(path, allow_pickle=True)",
        "requests.get(url, verify=False)",
        "os.system('ls')",
        "assert x",
    ],
)
def test_the_test_finds_them(source):
    assert list(forbidden(ast.parse(source)))
