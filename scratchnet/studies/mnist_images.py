"""The images that mnist.py trains, validates and tests on, as its options ask for them.

Letters: N images of 28 x 28 pixels.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from scratchnet.backend.arrays import Array
from scratchnet.data.fetch import NotAvailable
from scratchnet.data.handwriting import SIZE
from scratchnet.data.mnist import Images, load_mnist
from scratchnet.data.pictures import DEGREES, turned
from scratchnet.engine.sources import Source
from scratchnet.errors import DataError
from scratchnet.runs.identity import digests
from scratchnet.runs.ranks import all_ranks
from scratchnet.studies.mnist_networks import RECIPES, Recipe

if TYPE_CHECKING:
    from scratchnet.studies.mnist import Options


def load_images(study: str, options: "Options", say: Callable[[str], None] = print) -> tuple[str, Images]:
    """(name of the data set, images).

    They are `digits` instead of MNIST if MNIST is out of reach and the options allow
    that.
    """
    from scratchnet.data.digits import load_digits

    if study == "digits":
        return "digits", load_digits(options.seed)
    try:
        return study, load_mnist(study, options.data_dir)
    except NotAvailable as e:
        if study != "mnist" or options.offline_ok == "no":
            raise
        say(f"{OFFLINE}\n{e}\n")
    return "digits", load_digits(options.seed)


PIECE = 1_000  # images that are turned from bytes into numbers at a time
IMAGES_REMEMBERED = 10_000  # number of training images whose average look `predict` compares with

OFFLINE = """\
┌────────────────────────────────────────────────────────────────────────────┐
│  This is NOT MNIST: the files cannot be reached, so the network is trained │
│  on `digits`, images that this project draws itself.                       │
└────────────────────────────────────────────────────────────────────────────┘"""


def inputs(images: Array, recipe: Recipe, dtype: str) -> Array:
    """What the network takes, from pixels (N, 28, 28) from 0 to 255."""
    scale, shift = recipe.pixels
    x = images.reshape(-1, *recipe.shape).astype(dtype)
    x *= scale / 255
    x += shift
    return x


def targets(labels: Array, recipe: Recipe, dtype: str) -> Array:
    """What the loss takes, from labels (N,)."""
    if recipe.targets is None:
        return labels.astype(np.int64)
    wrong, right = recipe.targets
    t = np.full((len(labels), 10), wrong, dtype)
    t[np.arange(len(labels)), labels] = right
    return t


class Prepared(Source):
    """Images that stay bytes, a quarter of the memory, until they are read."""

    fits = True

    def __init__(self, images: Array, recipe: Recipe, dtype: str) -> None:
        self.images, self.recipe, self.dtype = images, recipe, dtype
        self.shape = (len(images), *recipe.shape)

    def read(self, rows: Array) -> Array:
        if len(rows) <= PIECE:
            return inputs(self.images[rows], self.recipe, self.dtype)
        x = np.empty((len(rows), *self.recipe.shape), self.dtype)
        for k in range(0, len(rows), PIECE):  # so that there is no second copy of many images
            x[k : k + PIECE] = inputs(self.images[rows[k : k + PIECE]], self.recipe, self.dtype)
        return x


def first_pixels(x: Array | Source, recipe: Recipe) -> Iterator[Array]:
    """The first images that a network is trained on, as pixels from 0 to 1.

    They come in pieces (N, 28, 28).
    """
    scale, shift = recipe.pixels
    for k in range(0, min(len(x), IMAGES_REMEMBERED), PIECE):
        yield (x[k : min(k + PIECE, IMAGES_REMEMBERED)].reshape(-1, SIZE, SIZE) - shift) / scale


class Parts(NamedTuple):
    """What a run trains, validates and tests on."""

    dataset: str
    read: dict[str, str]  # digests of what was read from files
    train: tuple[Any, Array]  # prepared: (x, target); x is read batch by batch
    valid: tuple[Array, Array] | None
    test_images: Array
    test_labels: Array


def load_parts(study: str, options: "Options", say: Callable[[str], None] = print) -> Parts:
    """The images of a study, divided, ordered and prepared as the options say."""
    recipe = RECIPES[options.preset]

    def load() -> tuple[tuple[str, dict[str, str]], tuple[Array, ...]]:
        dataset, data = load_images(study, options, say)
        read = {} if dataset == "digits" else digests(**data._asdict())  # digits follow from the seed
        n = len(data.train_images)
        if n < 2:
            raise DataError(f"{dataset}: there are too few images to train on: {n}")
        valid = min(options.valid, n // 5)
        order = np.random.default_rng([options.seed, 1]).permutation(n)
        if options.order == "file":
            order = np.roll(np.arange(n), valid)  # the last ones first, for validation
        images, labels = data.train_images[order], data.train_labels[order]
        if options.augment == "rotate":
            images = np.concatenate([images, *(turned(images[valid:], by) for by in (DEGREES, -DEGREES))])
            labels = np.concatenate([labels, labels[valid:], labels[valid:]])
        return (dataset, read), (images, labels, data.test_images, data.test_labels, np.array([valid]))

    about, (images, labels, test_images, test_labels, split) = (
        all_ranks().once_per_host(load) if options.distributed else load()
    )
    valid = int(split[0])
    dataset, read = about
    x: Any = Prepared(images[valid:], recipe, options.dtype)
    if options.distributed or options.device != "cpu":
        x = x[:]  # these keep all of them in memory, a GPU in its own
    held_out = inputs(images[:valid], recipe, options.dtype)
    t = targets(labels, recipe, options.dtype)
    return Parts(dataset, read, (x, t[valid:]), (held_out, t[:valid]) if valid else None, test_images, test_labels)
