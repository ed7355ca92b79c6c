"""`python -m scratchnet.explain`: backpropagation in numbers, each beside its equation
and its source.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from scratchnet.cli import guard, parse, printable
from scratchnet.data.handwriting import read_digit
from scratchnet.data.model_inputs import as_inputs, classes_of, image_input, probabilities
from scratchnet.engine.differences import float64_copy
from scratchnet.engine.layers import LogSoftmax, Sequential, Sigmoid, Softmax
from scratchnet.engine.losses import CrossEntropyLoss, Loss, NLLLoss, QuadraticCost
from scratchnet.errors import SettingError
from scratchnet.explaining import cell, digit, gate, pencil, screen
from scratchnet.explaining.lesson import Lesson
from scratchnet.models.network import load

PROG = "python -m scratchnet.explain"
LOOKED_AT = 500  # test images among which the first that is read wrongly is taken


@dataclass(frozen=True)
class Options:
    """Backpropagation in numbers, on one screen.

    Without arguments: a network of 2 inputs, 2 hidden units and 2 outputs, to check
    with a pencil. With a MODEL, one image and one weight of it; the loss is that of its
    training. `explain conv` and `explain lstm` show one cell of a feature map, and one
    gate at one time, of a small network or, as `explain conv MODEL`, of a trained one.
    """

    what: tyro.conf.Positional[tuple[str, ...]] = ()
    """Nothing, a model file, conv, lstm, or conv or lstm and a model file."""
    image: Path | None = None
    """A PNG or JPEG file with one digit, instead of a test image."""
    index: int | None = None
    """Which test image of the model's data; by default the first read wrongly."""
    label: str | None = None
    """The class to aim at; by default the right one, for --image its own answer."""
    weight: tuple[int, int, int] | None = None
    """LAYER ROW COLUMN of a Linear; by default the weight of the largest derivative."""
    cell: tuple[int, int, int] | None = None
    """With conv: which cell of the feature map, CHANNEL ROW COLUMN."""
    gate: str | None = None
    """With lstm: which gate, i, f, g or o; of a GRU r or z, of an RNN h."""
    time: int | None = None
    """With lstm: at which time, from 0."""
    unit: int | None = None
    """With lstm: of which unit, from 0."""
    text: str | None = None
    """With lstm and a MODEL of chars or sentiment: the text that it reads."""
    sequence: str | None = None
    """With lstm and a MODEL of flights: what it reads; it forecasts the last number."""
    json: bool = False
    """Print the derivative three ways, the step and all formulas as JSON instead."""
    svg: Path | None = None
    """Write the screen to this SVG file as well."""


def main(args: Sequence[str]) -> int:
    try:
        options = parse(Options, args, PROG)
    except SettingError as e:
        for option, what in (("--weight", "LAYER ROW COLUMN"), ("--cell", "CHANNEL ROW COLUMN")):
            if re.search(f"(parsing|argument).*{option}", str(e)):  # two releases of tyro
                raise SettingError(f"{option} takes three whole numbers, {what}; see {PROG} --help") from None
        raise
    if options.svg is not None and options.svg.suffix != ".svg":
        raise SettingError(f"--svg writes SVG files: the name must end in .svg, not {printable(str(options.svg))}")
    lesson = lesson_of(options)
    if options.json:
        print(json.dumps(lesson.as_dict(), indent=2, ensure_ascii=True))
    else:
        screen.show(lesson)
    if options.svg is not None:
        screen.save_svg(lesson, options.svg)
    return 0


def lesson_of(o: Options) -> Lesson:
    """The screen that the options ask for. Raises SettingError and CheckpointError."""
    first, *rest = o.what or ("",)
    form = first if first in ("conv", "lstm") else "digit" if first else "pencil"
    models = rest if form in ("conv", "lstm") else list(o.what)
    if len(models) > 1:
        raise SettingError(f"one model at a time: {printable(' '.join(models))} are {len(models)}")
    model = Path(models[0]) if models else None
    _check_options(o, form, model)
    if model is None:
        if form == "conv":
            return cell.lesson(*cell.small(), cell=o.cell)
        return gate.lesson(*gate.small(), gate=o.gate, time=o.time, unit=o.unit) if form == "lstm" else pencil.lesson()
    net = load(model)
    if form == "lstm":
        return gate.lesson(float64_copy(net), *sequence_of(net, o), gate=o.gate, time=o.time, unit=o.unit)
    given = picture_of(net, o)
    twin = float64_copy(net)
    if form == "conv":
        return cell.lesson(twin, given.x, given.target, given.loss, given.about, cell=o.cell)
    return digit.lesson(twin, given.image, given.x, given.target, given.loss, given.names, given.label, given.about,
                        o.weight)  # fmt: skip


