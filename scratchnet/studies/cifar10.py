"""Small colour pictures in ten classes, or in a hundred: CIFAR-10 and CIFAR-100.

Letters: N pictures of 3 x 32 x 32 pixels, K = 10 classes, or 100 or 20.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, NamedTuple

import numpy as np

from scratchnet.backend.arrays import Array
from scratchnet.data import Images
from scratchnet.data.cifar import CLASSES, LABELS, load_cifar10, load_cifar100
from scratchnet.engine.columns import to_columns, to_rows
from scratchnet.engine.fit import fit
from scratchnet.engine.layers import (
    BatchNorm2d,
    Conv2d,
    CropFlip,
    Flatten,
    Layer,
    Linear,
    LogSoftmax,
    MaxPool2d,
    ReLU,
    Sequential,
    Sigmoid,
)
from scratchnet.engine.losses import CrossEntropyLoss, Loss, NLLLoss
from scratchnet.engine.metrics import accuracy, confusion, evaluate
from scratchnet.engine.prediction import probabilities
from scratchnet.engine.schedules import parse_schedule
from scratchnet.errors import DataError
from scratchnet.runs.identity import digests
from scratchnet.runs.options import need
from scratchnet.runs.ranks import all_ranks
from scratchnet.runs.run import Run, optimiser_of
from scratchnet.runs.search import Judged, SearchOptions, run_search
from scratchnet.studies.per_class import in_words, shares


@dataclass(frozen=True, kw_only=True)
class Options(SearchOptions):
    """Train a network to recognise small colour pictures: airplanes, cats, ships, ...

    default: three convolutions with batch normalisation, trained on random crops and
    mirror images; as good as ten minutes on two cores allow.

    fcn: the network of `mnist --preset fcn` with 3,072 inputs, one for each pixel and
    colour.

    cnn: two convolutions with max-pooling, then 400-120-84-10, as in PyTorch's first
    tutorial. After LeNet-5: Y. LeCun and others, Gradient-based learning applied to
    document recognition (1998).
    """

    preset: Literal["default", "fcn", "cnn"] = "default"
    """The network and recipe; it sets the defaults of all other options."""
    epochs: int = 0
    """How many times to go through all training examples; 0 lets --images decide."""
    images: int = 180_000
    """With --epochs 0: how many pictures to train on in total, repeats included."""
    labels: Literal["fine", "coarse"] = "fine"
    """The classes of cifar100: fine, 100 kinds of things; coarse, their 20 groups."""
    judge: ClassVar[str] = "validate"

    def check(self) -> None:
        SearchOptions.check(replace(self, epochs=self.epochs or 1))
        need(self.images >= 1, "--images", "a number from 1", self.images)

    def without_effect(self, study: str) -> dict[str, str]:
        found = super().without_effect(study)
        del found["data_dir"]
        if study != "cifar100":
            found["labels"] = f"on {study}, whose pictures have one label each: it belongs to cifar100"
        if self.epochs:
            found["images"] = f"with --epochs {self.epochs}: give --epochs 0, and --images decides"
        return found


TITLES = {"cifar10": "CIFAR-10", "cifar100": "CIFAR-100"}

PRESETS = {
    "default": Options(batch_size=64, lr=0.003, optimizer="adam", schedule="cosine"),
    "fcn": Options(preset="fcn", epochs=20, batch_size=64, lr=0.03, momentum=0.9),
    "cnn": Options(preset="cnn", epochs=20, batch_size=64, lr=0.01, momentum=0.9),
}

#: What nature has made looks alike from class to class; what people have made has
#: straight edges and a place of its own
GROUPS = {
    "natural": ("bird", "cat", "deer", "dog", "frog", "horse"),
    "man-made": ("airplane", "automobile", "ship", "truck"),
}
PLACES_IN = 500  # test pictures in which the filters of the first convolution look for their like
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)  # of the training pixels, from 0 to 1, by channel


def layers(preset: str, width: int = 32, classes: int = 10) -> list[Layer]:
    """The layers of a preset; `channels` is the width of `default`."""
    if preset == "fcn":
        return [Flatten(), Linear(3072, 128), Sigmoid(), Linear(128, classes), LogSoftmax()]
    if preset == "cnn":
        return [
            Conv2d(3, 6, 5), ReLU(), MaxPool2d(2), Conv2d(6, 16, 5), ReLU(), MaxPool2d(2), Flatten(),
            Linear(400, 120), ReLU(), Linear(120, 84), ReLU(), Linear(84, classes),
        ]  # fmt: skip
    body: list[Layer] = [CropFlip(4)]
    for n_in, n_out in ((3, width), (width, 2 * width), (2 * width, 4 * width)):
        # without a bias: the normalisation would subtract it again
        body += [Conv2d(n_in, n_out, 3, padding=1, bias=False), BatchNorm2d(n_out), ReLU(), MaxPool2d(2)]
    return [*body, Flatten(), Linear(4 * width * 16, classes)]


def loss_of(preset: str) -> Loss:
    return NLLLoss() if preset == "fcn" else CrossEntropyLoss()


def network(options: Options, classes: int = 10) -> Sequential:
    """The network of a preset."""
    return Sequential(
        *layers(options.preset, classes=classes), seed=options.seed, dtype=options.dtype, device=options.device
    )


def networks() -> dict[str, tuple[Sequential, tuple[int, ...], Loss]]:
    """Every preset's network in float64, with input shape and loss, for `parity`.

    `default` is narrower here. Of its 60,000 ReLUs per example, float32 may round one
    to the other side of 0 in one library and not in the other, and from then on the two
    train different networks. In float64 they agree at full width.
    """
    return {name: (Sequential(*layers(name, width=4), dtype="float64"), (3, 32, 32), loss_of(name)) for name in PRESETS}


def prepare(images: Array, dtype: str) -> Array:
    """Pixels (N, 3, 32, 32) from 0 to 255, to mean 0 and deviation 1 per channel."""
    mean, std = (np.array(v, dtype)[:, None, None] for v in (MEAN, STD))
    return (images.astype(dtype) / 255 - mean) / std


class Parts(NamedTuple):
    """The digests of the files, and the pictures: the first `valid` of x validate."""

    read: dict[str, str]
    x: Array
    t: Array
    test_images: Array
    test_labels: Array

    @property
    def valid(self) -> int:
        return len(self.x) // 10


def load_pictures(study: str, options: Options) -> Images:
    if study == "cifar100":
        return load_cifar100(options.data_dir, options.labels)
    return load_cifar10(options.data_dir)


def load_parts(study: str, options: Options) -> Parts:
    """Load and divide the pictures; they are read once per host."""

    def load() -> tuple[dict[str, str], tuple[Array, ...]]:
        data = load_pictures(study, options)
        n = len(data.train_images)
        if n < 10:
            raise DataError(f"{study}: there are too few pictures to train on: {n}")
        order = np.random.default_rng([options.seed, 1]).permutation(n)
        x = prepare(data.train_images[order], options.dtype)
        return digests(**data._asdict()), (x, data.train_labels[order], data.test_images, data.test_labels)

    read, arrays = all_ranks().once_per_host(load) if options.distributed else load()
    return Parts(read, *arrays)


def with_epochs(options: Options, examples: int) -> Options:
    """The options with as many epochs as --images asks for, where --epochs is 0."""
    return options if options.epochs else replace(options, epochs=max(1, round(options.images / examples)))


def validate(study: str, options: Options) -> Judged:
    """Train as the options say and judge by the validation pictures, for --search."""
    parts = load_parts(study, options)
    valid = parts.valid
    options = with_epochs(options, len(parts.x) - valid)
    net, loss = network(options, len(names_of(study, options))), loss_of(options.preset)
    fit(net, loss, optimiser_of(net, options), parts.x[valid:], parts.t[valid:], epochs=options.epochs,
        batch_size=options.batch_size, schedule=parse_schedule(options.schedule, options.lr, options.epochs),
        seed=options.seed, threads=options.threads)  # fmt: skip
    return Judged(accuracy(evaluate(net, loss, parts.x[:valid], parts.t[:valid])[1], parts.t[:valid]))


def names_of(study: str, options: Options) -> Sequence[str]:
    return LABELS[options.labels] if study == "cifar100" else CLASSES


def run(study: str, options: Options) -> int:
    """Load, train, test and write; returns the exit code."""
    if options.search:
        load_pictures(study, options)  # so that it is known before that they are there
        return run_search(study, options, study, "judged by validation pictures, which it is not trained on")
    parts = load_parts(study, options)
    read, x, t, test_images, test_labels = parts
    n, valid = len(x), parts.valid
    options = with_epochs(options, n - valid)
    names = names_of(study, options)
    net, loss = network(options, len(names)), loss_of(options.preset)
    with Run(study, options, study, read) as result:
        net.info |= {"classes": list(names), "input": {"shape": [3, 32, 32], "mean": MEAN, "std": STD}}
        net.summary((3, 32, 32))
        if n < 50_000:
            result.say(
                f"This is a part of {TITLES[study]}, {n:,} of its 50,000 training pictures: accuracies are not "
                "comparable with published ones."
            )
        result.fit(net, loss, (x[valid:], t[valid:]), (x[:valid], t[:valid]))
        test_loss, y = evaluate(net, loss, prepare(test_images, options.dtype), test_labels)
        table = confusion(y.argmax(1), test_labels, len(names))
        per_class = shares(table, names)
        result.metrics |= {"train_images": n - valid, "test_loss": test_loss,
                           "test_accuracy": accuracy(y, test_labels), "per_class_accuracy": per_class}  # fmt: skip
        right = y.argmax(1) == test_labels
        for group, members in GROUPS.items() if names is CLASSES else ():
            mine = np.isin(test_labels, [CLASSES.index(name) for name in members])
            key = f"{group.replace('-', '_')}_accuracy"
            result.metrics[key] = float(right[mine].mean()) if mine.any() else None
        result.say(f"accuracy per class: {in_words(per_class)}")
        if options.plots:
            draw(result, net, test_images, test_labels, y, table, names)
        result.finish(net)
        return 0


def draw(
    result: Run, net: Sequential, images: Array, labels: Array, y: Array, table: Array, classes: Sequence[str]
) -> None:
    """Draw the plots of a run."""
    from scratchnet.plots import studies as plots
    from scratchnet.plots.first_layer import first_layer

    p = probabilities(net, y)
    result.draw_training()
    few = [classes[k] for k in labels[:24]]
    samples = plots.image_grid(images[:24], few, "Test pictures", "32 x 32 pixels, with their classes")
    result.picture("samples", samples)
    result.picture("confusion", plots.confusion(table, classes))
    if classes is CLASSES:
        result.picture("groups", plots.accuracy_by_group(result.metrics["per_class_accuracy"], GROUPS))
    result.picture("mistakes", plots.worst_mistakes(images, labels, y.argmax(1), p, classes))
    x = prepare(images[:PLACES_IN], str(net.dtype))
    result.picture("weights", first_layer(net, x, images[:PLACES_IN]))
    if any(isinstance(layer, Conv2d) for layer in net.layers):
        maps = feature_maps(net, x[:1])
        maps /= np.maximum(maps.max(axis=(1, 2), keepdims=True), 1e-12)
        captions = [f"the picture: {classes[labels[0]]}", *(f"map {k}" for k in range(len(maps)))]
        about = (
            f"The first test picture and its {len(maps)} feature maps after the first convolution and ReLU, each from "
            "0 (black) to its largest value (white)"
        )
        features = plots.image_grid([images[0] / 255, *maps], captions, "What the first layer sees", about)
        result.picture("features", features)


def feature_maps(net: Sequential, x: Array) -> Array:
    """The output of the first ReLU for one picture (1, 3, H, W): (channels, H, W)."""
    a = to_columns(net.as_input(x))
    for layer in net.layers:
        a, _ = layer.forward(a)
        if isinstance(layer, ReLU):
            break
    return np.asarray(to_rows(a)[0])
