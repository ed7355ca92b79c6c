"""Pictures of one's own: `train images --folder DIR`, a sub-folder for each class.

Letters: N pictures, C colours, S pixels of a side, K classes. The pictures are read in
batches by a thread of its own, so their number is not limited by the memory.
"""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from rich.progress import track

from scratchnet.cli import console
from scratchnet.engine.fit import fit
from scratchnet.engine.layers import (
    BatchNorm2d,
    Conv2d,
    CropFlip,
    Dropout,
    Flatten,
    Layer,
    Linear,
    ReLU,
    Sequential,
)
from scratchnet.engine.losses import CrossEntropyLoss, Loss
from scratchnet.engine.metrics import accuracy, confusion, evaluate
from scratchnet.engine.prediction import probabilities
from scratchnet.engine.reading import LARGEST, ReadingSteps
from scratchnet.engine.schedules import parse_schedule
from scratchnet.runs.identity import digests
from scratchnet.runs.options import need, sizes
from scratchnet.runs.run import Run, optimiser_of
from scratchnet.runs.search import Judged, SearchOptions, run_search
from scratchnet.studies.per_class import say_classes, shares
from scratchnet.studies.picture_parts import Parts, Raw

PICTURES = 150_000  # that a training goes through in all, unless --epochs says otherwise
LEAST_EPOCHS, MOST_EPOCHS = 5, 60
LARGEST_SIZE = 1024
SMALL = 16  # pixels of a side, up to which a network of Linear layers is taken
SIDE_AT_THE_END = 4  # of the last convolution's maps, at most
WIDTHS = (16, 32, 64, 128)  # channels of the convolutions, of which each halves the sides
MOST_CONFUSED = 60  # classes of a confusion table that can be drawn
PLACES_IN = 500  # test pictures in which the filters of a convolution look for their like


@dataclass(frozen=True, kw_only=True)
class Options(SearchOptions):
    """Learn to tell your own pictures apart: a folder with a sub-folder for each class.

    The pictures may have any size and format that Pillow reads. If there are folders
    train and test (and valid), their sub-folders are the classes, and otherwise a fifth
    of every class is set aside as the test.
    """

    preset: Literal["default"] = "default"
    """The network and recipe; it sets the defaults of all other options."""
    epochs: int = 0
    """Passages through all pictures; 0: enough for 150,000 in all, from 5 to 60."""
    folder: Path | None = None
    """The folder with your pictures, a sub-folder for each class."""
    size: int = 0
    """Pixels of a side that all are brought to; 0: as they are usually, up to 64."""
    grey: bool = False
    """Take colour pictures without their colours."""
    augment: Literal["none", "move", "mirror", "rotate"] = "move"
    """Vary them: move a little; mirror also left to right; rotate by ten degrees."""
    network: Literal["auto", "dense", "conv"] = "auto"
    """Linear layers, or convolutions before them; auto: linear up to 16 pixels."""
    hidden: str = "128"
    """Sizes of the hidden linear layers, such as 256,128."""
    dropout: float = 0.3
    """Share of the hidden neurons that each training step leaves out."""
    damaged: Literal["stop", "skip"] = "stop"
    """What to do if a picture cannot be read: stop, or go on without it."""
    judge: ClassVar[str] = "validate"

    def check(self) -> None:
        SearchOptions.check(replace(self, epochs=self.epochs or 1))
        need(
            0 <= self.size <= LARGEST_SIZE, "--size", f"a number of pixels from 1 to {LARGEST_SIZE:,}, or 0", self.size
        )
        need(0 <= self.dropout < 1, "--dropout", "from 0 to below 1", self.dropout)
        sizes(self.hidden)

    def without_effect(self, study: str) -> dict[str, str]:
        found = super().without_effect(study)
        found["data_dir"] = "on images, whose data are in the folder of --folder"
        return found


PRESETS = {"default": Options(batch_size=64, lr=0.002, optimizer="adam", schedule="cosine")}


