"""A folder of pictures of one's own: a sub-folder for each class.

Letters: n pictures.

    animals/cat/*.png, animals/dog/*.jpg               one set, or
    animals/train/cat/*, ..., animals/test/dog/*       sets that somebody has divided

A sub-folder may have sub-folders of its own. What is hidden is passed over.
"""

import itertools
import os
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scratchnet.data.model_inputs import LONGEST_NAME
from scratchnet.data.pictures import suffixes
from scratchnet.data.spreadsheet import in_order
from scratchnet.errors import DataError

#: How folders of sets that somebody has divided are called
PARTS = {"train": "train", "training": "train", "test": "test", "testing": "test",
         "valid": "valid", "val": "valid", "validation": "valid"}  # fmt: skip
MOST_FILES = 2_000_000


@dataclass(frozen=True)
class Folder:
    """The files of a folder, the class of each (n,), and the set that each is in."""

    path: Path
    classes: tuple[str, ...]
    files: list[Path]
    labels: np.ndarray
    parts: list[str]  # "train", "valid" or "test"; "" where nobody has divided them


def find(path: Path) -> Folder:
    """All files in the sub-folders of a folder. Raises DataError, SettingError."""
    if not path.is_dir():
        raise DataError(f"{path}: this is a file, and not a folder" if path.exists() else f"{path}: no such folder")
    inside = {PARTS[folder.name.lower()]: folder for folder in _folders(path) if folder.name.lower() in PARTS}
    divided = "train" in inside and len(inside) > 1 and bool(_folders(inside["train"]))
    sets = inside if divided else {"": path}
    top = sets.get("train", path)
    names = sorted(map(_name, _folders(top)), key=in_order)
    if len(names) < 2:
        found = f"only {names[0]}" if names else "none"
        raise DataError(f"{top}: every class needs a sub-folder with its pictures, two at least, but there is {found}")
    for name in names:
        if not name.isprintable() or len(name) > LONGEST_NAME:
            shown = name[:40].encode("unicode_escape").decode()
            raise DataError(f"{top}: the folder {shown} cannot be a class's name: give it one that can be printed, "
                            f"of {LONGEST_NAME} characters at most")  # fmt: skip
    files, labels, parts = list[Path](), list[int](), list[str]()
    for part, folder in sets.items():
        for within in sorted(_folders(folder), key=lambda sub: in_order(_name(sub))):
            if _name(within) not in names:
                raise DataError(f"{within}: there is no class {within.name} in {top}")
            here = list(itertools.islice(_files(within), MOST_FILES + 1 - len(files)))
            if len(files) + len(here) > MOST_FILES:
                raise DataError(f"{path}: more than {MOST_FILES:,} files: is this the folder that was meant?")
            if not here and part in ("", "train"):
                raise DataError(f"{within}: there are no pictures in this folder: put some there, or remove it")
            files += here
            labels += [names.index(_name(within))] * len(here)
            parts += [part] * len(here)
    return Folder(path, tuple(names), files, np.array(labels, np.int64), parts)


def pictures_in(folder: Path) -> list[Path]:
    """All files in a folder and its sub-folders that are called as pictures are.

    Sub-folders of these are not looked into. Raises DataError if there are no pictures.
    """
    known = suffixes()
    here = [folder, *_folders(folder)]
    found = [path for sub in here for path in _entries(sub) if path.suffix.lower() in known and not path.is_dir()]
    if not found:
        raise DataError(f"{folder}: there are no pictures in this folder")
    return found


def _folders(path: Path) -> list[Path]:
    return [entry for entry in _entries(path) if entry.is_dir()]


def _name(folder: Path) -> str:
    """A folder's name; an é is one character, however the file system writes it."""
    return unicodedata.normalize("NFC", folder.name)


def _entries(path: Path) -> list[Path]:
    """What is in a folder and not hidden, in the order of the names."""
    try:
        names = sorted(os.listdir(path))
    except OSError as e:
        raise DataError(f"{path}: cannot be read: {e.strerror}") from None
    return [path / name for name in names if not name.startswith((".", "__MACOSX"))]


def _files(path: Path, above: tuple[tuple[int, int], ...] = ()) -> Iterator[Path]:
    """All files in a folder and below it; a link back to a folder above ends there."""
    here = path.stat()
    me = (here.st_dev, here.st_ino)
    if me in above:
        return
    for entry in _entries(path):
        if entry.is_dir():
            yield from _files(entry, (*above, me))
        elif entry.is_file() or entry.is_symlink():
            yield entry
