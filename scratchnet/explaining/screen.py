"""A lesson on a screen of 80 columns or more: in colours on a terminal, in ASCII
elsewhere, or as an SVG file.
"""

import io
import re
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scratchnet.cli import console
from scratchnet.cli import plain as ascii_of
from scratchnet.explaining.lesson import Lesson, Line, Picture
from scratchnet.files.atomic import atomic_write

if TYPE_CHECKING:
    from rich.text import Text

WIDTH = 80
WIDEST = 100  # on a wider terminal the sources would stand far away
SHADES = " .:-=+*#%@"  # from paper to pen
STYLES = {"title": "bold", "equation": "", "table": "", "right": "green", "wrong": "red", "note": "dim"}


def lines_of(lesson: Lesson, width: int = WIDTH, ascii_only: bool = False) -> list[str]:
    """The screen as plain lines."""
    return [text.plain.rstrip() for text in _texts(lesson, width, ascii_only, blocks=False)]


def show(lesson: Lesson) -> None:
    """Print a lesson: in colours on a terminal, in ASCII elsewhere."""
    out = console(highlight=False)
    if not out.is_terminal:
        print("\n".join(lines_of(lesson, ascii_only=True)))
        return
    width = max(WIDTH, min(out.width, WIDEST))
    for text in _texts(lesson, width, not _writes_unicode(out.encoding), blocks=out.color_system == "truecolor"):
        out.print(text, crop=False, no_wrap=True, overflow="ignore")


def save_svg(lesson: Lesson, path: Path) -> None:
    """The screen as an SVG that needs no other file, and nothing of the network. Raises
    OSError.
    """
    from rich._export_format import CONSOLE_SVG_FORMAT

    out = console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, color_system="truecolor",
                  highlight=False, legacy_windows=False)  # fmt: skip
    for text in _texts(lesson, WIDTH, ascii_only=False, blocks=True):
        out.print(text, crop=False, no_wrap=True, overflow="ignore")
    # Rich's own format asks a server for its font
    without_fonts = re.sub(r"@font-face \{\{.*?\}\}\n|<!--.*?-->", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    svg = out.export_svg(title="python -m scratchnet.explain", code_format=without_fonts, unique_id="explain")
    atomic_write(path, svg.encode())


def plain(text: str) -> str:
    """In ASCII, with the letters of a formula in words: a point for a product would
    look like a decimal one.
    """
    return ascii_of(text.replace("·", "*").replace("δ", "delta").replace("σ", "sigma"))


def _writes_unicode(encoding: str) -> bool:
    return encoding.lower().startswith("utf")


def _texts(lesson: Lesson, width: int, ascii_only: bool, blocks: bool) -> list["Text"]:
    found: list[Text] = []
    for part in lesson.parts:
        if isinstance(part, Picture):
            found += _beside(part, width, ascii_only, blocks)
        else:
            found += [_text(line, width, ascii_only) for line in _broken(part, width, ascii_only)]
    return found


def _broken(line: Line, width: int, ascii_only: bool) -> list[Line]:
    """A line that is too long as several: a formula between its terms, its source on a
    line of its own.
    """
    text, source = (plain(t) if ascii_only else t for t in (line.text, str(line.source or "")))
    if len(text) + (2 + len(source)) * bool(source) <= width:
        return [line]
    if source:
        return [Line(line.text, line.kind), Line("", line.kind, line.source)]
    if not text.startswith(" "):
        return [Line(part, line.kind) for part in textwrap.wrap(text, width, subsequent_indent="  ")]
    indent = " " * (text.find("=") + 2)
    lines = [""]
    for piece in re.split(r"(?= [-+=] )", text):
        if lines[-1] and len(lines[-1] + piece) > width:
            lines.append(indent + piece.lstrip())
        else:
            lines[-1] += piece
    return [Line(part, line.kind) for part in lines]


def _text(line: Line, width: int, ascii_only: bool) -> "Text":
    from rich.text import Text

    words, source = (plain(t) if ascii_only else t for t in (line.text, str(line.source or "")))
    text = Text(words, STYLES.get(line.kind, ""))
    if line.kind == "equation":
        text.stylize("bold cyan", 0, 4)
        text.stylize("cyan", 5)
    if source:
        text.append(" " * max(2, width - len(words) - len(source)))
        text.append(source, "dim")
    return text


def _beside(picture: Picture, width: int, ascii_only: bool, blocks: bool) -> list["Text"]:
    from rich.text import Text

    left = _half_blocks(picture) if blocks else _shades(picture)
    right = [_text(line, width, ascii_only) for line in picture.beside]
    empty = [not row.any() for row in picture.values.reshape(len(left), -1)]
    while len(left) > len(right) and (empty[0] or empty[-1]):
        k = -1 if empty[-1] else 0
        del left[k], empty[k]
    wide = picture.values.shape[1]
    rows = []
    for k in range(max(len(left), len(right))):
        row = left[k] if k < len(left) else Text(" " * wide)
        row = row + Text("  ") + right[k] if k < len(right) else row
        rows.append(row)
    return rows


def _shades(picture: Picture) -> list["Text"]:
    """Two rows of pixels in one of characters, as a character is twice as high as it is
    wide; X is the marked pixel.
    """
    from rich.text import Text

    pairs = picture.values.reshape(-1, 2, picture.values.shape[1]).mean(axis=1)
    rows = [[SHADES[min(int(v * len(SHADES)), len(SHADES) - 1)] for v in row] for row in pairs]
    if picture.marked is not None:
        row, column = picture.marked
        rows[row // 2][column] = "X"
    return [Text("".join(row)) for row in rows]


def _half_blocks(picture: Picture) -> list["Text"]:
    from rich.text import Text

    grey = np.clip(picture.values * 255, 0, 255).astype(int)
    rows = []
    for r in range(0, len(grey) - 1, 2):
        row = Text()
        for c in range(grey.shape[1]):
            up, low = (
                "rgb(255,80,0)" if (r + k, c) == picture.marked else "rgb({0},{0},{0})".format(grey[r + k, c])
                for k in (0, 1)
            )
            row.append("▀", f"{up} on {low}")
        rows.append(row)
    return rows
