"""Finished runs, read from their folders."""

import csv
import json
import math
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scratchnet.errors import DataError
from scratchnet.files.reading import open_regular

MOST_BYTES = 100_000_000


@dataclass(frozen=True)
class FinishedRun:
    """What a run left: its options, its metrics, and one row of history per epoch."""

    folder: Path
    options: dict[str, Any]
    metrics: dict[str, Any]
    history: list[dict[str, float]]

    @property
    def name(self) -> str:
        """The folder's own name."""
        return self.folder.resolve().name


def finished_run(folder: Path) -> FinishedRun:
    """The run in this folder.

    Raises DataError for one that is not finished or is damaged, and OSError.
    """
    metrics, rows, config = (folder / name for name in ("metrics.json", "history.csv", "config.toml"))
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder: give the folders of finished runs, such as runs/mnist-default")
    if not metrics.is_file() or not rows.is_file():
        raise DataError(f"{folder} holds no finished run: metrics.json and history.csv are not both there")
    try:
        about = json.loads(_text(metrics))
        history = [_numbers(row) for row in csv.DictReader(_text(rows).splitlines())]
        options = tomllib.loads(_text(config)) if config.is_file() else {}
    except (ValueError, TypeError, csv.Error) as error:
        raise DataError(f"{folder}: one of its files is damaged: {error}") from None
    if not isinstance(about, dict) or not history or not all("epoch" in row for row in history):
        raise DataError(f"{folder}: its metrics.json or history.csv is not what a run writes")
    return FinishedRun(folder, options, about, history)


def _text(path: Path) -> str:
    with open_regular(path) as file:
        return file.read(MOST_BYTES).decode()


def _numbers(row: dict[str, str]) -> dict[str, float]:
    """A row of the history without its empty places."""
    found = {name: float(value) for name, value in row.items() if value}
    return {name: value for name, value in found.items() if math.isfinite(value)}
