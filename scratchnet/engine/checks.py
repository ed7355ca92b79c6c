"""Arguments are checked in one place: messages say what was expected and what came.

A number may be Python's or NumPy's, or an array or tensor without axes. An array may be
NumPy's (of any type of number and any byte order), a list or tuple, a pandas table or
column, or a PyTorch tensor. Everything else is refused by name, where NumPy alone would
convert it silently: a complex number would lose its imaginary part, a date would become
a count of days, a masked value would reappear and None would become NaN.
"""

import inspect
import math
import numbers
import sys
from difflib import get_close_matches
from typing import Any, TypeVar

import numpy as np

from scratchnet.backend.arrays import Array, is_on_gpu, xp_of
from scratchnet.errors import DataError, SettingError, ShapeError

T = TypeVar("T")

MOST = 2**63 - 1  # what NumPy's whole numbers can hold

#: What arrays of other kinds than numbers hold, by NumPy's letter for the kind
NOT_NUMBERS = {
    "c": "complex numbers",
    "M": "dates",
    "m": "spans of time",
    "U": "text",
    "T": "text",
    "S": "bytes",
    "V": "a structured array",
}


def shown(value: Any) -> str:
    """A value as messages show it: its repr, cut short."""
    try:
        text = " ".join(repr(value).split())
    # someone else's repr may fail; that must not hide the mistake
    except Exception:
        text = f"a {type(value).__name__}"
    return text if len(text) <= 60 else f"{text[:57]}..."


# ------------------------------------------------------------------------------ options


def whole(who: str, name: str, value: Any, least: int = 0, most: int = MOST) -> int:
    """A whole number in this range, as Python's int. Raises SettingError."""
    scalar = _scalar(value)
    n = int(scalar) if isinstance(scalar, numbers.Integral) else None
    if n is None or not least <= n <= most:
        to = f" to {most}" if most < MOST or (n is not None and n > most) else ""
        raise SettingError(f"{who}: {name} must be a whole number from {least}{to}, not {shown(value)}")
    return n


def number(who: str, name: str, value: Any, least: float = 0.0, most: float = math.inf, below: bool = False) -> float:
    """A finite number from `least` to `most` (or below it), as Python's float.

    Raises SettingError. A NumPy float64 would turn float32 parameters into float64 (NEP
    50).
    """
    try:
        scalar = _scalar(value)
        found = float(scalar) if isinstance(scalar, numbers.Real) else math.nan
    except OverflowError:
        found = math.inf
    if least <= found < math.inf and (found < most or (found == most and not below)):
        return found
    begin = "finite number" if least == -math.inf else f"number from {least:g}"
    end = "" if most == math.inf else f" to {'below ' if below else ''}{most:g}"
    raise SettingError(f"{who}: {name} must be a {begin}{end}, not {shown(value)}")


def _scalar(value: Any) -> Any:
    """The value as Python's number, or None if it is a bool or no number."""
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, bool) else value


def flag(who: str, name: str, value: Any) -> bool:
    """True or False. Raises SettingError: the word "no" would count as true."""
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    raise SettingError(f"{who}: {name} must be True or False, not {shown(value)}")


def choice(who: str, name: str, value: Any, choices: tuple[str, ...]) -> str:
    """One of these words. Raises SettingError, which suggests the nearest."""
    if isinstance(value, str) and value in choices:
        return value
    near = get_close_matches(value.lower(), choices, 1) if isinstance(value, str) else []
    hint = f"; did you mean '{near[0]}'?" if near else ""
    words = " or ".join(filter(None, (", ".join(choices[:-1]), choices[-1])))
    raise SettingError(f"{who}: {name} must be {words}, not {shown(value)}{hint}")


def function(who: str, name: str, value: Any, arguments: int, what: str) -> Any:
    """`value`, which can be called with this number of arguments.

    Raises SettingError for anything else, also for a class; `what` says in words what
    was expected.
    """
    fits = callable(value) and not isinstance(value, type)
    if fits:
        try:
            inspect.signature(value).bind(*[None] * arguments)
        except TypeError:
            fits = False
        except ValueError:
            # some functions written in C do not reveal their arguments
            pass
    if not fits:
        raise SettingError(f"{who}: {name} must be {what}, not {shown(value)}")
    return value


def instance(who: str, name: str, value: Any, kind: type[T], example: str) -> T:
    """An object of this class; `example` shows one.

    Raises SettingError for anything else, also for the class itself.
    """
    if isinstance(value, kind):
        return value
    if isinstance(value, type) and issubclass(value, kind):
        raise SettingError(f"{who}: {name} must be an object such as {example}, not the class {value.__name__} itself")
    a = "an" if kind.__name__[0] in "AEIOU" else "a"
    raise SettingError(f"{who}: {name} must be {a} {kind.__name__} such as {example}, not {shown(value)}")


def network(who: str, net: Any) -> None:
    """Raise SettingError unless `net` is a network.

    It is recognised by its store of parameters, so that nothing needs to be imported.
    """
    if isinstance(net, type):
        raise SettingError(
            f"{who}: net must be an object such as Sequential(Linear(784, 10)), not the class {net.__name__} itself"
        )
    if not hasattr(net, "store"):
        raise SettingError(f"{who}: net must be a Sequential such as Sequential(Linear(784, 10)), not {shown(net)}")


