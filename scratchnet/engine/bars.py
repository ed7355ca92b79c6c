"""Bars that show how far a training is: one for terminals, and one for notebooks."""

import contextlib
from collections.abc import Callable
from html import escape
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from rich.console import Console


class Bar(Protocol):
    """A bar over epochs; it appears when `show` is called for the first time."""

    def show(self, done: float, text: str) -> None:
        """Show that `done` epochs are over, with a text."""

    def close(self, text: str) -> None:
        """End it; where something stays on the page, it is this text."""


class TerminalBar:
    """A bar in the last line of a terminal, which leaves no trace."""

    def __init__(self, console: "Console", epochs: int, clock: Callable[[], float]) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self.bar = Progress(
            TextColumn("epoch"), MofNCompleteColumn(), BarColumn(bar_width=24), TextColumn("{task.fields[text]}"),
            TimeRemainingColumn(), get_time=clock, console=console, auto_refresh=False, transient=True,
        )  # fmt: skip
        self.task = self.bar.add_task("", total=epochs, text="")

    def show(self, done: float, text: str) -> None:
        self.bar.start()  # which does nothing if it is shown already
        self.bar.update(self.task, completed=done, text=text, refresh=True)

    def close(self, text: str) -> None:
        with contextlib.suppress(OSError):  # the terminal may be closed
            self.bar.stop()


class NotebookBar:
    """A bar in the output of a cell, which becomes a line of text at the end.

    It is a <progress> of HTML that is written anew, so no widgets have to be installed.
    """

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs
        self.handle: Any = None

    def show(self, done: float, text: str) -> None:
        words = f"epoch {int(done)}/{self.epochs}  {text}"
        self._display(words, f'<progress value="{done:.3f}" max="{self.epochs}"></progress> {escape(words)}')

    def close(self, text: str) -> None:
        if self.handle is not None:
            self._display(text, escape(text))

    def _display(self, text: str, page: str) -> None:
        from IPython.display import display

        # spaces stay as they are: numbers do not jump to and fro
        data = {"text/plain": text, "text/html": f'<span style="white-space: pre">{page}</span>'}
        if self.handle is None:
            self.handle = display(data, raw=True, display_id=True)
        else:
            self.handle.update(data, raw=True)


def bar_for(console: "Console", epochs: int, clock: Callable[[], float]) -> Bar | None:
    """The bar for this console; None where there is neither terminal nor notebook."""
    if console.is_jupyter:
        return NotebookBar(epochs)
    return TerminalBar(console, epochs, clock) if console.is_terminal else None
