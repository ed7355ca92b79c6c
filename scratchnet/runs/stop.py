"""Stopping between two steps when a signal asks for it."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any

#: Ctrl-C, a polite kill, and the terminal that is closed (which Windows does not know)
SIGNALS = (signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else []))


class Stop:
    """The number of the signal that asked for an end, or 0."""

    number = 0


@contextlib.contextmanager
def stop_on_signal() -> Iterator[Stop]:
    """Let the first signal only be noted, to be looked at between two steps; a second one ends at once.

    Not an `except KeyboardInterrupt`: CPython may skip it when a loop is the first thing in a `try`, and SIGTERM raises
    nothing at all. A SIGHUP that is ignored, as under nohup, stays so.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():  # only there can handlers be set
        yield stop
        return

    ours = [n for n in SIGNALS if n in (signal.SIGINT, signal.SIGTERM) or signal.getsignal(n) != signal.SIG_IGN]

    def note(number: int, frame: Any) -> None:
        stop.number = number
        for n in ours:
            signal.signal(n, signal.SIG_DFL)

    before = {n: signal.signal(n, note) for n in ours}
    try:
        yield stop
    finally:
        for n, handler in before.items():
            signal.signal(n, handler)
