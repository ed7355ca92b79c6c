"""A CSV file of texts and their classes, read row by row, with every mistake named."""

import csv
import io
from pathlib import Path

import numpy as np

from scratchnet.errors import DataError
from scratchnet.files.reading import open_regular

#: How columns of classes are usually called
LABELS = ("label", "class", "category", "target", "author", "sentiment", "topic")
LONGEST_LABEL = 100  # characters, so that tables and pictures can show it


def content_of(path: str | Path) -> bytes:
    try:
        with open_regular(path) as file:
            return file.read()
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file") from None
    except OSError as e:
        raise DataError(f"{path}: cannot be read: {e.strerror}") from None


def parse(
    content: bytes, name: str, target: str, text: str, things: str = "tweets", delimiter: str = ","
) -> tuple[list[str], np.ndarray, list[str]]:
    """The texts, the number of each one's class, and the names of the classes.

    `target` and `text` are the names of their columns; of two columns, or for usual
    names, they need not be given. Raises DataError.
    """
    try:
        whole = content.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        before = content[: e.start].decode("utf-8-sig", errors="ignore")
        row = max(1, sum(1 for _ in csv.reader(io.StringIO(before + "x", newline=""))))
        raise DataError(
            f"{name}: row {row} has a byte that is not UTF-8 (0x{content[e.start]:02x}): save the file as UTF-8"
        ) from None
    rows = csv.reader(io.StringIO(whole, newline=""), delimiter=delimiter, strict=True)
    texts, numbers, authors = [], [], {}  # type: list[str], list[int], dict[str, int]
    row = 0
    try:
        header = [column.strip().lower() for column in next(rows, [])]
        row = 1
        target, text = columns_of(name, header, target.strip().lower(), text.strip().lower())
        at_author, at_text = header.index(target), header.index(text)
        for row, fields in enumerate(rows, 2):
            if not any(field.strip() for field in fields):
                continue
            if len(fields) <= max(at_author, at_text):
                raise DataError(f"{name}: row {row} has {len(fields)} columns instead of {len(header)}")
            author, tweet = fields[at_author].strip(), fields[at_text].strip()
            if any(field.strip() for field in fields[len(header) :]):
                raise DataError(
                    f"{name}: row {row} has {len(fields)} columns instead of {len(header)}: a text with commas stands "
                    "in quotes"
                )
            if not author:
                raise DataError(f"{name}: row {row} has a text but no {target}")
            if len(author) > LONGEST_LABEL or not author.isprintable():
                shown = " ".join(author.split())[:40]
                raise DataError(
                    f"{name}: row {row} has the {target} {shown!r}...: it must be on one line, of {LONGEST_LABEL} "
                    "characters at most"
                )
            if tweet:
                texts.append(tweet)
                numbers.append(authors.setdefault(author, len(authors)))
    except csv.Error as e:
        raise DataError(f"{name}: row {row + 1} is not CSV ({e}): look for a quote that does not close") from None
    if len(authors) < 2:
        only = f"only {next(iter(authors))}" if authors else f"no {things}"
        two = f"{things} by at least two authors" if target == "author" else f"at least two kinds of {target}"
        raise DataError(f"{name}: there must be {two}, but there is {only}")
    return texts, np.array(numbers), list(authors)


def columns_of(name: str, header: list[str], target: str, text: str) -> tuple[str, str]:
    """The names of the columns of classes and of texts. Raises DataError."""
    text = text or ("text" if "text" in header else "")
    target = target or next((known for known in LABELS if known in header and known != text), "")
    if len(header) == 2 and (target or text):  # what is not the one is the other
        target = target or next((column for column in header if column != text), "")
        text = text or next((column for column in header if column != target), "")
    wanted = [column for column in (target, text) if column]
    missing = [column for column in wanted if column not in header]
    found = ", ".join(header) or "nothing"
    if missing:
        raise DataError(
            f"{name}: there is no column {' and no column '.join(missing)}; row 1 must name the columns "
            f"{','.join(wanted)}, but has: {found}"
        )
    if not (target and text) or target == text:
        raise DataError(
            f"{name}: which columns hold the texts and their classes? Give --text and --target, two of: {found}"
        )
    for column in wanted:
        if header.count(column) > 1:
            raise DataError(f"{name}: row 1 names the column {column} {header.count(column)} times")
    return target, text
