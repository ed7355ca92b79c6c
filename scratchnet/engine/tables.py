"""Tables for people: rows as HTML for a notebook, and aligned lines for a terminal."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

MOST_ROWS = 12  # of a table in a notebook; of more, the first two and the last are shown


def html_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as an HTML table of at most MOST_ROWS; the keys of all are the columns."""
    if not rows:
        return "<p>no rows</p>"

    # in the order of the last row: a first one may be of a network not yet trained
    names = list(dict.fromkeys(name for row in reversed(rows) for name in row))
    words = {name for name in names if any(isinstance(row.get(name), str) and row[name] for row in rows)}

    def cells(tag: str, values: Iterable[Any]) -> str:
        """A line of the table; columns of words are set to the left."""
        line = ""
        for name, value in zip(names, values):
            left = ' style="text-align: left"' if name in words else ""
            line += f"<{tag}{left}>{escape(_text(value))}</{tag}>"
        return f"<tr>{line}</tr>"

    lines = [cells("td", [row.get(name, "") for name in names]) for row in rows]
    if len(lines) > MOST_ROWS:
        lines[2 : 3 - MOST_ROWS] = [cells("td", ["..."] * len(names))]
    body = "".join(lines)
    return f"<table><thead>{cells('th', names)}</thead><tbody>{body}</tbody></table>"


def text_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The same rows as lines; a column of numbers is set to the right."""
    table = [list(rows[0]), *([_text(v) for v in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*table)]
    right = [any(isinstance(row[name], (int, float)) for row in rows) for name in rows[0]]
    lines = ["  ".join(f"{word:>{w}}" if to_right else f"{word:<{w}}" for word, w, to_right in zip(line, widths, right))
             for line in table]  # fmt: skip
    return "\n".join(line.rstrip() for line in [lines[0], "-" * max(map(len, lines)), *lines[1:]])


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else f"{value:,}" if type(value) is int else str(value)
