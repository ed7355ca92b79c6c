"""Tables of numbers in text files, read strictly: every error names the line."""

import csv
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from scratchnet.errors import DataError
from scratchnet.files.reading import open_regular

LARGEST = 1 << 24  # bytes; the tables that this project reads have a few thousand


def read_table(
    path: str | Path,
    columns: Sequence[str],
    classes: Mapping[str, Sequence[str]] | None = None,
    delimiter: str | None = None,
) -> dict[str, np.ndarray]:
    """The columns of a table by name, as float64 numbers.

    A column named in `classes` becomes int64 indices into `classes[name]`. With a
    `delimiter` such as "," the file is CSV and its first line must name the columns;
    without one, fields are separated by white space and there is no header. Empty lines
    are skipped. Raises DataError, with file and line, for a wrong number of fields,
    anything that is not a finite number (nan, inf, 1e400), an unknown class, bytes that
    are not UTF-8, and a table without rows.
    """
    path = Path(path)
    try:
        with open_regular(path) as file:
            if os.fstat(file.fileno()).st_size > LARGEST:
                raise DataError(f"{path}: larger than {LARGEST} bytes; not a table that can be read here")
            content = file.read()  # read(n) would reserve n bytes even for a small file
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    return _parse(path, content, columns, classes or {}, delimiter)


def _parse(
    path: Path, content: bytes, columns: Sequence[str], classes: Mapping[str, Sequence[str]], delimiter: str | None
) -> dict[str, np.ndarray]:
    rows = _rows(path, _text(path, content), delimiter)
    if delimiter is not None:
        line, header = next(rows, (1, []))
        if header != list(columns):
            raise DataError(f"{path}, line {line}: the header is {','.join(header)!r}, expected {','.join(columns)!r}")
    values: dict[str, list[float]] = {name: [] for name in columns}
    for line, fields in rows:
        if len(fields) != len(columns):
            raise DataError(f"{path}, line {line}: {len(fields)} fields instead of {len(columns)}")
        for name, field in zip(columns, fields):
            values[name].append(_value(f"{path}, line {line}, {name}", field, classes.get(name)))
    if not values[columns[0]]:
        raise DataError(f"{path}: holds no rows")
    return {name: np.array(v, np.int64 if name in classes else np.float64) for name, v in values.items()}


def _text(path: Path, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(f"{path}, line {line}: byte {error.start} is not UTF-8 text") from error


def _rows(path: Path, text: str, delimiter: str | None) -> Iterator[tuple[int, list[str]]]:
    """(line number, fields) of the lines that are not empty."""
    lines = text.split("\n")
    if delimiter is None:
        rows = ((number, line.split()) for number, line in enumerate(lines, 1))
        yield from (row for row in rows if row[1])
        return
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    try:
        for fields in reader:
            if fields:
                yield reader.line_num, [field.strip() for field in fields]
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: {error}") from error


def _value(place: str, field: str, names: Sequence[str] | None) -> float:
    shown = field if len(field) <= 40 else field[:40] + "..."
    if names is not None:
        if field not in names:
            raise DataError(f"{place}: {shown!r} is not one of {', '.join(names)}")
        return names.index(field)
    try:
        number = float(field) if field.isascii() and "_" not in field else np.nan
    except ValueError:
        number = np.nan
    if not np.isfinite(number):
        raise DataError(f"{place}: {shown!r} is not a finite number" if field else f"{place}: the value is missing")
    return number
