"""Completion of commands, studies and options in the shell: the script that does it.

Tyro writes it from the same dataclasses that the commands read their options with.
"""

import contextlib
import importlib
import io
from collections.abc import Mapping
from dataclasses import make_dataclass
from typing import Annotated, Any, Union

import tyro

from scratchnet.studies.catalogue import STUDIES, study_module

SHELLS = ("bash", "zsh")
#: Bash: where there is no option or command to offer, as for MODEL, it completes files
FILES_TOO = """
_scratchnet() {
  _tyro_scratchnet
  [[ -n "${COMPREPLY[*]}" ]] || COMPREPLY=()
}
complete -o bashdefault -o default -F _scratchnet scratchnet
"""


def script(shell: str, commands: Mapping[str, str]) -> str:
    """The script for one of SHELLS; `commands` are the names and what each is for."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
        tyro.cli(
            _choice({name: (_options(name), about) for name, about in commands.items()}),
            args=["--tyro-print-completion", shell],
            prog="scratchnet",
            config=(tyro.conf.OmitSubcommandPrefixes,),
        )
    return said.getvalue() + (FILES_TOO if shell == "bash" else "")


def _options(command: str) -> Any:
    """The options of a command, or a choice of its subcommands with theirs."""
    if command == "train":
        found = {study: (study_module(study).Options, about) for study, (_, about) in STUDIES.items()}
    elif command == "exercises":
        exercises = importlib.import_module("scratchnet.exercises.__main__").COMMANDS
        found = {name: (kind, kind.__doc__) for name, (kind, _) in exercises.items()}
    elif command == "shapes":
        shapes = importlib.import_module("scratchnet.shapes")
        found = dict.fromkeys(shapes.KINDS, (shapes.Options, ""))
    else:
        return importlib.import_module(f"scratchnet.{command}").Options
    return make_dataclass(command, [("what", _choice(found))])


def _choice(kinds: Mapping[str, tuple[Any, str]]) -> Any:
    """One of these dataclasses, as subcommands with a description."""
    parts = [Annotated[kind, tyro.conf.subcommand(name, description=about)] for name, (kind, about) in kinds.items()]
    return Union[tuple(parts)]  # noqa: UP007  # they are known only now
