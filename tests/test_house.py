"""The house keeps its order: no circular imports, and no import upwards.

Imports for type checkers alone do not count; imports inside functions do.
"""

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import scratchnet

ROOT = Path(scratchnet.__file__).parent
#: From the ground up: a room may use those before it, and itself
FLOORS = (
    "ground",
    "backend",
    "files",
    "engine",
    "explaining",
    "exercises",
    "models",
    "data",
    "plots",
    "runs",
    "studies",
    "playing",
    "examining",
    "commands",
)
GROUND = ("__init__", "errors", "cli")  # what every room may use


@cache
def modules() -> dict[str, Path]:
    paths = {path.relative_to(ROOT.parent).with_suffix(""): path for path in sorted(ROOT.rglob("*.py"))}
    return {".".join(name.parts).removesuffix(".__init__"): path for name, path in paths.items()}


def imports(path: Path) -> Iterator[str]:
    """The modules of the package that a file imports, except behind TYPE_CHECKING."""
    known = modules()

    def visit(node: ast.AST) -> Iterator[str]:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for child in node.orelse:
                yield from visit(child)
            return
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.partition(".")[0] == "scratchnet":
            for a in node.names:
                full = f"{node.module}.{a.name}"
                yield full if full in known else node.module
        for child in ast.iter_child_nodes(node):
            yield from visit(child)

    yield from visit(ast.parse(path.read_text(encoding="utf-8")))


def floor(module: str) -> int:
    room, _, rest = module.removeprefix("scratchnet").lstrip(".").partition(".")
    if rest or (ROOT / room).is_dir():
        return FLOORS.index(room) if room else 0
    return 0 if room in GROUND else len(FLOORS) - 1


@cache
def edges() -> list[tuple[str, str]]:
    return sorted({(module, other) for module, path in modules().items() for other in imports(path) if other != module})


def test_no_import_goes_upwards() -> None:
    upward = [f"{a} imports {b}" for a, b in edges() if floor(b) > floor(a)]
    assert not upward, "\n".join(upward)


def test_no_circle() -> None:
    graph: dict[str, set[str]] = {}
    for a, b in edges():
        graph.setdefault(a, set()).add(b)
    list(TopologicalSorter(graph).static_order())  # raises CycleError, which names the circle


def test_the_engine_does_not_name_its_tuned_loops() -> None:
    """kernels/ may be deleted: it hands in its loops, and nobody imports it by name."""
    inside = [f"{a} imports {b}" for a, b in edges()
              if b.startswith("scratchnet.engine.kernels") and not a.startswith("scratchnet.engine.kernels")
              and floor(a) == FLOORS.index("engine")]  # fmt: skip
    assert not inside, "\n".join(inside)
