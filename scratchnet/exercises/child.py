"""Judges one file, in this process: started by `process.py`, with a time limit.

    python -m scratchnet.exercises.child FILE NAME SECONDS VERDICT

The verdict is written to the file VERDICT, as JSON.
"""

import dataclasses
import io
import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from scratchnet.exercises.bugs import judge_bug
from scratchnet.exercises.catalogue import EXERCISES
from scratchnet.exercises.judging import Broken, Caller, Verdict, judge
from scratchnet.files.reading import open_regular

LARGEST = 1_000_000  # bytes of a learner's file
KEPT = 2_000  # characters of what the learner's code prints


class Kept(io.StringIO):
    """What is printed, up to a length; the rest is dropped."""

    def write(self, text: str) -> int:
        room = KEPT - self.tell()
        super().write(text[: max(0, room)])
        return len(text)


class Clock:
    """Ends this process if the learner's code takes too long.

    Time is that of the processor, so that a busy machine ends nobody's exercise; code
    that only waits may do so six times as long.
    """

    def __init__(self, seconds: float, file: str, verdict: Path) -> None:
        self.seconds, self.file, self.verdict = seconds, file, verdict
        self.begun: tuple[float, float] | None = None
        self.main = threading.get_ident()
        threading.Thread(target=self._watch, daemon=True).start()

    @contextmanager
    def __call__(self) -> Iterator[None]:
        self.begun = time.process_time(), time.monotonic()
        try:
            yield
        finally:
            self.begun = None

    def _watch(self) -> None:
        while True:
            time.sleep(0.05)
            begun = self.begun
            if begun and (
                time.process_time() - begun[0] > self.seconds or time.monotonic() - begun[1] > 6 * self.seconds
            ):
                frame = sys._current_frames().get(self.main)
                while frame and frame.f_code.co_filename != self.file:
                    frame = frame.f_back
                line = f", line {frame.f_lineno}" if frame else ""
                late = (
                    f"{Path(self.file).name}{line}: still running after {self.seconds:g} seconds: a loop without end?"
                )
                write(self.verdict, Verdict("broken", late))
                os._exit(0)


def write(path: Path, verdict: Verdict) -> None:
    path.write_text(json.dumps(dataclasses.asdict(verdict)), encoding="utf-8")


def load(path: Path, call: Caller) -> ModuleType:
    """The learner's file as a module. Raises Broken."""
    try:
        with open_regular(path) as file:
            source = file.read(LARGEST + 1)
    except OSError as error:
        raise Broken(error, call.file) from error
    if len(source) > LARGEST:
        raise Broken(ValueError(f"the file is larger than {LARGEST:,} bytes"), call.file)
    module = ModuleType("exercise")
    module.__file__ = call.file
    sys.modules["exercise"] = module

    def run() -> None:
        exec(compile(source, call.file, "exec"), module.__dict__)

    call(run)
    return module


def verdict_on(path: Path, name: str, seconds: float, into: Path) -> Verdict:
    call = Caller(str(path), Clock(seconds, str(path), into))
    try:
        module = load(path, call)
    except Broken as broken:
        if isinstance(broken.error, NotImplementedError):
            return Verdict("to do", "nothing is written yet")
        return Verdict("broken", str(broken))
    if name.startswith("bug"):
        return judge_bug(int(name.removeprefix("bug")), module, call)
    return judge(EXERCISES[name], module, call, has_torch)


def has_torch() -> bool:
    """Whether PyTorch is installed, and not broken."""
    try:
        import torch  # noqa: F401
    except (ImportError, OSError):
        return False
    return True


def main(file: str, name: str, seconds: str, into: str) -> None:
    # a helper of the learner's own may lie beside the file, but hides no module
    sys.path.append(os.path.dirname(file))
    printed = sys.stdout = sys.stderr = Kept()
    verdict = verdict_on(Path(file), name, float(seconds), Path(into))
    write(Path(into), dataclasses.replace(verdict, printed=printed.getvalue()))
    os._exit(0)  # whatever threads the learner's code has started


if __name__ == "__main__":
    main(*sys.argv[1:])
