"""A finding of the doctor: one line, with a mark and what to do about it."""

from importlib import metadata
from typing import NamedTuple

GOOD, BAD, NOTE = "✓", "✗", "·"


class Line(NamedTuple):
    """One finding; `mend` says what to do about it."""

    mark: str
    name: str
    finding: str
    mend: str = ""


def version_of(name: str) -> str | None:
    """The version of an installed distribution, without importing it."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def first_line(e: BaseException) -> str:
    return f"{type(e).__name__}: {(str(e).splitlines() or ['no message'])[0]}"
