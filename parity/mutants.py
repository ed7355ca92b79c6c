"""`python -m parity.mutants`: plant faults in the engine, one at a time, and see that the checks find each of them.

A fault is one change in the syntax tree of one function: a sign, an operator, an axis, operands swapped, a transpose or
a statement dropped. It is compiled and put in place of the function's code in a process of its own.
"""

import ast
import copy
import importlib
import inspect
import itertools
import os
import signal
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from types import FunctionType
from typing import Any

import numpy as np

from scratchnet.cli import guard

SWAPS: dict[type, type] = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult}
COMPARISONS: dict[type, type] = {ast.Gt: ast.Lt, ast.Lt: ast.Gt, ast.GtE: ast.Lt, ast.LtE: ast.Gt, ast.Eq: ast.NotEq}
MODULES = {  # module → names of the functions to plant faults in
    "equations": (), "losses": ("forward",), "learner": ("weight", "bias"),
    "optim": ("weight", "bias", "update", "_clip", "_descend", "_learn", "_adam"),
    **{f"layers.{name}": ("backward",) for name in ("activation", "linear", "regularise")},
    "layers.norm": ("backward", "row_dot"),
    "layers.conv": ("backward", "correlate", "spread", "overlap"), "layers.window": ("unroll", "fold"),
    "layers.pool": ("backward", "choose"), "layers.recurrent": ("backward", "run_back", "tell", "walk_back"),
    "layers.lstm": ("walk_back",), "layers.gru": ("walk_back", "tell"),
}  # fmt: skip
EQUIVALENT = {  # what a fault says → why it is none
    "at_once >= places[0]": "all rows at once or some at a time: the same numbers, in more or less memory",
    "best(y, tap, out=y)": "the larger, smaller or middle of two does not depend on their order",
    "bp1_error(": "⊙ commutes; the product is written over σ′ instead of δ, and both belong to the layer",
    "row_dot(": "the sum of products of two rows commutes",
    "self.steps % 100": "what is too small to change a weight is then dropped more often",
}
TIMEOUT = 20  # seconds; a fault that makes a check run for ever is found


def functions(module: str) -> Iterator[FunctionType]:
    """The functions of a module of the engine to plant faults in; of equations, all."""
    names, found = MODULES[module], importlib.import_module(f"scratchnet.{module}")
    owners = [found, *(v for v in vars(found).values() if inspect.isclass(v) and v.__module__ == found.__name__)]
    for owner in owners:
        for name, f in vars(owner).items():
            if (
                inspect.isfunction(f)
                and f.__module__ == found.__name__
                and not f.__closure__
                and (not names or name in names)
            ):
                yield f


