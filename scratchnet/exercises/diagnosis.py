"""From wrong numbers to one sentence that helps: what is right, what wrong, where."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from scratchnet.exercises.task import Arrays, Part, Sizes

# of the largest element; differences of the loss are good to about 1e-9 of it
TOLERANCE = 1e-6


def close(a: np.ndarray, b: np.ndarray, tolerance: float = TOLERANCE) -> bool:
    """Whether two arrays are equal up to rounding, measured by the largest element."""
    return a.shape == b.shape and bool(np.all(np.abs(a - b) <= tolerance * (1e-3 + np.abs(b).max(initial=0.0))))


def as_arrays(part: Part, answer: Any) -> list[np.ndarray] | str:
    """The outputs of a function as arrays; or a sentence, if they cannot be that."""
    names, function = part.outputs, part.function
    if answer is None:
        return f"{function} returns nothing: is its `return` missing?"
    values = answer if len(names) > 1 else (answer,)
    if len(names) > 1 and (not isinstance(answer, (tuple, list)) or len(answer) != len(names)):
        given = f"{len(answer)} values" if isinstance(answer, (tuple, list)) else f"one {type(answer).__name__}"
        return f"{function} returns {given}, but has to return {len(names)}: {', '.join(names)}"
    arrays = []
    for name, value in zip(names, values, strict=True):
        try:
            array = np.array(value, dtype=float)
        except (TypeError, ValueError):
            return f"{name} has to be a number or an array of numbers, but is {type(value).__name__}"
        arrays.append(array)
    return arrays


def diagnose(
    part: Part, arguments: Arrays, got: Sequence[np.ndarray], want: Arrays, sizes: Sizes, tolerance: float
) -> str:
    """What is wrong with these outputs, in one sentence; empty if nothing is."""
    names = part.outputs
    wrong = [i for i, (g, w) in enumerate(zip(got, want, strict=True)) if not close(g, np.asarray(w), tolerance)]
    if not wrong:
        return ""
    right = [name for i, name in enumerate(names) if i not in wrong]
    verdict = _verdict(part.function, right, [names[i] for i in wrong])
    known = (slip(part, arguments, names[i], got[i]) for i in wrong if np.isfinite(got[i]).all())
    k = wrong[0]
    why = next(filter(None, known), "") if got[k].shape == np.shape(want[k]) else ""
    return f"{verdict}: {why or _why(part, arguments, k, got[k], np.asarray(want[k]), sizes)}"


def numbers(part: Part, got: Sequence[np.ndarray], want: Arrays, judge: str, tolerance: float) -> str:
    """The element that is most wrong, as it is and as it should be."""
    for name, g, w in zip(part.outputs, got, map(np.asarray, want), strict=True):
        if g.shape == w.shape and not close(g, w, tolerance):
            off = np.where(np.isfinite(g), np.abs(g - w), np.inf)
            place = np.unravel_index(int(np.argmax(off)), w.shape)
            index = f"[{', '.join(map(str, map(int, place)))}]" if place else ""
            return f"{name}{index}: yours is {g[place]:.6g}, {judge} {w[place]:.6g}"
    return ""


def slip(part: Part, arguments: Arrays, output: str, got: np.ndarray) -> str:
    """What is said about a known mistake that gives this value; empty if none does."""
    for known in part.slips:
        if known.output == output:
            with suppress(Exception), np.errstate(all="ignore"):
                if close(got, np.asarray(known.wrong(*arguments), dtype=float)):
                    return known.text
    return ""


def _verdict(function: str, right: Sequence[str], wrong: Sequence[str]) -> str:
    def said(names: Sequence[str], word: str) -> str:
        listed = " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
        return f"{listed} {'is' if len(names) == 1 else 'are'} {word}"

    if not right:
        return f"{function}: {said(wrong, 'wrong')}"
    return f"{function}: {said(right, 'right')}, {said(wrong, 'wrong')}"


def _why(part: Part, arguments: Arrays, k: int, got: np.ndarray, want: np.ndarray, sizes: Sizes) -> str:
    name = part.outputs[k]
    if got.shape != want.shape:
        turned = "; it lies the wrong way round" if got.shape == want.shape[::-1] else ""
        if known := slip(part, arguments, name, got):
            turned = f"; {known}"
        return f"{name} has the shape {got.shape}, but must have {want.shape}{turned}"
    if np.isnan(got).any() and not np.isnan(want).any():
        if np.isnan(got).all():
            return f"{name} is NaN; every place of an array made with np.empty has to be written"
        return f"{name} is NaN in places; is every place of it written, and nothing like ∞ − ∞ or 0/0 computed?"
    if not np.isfinite(got).all():
        return f"{name} is infinite in places: did an exponential overflow?"
    return _pattern(name, got, want, sizes) or part.look[name]


def _pattern(name: str, got: np.ndarray, want: np.ndarray, sizes: Sizes) -> str:
    """What can be seen from the numbers alone."""
    N = sizes.get("N", 1)
    if close(got, -want):
        return f"{name} has the wrong sign"
    if N > 1 and close(got, want * N):
        return f"{name} is N times too large: where is the mean over the N examples taken?"
    if N > 1 and close(got * N, want):
        return f"{name} is N times too small: the mean over the N examples is taken once too often"
    if want.ndim == 2 and want.shape[0] == want.shape[1] > 1 and close(got, want.T):
        return f"{name} is transposed"
    if want.size > 1 and not got.any():
        return f"{name} is 0 everywhere: is it ever written?"
    if want.size > 2 and np.all(want != 0):
        ratio = got / want
        if close(ratio, np.full_like(ratio, ratio.flat[0]), 1e-5):
            return f"{name} is {ratio.flat[0]:.4g} times what it should be, everywhere: look for a factor"
    return ""
