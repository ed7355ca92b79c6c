"""What a trained network takes, grey images or text, and what its outputs are called.

A model file says it in `net.info`; whole pictures are for whole.py.
"""

import math
from typing import Any, TypeGuard

import numpy as np

from scratchnet.data.handwriting import SIZE, look
from scratchnet.engine.layers import Sequential
from scratchnet.engine.layers.base import shape_text
from scratchnet.errors import CheckpointError, ShapeError
from scratchnet.files.tensorfile import short
from scratchnet.models.network import check_work

LARGEST_INPUT = 1e6  # of a pixel after scale and shift; this project's networks use −1 to 1
LONGEST_NAME = 100  # characters of a class's name, as it is shown in tables and pictures


def probabilities(net: Sequential, x: Any) -> np.ndarray:
    """The network's probabilities for every class (N, K), given inputs x (N, ...).

    Outputs that are not probabilities are turned into them: logits by softmax,
    logarithms by eˣ, and sigmoid outputs, which are independent of each other, by
    dividing them by their sum. Raises CheckpointError if they are not finite.
    """
    with np.errstate(all="ignore"):  # the result is checked below
        p = net.predict_proba(x)
    if not np.isfinite(p).all():
        raise CheckpointError("this model's outputs are not probabilities: NaN or infinite")
    return p


def image_input(net: Sequential) -> tuple[tuple[int, ...], float, float]:
    """(shape of an example, scale, shift) of a network for one grey image.

    The network's input is pixel · scale + shift. Raises CheckpointError if it takes
    anything else.
    """
    about = about_input(net)
    shape: Any = about.get("shape")
    scale: Any = about.get("scale")
    shift: Any = about.get("shift")
    fits = (
        isinstance(shape, (list, tuple)) and len(shape) in (1, 3) and all(type(n) is int and n > 0 for n in shape)
        and math.prod(shape) == SIZE * SIZE
    )  # fmt: skip
    if not fits or not all(type(v) in (int, float) for v in (scale, shift)):
        raise CheckpointError(f"this model does not take grey images of {SIZE} x {SIZE} pixels: {describe_input(net)}")
    if not (abs(scale) <= LARGEST_INPUT and abs(shift) <= LARGEST_INPUT):
        raise CheckpointError(f"this model's scale {short(scale)} and shift {short(shift)} make no pixels: damaged?")
    try:
        outputs = net.shapes_from(tuple(shape))[-1]
    except ShapeError as e:
        raise CheckpointError(f"this model does not take grey images of {SIZE} x {SIZE} pixels: {e}") from None
    if len(outputs) != 1:
        raise CheckpointError(f"this model gives {shape_text(outputs)}, and not one number for each class")
    check_work(net, tuple(shape))
    return tuple(shape), float(scale), float(shift)


def as_inputs(net: Sequential, images: np.ndarray) -> np.ndarray:
    """Turn pixels (N, 28, 28) from 0 to 255 into inputs as the network was trained on.

    Raises CheckpointError.
    """
    shape, scale, shift = image_input(net)
    x = images.reshape(-1, *shape).astype(net.dtype)
    x *= scale
    x += shift
    return x


def about_input(net: Sequential) -> dict[str, Any]:
    """What the model's file says of its input; {} if nothing."""
    given = net.info.get("input")
    return given if isinstance(given, dict) else {}


def describe_input(net: Sequential) -> str:
    """What a model takes, in words, for an error message."""
    given = net.info.get("input")
    if not isinstance(given, dict):
        return "it does not say what it takes"
    if {"shape", "mean", "std"} <= set(given):
        return f"it was trained on whole pictures, {short(given['shape'])}, which predict shows it"
    return "its input is " + ", ".join(
        f"{name} {short(value)}" if name == "shape" else name[:40] for name, value in list(given.items())[:10]
    )


def classes_of(net: Sequential, outputs: int) -> list[str]:
    """The names of the classes, or their numbers if the model has no names.

    Raises CheckpointError if a name is repeated or cannot be printed.
    """
    names = net.info.get("classes")
    if not isinstance(names, list) or len(names) != outputs:
        return list(map(str, range(outputs)))
    texts = [str(name) if type(name) is int and abs(name) < 2**63 else name for name in names]
    for text in texts:
        if not isinstance(text, str) or len(text) > LONGEST_NAME or any("\ud800" <= c <= "\udfff" for c in text):
            raise CheckpointError(f"this model has a class whose name cannot be shown: {short(text)}")
        if texts.count(text) > 1:
            raise CheckpointError(f"this model has {texts.count(text)} classes of one name: {short(text)}")
    return texts


def usual_of(net: Sequential) -> dict[str, list[float]]:
    """What the network's training images looked like (see `handwriting.usual`).

    It is {} if the model's file does not say.
    """
    ranges = net.info["input"].get("usual")
    names = set(look(np.zeros((1, SIZE, SIZE))))
    if not isinstance(ranges, dict) or set(ranges) != names:
        return {}
    right = all(
        isinstance(r, list) and len(r) == 2 and all(type(v) in (int, float) for v in r) for r in ranges.values()
    )
    return ranges if right else {}


def text_input(net: Sequential, text: str) -> Any:
    """A text as the input of a network of the study sentiment, or else of tweets.

    Raises CheckpointError for a model that takes no text, and DataError if the network
    knows no word of this one.
    """
    about = about_input(net)
    words = about.get("words")
    if not is_words(words):
        raise CheckpointError(f"this model does not take text: {describe_input(net)}")
    if "sentence" not in about:
        from scratchnet.data.tweets import text_to_input

        lists = {name: about[name] for name in ("names", "stop_words") if is_words(about.get(name))}
        return text_to_input(text, words, bool(about.get("drop_links", True)), **lists)
    from scratchnet.data import sentences

    length = about.get("length")
    if length is not None and not (type(length) is int and 1 <= length <= sentences.LONGEST):
        raise CheckpointError(f"this model reads sentences of {short(length)} words, which cannot be: damaged?")
    x = sentences.text_to_input(text, words, length)
    check_work(net, x.shape[1:])
    return x


def is_words(value: Any) -> TypeGuard[list[str]]:
    return isinstance(value, list) and all(isinstance(word, str) for word in value)
