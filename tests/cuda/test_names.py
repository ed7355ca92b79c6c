"""CuPy's names and keywords that the package uses: the installed CuPy has them.

It imports without a driver, so this needs neither a GPU nor the stub. It also sees the
lines that no test runs.
"""

import ast
import inspect
from pathlib import Path

import pytest

import scratchnet


@pytest.fixture(scope="module")
def real():
    """The installed CuPy."""
    return pytest.importorskip("cupy", reason="CuPy is not installed")


def uses():
    """(where, dotted name, call or None) for every CuPy name that scratchnet uses.

    These are `xp.name`, `self.xp.name` and `xp_of(...).name`.
    """
    root = Path(scratchnet.__file__).parent

    def is_module(node):
        if isinstance(node, ast.Call):
            return isinstance(node.func, ast.Name) and node.func.id == "xp_of"
        return (isinstance(node, ast.Name) and node.id == "xp") or (
            isinstance(node, ast.Attribute) and node.attr == "xp"
        )

    def dotted(node):
        if is_module(node):
            return ()
        above = dotted(node.value) if isinstance(node, ast.Attribute) else None
        return None if above is None else (*above, node.attr)

    for path in sorted(root.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        inner = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        calls = {id(node.func): node for node in ast.walk(tree) if isinstance(node, ast.Call)}
        for node in ast.walk(tree):
            name = dotted(node) if isinstance(node, ast.Attribute) and id(node) not in inner else None
            if name:
                yield f"{path.relative_to(root)}:{node.lineno}", ".".join(name), calls.get(id(node))


OF_PYTHON = {"__name__"}  # attributes that every module has


def test_cupy_has_every_name_and_keyword_that_is_used(real):
    found, wrong = 0, []
    for where, name, call in uses():
        found += 1
        try:
            function = real
            for part in name.split("."):
                function = getattr(function, part)
        except AttributeError:
            wrong.append(f"{where}: CuPy has no {name}")
            continue
        if call is None or name in OF_PYTHON:
            continue
        keywords = {k.arg for k in call.keywords if k.arg}
        if isinstance(function, real.ufunc):
            if keywords - {"out", "dtype", "casting"}:
                wrong.append(f"{where}: {name} of CuPy has no {', '.join(sorted(keywords))}")
            continue
        try:
            signature = inspect.signature(function)
        except (TypeError, ValueError):  # compiled without a signature
            continue
        spread = any(isinstance(a, ast.Starred) for a in call.args) or any(k.arg is None for k in call.keywords)
        bind = signature.bind_partial if spread else signature.bind
        try:
            bind(*[a for a in call.args if not isinstance(a, ast.Starred)], **dict.fromkeys(keywords))
        except TypeError as e:
            wrong.append(f"{where}: {name} of CuPy: {e}")
    assert found > 60 and not wrong, "\n".join(wrong)
