"""The judge: tries a learner's functions on many cases and says what is wrong.

It is run in a process of its own (`child.py`), because it runs the learner's code.
"""

import inspect
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal

import numpy as np

from scratchnet.exercises.diagnosis import TOLERANCE, as_arrays, diagnose, numbers, slip
from scratchnet.exercises.task import Arrays, Exercise, Part, Sizes

SEEDS = 3
# PyTorch's gradients have no error of differences
EXACT = 1e-9

State = Literal["solved", "to do", "wrong", "broken"]


@dataclass(frozen=True)
class Verdict:
    """`text` is one sentence; `numbers` shows one wrong element; `case` its sizes."""

    state: State
    text: str
    numbers: str = ""
    case: str = ""
    printed: str = ""  # by the learner's own prints


class Broken(Exception):
    """The learner's code raised something; says what, with file and line."""

    def __init__(self, error: BaseException, file: str) -> None:
        self.error = error
        self.line = next((f.lineno for f in reversed(traceback.extract_tb(error.__traceback__)) if f.filename == file),
                         getattr(error, "lineno", None) if isinstance(error, SyntaxError) else None)  # fmt: skip
        name = file.replace("\\", "/").rpartition("/")[2]
        place = f"{name}, line {self.line}" if self.line else name
        words = error.msg if isinstance(error, SyntaxError) else str(error)
        said = " ".join(words.split())[:200]
        super().__init__(f"{place}: {type(error).__name__}{': ' * bool(said)}{said}")


class Caller:
    """Runs the learner's code; `clock` surrounds it, to stop endless loops.

    While it runs, np.empty and its like give arrays full of NaN: a place that is never
    written is then seen, whatever lay in memory.
    """

    def __init__(self, file: str, clock: Callable[[], Any]) -> None:
        self.file, self.clock = file, clock

    def __call__(self, f: Callable[..., Any], *arguments: Any) -> Any:
        try:
            with self.clock(), empty_is_nan(), np.errstate(all="ignore"):
                return f(*arguments)
        except BaseException as error:
            raise Broken(error, self.file) from error


@contextmanager
def empty_is_nan() -> Iterator[None]:
    def filled(make: Callable[..., Any]) -> Callable[..., Any]:
        def made(*args: Any, **options: Any) -> Any:
            array = make(*args, **options)
            if isinstance(array, np.ndarray) and array.dtype.kind in "fc":
                array.fill(np.nan)
            return array

        return made

    kept = {name: getattr(np, name) for name in ("empty", "empty_like")}
    for name, make in kept.items():
        setattr(np, name, filled(make))
    try:
        yield
    finally:
        for name, make in kept.items():
            setattr(np, name, make)


def judge(exercise: Exercise, module: ModuleType, call: Caller, torch: Callable[[], bool]) -> Verdict:
    """The verdict on a file.

    What differences of the loss find right is then judged by PyTorch, if `torch` says
    that it is there.
    """
    for part in exercise.parts:
        if not callable(getattr(module, part.function, None)):
            return Verdict("wrong", f"there is no function `{part.function}` in {exercise.file}: give it back its name")
    judges = "differences of the loss"
    try:
        for part in exercise.parts:
            f = getattr(module, part.function)
            if verdict := _fitting(part, f) or _by_differences(part, f, call):
                return verdict
        if torch():
            judges += " and PyTorch"
            for part in exercise.parts:
                if verdict := _by_pytorch(part, getattr(module, part.function), call):
                    return verdict
    except Broken as broken:
        if isinstance(broken.error, NotImplementedError):
            return Verdict("to do", f"`{part.function}` is not written yet")
        return Verdict("broken", str(broken))
    return Verdict("solved", f"judged by {judges}")


def _fitting(part: Part, f: Callable[..., Any]) -> Verdict | None:
    """A verdict on a function that does not take these arguments."""
    try:
        inspect.signature(f).bind(*part.arguments)
    except TypeError:
        wanted = f"{part.function}({', '.join(part.arguments)})"
        return Verdict("wrong", f"`{part.function}` has to take the arguments of the lesson: {wanted}")
    except ValueError:  # a function of C, such as a ufunc, has no signature
        return None
    return None


