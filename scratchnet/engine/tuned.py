"""The place where hand-tuned code is registered in place of readable code.

The engine can run on its readable code alone. The folder `engine/kernels` registers
faster code that gives the same numbers; nothing else in the engine needs to know it.
"""

import functools
import importlib
import importlib.util
from typing import Any

_tuned: dict[object, Any] = {}


def hand_in(readable: object, tuned: Any) -> None:
    """From now on `best(readable)` is `tuned`."""
    _tuned[readable] = tuned


def best(readable: Any) -> Any:
    """What has been registered in place of `readable`, or `readable` itself."""
    _ask()
    return _tuned.get(readable, readable)


@functools.cache
def _ask() -> None:
    """Import the kernels, if they are there, the first time that `best` is called."""
    if importlib.util.find_spec("scratchnet.engine.kernels"):
        importlib.import_module("scratchnet.engine.kernels")
