"""`python -m parity.mutants`: plant faults in the engine, which the checks must find.

They are planted one at a time; faults.py says what they are. Here are the functions
that they are planted in, and the checks that must find them.
"""

import ast
import dataclasses
import importlib
import inspect
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from types import FunctionType
from typing import Any

import numpy as np

from parity.faults import FORWARD, TIMEOUT, equivalent, mutants, plant
from scratchnet import GRU, LSTM, SGD, Adam
from scratchnet.backend.threads import blas_threads
from scratchnet.cli import guard, parse
from scratchnet.engine.compiling import installed
from scratchnet.engine.layers.base import Layer
from scratchnet.engine.tuned import hand_in
from scratchnet.errors import SettingError

MODULES = {  # module → names of the functions to plant faults in
    "equations": (), "losses": ("forward",), "learner": ("weight", "bias", "rows"),
    "optim": ("weight", "bias", "rows", "update", "count", "clip_gradient", "decay_weights", "_descend", "_adam"),
    **{f"layers.{name}": ("backward",) for name in ("activation", "augment", "embedding", "linear", "regularise")},
    "layers.norm": ("backward", "row_dot"),
    "layers.conv": ("backward", "correlate", "spread", "overlap"), "layers.window": ("unroll", "fold"),
    "layers.pool": ("backward", "choose", "give_back", "average", "spread", "_first_taps"),
    "layers.recurrent": ("backward", "run_back", "tell", "walk_back", "cell_back", "hold"),
    "layers.lstm": ("cell_back",), "layers.gru": ("cell_back", "tell"),
    "kernels.lstm": ("walk_back",), "kernels.gru": ("walk_back",),
}  # fmt: skip


def functions(module: str) -> Iterator[FunctionType]:
    """The functions of an engine module to plant faults in; of equations, all."""
    names, found = MODULES[module], importlib.import_module(f"scratchnet.engine.{module}")
    if module.startswith(("layers.", "kernels.")):
        names += FORWARD
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


def checks_of(module: str) -> list[Callable[[], None]]:
    """The checks that matter for a module, the quickest first."""
    from tests import checks
    from tests.cases import SPACES
    from tests.engine import test_equations, test_losses, test_optim
    from tests.engine.layers import test_embedding, test_pool, test_recurrent

    if module == "losses":
        large = partial(test_losses.test_large_logits, "float64", 1e4)
        return [large] + [partial(t, loss, shape) for loss in test_losses.LOSSES for shape in test_losses.SHAPES
                for t in (test_losses.test_value_and_delta_are_pytorchs,)]  # fmt: skip
    if module == "optim":
        steps = [partial(test_optim.test_hundred_steps_are_torchs, *c) for c in test_optim.CONFIGURATIONS]
        ends = partial(test_optim.test_no_denormals_where_gradients_have_ended, Adam)
        looked_up = partial(test_embedding.test_training_is_pytorchs, 1, partial(SGD, lr=0.3), None)
        return [test_optim.test_first_steps_by_hand, *steps, ends, looked_up]
    from scratchnet.engine import layers

    # layers that use its windows, and layers whose walk is tuned in kernels
    home = "layers.conv" if module == "layers.window" else module.replace("kernels.", "layers.")
    # layers of the module itself and those that inherit from them; for equations and
    # learner, every layer
    ours = [s for s in SPACES if not home.startswith("layers.")
            or any(c.__module__ == f"scratchnet.engine.{home}" for c in getattr(layers, s.layer).__mro__)]  # fmt: skip
    cases = [case for space in ours for case in space.sample(8 if home.startswith("layers.") else 2)]
    wanted = (
        checks.agrees_with_torch,
        checks.moves_running_values,
        checks.gives_no_dx_where_nobody_reads_it,
        checks.takes_any_memory_order,
        checks.takes_sequences_that_end,
        checks.keeps_nothing,
        *([checks.treats_nan_as_torch] if home in ("layers.pool", "layers.activation") else []),
    )
    padded = [partial(whatever_buffers_hold, layers.Conv2d(2, 3, 3, padding=p), (2, 5, 6)) for p in ((1, 0), (0, 1))]
    gaps = [
        partial(whatever_buffers_hold, pool(2, stride=3), (2, 7, 8)) for pool in (layers.MaxPool2d, layers.AvgPool2d)
    ]
    if home == "layers.conv":
        return [*padded, *(partial(how, check, case) for check in wanted for case in cases
                for how in (at_once, in_parts))]  # fmt: skip
    first: list[Callable[[], None]] = []
    special: list[Callable[[], None]] = []
    if home == "layers.pool":
        special = [partial(test_pool.test_special_numbers_choose_and_get_what_they_do_in_pytorch, *c, "float64")
                   for c in test_pool.CHOICES] + gaps  # fmt: skip
    if home in ("layers.recurrent", "layers.lstm", "layers.gru"):
        kinds = ("RNN", "LSTM", "GRU") if home == "layers.recurrent" else (home.removeprefix("layers.").upper(),)
        special = [partial(test_recurrent.test_nan_and_infinity_spread_as_in_packed_sequences_of_pytorch, *c, "float64")
                   for c in test_recurrent.SPREADING if c[0] in kinds]  # fmt: skip
        special += [
            partial(test, kind)
            for kind in kinds
            for test in (
                test_recurrent.test_a_carried_state_is_the_users_own,
                test_recurrent.test_gradient_of_the_initial_state,
            )
        ]
        if module == home:
            first = [walk_as_the_layers_say]
    if module == "kernels.lstm" and installed():
        from tests.engine.kernels import test_compiled_parts

        special.append(partial(test_compiled_parts.test_the_walks_of_an_lstm, "last", 5, 7, 2, "float64", 1e-13))
    book = [partial(test_equations.test_each_equation_element_by_element, 3)] if module == "equations" else []
    return [*first, *book, *(partial(check, case) for check in wanted for case in cases), *special]


