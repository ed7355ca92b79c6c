"""A signal stops a training between two steps."""

import contextlib
import errno
import signal
import threading
from collections.abc import Iterator
from typing import Any

#: Ctrl-C, a polite kill, and a terminal that is closed (Windows has no signal for that)
SIGNALS = (signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else []))


class Stop:
    """The number of the signal that asked for an end, or 0."""

    number = 0


@contextlib.contextmanager
def closed_terminal_stops(stop: Stop) -> Iterator[None]:
    """A block that writes to the terminal, which may be closed meanwhile.

    Writing then fails a moment before the signal that says so is noted: it counts as
    that signal, so that the training ends with its checkpoint.
    """
    try:
        yield
    except OSError as error:
        if error.errno != errno.EIO or not hasattr(signal, "SIGHUP"):
            raise
        stop.number = stop.number or signal.SIGHUP


@contextlib.contextmanager
def stop_on_signal() -> Iterator[Stop]:
    """Only note the first signal, to be looked at between steps; a second one kills.

    An `except KeyboardInterrupt` would not do: CPython may skip it when a loop is the
    first thing in a `try`, and SIGTERM raises nothing at all. If SIGHUP is ignored, as
    under nohup, it stays ignored.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():  # handlers can only be set in the main thread
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
