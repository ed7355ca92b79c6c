"""A table of the user's own: columns of numbers or kinds, and what is missing in them.

Letters: N rows, F inputs of the network. A table is read as texts; then every column is
found to hold numbers, kinds (texts of which several are alike) or dates; then an
`Encoder` that has seen the training rows alone turns rows into input.
"""

import csv
import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from scratchnet.errors import DataError, SettingError, install_command
from scratchnet.files.reading import open_regular

LARGEST = 1 << 28  # bytes of a file
MISSING = {"", "na", "n/a", "nan", "null", "none", "?", "-"}  # in lower case
MOST_KINDS = 100  # different texts of a column; more tell rows apart, not kinds of rows
MOST_CLASSES_OF_NUMBERS = 10  # whole numbers of a target that count as classes
DATE = re.compile(
    r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}([ T]\d{1,2}:\d{2}.*)?|\d{1,2}[-/.]\d{1,2}[-/.]\d{4}|\d{1,2}:\d{2}(:\d{2})?"
)


@dataclass(frozen=True)
class Column:
    """N numbers, NaN where one is missing; for texts, their places in `kinds`."""

    name: str
    values: np.ndarray = field(repr=False)
    kinds: tuple[str, ...] = ()  # of a column of texts

    @property
    def missing(self) -> np.ndarray:
        return np.isnan(self.values)


@dataclass(frozen=True)
class Spreadsheet:
    """The columns of a table, and the line of the file that each row comes from."""

    path: Path
    names: tuple[str, ...]
    cells: list[list[str]] = field(repr=False)
    lines: list[int] = field(repr=False)

    def column(self, name: str, by_its_texts: bool = False) -> Column:
        """The column of this name.

        `by_its_texts` takes whatever stands there for a kind. Raises DataError for
        dates, for texts that are all different, and for a column without values.
        """
        texts = [row[self.names.index(name)] for row in self.cells]
        given = [text for text in texts if text.lower() not in MISSING]
        if not given:
            raise DataError(f"{self.path}: column {name} has no values: leave it out with --drop {name}")
        numbers = [_number(text) for text in given]
        if None not in numbers and not by_its_texts:
            found = iter(numbers)
            values = [math.nan if text.lower() in MISSING else next(found) for text in texts]
            return Column(name, np.array(values, np.float64))
        if all(DATE.fullmatch(text) for text in given) and not by_its_texts:
            raise DataError(
                f"{self.path}: column {name} holds dates ({given[0]!r}), and a network needs numbers: put the year, "
                f"the month or the days since the first date in their place, or leave it out with --drop {name}"
            )
        kinds = tuple(sorted(set(given), key=in_order))
        if len(kinds) > MOST_KINDS and len(kinds) > len(given) / 10 and not by_its_texts:
            odd = [text for text, value in zip(given, numbers) if value is None]
            if len(odd) < len(given) / 2:
                line = self.lines[texts.index(odd[0])]
                raise DataError(
                    f"{self.path}, line {line}, {name}: {odd[0]!r} is no number, as most of this column are"
                )
            raise DataError(
                f"{self.path}: column {name} has {len(kinds)} different texts in {len(given)} rows, such as "
                f"{given[0][:40]!r}, so it tells rows apart and not kinds of rows: leave it out with --drop {name}"
            )
        place = {kind: k for k, kind in enumerate(kinds)}
        return Column(name, np.array([place.get(text, math.nan) for text in texts], np.float64), kinds)


def _number(text: str) -> float | None:
    try:
        value = float(text) if text.isascii() and "_" not in text else math.nan
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def in_order(text: str) -> tuple[float, str]:
    """Numbers by their size, then texts."""
    number = _number(text)
    return (math.inf if number is None else number, text)


# ------------------------------------------------------------------------- reading


def read_spreadsheet(path: Path) -> Spreadsheet:
    """The table in a CSV file, or with the extra `parquet` in a Parquet file.

    The first line names the columns. Commas, semicolons and tabulators are told apart
    by that line. Raises DataError, with the line, for what is no table.
    """
    names, rows = _from_parquet(path) if path.suffix == ".parquet" else _from_csv(path)
    doubled = next((name for name in names if names.count(name) > 1), None)
    if doubled is not None or "" in names:
        problem = f"two columns are called {doubled!r}" if doubled else "a column has no name"
        raise DataError(f"{path}, line 1: {problem}: the first line must name every column")
    if not rows:
        raise DataError(f"{path}: holds no rows below the names of the columns")
    for line, cells in rows:
        if len(cells) != len(names):
            raise DataError(f"{path}, line {line}: {len(cells)} fields instead of {len(names)}")
    return Spreadsheet(path, tuple(names), [cells for _, cells in rows], [line for line, _ in rows])


