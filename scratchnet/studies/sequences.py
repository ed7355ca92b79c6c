"""A sequence of one's own as a recurrent network of the studies reads it."""

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeGuard

import numpy as np

from scratchnet.data import sentences
from scratchnet.data.series import Scaling
from scratchnet.engine.layers import Embedding, Sequential
from scratchnet.engine.layers.recurrent import Recurrent
from scratchnet.engine.losses import CrossEntropyLoss, Loss, MSELoss
from scratchnet.engine.prediction import outputs
from scratchnet.errors import CheckpointError, DataError

MOST = 200  # characters or numbers: a screen shows one time of them


class Read(NamedTuple):
    """One sequence (1, T, ...), and what is wanted at its end or at its times."""

    x: np.ndarray
    target: np.ndarray
    loss: Loss
    about: str


def read_text(net: Sequential, text: str, label: str | None = None) -> Read:
    """A text for a network of `chars` or of `sentiment`.

    A network of characters is to foretell each next one. One of sentences is to say
    `label`, by default what it says. Raises CheckpointError for another network and
    DataError for a text that it cannot read.
    """
    vocabulary, given = net.info.get("vocabulary"), net.info.get("input")
    if isinstance(vocabulary, str) and label is None:
        return _characters(net, vocabulary, text)
    if not (isinstance(net.layers[0], Embedding) and isinstance(given, dict) and "sentence" in given):
        what = "no label goes with characters" if isinstance(vocabulary, str) else "this network reads no text"
        raise CheckpointError(f"--text: {what}: train chars and train sentiment make networks that read one")
    words, length, classes = given.get("words"), given.get("length"), net.info.get("classes")
    if not (_are_texts(words) and _are_texts(classes) and type(length) is int and 1 <= length <= sentences.LONGEST):
        raise CheckpointError("--text: what the model says of its words, their number and its classes is damaged")
    x = sentences.text_to_input(text, words, length)
    if label is not None and label not in classes:
        raise DataError(f"--label {label[:40]!r} is no class: there are {', '.join(classes)}")
    target = int(outputs(net, x).argmax()) if label is None else classes.index(label)
    about = f"{len(sentences.words_of(text))} words, to be {classes[target]}"
    return Read(x, np.array([target]), CrossEntropyLoss(), about)


def _are_texts(names: Any) -> TypeGuard[list[str]]:
    return isinstance(names, list) and all(isinstance(name, str) for name in names)


def _characters(net: Sequential, vocabulary: str, text: str) -> Read:
    unknown = sorted(set(text) - set(vocabulary))
    if unknown:
        raise DataError(f"--text: the network has never read {unknown[0]!r}")
    if not 2 <= len(text) <= MOST:
        raise DataError(f"--text must have from 2 to {MOST} characters, not {len(text)}")
    ids = np.array([vocabulary.index(c) for c in text])
    x = np.eye(len(vocabulary))[None, ids[:-1]]
    about = f"{len(ids) - 1} characters, each to be followed by the next"
    return Read(x, ids[None, 1:], CrossEntropyLoss(classes="last"), about)


def read_numbers(net: Sequential, numbers: Sequence[float]) -> Read:
    """A series for a network that reads one number at a time, and forecasts the last.

    Those for a network of `flights` are passengers. Raises CheckpointError for another
    network and DataError for numbers that it cannot read.
    """
    first, scaled = net.layers[0], net.info.get("series")
    if not isinstance(first, Recurrent) or first.input_size != 1 or net.shapes_from((4, 1))[-1] != (1,):
        raise CheckpointError("--sequence: this network does not read one number at a time and forecast one")
    series = np.asarray(numbers, np.float64)
    values, what = series, "numbers"
    if isinstance(scaled, dict):
        kind, shift, scale = (scaled.get(name) for name in Scaling._fields)
        if not (isinstance(kind, str) and isinstance(shift, float) and isinstance(scale, float)):
            raise CheckpointError("--sequence: what the model says of its scaling is damaged")
        scaling = Scaling(kind, shift, scale)
        if scaling.kind != "minmax" and series.size and series.min() <= 0:
            raise DataError(f"--sequence: {series.min():g} passengers have no logarithm: all must be above 0")
        values, what = scaling.values(series), "months" if scaling.kind == "minmax" else "months' changes"
    if not 2 <= len(values) <= MOST or not np.isfinite(values).all():
        raise DataError(f"--sequence takes from {2 + len(series) - len(values)} to {MOST} finite numbers, the last "
                        "of which is to be forecast")  # fmt: skip
    about = f"{len(values) - 1} {what}, to be followed by {series[-1]:g}"
    return Read(values[None, :-1, None], values[None, -1:], MSELoss(), about)


def numbers_of(text: str) -> list[Any]:
    """The numbers in a text such as "112 118, 132". Raises DataError."""
    try:
        return [float(word) for word in text.replace(",", " ").split()]
    except ValueError as e:
        raise DataError(f'--sequence takes numbers, such as "112 118 132": {e}') from None
