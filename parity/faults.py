"""Single faults in a function, and checks run with one of them in a process of its own.

A fault is one change in the syntax tree of the function. In backward functions and
updates it is a sign, an operator, an axis, swapped operands, or a transpose or
statement that is dropped. In forward functions it is the cache of the previous call, a
copy that is not made, or one buffer for several layers. The changed function is
compiled and replaces the original.
"""

import ast
import copy
import inspect
import itertools
import os
import re
import signal
import textwrap
from collections.abc import Callable, Iterator, Sequence
from types import FunctionType
from typing import Any

import numpy as np

SWAPS: dict[type, type] = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult}
COMPARISONS: dict[type, type] = {ast.Gt: ast.Lt, ast.Lt: ast.Gt, ast.GtE: ast.Lt, ast.LtE: ast.Gt, ast.Eq: ast.NotEq}
FORWARD = ("forward", "run", "walk", "cell", "joined")  # in layers and walks, for faults in what is kept for backward
EQUIVALENT = {  # what a change says → why it is not a fault
    "at_once >= places[0]": "all rows at once or some at a time: the same numbers, in more or less memory",
    "min(": "the smaller of two does not depend on their order",
    "buffer(self, f'W{k}'": "the joined weights of a layer are used up before the next layer's are written",
    "N == 1": "a copied or as it lies: the same numbers",
    "bp1_error(": "⊙ commutes; the product is written over σ′ instead of ∂C/∂a, and both belong to the layer",
    "row_dots(": "the sum of products of two rows commutes",
    "self.steps % 100": "what is too small to change a weight is then dropped more often",
}
# Seconds of processor time, which a busy machine does not use up: several times what
# the checks of a module take.
TIMEOUT = 20


def mutants(f: FunctionType) -> Iterator[tuple[str, ast.Module]]:
    """Every single fault in a function, with a description."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(f)))
    tree.body[0].decorator_list = []  # type: ignore[attr-defined]
    forward = f.__name__ in FORWARD and f.__module__.startswith(
        ("scratchnet.engine.layers.", "scratchnet.engine.kernels.")
    )
    change = _keep_wrongly if forward else _change
    for k, node in enumerate(ast.walk(tree)):
        for j in itertools.count():
            changed = copy.deepcopy(tree)
            target = next(itertools.islice(ast.walk(changed), k, None))
            if not change(target, j):
                break
            if ast.dump(changed) != ast.dump(tree):
                line = ast.unparse(node).splitlines()[0]
                yield f"{f.__module__}.{f.__qualname__}: {line}  →  {ast.unparse(target).splitlines()[0]}", changed


def _change(node: ast.AST, j: int) -> bool:
    """Make the j-th fault of this node in place; False if there is no such fault."""
    if isinstance(node, ast.BinOp) and type(node.op) in SWAPS and j < 2:
        if j == 0:
            node.op = SWAPS[type(node.op)]()
        else:  # drop the second term
            node.op, node.right = ast.Mult(), ast.Constant(1)
        return True
    if isinstance(node, ast.AugAssign) and type(node.op) in SWAPS and j < 2:
        if j == 0:
            node.op = SWAPS[type(node.op)]()
        else:
            node.op, node.value = ast.Mult(), ast.Constant(1)
        return True
    if isinstance(node, ast.Compare) and type(node.ops[0]) in COMPARISONS and j == 0:
        node.ops[0] = COMPARISONS[type(node.ops[0])]()
        return True
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and j == 0:
        node.op = ast.UAdd()
        return True
    if isinstance(node, ast.Attribute) and node.attr == "T" and j == 0:
        node.attr = "real"  # the array itself
        return True
    if isinstance(node, ast.keyword) and node.arg == "axis" and j == 0:
        node.value = ast.Constant(0 if ast.unparse(node.value) != "0" else 1)
        return True
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and len(node.args) == 2 and j == 0:
        node.args.reverse()
        return True
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and j == 0:
        node.value = ast.Constant(None)
        return True
    return False


def _keep_wrongly(node: ast.AST, j: int) -> bool:
    """The same for a fault in what a function keeps for backward."""
    if isinstance(node, ast.Return) and isinstance(node.value, ast.Tuple) and j == 0:
        *_, cache = node.value.elts
        if isinstance(cache, ast.Constant):
            return False
        node.value.elts[-1] = ast.Call(ast.Name(STALE, ast.Load()), [cache], [])
        return True
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "copy" and j == 0:
        node.func.attr = "view"  # of the same numbers
        return True
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "buffer" and j == 0:
        for name in node.args:
            if isinstance(name, ast.JoinedStr):  # the name of a buffer: leave out its number
                name.values = [v for v in name.values if isinstance(v, ast.Constant)]
                return True
    return False


STALE = "the_cache_of_the_call_before"


def stale() -> Callable[[Any], Any]:
    """A function that returns its previous argument if that had the same shapes.

    Otherwise it returns its present one.
    """
    before: list[Any] = []

    def shapes(cache: Any) -> Any:
        return tuple(map(shapes, cache)) if isinstance(cache, (tuple, list)) else getattr(cache, "shape", None)

    def return_the_one_before(cache: Any) -> Any:
        before.append(cache)
        return before[-2] if len(before) > 1 and shapes(before[-2]) == shapes(cache) else cache

    return return_the_one_before


def plant(f: FunctionType, tree: ast.Module | None, run: Sequence[Callable[[], None]]) -> int:
    """Start the checks with this fault (its number) or with none, in their own process.

    The process exits with 0 if all checks pass.
    """
    pid = os.fork()
    if pid == 0:
        import torch

        torch.set_num_threads(1)  # the parent's threads do not exist here, and OpenMP would wait for them
        signal.signal(signal.SIGPROF, signal.SIG_DFL)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)  # a test runner may have set another handler
        signal.alarm(0)
        signal.setitimer(signal.ITIMER_PROF, TIMEOUT)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        code = 1
        try:
            if tree is not None:
                space: dict[str, FunctionType] = {}
                f.__globals__[STALE] = stale()
                exec(compile(ast.fix_missing_locations(tree), "mutant", "exec"), f.__globals__, space)
                f.__code__ = space[f.__name__].__code__
            with np.errstate(all="ignore"):
                for check in run:
                    check()
            code = 0
        except BaseException:
            code = 1
        finally:
            os._exit(code)
    return pid


def killed(f: FunctionType, tree: ast.Module, run: Sequence[Callable[[], None]]) -> bool:
    """Whether a check fails with this fault."""
    return os.waitpid(plant(f, tree, run), 0)[1] != 0


def equivalent(what: str) -> str:
    """Why a change is not a fault; "" if it is one."""
    before, _, after = what.partition(": ")[2].partition("  →  ")
    if before.startswith("self.steps % 100"):
        return EQUIVALENT["self.steps % 100"]
    if before in ("at_once >= places[0]", "N == 1"):
        return EQUIVALENT[before]
    for start in ("min(", "buffer(self, f'W{k}'"):
        if before.startswith(start) and after.startswith(start.replace("{k}", "")):
            return EQUIVALENT[start]
    swapped = re.match(r"bp1_error\((delta|d[fginorz]), ", before) and after.startswith("bp1_error(")
    if before == "row_dots(D, x_hat)" and after == "row_dots(x_hat, D)":
        return EQUIVALENT["row_dots("]
    return EQUIVALENT["bp1_error("] if swapped else ""
