"""`python -m scratchnet.exercises`: write backpropagation yourself, with a judge."""

import shutil
import sys
import textwrap
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from scratchnet.cli import guard, known, parse, printable
from scratchnet.errors import SettingError
from scratchnet.exercises import bugs
from scratchnet.exercises.catalogue import EXERCISES, exercise
from scratchnet.exercises.folder import COMMAND, Folder, digest, start
from scratchnet.exercises.judging import Verdict
from scratchnet.exercises.process import verdict_on
from scratchnet.exercises.task import Exercise

MARKS = {"solved": "✓", "to do": "·", "wrong": "✗", "broken": "✗"}

HELP = f"""\
usage: {COMMAND} COMMAND ...

Write backpropagation yourself: {len(EXERCISES)} small files, in order, each with a lesson and a
function to fill in. Your answers are judged by differences of the loss, and by
PyTorch where it is installed.

  start DIR [NAME]   write the exercises into a folder (or NAME alone)
  check DIR [NAME]   judge them in order, up to the first that is not solved
  watch DIR          judge again whenever a file changes; Ctrl-C ends it
  hint DIR NAME      the next hint
  bug N [DIR]        a layer with a fault to find, N from 1 to {len(bugs.BUGS)}; judged
                     when the command is given again; --hint narrows it down

They leave with 0 if all is solved, 1 if not, and 2 for a mistake in the command.
To begin:

  {COMMAND} start exercises
"""


@dataclass(frozen=True)
class Start:
    """Write the exercises into a folder; never over your work."""

    dir: Positional[Path]
    """The folder, which is made if it is not there."""
    name: Positional[str | None] = None
    """One exercise alone, such as 06_bp2."""


@dataclass(frozen=True)
class Check:
    """Judge the exercises in order, up to the first that is not solved."""

    dir: Positional[Path]
    """The folder of the exercises."""
    name: Positional[str | None] = None
    """One exercise alone, such as 06_bp2, bp2 or 6."""
    seconds: float = 5.0
    """Time that a function may take, in seconds of the processor."""


@dataclass(frozen=True)
class Watch:
    """Judge again whenever a file changes, until all is solved or Ctrl-C."""

    dir: Positional[Path]
    """The folder of the exercises."""
    seconds: float = 5.0
    """Time that a function may take, in seconds of the processor."""


@dataclass(frozen=True)
class Hint:
    """Give the next hint."""

    dir: Positional[Path]
    """The folder of the exercises."""
    name: Positional[str]
    """The exercise, such as 06_bp2, bp2 or 6."""


@dataclass(frozen=True)
class Bug:
    """Write a layer with a fault; once it is there, judge whether you have found it."""

    number: Positional[int]
    """Which fault."""
    dir: Positional[Path] = Path()
    """The folder for the file."""
    hint: bool = False
    """Give the next hint."""
    seconds: float = 5.0
    """Time that the layer may take, in seconds of the processor."""


def begin(o: Start) -> int:
    only = exercise(o.name) if o.name else None
    files = start(o.dir, only)
    what = files[0] if only else f"{len(files)} exercises, from {files[0].name} to {files[-1].name},"
    print(f"{what} written to {o.dir}")
    print(f"Open {files[0]}, read its lesson, fill in its function, and then:\n\n  {COMMAND} check {o.dir}")
    return 0


def check(o: Check) -> int:
    folder = Folder(o.dir)
    need_seconds(o.seconds)
    if o.name:
        return 0 if judged(folder, exercise(o.name), o.seconds) else 1
    solved = 0
    for one in EXERCISES.values():
        if folder.is_solved(one):
            print(f"{MARKS['solved']} {one.name}  {one.about}")
        elif not judged(folder, one, o.seconds):
            print(f"\n{solved} of {len(EXERCISES)} solved; the next is {folder.path / one.file}")
            return 1
        solved += 1
    print(f"\nAll {solved} solved: you have written backpropagation. {COMMAND} bug 1 goes on from here.")
    return 0


