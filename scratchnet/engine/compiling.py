"""Whether Numba is there, and the time that it spends compiling.

It compiles once on each machine, so this time says nothing about how long a training
takes, and clocks leave it out.
"""

import contextlib
import importlib.util
import time
from collections.abc import Callable, Iterator
from typing import Any

_spent = 0.0  # seconds of this process in which Numba compiled
_tell: list[Callable[[], None]] = []  # called when compiling begins


def installed() -> bool:
    """Whether Numba is installed; importing it to find out would take half a second."""
    return importlib.util.find_spec("numba") is not None


def clock() -> float:
    """`time.perf_counter`, but standing still while Numba compiles."""
    return time.perf_counter() - _spent


@contextlib.contextmanager
def told(say: Callable[[], None]) -> Iterator[None]:
    """Call `say` when compiling begins in this block, at most once."""
    _tell.append(say)
    try:
        yield
    finally:
        _tell.clear()


def watch() -> None:
    """From now on, measure the time that Numba spends compiling.

    Code that it finds in its folder of compiled functions needs no compiling.
    """
    from numba.core import event

    class Watch(event.Listener):
        """Compiling a function compiles those that it calls: times the outermost."""

        depth, begun = 0, 0.0

        def on_start(self, event: Any) -> None:
            if self.depth == 0:
                self.begun = time.perf_counter()
                while _tell:
                    _tell.pop()()
            self.depth += 1

        def on_end(self, event: Any) -> None:
            global _spent  # noqa: PLW0603
            self.depth -= 1
            if self.depth == 0:
                _spent += time.perf_counter() - self.begun

    event.register("numba:compile", Watch())  # type: ignore[no-untyped-call]
