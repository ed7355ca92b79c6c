"""All options of a run in one TOML file: read for `--config`, written by every run."""

import json
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scratchnet.errors import SettingError
from scratchnet.files.reading import open_regular
from scratchnet.runs.options import CommonOptions, as_json

#: What says where a run was or how far it got, and not what it did
NOT_REPEATED = {"out", "resume", "config", "distributed"}
MOST_BYTES = 1_000_000


def with_config(args: Sequence[str]) -> list[str]:
    """The arguments STUDY [OPTIONS], with those of the file that `--config` names.

    They come first, so that the command line wins. The file may name the study. Raises
    SettingError for a file that cannot be used, and OSError.
    """
    rest, path = list(args), None
    for i, arg in enumerate(args):
        if arg.startswith("--config="):
            path, rest = arg.partition("=")[2], [*args[:i], *args[i + 1 :]]
        elif arg == "--config":
            if i + 1 == len(args):
                raise SettingError("--config needs the name of a TOML file")
            path, rest = args[i + 1], [*args[:i], *args[i + 2 :]]
    if path is None:
        return rest
    values = _read(Path(path))
    study = values.pop("study", None)
    named = rest.pop(0) if rest and not rest[0].startswith("-") else None
    if not isinstance(named or study, str):
        raise SettingError(f'{path}: name the study, on the command line or as study = "mnist" in the file')
    if named is not None and study not in (None, named):
        raise SettingError(f"{path} is of study {study}, not {named}")
    given = [argument for name, value in values.items() for argument in _arguments(path, name, value)]
    return [named or study, *given, *rest]


def _read(path: Path) -> dict[str, Any]:
    try:
        with open_regular(path) as file:
            return tomllib.loads(file.read(MOST_BYTES).decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingError(f"{path} is no TOML file: {' '.join(str(error).split())}") from None


def _arguments(path: str, name: str, value: Any) -> list[str]:
    """One option of the file as the command line has it."""
    option = name.replace("_", "-")
    if isinstance(value, bool):
        return [f"--{option}" if value else f"--no-{option}"]
    if isinstance(value, list) and all(isinstance(part, (str, int, float)) for part in value):
        return [f"--{option}", *map(str, value)]
    if isinstance(value, (str, int, float)):
        return [f"--{option}={value}"]
    raise SettingError(f"{path}: {name} must be a text, a number, true, false or a list of them")


def to_toml(study: str, options: CommonOptions) -> bytes:
    """All options of a run: `python -m scratchnet.train --config FILE` repeats it."""
    lines = [f"study = {json.dumps(study)}"]
    for name, value in as_json(options).items():
        if value is not None and name not in NOT_REPEATED:  # TOML has no word for None
            # JSON and TOML write texts, numbers, true, false and lists of them alike
            lines.append(f"{name} = {json.dumps(value, ensure_ascii=False)}")
    return ("\n".join(lines) + "\n").encode(errors="replace")