def shape(who: str, name: str, value: Any) -> tuple[int, ...]:
    """The shape of one example, such as (784,). Raises SettingError."""
    if not isinstance(value, (tuple, list)):
        raise SettingError(f"{who}: {name} must be the shape of one example, such as (784,), not {shown(value)}")
    return tuple(whole(who, name, size) for size in value)


# ------------------------------------------------------------------------------ arrays


def array(who: str, name: str, value: Any, xp: Any = None) -> Array:
    """`value` as an array of numbers or bools, without a copy if it is one already.

    It is moved to the device of `xp` if that is given. Raises DataError.
    """
    if xp is None:
        xp = xp_of(value) if is_on_gpu(value) else np
    if type(value) is xp.ndarray and value.dtype.kind in "biuf" and value.dtype.isnative:
        return value
    try:
        found = _to_numpy(value)
        if found.dtype.kind == "O":
            found = _numbers_of(found)
    except DataError as e:
        raise DataError(f"{who}: {name} must be an array of numbers, not {e}") from None
    # other libraries raise whatever they like
    except Exception as e:
        raise DataError(
            f"{who}: {name} must be an array of numbers, but {_kind(value)} cannot be made one "
            f"({' '.join(str(e).split())[:120]})"
        ) from None
    kind = found.dtype.kind
    if kind not in "biuf":
        words = NOT_NUMBERS.get(kind, "objects")
        raise DataError(f"{who}: {name} must be an array of numbers, not {words} ({found.dtype})")
    if not found.dtype.isnative:
        found = found.astype(found.dtype.newbyteorder("="))
    return xp.asarray(found)


def examples(who: str, name: str, value: Any, dtype: Any, xp: Any = None) -> Array:
    """`value` as an array of `dtype` on the device of `xp`, copied only if needed.

    Raises DataError.
    """
    found = array(who, name, value, xp)
    if found.dtype == dtype:
        return found
    # too large for float32 becomes infinite, as in PyTorch
    with np.errstate(over="ignore"):
        return found.astype(dtype)


def indices(who: str, name: str, value: Any) -> Array:
    """`value` as an array of int64, on its own device. Raises DataError.

    Floating-point numbers are taken where they are whole.
    """
    found = array(who, name, value)
    if found.dtype.kind == "b":
        raise DataError(f"{who}: {name} must be whole numbers, not True and False")
    if found.dtype.kind == "f":
        with np.errstate(invalid="ignore"):
            wrong = found[~(found == xp_of(found).round(found)) | ~(abs(found) < MOST)]
        if wrong.size:
            raise DataError(f"{who}: {name} must be whole numbers, which stand for rows, but holds {float(wrong[0]):g}")
    return found.astype(np.int64, copy=False)


def same_number(who: str, x: Array, target: Array) -> None:
    """Raise ShapeError unless every example has a target, and there is at least one."""
    if x.ndim == 0 or target.ndim == 0 or not x.shape[0] == target.shape[0] > 0:
        raise ShapeError(
            f"{who}: there must be as many targets as examples, and at least one, but x has shape {tuple(x.shape)} "
            f"and the target {tuple(target.shape)}"
        )


def _kind(value: Any) -> str:
    return "None" if value is None else f"a {type(value).__name__}"


def _to_numpy(value: Any) -> np.ndarray:
    """Any array, table or nested list as a NumPy array.

    Raises DataError, whose text says what the value is instead.
    """
    if isinstance(value, np.ma.MaskedArray):
        raise DataError("a masked array: give .filled(value) or only the rows without masked values")
    if isinstance(value, (str, bytes, dict, set, frozenset, type)) or value is None or callable(value):
        raise DataError(f"{_kind(value)}, {shown(value)}" if value is not None else "None")
    if hasattr(value, "tocsr"):
        raise DataError("a sparse array: give .toarray()")
    module = type(value).__module__.partition(".")[0]
    if module == "torch":
        return value.detach().cpu().numpy()
    if module == "cupy":
        return value.get()
    if isinstance(value, (list, tuple)):
        return _of_list(value)
    found = np.asarray(value)
    if found.ndim == 0 and found.dtype.kind == "O":
        raise DataError(f"{_kind(value)}, {shown(value)}")
    return found


def _of_list(value: Any) -> np.ndarray:
    """A nested list as an array.

    Its tensors are converted first, because NumPy would ask each for its elements.
    """
    if "torch" in sys.modules or "cupy" in sys.modules:
        value = [_to_numpy(v) if hasattr(v, "detach") or hasattr(v, "get") else v for v in value]
    if any(isinstance(v, np.ma.MaskedArray) for v in value):
        raise DataError("a list of masked arrays: give .filled(value)")
    try:
        return np.asarray(value)
    except ValueError as e:
        if "inhomogeneous" in str(e):
            raise DataError("rows of unequal length") from None
        raise


def _numbers_of(found: np.ndarray) -> np.ndarray:
    """An array of Python objects as one of numbers, if all are numbers."""
    for place, value in np.ndenumerate(found):
        if not isinstance(value, (bool, int, float, np.bool_, np.integer, np.floating)):
            at = f"[{', '.join(map(str, place))}]"
            raise DataError(f"objects, of which {at} is {shown(value)}")
    simple = np.array(found.tolist())
    return simple if simple.dtype.kind in "biuf" else found.astype(np.float64)