def mutants(f: FunctionType) -> Iterator[tuple[str, ast.Module]]:
    """Every single fault in a function, with what it does."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(f)))
    tree.body[0].decorator_list = []  # type: ignore[attr-defined]
    for k, node in enumerate(ast.walk(tree)):
        for j in itertools.count():
            changed = copy.deepcopy(tree)
            target = next(itertools.islice(ast.walk(changed), k, None))
            if not _change(target, j):
                break
            if ast.dump(changed) != ast.dump(tree):
                line = ast.unparse(node).splitlines()[0]
                yield f"{f.__module__}.{f.__qualname__}: {line}  →  {ast.unparse(target).splitlines()[0]}", changed


def _change(node: ast.AST, j: int) -> bool:
    """Make the j-th fault of this node in place; False if there is none."""
    if isinstance(node, ast.BinOp) and type(node.op) in SWAPS and j < 2:
        if j == 0:
            node.op = SWAPS[type(node.op)]()
        else:  # the second term dropped
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


def checks_of(module: str) -> list[Callable[[], None]]:
    """The checks that matter for a module, the quickest first."""
    from functools import partial

    from tests import checks, test_equations, test_losses, test_optim
    from tests.cases import SPACES

    if module == "losses":
        large = partial(test_losses.test_large_logits, "float64", 1e4)
        return [large] + [partial(t, loss, shape) for loss in test_losses.LOSSES for shape in test_losses.SHAPES
                for t in (test_losses.test_value_and_delta_are_pytorchs,)]  # fmt: skip
    if module == "optim":
        steps = [partial(test_optim.test_hundred_steps_are_torchs, *c) for c in test_optim.CONFIGURATIONS]
        return [test_optim.test_first_steps_by_hand, *steps]
    from scratchnet import layers

    home = "layers.conv" if module == "layers.window" else module  # whose windows they are
    # a layer of the module itself, and those that inherit from it; of equations and learner, every layer
    ours = [s for s in SPACES if not module.startswith("layers.")
            or any(c.__module__ == f"scratchnet.{home}" for c in getattr(layers, s.layer).__mro__)]  # fmt: skip
    cases = [case for space in ours for case in space.sample(8)]
    wanted = (
        checks.agrees_with_torch,
        checks.moves_running_values,
        checks.gives_no_dx_where_nobody_reads_it,
        checks.takes_any_memory_order,
        checks.takes_sequences_that_end,
    )
    if home == "layers.conv":
        return [pads_rows_alone, *(partial(how, check, case) for check in wanted for case in cases
                for how in (at_once, in_parts))]  # fmt: skip
    book = [partial(test_equations.test_each_equation_element_by_element, 3)] if module == "equations" else []
    return [*book, *(partial(check, case) for check in wanted for case in cases)]


def at_once(check: Callable[[Any], None], case: Any) -> None:
    check(case)


def in_parts(check: Callable[[Any], None], case: Any) -> None:
    """The check with so little memory for a convolution that it goes row by row."""
    from scratchnet.layers import conv

    limits = conv.LIMIT, conv.LIMIT_AT_INFERENCE
    conv.LIMIT = conv.LIMIT_AT_INFERENCE = 1
    try:
        check(case)
    finally:
        conv.LIMIT, conv.LIMIT_AT_INFERENCE = limits


def pads_rows_alone() -> None:
    """Padding above and below only, in a buffer that was used before, is zeros."""
    import torch

    from scratchnet.layers import Conv2d, Sequential
    from scratchnet.learner import Learner

    net, learn = Sequential(Conv2d(2, 3, 3, padding=(1, 0)), dtype="float64"), Learner()
    x = np.random.default_rng(0).normal(size=(4, 2, 5, 6))
    columns = np.ascontiguousarray(np.moveaxis(x, 0, -1))
    net.forward(columns, learn)
    for kept in learn._buffers.values():
        kept.fill(np.nan)
    y, _ = net.forward(columns, learn)
    W, b = (torch.from_numpy(a) for a in net.state_dict().values())
    expected = torch.nn.functional.conv2d(torch.from_numpy(x), W, b, padding=(1, 0)).numpy()
    assert np.abs(np.moveaxis(y, -1, 0) - expected).max() < 1e-12


def killed(f: FunctionType, tree: ast.Module, run: Sequence[Callable[[], None]]) -> bool:
    """Whether a check fails with this fault, in a process of its own."""
    pid = os.fork()
    if pid == 0:
        signal.alarm(TIMEOUT)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        code = 1
        try:
            space: dict[str, FunctionType] = {}
            exec(compile(tree, "mutant", "exec"), f.__globals__, space)
            f.__code__ = space[f.__name__].__code__
            with np.errstate(all="ignore"):
                for check in run:
                    check()
            code = 0
        except BaseException:
            code = 1
        finally:
            os._exit(code)
    return os.waitpid(pid, 0)[1] != 0


def equivalent(what: str) -> str:
    """Why a change is no fault; "" if it is one."""
    before, _, after = what.partition(": ")[2].partition("  →  ")
    if before.startswith("self.steps % 100"):
        return EQUIVALENT["self.steps % 100"]
    if before in ("at_once >= places[0]", "best(y, tap, out=y)"):
        return EQUIVALENT[before]
    swapped = before.startswith("bp1_error(delta, ") and after.startswith("bp1_error(") and after.endswith(", delta)")
    if before == "row_dot(D, x_hat)" and after == "row_dot(x_hat, D)":
        return EQUIVALENT["row_dot("]
    return EQUIVALENT["bp1_error("] if swapped else ""


def main(args: Sequence[str]) -> int:
    modules = [m for m in MODULES if not args or m in args or m.removeprefix("layers.") in args]
    survivors, total = [], 0
    for module in modules:
        run = checks_of(module)
        for check in run:
            check()  # all is well without a fault
        for f in functions(module):
            for what, tree in mutants(f):
                total += 1
                reason = equivalent(what)
                if reason:
                    print(f"no fault  {what}: {reason}", flush=True)
                    total -= 1
                elif not killed(f, tree, run):
                    survivors.append(what)
                    print(f"survived  {what}", flush=True)
    print(f"{total - len(survivors)} of {total} faults found")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.path.insert(0, os.getcwd())
    guard(main)