def layers_of(shape: tuple[int, ...], K: int, o: Options) -> list[Layer]:
    """The layers for pictures (C, S, S) in K classes."""
    C, S, _ = shape
    body: list[Layer] = []
    if o.augment in ("move", "mirror"):
        body.append(CropFlip(max(1, S // 10), 0.5 if o.augment == "mirror" else 0.0))
    if o.network == "conv" or (o.network == "auto" and S > SMALL):
        for width in (*WIDTHS, *WIDTHS[-1:] * 8):
            # A stride of 2 takes the place of pooling, and a bias would be subtracted
            # again by the normalisation.
            body += [Conv2d(C, width, 3, 2, 1, bias=False), BatchNorm2d(width), ReLU()]
            C, S = width, -(-S // 2)
            if S <= SIDE_AT_THE_END:
                break
    body.append(Flatten())
    n_in = C * S * S
    for size in sizes(o.hidden):
        body += [Linear(n_in, size), ReLU(), *([Dropout(o.dropout)] if o.dropout else [])]
        n_in = size
    return [*body, Linear(n_in, K)]


def networks() -> dict[str, tuple[Sequential, tuple[int, ...], Loss]]:
    """Networks for small grey and larger colour pictures, in float64, for `parity`."""
    o = replace(PRESETS["default"], augment="none", dropout=0.0, hidden="16")
    return {
        name: (Sequential(*layers_of(shape, 3, o), dtype="float64"), shape, CrossEntropyLoss())
        for name, shape in {"dense": (1, 8, 8), "conv": (3, 20, 20)}.items()
    }


def network(o: Options, parts: Parts) -> Sequential:
    layers = layers_of(parts.pixels.shape, len(parts.classes), o)
    return Sequential(*layers, seed=o.seed, dtype=o.dtype, device=o.device)


def with_epochs(o: Options, parts: Parts) -> Options:
    """The options with a number of epochs that suits the number of pictures."""
    if o.epochs:
        return o
    return replace(o, epochs=min(MOST_EPOCHS, max(LEAST_EPOCHS, round(PICTURES / len(parts.train)))))


def validate(study: str, o: Options) -> Judged:
    """Train as the options say and judge by the validation pictures, for --search."""
    parts = Parts(o)
    o = with_epochs(o, parts)
    net, loss = network(o, parts), CrossEntropyLoss()
    fit(net, loss, optimiser_of(net, o), *parts.training(o), epochs=o.epochs, batch_size=o.batch_size,
        schedule=parse_schedule(o.schedule, o.lr, o.epochs), seed=o.seed, threads=o.threads)  # fmt: skip
    x, labels = parts.inputs(parts.valid)
    return Judged(accuracy(evaluate(net, loss, x, labels)[1], labels))


def run(study: str, o: Options) -> int:
    """Read, train, test and write; returns the exit code."""
    screen = console()
    parts = Parts(o, lambda pieces: track(pieces, "reading pictures", console=screen, transient=True,
                                          disable=not screen.is_terminal))  # fmt: skip
    dataset = parts.folder.resolve().name
    if o.search:
        return run_search(study, o, dataset, "judged by validation pictures, which it is not trained on")
    o = with_epochs(o, parts)
    pixels, classes = parts.pixels, parts.classes
    names = [f"{path.relative_to(parts.folder)}" for path in pixels.files]
    with Run(study, o, dataset, digests(files=names, pictures=pixels.digests)) as result:
        parts.say(result.say)
        net, loss = network(o, parts), CrossEntropyLoss()
        net.info |= {
            "classes": list(classes),
            "input": {"shape": list(pixels.shape), "mean": parts.mean.tolist(), "std": parts.std.tolist()},
        }
        net.summary(pixels.shape)
        result.fit(net, loss, parts.training(o), parts.inputs(parts.valid), steps=ReadingSteps)
        x, labels = parts.inputs(parts.test)
        test_loss, y = evaluate(net, loss, x, labels)
        table = confusion(y.argmax(1), labels, len(classes))
        result.metrics |= {
            "train_images": len(parts.train), "valid_images": len(parts.valid), "test_images": len(parts.test),
            "size": pixels.side, "colours": pixels.shape[0],
            "test_loss": test_loss, "test_accuracy": accuracy(y, labels), "per_class_accuracy": shares(table, classes),
        }  # fmt: skip
        say_classes(result, table, classes, "the test pictures")
        if o.plots:
            draw(result, net, parts, y, table)
        result.finish(net)
        return 0


def draw(result: Run, net: Sequential, parts: Parts, y: np.ndarray, table: np.ndarray) -> None:
    """Draw the plots of a run."""
    from scratchnet.plots import studies as plots
    from scratchnet.plots.first_layer import first_layer
    from scratchnet.plots.style import drawable

    classes, test, side = [drawable(name) for name in parts.classes], parts.test, parts.pixels.side
    # the test pictures stand class after class, and a few of each shall be seen
    few = np.random.default_rng(0).permutation(len(test))
    shown, some = test[few[:24]], test[few[: max(1, min(PLACES_IN, LARGEST // math.prod(parts.pixels.shape)))]]
    result.draw_training()
    about = f"{len(shown)} of {len(test):,}, brought to {side} x {side} pixels"
    names = [classes[k] for k in parts.labels[shown]]
    result.picture("samples", plots.image_grid(parts.pixels.read(shown), names, "Test pictures", about))
    if len(classes) <= MOST_CONFUSED:
        result.picture("confusion", plots.confusion(table, classes))
    images, p = Raw(parts.pixels, test), probabilities(net, y)
    result.picture("mistakes", plots.worst_mistakes(images, parts.labels[test], y.argmax(1), p, classes))
    weights = first_layer(net, parts.inputs(some)[0][:], _grey(parts.pixels.read(some)))
    result.picture("weights", weights)


def _grey(images: np.ndarray) -> np.ndarray:
    """Pictures of one colour as (N, S, S), the others as they are."""
    return images[:, 0] if images.shape[1] == 1 else images