def _from_csv(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    try:
        with open_regular(path) as file:
            content = file.read(LARGEST + 1)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    if len(content) > LARGEST:
        raise DataError(f"{path}: larger than {LARGEST} bytes; not a table that can be read here")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(f"{path}, line {line}: this is not UTF-8 text: save the table as CSV in UTF-8") from None
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        rows = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader if any(map(str.strip, cells))]
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: {error}") from None
    if not rows:
        raise DataError(f"{path}: the file is empty")
    return rows[0][1], rows[1:]


def _from_parquet(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise DataError(f"{path}: Parquet needs the package pyarrow ({error}): {install_command('parquet')}") from None
    try:
        with open_regular(path) as file:
            table = parquet.read_table(file)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except Exception as error:  # pyarrow has many classes of them
        raise DataError(f"{path}: no Parquet file that can be read: {' '.join(str(error).split())[:200]}") from None
    columns = [["" if value is None else str(value) for value in column.to_pylist()] for column in table.columns]
    return list(table.column_names), [(k, list(cells)) for k, cells in enumerate(zip(*columns), 2)]


# ----------------------------------------------------------------- what is missing


def without_missing(table: Spreadsheet, columns: Sequence[Column], way: str) -> np.ndarray:
    """Which rows stay, if the missing values are treated in this way.

    "drop" leaves rows out, "mean" fills in later, and "" means that nobody has decided:
    then missing values raise DataError, with column and lines. So do those that leave
    no row.
    """
    for column in columns:
        if column.missing.any() and not way:
            lines = [str(table.lines[k]) for k in np.flatnonzero(column.missing)]
            shown = ", ".join(lines[:5]) + (", ..." if len(lines) > 5 else "")
            raise DataError(
                f"{table.path}: column {column.name} lacks values in {len(lines)} of {len(table.lines)} rows (lines "
                f"{shown}): --missing mean fills in the mean of the column (of kinds, the most frequent one), and "
                "--missing drop leaves these rows out"
            )
    stays = np.ones(len(table.lines), bool)
    if way == "drop":
        for column in columns:
            stays &= ~column.missing
    if not stays.any():
        raise DataError(f"{table.path}: every row lacks a value, so --missing drop leaves none")
    return stays


@dataclass(frozen=True)
class Inputs:
    """How to make input of these columns: a `prepare` for `crossval`.

    `Inputs(columns)(x)` is an encoder that has seen x.
    """

    columns: tuple[Column, ...]

    @property
    def names(self) -> list[str]:
        """The names of the F inputs."""
        return [f"{c.name}={kind}" if kind else c.name for c in self.columns for kind in c.kinds or ("",)]

    def __call__(self, x: np.ndarray) -> "Encoder":
        return Encoder(self.columns, x)


class Encoder:
    """Rows (N, columns) to inputs (N, F), by what the training rows x say.

    Numbers become (value − mean) / standard deviation. Of kinds, each has an input of
    its own, 1 where it is the kind of the row and 0 elsewhere. A missing number becomes
    the mean, a missing kind the most frequent one.
    """

    def __init__(self, columns: Sequence[Column], x: np.ndarray) -> None:
        self.columns = tuple(columns)
        self.mean, self.std = np.zeros(len(columns)), np.ones(len(columns))
        for k, column in enumerate(self.columns):
            known = x[~np.isnan(x[:, k]), k]
            if column.kinds:
                self.mean[k] = np.bincount(known.astype(int)).argmax() if len(known) else 0
            elif len(known):
                self.mean[k] = known.mean()
                self.std[k] = known.std() or 1.0

    def __call__(self, x: np.ndarray) -> np.ndarray:
        parts = []
        for k, column in enumerate(self.columns):
            values = np.where(np.isnan(x[:, k]), self.mean[k], x[:, k])
            if column.kinds:
                parts.append(values[:, None] == np.arange(len(column.kinds)))
            else:
                parts.append((values[:, None] - self.mean[k]) / self.std[k])
        return np.concatenate(parts, axis=1).astype(np.float64)


def target_of(table: Spreadsheet, name: str, task: str) -> tuple[Column, str]:
    """(the target's column, "classes" or "values"), as `task` says.

    With "auto" it is found out: texts are classes, and so are up to 10 different whole
    numbers; other numbers are values. Raises SettingError for an unknown column,
    DataError for a target without values or with a single class.
    """
    if name not in table.names:
        raise SettingError(f"--target {name}: the columns of {table.path} are {', '.join(table.names)}")
    column = table.column(name, by_its_texts=task == "classes")
    if task == "auto":
        known = column.values[~column.missing]
        whole = bool((known == np.round(known)).all()) and len(np.unique(known)) <= MOST_CLASSES_OF_NUMBERS
        task = "classes" if column.kinds or whole else "values"
    if task == "classes" and not column.kinds:
        column = table.column(name, by_its_texts=True)
    if task == "values" and column.kinds:
        raise DataError(f"{table.path}: column {name} holds texts such as {column.kinds[0]!r}, and values are numbers")
    if task == "classes" and len(column.kinds) < 2:
        raise DataError(f"{table.path}: every row has the {name} {column.kinds[0]!r}: there is nothing to tell apart")
    return column, task
