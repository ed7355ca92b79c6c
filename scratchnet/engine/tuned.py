"""The place where hand-tuned code is registered in place of readable code.

The engine can run on its readable code alone. The folder `engine/kernels` registers
faster code that gives the same numbers; nothing else in the engine needs to know it.
"""

import functools
import importlib
import importlib.util
from typing import Any

_tuned: dict[object, Any] = {}
_loops: dict[type, Any] = {}
_kernels: dict[type, Any] = {}


def hand_in(readable: object, tuned: Any) -> None:
    """From now on `best(readable)` is `tuned`."""
    _tuned[readable] = tuned


def hand_in_loops(layers: tuple[type, ...], module: Any) -> None:
    """From now on `in_loops` is `module` for layers of exactly these classes."""
    _loops.update(dict.fromkeys(layers, module))


def best(readable: Any) -> Any:
    """What has been registered in place of `readable`, or `readable` itself."""
    _ask("scratchnet.engine.kernels")
    return _tuned.get(readable, readable)


def hand_in_kernels(kinds: tuple[type, ...], module: Any) -> None:
    """From now on `in_kernels` is `module` for layers and losses of these classes."""
    _kernels.update(dict.fromkeys(kinds, module))


def in_kernels(one: Any) -> Any:
    """Who does the work of a layer or a loss on a GPU: its class, or a module.

    The module launches kernels of its own, in functions in place of some of the class's
    methods.
    """
    _ask("scratchnet.engine.kernels")
    return _kernels.get(type(one), type(one))


def in_loops(layer: Any, learn: Any) -> Any:
    """Who does the work of a layer: its class or, in loops for Numba, a module.

    Loops are taken in trainings that are long enough to compile them. The module has
    functions in place of some of the class's methods.
    """
    if learn is None or not learn.compiled:
        return type(layer)
    _ask("scratchnet.engine.kernels.loops")
    return _loops.get(type(layer), type(layer))


@functools.cache
def _ask(kernels: str) -> None:
    """Import the kernels, if they are there, the first time that they are asked for."""
    if importlib.util.find_spec("scratchnet.engine.kernels"):
        importlib.import_module(kernels)
