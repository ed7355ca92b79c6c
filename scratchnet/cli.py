"""What all commands share: options from a dataclass, and errors in one line."""

import codecs
import contextlib
import dataclasses
import difflib
import io
import os
import re
import signal
import sys
import threading
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from scratchnet.errors import Interrupted, ScratchnetError, SettingError

if TYPE_CHECKING:
    from rich.console import Console

#: The variables in which mpiexec of MPICH, Open MPI and Intel MPI, and Slurm's srun,
#: tell every process its rank
RANK_VARIABLES = ("PMI_RANK", "OMPI_COMM_WORLD_RANK", "PMIX_RANK", "MV2_COMM_WORLD_RANK")

Options = TypeVar("Options")


def patience() -> float:
    """Seconds to wait for a rank or a worker: $SCRATCHNET_TIMEOUT, or a minute."""
    text = os.environ.get("SCRATCHNET_TIMEOUT") or "60"
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= threading.TIMEOUT_MAX:
        raise SettingError(f"$SCRATCHNET_TIMEOUT must be a number of seconds above 0, not {text!r}")
    return seconds


def parse(kind: type[Options], args: Sequence[str], prog: str, default: Options | None = None) -> Options:
    """An instance of the dataclass `kind` from command-line arguments.

    Raises SettingError with one clear line. `--help` prints the options, from the
    fields and the strings below them, and leaves with 0.
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
    """Raise SettingError for unknown options, with the nearest known one."""
    known = {"--help"}
    for field in dataclasses.fields(kind):
        name = field.name.replace("_", "-")
        known |= {f"--{name}", f"--no-{name}"}
    for arg in args:
        name = arg.partition("=")[0].replace("_", "-")
        if name.startswith("--") and name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"; did you mean {near[0]}?" if near else "."
            raise SettingError(f"there is no option {name}{hint} See {prog} --help")


def _first_words(box: str) -> str:
    """The message inside the first part of an error box."""
    words = []
    for line in box.splitlines()[1:]:
        text = line.strip("│╭╮╰╯ ")
        # without UTF-8 there is no box, but there are such lines
        if text and not set(text) <= {"─", "-"}:
            words.append(text)
        elif words:
            break
    return re.sub(r"\s+", " ", " ".join(words)).rstrip(".") or "the options could not be read"


def known(name: str, names: Sequence[str], what: str) -> str:
    """`name`, if it is one of `names`; otherwise SettingError with a suggestion."""
    if name in names:
        return name
    near = difflib.get_close_matches(name, names, 1)
    there = f"there are {', '.join(names)}"
    hint = f"did you mean {near[0]}? T{there[1:]}" if near else there
    raise SettingError(f"there is no {what} '{name}': {hint}")


def printable(text: str) -> str:
    """`text` for a terminal, with control characters shown as their numbers (\\x1b)."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def guard(main: Callable[[Sequence[str]], int | None]) -> None:
    """Run a command's `main` and leave the program.

    A user's mistake becomes one line on stderr and exit code 2 (or 3), without a
    traceback.
    """
    _prepare_streams()
    try:
        code = main(sys.argv[1:]) or 0
        sys.stdout.flush()
    except ScratchnetError as e:
        kind = "" if isinstance(e, Interrupted) else "error: "
        # only the first of several ranks speaks
        if not any(os.environ.get(name, "0") != "0" for name in RANK_VARIABLES):
            _last_words(f"{kind}{e}")
        code = e.exit_code
    except BrokenPipeError:  # as with `| head`
        code = 141
    except OSError as e:
        _last_words(f"error: {e.filename or 'input or output'}: {e.strerror or e}")
        code = 2
    except MemoryError as e:
        _last_words(f"error: there is not enough memory for this ({str(e) or 'nothing could be allocated'})")
        code = 2
    except KeyboardInterrupt:
        _last_words("stopped")
        code = 130
    _drop_unwritten()
    sys.exit(code)


@contextlib.contextmanager
def stopped_at_once() -> Iterator[None]:
    """Let Ctrl-C end the process in this block, which imports modules.

    Some modules swallow a KeyboardInterrupt while they are imported.
    """
    # handlers can only be set there
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(number: int, frame: Any) -> None:
        _last_words("stopped")
        os._exit(128 + number)

    before = signal.signal(signal.SIGINT, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def console(**options: Any) -> "Console":
    """A console of Rich that leaves a closed pipe to `guard`.

    In a notebook it writes plain lines: commands are made for terminals.
    """
    from rich.console import Console

    class Lines(Console):
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError

    if "ipykernel" in sys.modules:
        options = {"force_jupyter": False, "force_terminal": False, **options}
    return Lines(**options)


# -------------------------------------------------------------- streams of a command

#: Replacements for characters that the output's encoding lacks; any other becomes a
#: question mark
GLYPHS = {"→": "->", "×": "x", "·": ".", "µ": "u", "±": "+-", "≤": "<=", "≥": ">=", "≈": "~", "…": "...", "‖": "||",
          "∂": "d", "δ": "d", "σ": "s", "✓": "+", "✗": "x", "²": "^2", "³": "^3", "√": "sqrt",
          "Σ": "sum", "η": "eta", "γ": "gamma", "β": "beta", "ε": "eps", "μ": "mu", "′": "'", "½": "1/2", "▀": "#",
          **dict.fromkeys("─━═–—−", "-"), **dict.fromkeys("│┃║", "|"), **dict.fromkeys("“”„", '"'),
          **dict.fromkeys("‘’", "'"), **dict.fromkeys("┌┐└┘├┤┬┴┼╭╮╰╯┏┓┗┛┡┩╇┳┠┨", "+")}  # fmt: skip


def _replaced(error: UnicodeError) -> tuple[str, int]:
    """A handler for `codecs.register_error`: the replacement, or a plain letter."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    glyphs = [GLYPHS.get(c) or unicodedata.normalize("NFKD", c).encode("ascii", "ignore").decode() or "?"
              for c in error.object[error.start : error.end]]  # fmt: skip
    return "".join(glyphs), error.end


codecs.register_error("scratchnet", _replaced)


def plain(text: str) -> str:
    """`text` in ASCII, as it is written where the output has no other characters."""
    return text.encode("ascii", "scratchnet").decode()


def _prepare_streams() -> None:
    """Prepare stdout and stderr for closed streams (`>&-`) and for poor encodings."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="scratchnet")


def _last_words(text: str) -> None:
    """Print one line on stderr, even if nobody may be reading it any more."""
    with contextlib.suppress(OSError, ValueError):
        print(printable(" ".join(text.split())), file=sys.stderr, flush=True)


def _drop_unwritten() -> None:
    """Leave nothing in a closed pipe or terminal, about which Python would complain."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
