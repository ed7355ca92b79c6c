"""What all commands share: options from a dataclass, and errors as one line on stderr."""

import contextlib
import dataclasses
import difflib
import io
import os
import re
import sys
import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

from scratchnet.errors import Interrupted, ScratchnetError, SettingError

#: What mpiexec of MPICH, Open MPI, Intel MPI and Slurm's srun tell every process: its rank
RANK_VARIABLES = ("PMI_RANK", "OMPI_COMM_WORLD_RANK", "PMIX_RANK", "MV2_COMM_WORLD_RANK")

Options = TypeVar("Options")


def patience() -> float:
    """Seconds to wait for a process that does not come, a rank or a worker: $SCRATCHNET_TIMEOUT, or a minute."""
    text = os.environ.get("SCRATCHNET_TIMEOUT") or "60"
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= threading.TIMEOUT_MAX:
        raise SettingError(f"$SCRATCHNET_TIMEOUT must be a number of seconds above 0, not {text!r}")
    return seconds


def parse(kind: type[Options], args: Sequence[str], prog: str, default: Options | None = None) -> Options:
    """An instance of the dataclass `kind` from command-line arguments; raises SettingError with one clear line.

    `--help` prints the options, from the fields and the strings below them, and leaves with 0.
    """
    import tyro

    _check_names(kind, args, prog)
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return tyro.cli(kind, args=list(args), prog=prog, default=default if default else tyro.MISSING_NONPROP)
    except SystemExit as e:
        if not e.code:
            raise
        raise SettingError(f"{_first_words(said.getvalue())}; see {prog} --help") from None


def _check_names(kind: type, args: Sequence[str], prog: str) -> None:
    """Unknown options, with the nearest known one."""
    known = {"--help"}
    for field in dataclasses.fields(kind):
        name = field.name.replace("_", "-")
        known |= {f"--{name}", f"--no-{name}"}
    for arg in args:
        name = arg.partition("=")[0].replace("_", "-")
        if name.startswith("--") and name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise SettingError(f"there is no option {name}{hint} See {prog} --help".replace("? See", "? See"))


def _first_words(box: str) -> str:
    """The message inside the first part of a drawn error box."""
    words = []
    for line in box.splitlines()[1:]:
        text = line.strip("│╭╮╰╯ ")
        if text and not set(text) <= {"─", "-"}:  # where UTF-8 cannot be written there is no box, only such lines
            words.append(text)
        elif words:
            break
    return re.sub(r"\s+", " ", " ".join(words)).rstrip(".") or "the options could not be read"


def known(name: str, names: Sequence[str], what: str) -> str:
    """`name`, if it is one of `names`; else SettingError with a suggestion."""
    if name in names:
        return name
    near = difflib.get_close_matches(name, names, 1)
    hint = f"did you mean {near[0]}? " if near else ""
    raise SettingError(f"there is no {what} '{name}': {hint}there are {', '.join(names)}")


def printable(text: str) -> str:
    """`text` for a terminal: what would move its cursor, or is no character, is shown as its number (\\x1b)."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def guard(main: Callable[[Sequence[str]], int | None]) -> None:
    """Run a command's `main` and leave: a user's mistake is one line on stderr and exit code 2 (or 3), no traceback."""
    try:
        code = main(sys.argv[1:]) or 0
    except ScratchnetError as e:
        kind = "" if isinstance(e, Interrupted) else "error: "
        if not any(os.environ.get(name, "0") != "0" for name in RANK_VARIABLES):  # of several ranks, the first speaks
            print(f"{kind}{printable(' '.join(str(e).split()))}", file=sys.stderr)
        code = e.exit_code
    except BrokenPipeError:  # the reader of our output has gone, as `| head` does
        sys.stderr.close()
        code = 141
    except OSError as e:
        print(printable(f"error: {e.filename or 'input or output'}: {e.strerror or e}"), file=sys.stderr)
        code = 2
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        code = 130
    sys.exit(code)