def walk_as_the_layers_say() -> None:
    """Checks nothing, but switches off the tuned walks for the checks that follow."""
    import scratchnet.engine.kernels  # noqa: F401 - it hands in its walks once, when it is imported

    for kind in (LSTM, GRU):
        hand_in(kind, kind)


def at_once(check: Callable[[Any], None], case: Any) -> None:
    check(case)


def in_parts(check: Callable[[Any], None], case: Any) -> None:
    """The check with so little memory for convolutions that they go row by row."""
    from scratchnet.engine.layers import conv

    limits = conv.LIMIT, conv.LIMIT_AT_INFERENCE
    conv.LIMIT = conv.LIMIT_AT_INFERENCE = 1
    try:
        check(case)
    finally:
        conv.LIMIT, conv.LIMIT_AT_INFERENCE = limits


def whatever_buffers_hold(layer: Layer, shape: tuple[int, ...]) -> None:
    """A second step, whose buffers hold NaN at first, must give what the first gave."""
    from scratchnet.engine.layers import Sequential
    from scratchnet.engine.learner import Learner

    rng, learn, found = np.random.default_rng(0), Learner(), []
    layer = Sequential(layer, dtype="float64").layers[0]
    x = rng.normal(size=(*shape, 4))
    delta = rng.normal(size=(*layer.output_shape(shape), 4))
    for _ in range(2):
        y, cache = layer.forward(x.copy(), learn)
        found.append((y.copy(), layer.backward(delta.copy(), cache, learn, True).copy()))
        for kept in learn._buffers.values():
            kept.fill(np.nan)
    for first, second in zip(*found, strict=True):
        assert np.array_equal(first, second)


@dataclasses.dataclass(frozen=True)
class Options:
    """Plant faults in the engine, one at a time, and see that checks find each of them.

    Exit code 1 if one survives.
    """

    module: tuple[str, ...] = ()
    """Only these modules, such as losses or layers.conv; by default all of them."""
    jobs: int = 1
    """Number of faults tried at the same time."""


def main(args: Sequence[str]) -> int:
    options = parse(Options, args, "python -m parity.mutants")
    names = {m: m.removeprefix("layers.") for m in MODULES}
    for name in options.module:
        if name not in names and name not in names.values():
            raise SettingError(f"--module {name}: there are {', '.join(names)}")
    if options.jobs < 1:
        raise SettingError(f"--jobs must be a number from 1, not {options.jobs}")
    chosen = [m for m, short in names.items() if not options.module or {m, short} & {*options.module}]
    start, survivors, total, none, endless = time.perf_counter(), [], 0, 0, 0
    running: dict[int, tuple[str, bool]] = {}

    def wait_for_one() -> None:
        pid, status = os.wait()
        nonlocal endless
        what, fault = running.pop(pid)
        if os.WIFSIGNALED(status) and fault:
            endless += 1
            print(f"ended     {what}: the checks came to no end in {TIMEOUT} s, or the process died", flush=True)
        if fault == (status == 0):
            survivors.append(what)
            print(f"{'survived  ' if fault else 'the checks fail without a fault: '}{what}", flush=True)

    def start_one(what: str, f: FunctionType, tree: ast.Module | None, run: Sequence[Callable[[], None]]) -> None:
        running[plant(f, tree, run)] = what, tree is not None
        if len(running) == options.jobs:
            wait_for_one()

    with blas_threads(1):
        for module in chosen:
            run, before = checks_of(module), total
            start_one(module, next(functions(module)), None, run)
            for f in functions(module):
                for what, tree in mutants(f):
                    reason = equivalent(what)
                    if reason:
                        none += 1
                        print(f"no fault  {what}: {reason}", flush=True)
                        continue
                    total += 1
                    start_one(what, f, tree, run)
            print(f"{module}: {total - before} faults, {len(run)} checks", flush=True)
        while running:
            wait_for_one()
    seconds = time.perf_counter() - start
    print(f"{total - len(survivors)} of {total} faults found ({endless} because the checks came to no end), "
          f"{len(survivors)} survived; {none} changes are no faults; {seconds:.0f} s")  # fmt: skip
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.path.insert(0, os.getcwd())
    guard(main)
