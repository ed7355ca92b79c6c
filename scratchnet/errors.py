"""What can go wrong, by kind.

The commands print these errors as one line and leave with `exit_code`.
"""

import os
import shlex
from pathlib import Path

#: The name on the package index, where `scratchnet` is another project
DISTRIBUTION = "scratchnet-engine"


def install_command(extra: str) -> str:
    """The command that installs an optional extra, correct wherever it is printed.

    In a clone it installs the clone; elsewhere it installs from the package index.
    """
    clone, project = Path(__file__).resolve().parents[1], DISTRIBUTION
    settings = clone / "pyproject.toml"
    if settings.is_file() and f'name = "{DISTRIBUTION}"' in settings.read_text(encoding="utf-8"):
        project = "." if Path.cwd() == clone else str(clone)
    what = f"{project}[{extra}]"
    return "pip install " + (f'"{what}"' if os.name == "nt" else shlex.quote(what))


class ScratchnetError(Exception):
    """A mistake that the user can correct; says what, where and what to do."""

    exit_code = 2


class ScratchnetWarning(UserWarning):
    """Something that runs, but is probably not meant; says why and what to do."""


class ShapeError(ScratchnetError, ValueError):
    """Arrays or layers that do not fit together; names the layer and both shapes."""


class DataError(ScratchnetError, ValueError):
    """Data that cannot be right, in a file or an array; names the place."""


class DeviceError(ScratchnetError, RuntimeError):
    """A device that cannot be used was asked for; says what is missing."""


class CheckpointError(ScratchnetError, ValueError):
    """A model file that is damaged, or does not belong to this network."""


class SettingError(ScratchnetError, ValueError):
    """An option or argument outside its range."""


class NotWrittenError(ScratchnetError, OSError):
    """A result that could not be written; says where the trained weights are."""


class Interrupted(ScratchnetError):
    """The user asked for an end, by signal `number`; says how to continue."""

    def __init__(self, text: str, number: int) -> None:
        super().__init__(text)
        self.exit_code = 128 + number


class NonFiniteError(ScratchnetError, ArithmeticError):
    """A loss became NaN or infinite; names the step and the layer.

    The weights are left as they were.
    """

    exit_code = 3


class RanksError(ScratchnetError):
    """The processes of a training differ, or one of them failed.

    Every rank raises it, with the same words.
    """

    def __init__(self, text: str, exit_code: int = 2) -> None:
        super().__init__(text)
        self.exit_code = exit_code