def cases(part: Part) -> Iterator[tuple[Sizes, int, Arrays]]:
    for sizes in part.sizes:
        for seed in range(SEEDS):
            yield sizes, seed, part.draw(np.random.default_rng([seed, *sizes.values()]), sizes)


def _by_differences(part: Part, f: Callable[..., Any], call: Caller) -> Verdict | None:
    passed: list[Sizes] = []
    for sizes, seed, arguments in cases(part):
        case = ", ".join(f"{name} = {size}" for name, size in sizes.items())
        given = tuple(np.copy(a) if isinstance(a, np.ndarray) else a for a in arguments)
        try:
            got = as_arrays(part, call(f, *given))
        except Broken as broken:
            return _broken(part, f, call, broken, case)
        if isinstance(got, str):
            return Verdict("wrong", got, case=case)
        for name, before, after in zip(part.arguments, arguments, given, strict=True):
            if isinstance(before, np.ndarray) and not np.array_equal(before, after):
                return Verdict("wrong", f"{part.function} changes its argument {name}: compute with a new array, "
                               f"because others still need the old one", case=case)  # fmt: skip
        want = part.right(*arguments)
        if text := diagnose(part, arguments, got, want, sizes, TOLERANCE):
            return Verdict("wrong", _but(passed, sizes) + text, numbers(part, got, want, part.judge, TOLERANCE), case)
        if seed == 0:
            again = as_arrays(part, call(f, *given))
            if isinstance(again, str) or not all(map(np.array_equal, got, again)):
                return Verdict("wrong", f"{part.function} gives something else when it is called again with the same "
                               f"arguments: does it keep something between the calls?", case=case)  # fmt: skip
            passed.append(sizes)
    return None


def _but(passed: list[Sizes], sizes: Sizes) -> str:
    """What earlier cases say about a failure at these sizes."""
    if not passed:
        return ""
    if sizes.get("N") == 1 and passed[-1].get("N") != 1:
        return "right for several examples, but not for a batch of one: "
    if passed[-1] is not sizes:
        changed = [f"{name} = {size}" for name, size in sizes.items() if passed[-1].get(name) != size]
        return f"right in the cases before, but not with {', '.join(changed)}: "
    return "right for some numbers and not for others: "


def _broken(part: Part, f: Callable[..., Any], call: Caller, broken: Broken, case: str) -> Verdict:
    """The verdict on an exception.

    A missing transpose is a ValueError where shapes differ; where they are square it
    can be recognised by its numbers.
    """
    if isinstance(broken.error, NotImplementedError):
        raise broken
    if isinstance(broken.error, ValueError):
        for sizes, _, arguments in cases(part):
            try:
                got = as_arrays(part, call(f, *(np.copy(a) if isinstance(a, np.ndarray) else a for a in arguments)))
            except Broken:
                continue
            if isinstance(got, str):
                continue
            if any(slip(part, arguments, name, value) for name, value in zip(part.outputs, got, strict=True)):
                text = diagnose(part, arguments, got, part.right(*arguments), sizes, TOLERANCE)
                return Verdict("broken", text or str(broken), str(broken), case)
    return Verdict("broken", str(broken), case=case)


def _by_pytorch(part: Part, f: Callable[..., Any], call: Caller) -> Verdict | None:
    for sizes, _, arguments in cases(part):
        got = as_arrays(part, call(f, *(np.copy(a) if isinstance(a, np.ndarray) else a for a in arguments)))
        assert not isinstance(got, str)  # it was looked at before
        want = part.pytorch(*arguments)
        if text := diagnose(part, arguments, got, want, sizes, EXACT):
            return Verdict("wrong", text, numbers(part, got, want, "PyTorch gives", EXACT))
    return None
