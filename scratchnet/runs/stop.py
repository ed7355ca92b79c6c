"""Stopping between two steps when a signal asks for it."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """The number of the signal that asked for an end, or 0."""

    number = 0


@contextlib.contextmanager
def stop_on_signal() -> Iterator[Stop]:
    """Let the first SIGINT or SIGTERM only be noted, to be looked at between two steps; a second one ends at once.

    Not an `except KeyboardInterrupt`: CPython may skip it when a loop is the first thing in a `try`, and SIGTERM raises
    nothing at all.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():  # only there can handlers be set
        yield stop
        return

    def note(number: int, frame: Any) -> None:
        stop.number = number
        for n in SIGNALS:
            signal.signal(n, signal.SIG_DFL)

    before = {n: signal.signal(n, note) for n in SIGNALS}
    try:
        yield stop
    finally:
        for n, handler in before.items():
            signal.signal(n, handler)
