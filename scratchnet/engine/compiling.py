"""The time that Numba takes to compile, which happens once on a machine and says nothing about a training."""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

_spent = 0.0  # seconds of this process in which Numba compiled
_tell: list[Callable[[], None]] = []  # whom to tell when it begins


def clock() -> float:
    """Seconds, as `time.perf_counter`, that stand still while Numba compiles."""
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
    """From now on, take the time of what Numba compiles. What it finds in its folder of kept code is not compiled."""
    from numba.core import event

    class Watch(event.Listener):
        """Compiling a function compiles those that it calls: the time is that of the outermost."""

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
