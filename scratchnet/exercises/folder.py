"""A learner's folder: the files of the exercises, and the progress beside them."""

import hashlib
import json
from pathlib import Path
from typing import Any

from scratchnet.errors import DataError, SettingError
from scratchnet.exercises.catalogue import EXERCISES
from scratchnet.exercises.task import Exercise
from scratchnet.files.atomic import atomic_write
from scratchnet.files.reading import open_regular

PROGRESS = "progress.json"
COMMAND = "python -m scratchnet.exercises"


class Folder:
    """Keeps the digest of every text that was solved.

    A file that is changed after that is judged again.
    """

    def __init__(self, path: Path) -> None:
        """Raises SettingError if there are no exercises in the folder."""
        self.path = path
        if not any((path / exercise.file).exists() for exercise in EXERCISES.values()):
            raise SettingError(f"there are no exercises in {path}: {COMMAND} start {path} writes them")
        self.solved, self.hints = _read(path / PROGRESS)

    def file(self, exercise: Exercise) -> Path:
        """The learner's file. Raises SettingError if it is missing."""
        path = self.path / exercise.file
        if not path.exists():
            raise SettingError(f"{path} is missing: {COMMAND} start {self.path} {exercise.name} writes it again")
        return path

    def is_solved(self, exercise: Exercise) -> bool:
        """Whether this very text was judged to be right."""
        return self.solved.get(exercise.name) == digest(self.file(exercise))

    def record(self, exercise: Exercise, seen: str, solved: bool) -> None:
        """Keep the verdict on a file whose digest was `seen`."""
        if solved:
            self.solved[exercise.name] = seen
        elif self.solved.pop(exercise.name, None) is None:
            return
        self._write()

    def next_hint(self, name: str, number: int) -> int:
        """The number, from 0, of the hint to give now; the last one is repeated."""
        k = min(self.hints.get(name, 0), number - 1)
        self.hints[name] = k + 1
        self._write()
        return k

    def _write(self) -> None:
        content = {"solved": dict(sorted(self.solved.items())), "hints": dict(sorted(self.hints.items()))}
        atomic_write(self.path / PROGRESS, (json.dumps(content, indent=2) + "\n").encode())


def start(path: Path, only: Exercise | None = None) -> list[Path]:
    """Write the exercises into a folder, which is made if it is not there.

    Raises SettingError, with nothing written, if one of the files is there already.
    """
    if path.exists() and not path.is_dir():
        raise SettingError(f"{path} is a file: name a folder for the exercises")
    wanted = [only] if only else list(EXERCISES.values())
    for exercise in wanted:
        if (path / exercise.file).exists() or (path / exercise.file).is_symlink():
            raise SettingError(
                f"{path / exercise.file} is there already, and your work in it is not overwritten: "
                f"`{COMMAND} check {path}` goes on with it; name another folder to begin again"
            )
    path.mkdir(parents=True, exist_ok=True)
    for exercise in wanted:
        atomic_write(path / exercise.file, exercise.text.encode())
    return [path / exercise.file for exercise in wanted]


def digest(path: Path) -> str:
    with open_regular(path) as file:
        return hashlib.sha256(file.read()).hexdigest()


def _read(path: Path) -> tuple[dict[str, str], dict[str, int]]:
    """(solved, hints) from a file. Raises DataError if it is damaged."""
    if not path.exists():
        return {}, {}
    try:
        with open_regular(path) as file:
            content: Any = json.loads(file.read(1_000_000))
        solved, hints = content["solved"], content["hints"]
        if not all(isinstance(v, str) for v in solved.values()):
            raise ValueError
        if not all(type(v) is int and v >= 0 for v in hints.values()):
            raise ValueError
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise DataError(f"{path} is damaged: delete it, and check the exercises again") from None
    return solved, hints