def _check_options(o: Options, form: str, model: Path | None) -> None:
    """Raises SettingError for an option that says nothing in this form."""
    images = {"image": "a MODEL of images", "index": "a MODEL of images", "label": "a MODEL of images"}
    needs = {**images, "weight": "a MODEL", "cell": "conv", "gate": "lstm", "time": "lstm", "unit": "lstm",
             "text": "lstm and a MODEL", "sequence": "lstm and a MODEL"}  # fmt: skip
    takes = {"pencil": set(), "digit": {*images, "weight"}, "conv": {"cell"}, "lstm": {"gate", "time", "unit"}}[form]
    if form == "conv" and model is not None:
        takes = takes | set(images)
    if form == "lstm" and model is not None:
        takes = takes | {"text", "sequence"} | ({"label"} if o.text is not None else set())
    for name, what in needs.items():
        if getattr(o, name) is not None and name not in takes:
            raise SettingError(f"--{name} goes with {what}: {PROG} --help shows the forms")
    if o.image is not None and o.index is not None:
        raise SettingError("--image and --index name two images: give one of them")
    if o.text is not None and o.sequence is not None:
        raise SettingError("--text and --sequence name two sequences: give one of them")


def sequence_of(net: Sequential, o: Options) -> tuple[np.ndarray, np.ndarray, Loss, str]:
    """The sequence that the options name, or a drawn one, and what is wanted of it.

    Raises SettingError, DataError, CheckpointError.
    """
    from scratchnet.studies.sequences import numbers_of, read_numbers, read_text

    if o.text is not None:
        return read_text(net, o.text, o.label)
    return gate.drawn(net) if o.sequence is None else read_numbers(net, numbers_of(o.sequence))


# ------------------------------------------------------- one image of a trained network


@dataclass(frozen=True)
class Given:
    """An image as the network is given it, with the loss that it is trained with."""

    image: np.ndarray  # (28, 28), from 0 to 1
    x: np.ndarray
    target: np.ndarray
    loss: Loss
    names: list[str]
    label: int
    about: str


def picture_of(net: Sequential, o: Options) -> Given:
    """The image that the options name, and what is wanted of it. Raises SettingError,
    DataError, CheckpointError.
    """
    image_input(net)
    names = [printable(name) for name in classes_of(net, net.shapes_from(image_input(net)[0])[-1][0])]
    if o.image is not None:
        image, label, about = read_digit(o.image), None, f"The image {printable(o.image.name)[-30:]}"
    else:
        image, label, about = _test_image(net, o.index, len(names))
    x = as_inputs(net, image[None]).astype(np.float64)
    if label is None:
        label = int(probabilities(net, as_inputs(net, image[None]))[0].argmax())
        about += ", which nobody has labelled" if o.label is None else ""
    if o.label is not None:
        label = _label(o.label, names)
    loss, values = loss_of(net)
    wrong, right = values or (0.0, 1.0)
    target = np.array([label]) if loss.takes_labels else np.full((1, len(names)), wrong)
    if not loss.takes_labels:
        target[0, label] = right
    return Given(image / 255, x, target, loss, names, label, about)


def _label(text: str, names: list[str]) -> int:
    """The number of a class, from its name or its number."""
    if text in names:
        return names.index(text)
    if text.isdecimal() and int(text) < len(names):
        return int(text)
    raise SettingError(f"--label {printable(text)[:40]!r} is no class: there are {', '.join(names[:20])}")


def loss_of(net: Sequential) -> tuple[Loss, tuple[float, float] | None]:
    """(the loss, values of a wrong and the right class in a target): of its recipe, or
    what suits its last layer.
    """
    from scratchnet.studies.mnist_networks import RECIPES

    about = net.info.get("training")
    about = about if isinstance(about, dict) else {}
    if about.get("study") in ("mnist", "fashion-mnist", "digits") and about.get("preset") in RECIPES:
        recipe = RECIPES[about["preset"]]
        return recipe.loss(), recipe.targets
    last = net.layers[-1]
    if isinstance(last, LogSoftmax):
        return NLLLoss(), None
    return (QuadraticCost(), (0.0, 1.0)) if isinstance(last, (Sigmoid, Softmax)) else (CrossEntropyLoss(), None)


def _test_image(net: Sequential, index: int | None, classes: int) -> tuple[np.ndarray, int | None, str]:
    """(image, its label, which it is): a test image of the data that the network was
    trained on.
    """
    dataset, images, labels = test_images(net)
    if index is None:
        some = slice(LOOKED_AT)
        wrong = probabilities(net, as_inputs(net, images[some])).argmax(axis=1) != labels[some]
        index = int(np.flatnonzero(wrong)[0]) if wrong.any() else 0
    if not 0 <= index < len(images):
        raise SettingError(f"--index must be a whole number from 0 to {len(images) - 1}, not {index}")
    label = int(labels[index])
    return images[index], label if label < classes else None, f"Test image {index} of {dataset}"


def test_images(net: Sequential) -> tuple[str, np.ndarray, np.ndarray]:
    """(data set, images, labels): of the model's own data set where it can be had, else
    the digits drawn here.
    """
    from scratchnet.data.digits import load_digits
    from scratchnet.data.fetch import NotAvailable
    from scratchnet.data.mnist import FILES, load_mnist

    about: Any = net.info.get("training")
    about = about if isinstance(about, dict) else {}
    if about.get("dataset") in FILES:
        try:
            data = load_mnist(about["dataset"])
            return about["dataset"], data.test_images, data.test_labels
        except NotAvailable:
            pass  # said by the name of the data set
    seed = about.get("seed")
    seed = seed if about.get("dataset") == "digits" and type(seed) is int and seed >= 0 else 0
    data = load_digits(seed, train=1)  # only the test images are wanted
    return "digits", data.test_images, data.test_labels


if __name__ == "__main__":
    guard(main)