def judged(folder: Folder, one: Exercise, seconds: float) -> bool:
    """Judge a file, say what was found, and keep the progress."""
    file = folder.file(one)
    seen = digest(file)
    verdict = verdict_on(file, one.name, seconds)
    folder.record(one, seen, verdict.state == "solved")
    say(one.name, one.about, verdict)
    if verdict.state in ("wrong", "broken"):
        print(f"    for a hint: {COMMAND} hint {folder.path} {one.name}")
    return verdict.state == "solved"


def say(name: str, about: str, verdict: Verdict) -> None:
    print(f"{MARKS[verdict.state]} {name}  {about}")
    print(indented(printable(verdict.text)))
    case = f" ({verdict.case})" if verdict.case else ""
    if verdict.numbers:
        print(indented(f"{printable(verdict.numbers)}{case}"))
    elif case and verdict.state != "solved":
        print(indented(f"with {verdict.case}"))
    if verdict.printed.strip():
        print("    it printed:")
        for line in verdict.printed.rstrip().splitlines()[:20]:
            print(f"      {printable(line)[:200]}")


def indented(text: str) -> str:
    """Four spaces before the text, which is broken into lines on a terminal."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 10_000
    return textwrap.fill(text, max(40, width - 1), initial_indent="    ", subsequent_indent="    ")


def watch(o: Watch, pause: Callable[[float], None] = time.sleep) -> int:
    folder = Folder(o.dir)
    need_seconds(o.seconds)
    before = None
    try:
        while True:
            now = {one.name: stamp(folder.path / one.file) for one in EXERCISES.values()}
            if now != before and None not in now.values():  # an editor may be replacing one
                if check(Check(o.dir, seconds=o.seconds)) == 0:
                    return 0
                print("\nwatching; Ctrl-C ends it", flush=True)
                before = now
            pause(0.5)
    except KeyboardInterrupt:
        print()
        return 0


def stamp(path: Path) -> tuple[int, int] | None:
    """What changes when a file is written; None while it is not there."""
    try:
        seen = path.stat()
    except OSError:
        return None
    return seen.st_mtime_ns, seen.st_size


def hint(o: Hint) -> int:
    folder, one = Folder(o.dir), exercise(o.name)
    print(numbered(one.hints, folder.next_hint(one.name, len(one.hints))))
    return 0


def numbered(hints: Sequence[str], k: int) -> str:
    return f"hint {k + 1} of {len(hints)}: {hints[k]}"


def bug(o: Bug) -> int:
    need_seconds(o.seconds)
    planted = bugs.bug(o.number)
    file = o.dir / planted.file
    if o.hint:
        k = bugs.next_hint(o.dir, planted)
        print(numbered(planted.hints, k))
        return 0
    if not file.exists():
        bugs.write(planted, o.dir)
        print(f"{file} is a copy of the engine's {planted.layer} with one fault. To see what gradcheck says:\n")
        print(f"  python {file}\n\nMend it, and give this command again; --hint narrows it down.")
        return 0
    verdict = verdict_on(file, planted.name, o.seconds)
    say(planted.name, f"a fault in {planted.layer}", verdict)
    return 0 if verdict.state == "solved" else 1


def need_seconds(seconds: float) -> None:
    if not 0 < seconds <= 3600:
        raise SettingError(f"--seconds must be above 0 and at most 3600, not {seconds:g}")


COMMANDS: dict[str, tuple[type, Callable[..., int]]] = {
    "start": (Start, begin),
    "check": (Check, check),
    "watch": (Watch, watch),
    "hint": (Hint, hint),
    "bug": (Bug, bug),
}


def main(args: Sequence[str]) -> int:
    if not args or args[0] in ("-h", "--help"):
        print(HELP, end="")
        return 0
    command = known(args[0], list(COMMANDS), "command")
    options, run = COMMANDS[command]
    return run(parse(options, args[1:], f"{COMMAND} {command}"))


if __name__ == "__main__":
    guard(main)
