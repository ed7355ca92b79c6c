"""Handwritten digits, the classic first study: MNIST, Fashion-MNIST, and drawn digits.

Letters: N images of 28 x 28 pixels, K = 10 classes. Each preset is a published network;
`Options` describes them.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

from scratchnet.backend.arrays import Array
from scratchnet.data.handwriting import usual
from scratchnet.data.mnist import CLASSES
from scratchnet.engine.fit import fit
from scratchnet.engine.layers import Sequential
from scratchnet.engine.losses import Loss
from scratchnet.engine.metrics import accuracy, confusion, evaluate
from scratchnet.engine.prediction import probabilities
from scratchnet.engine.schedules import parse_schedule
from scratchnet.errors import SettingError
from scratchnet.runs.options import need, sizes
from scratchnet.runs.run import Run, optimiser_of
from scratchnet.runs.search import Judged, SearchOptions, run_search
from scratchnet.studies.mnist_images import Prepared, first_pixels, inputs, load_images, load_parts, targets
from scratchnet.studies.mnist_networks import RECIPES, Recipe
from scratchnet.studies.per_class import shares


@dataclass(frozen=True, kw_only=True)
class Options(SearchOptions):
    """Train a network to recognise handwritten digits (or clothes).

    The presets, each a published network with its recipe:

    default: ReLU with dropout, Adam, cosine schedule; the best validation accuracy
    within a minute on one core.

    book: 784-200-10 sigmoid, no biases, summed squared error, one example at a time. T.
    Rashid, Make Your Own Neural Network (2016).

    zero-to-gans: 784-32-10 ReLU, cross entropy. A. N S, Deep Learning with PyTorch:
    Zero to GANs (2020), lesson 3.

    logistic: 784-10, no hidden layer, cross entropy: the baseline of the same course,
    published as about 86 %. With the learning rate here it ends there too. What holds
    it back is the rate, not only the model: with --lr 0.5 it reaches 92 %.

    relu: 784-500-10, one hidden layer of ReLU, cross entropy, Adam, five epochs. C.
    Healey, Deep Learning, a module of North Carolina State University, exercise 2,
    which promises 97 % or better and leaves the size and the optimiser open.

    two-hidden: 784-100-50-10 ReLU, cross entropy, Adam, as in many a first PyTorch
    tutorial. Such a tutorial trains on all 60,000 images in the order of their file,
    which is --valid 0 --order file. Here 5,000 images are set aside for validation, and
    every epoch has an order of its own.

    fcn: 784-128-10, sigmoid hidden layer, log-softmax, negative log likelihood. Its
    source, the same module, publishes no accuracy for it; the 97 % there belong to the
    ReLU network above. With its learning rate, --lr 0.003, it reaches 94 % here and in
    PyTorch alike, and with 0.03 it reaches 97 %.

    fcn2: the same with a second hidden layer of 64 ReLU.

    quadratic: 784-15-10 sigmoid, quadratic cost. M. Nielsen, Neural Networks and Deep
    Learning (2015), chapter 1.

    cnn: two convolutions, each with ReLU and max-pooling, then 784-120-10, cross
    entropy. After LeNet-5: Y. LeCun and others, Gradient-based learning applied to
    document recognition (1998).

    sprint: this project's own, for speed: two convolutions with a stride of 2, each
    with batch normalisation and ReLU, then 1728-64-10, Adam, two epochs in one cycle of
    the learning rate. All was chosen on validation images. About 99 % after seconds on
    one core.
    """

    preset: Literal[
        "default", "book", "zero-to-gans", "logistic", "relu", "two-hidden", "fcn", "fcn2", "quadratic", "cnn", "sprint"
    ] = "default"
    """The published network and recipe; it sets the defaults of all other options."""
    hidden: str
    """Sizes of the hidden layers, such as 128,64."""
    dropout: float = 0.0
    """Share of hidden neurons a training step leaves out; not in fcn2, cnn, sprint."""
    augment: Literal["none", "rotate"] = "none"
    """rotate: also train on every image turned by ten degrees, left and right."""
    valid: int = 5_000
    """Images set aside for validation, at most a fifth of all; 0: train on all."""
    order: Literal["shuffled", "file"] = "shuffled"
    """file: in the order of the file, validating by the last images; or shuffled."""
    offline_ok: Literal["yes", "no"] = "yes"
    """Without MNIST, train on digits that this project draws (yes) or stop (no)."""
    judge: ClassVar[str] = "validate"

    def check(self) -> None:
        super().check()
        need(self.valid >= 0, "--valid", "a number of images, or 0", self.valid)
        if self.search and not self.valid:
            raise SettingError("--search judges by the validation images: give --valid too, such as --valid 5000")
        need(0 <= self.dropout < 1, "--dropout", "from 0 to below 1", self.dropout)
        hidden = sizes(self.hidden)
        if self.preset == "fcn2":
            need(len(hidden) == 2, "--hidden", "two sizes for preset fcn2, such as 128,64", self.hidden)

    def without_effect(self, study: str) -> dict[str, str]:
        found = super().without_effect(study)
        if study != "digits":
            del found["data_dir"]
        if study != "mnist":
            found["offline_ok"] = f"on {study}: only in the place of mnist are other images taken"
        if self.preset in ("fcn2", "cnn", "sprint"):
            found["dropout"] = f"with --preset {self.preset}, a network without dropout"
        return found


PLACES_IN = 500  # test images in which the filters of a convolution look for their like

PRESETS = {
    "default": Options(epochs=12, batch_size=256, lr=0.002, hidden="512,256", optimizer="adam", schedule="cosine",
                       dropout=0.3),
    "book": Options(preset="book", epochs=5, batch_size=1, lr=0.1, hidden="200", valid=0),
    "zero-to-gans": Options(preset="zero-to-gans", epochs=10, batch_size=100, lr=0.5, hidden="32",
                            schedule="0.5 for 5, then 0.1 for 5", valid=12_000),
    "logistic": Options(preset="logistic", epochs=20, batch_size=100, lr=0.001, hidden="", valid=12_000),
    "relu": Options(preset="relu", epochs=5, batch_size=100, lr=0.001, hidden="500", optimizer="adam"),
    "two-hidden": Options(preset="two-hidden", epochs=3, batch_size=128, lr=0.001, hidden="100,50", optimizer="adam"),
    "fcn": Options(preset="fcn", epochs=15, batch_size=64, lr=0.03, hidden="128", momentum=0.9),
    "fcn2": Options(preset="fcn2", epochs=15, batch_size=64, lr=0.03, hidden="128,64", momentum=0.9),
    "quadratic": Options(preset="quadratic", epochs=30, batch_size=10, lr=3.0, hidden="15"),
    "cnn": Options(preset="cnn", epochs=15, batch_size=64, lr=0.003, hidden="120", momentum=0.9),
    "sprint": Options(preset="sprint", epochs=2, batch_size=96, lr=0.01, hidden="64", optimizer="adam",
                      schedule="one-cycle:0.2"),
}  # fmt: skip


def network(options: Options) -> Sequential:
    """The network of a preset."""
    layers = RECIPES[options.preset].network(sizes(options.hidden), options.dropout)
    return Sequential(*layers, seed=options.seed, dtype=options.dtype, device=options.device)


def networks() -> dict[str, tuple[Sequential, tuple[int, ...], Loss]]:
    """Every preset's network in float64, with input shape and loss, for `parity`."""
    return {name: (Sequential(*RECIPES[name].network(sizes(o.hidden), o.dropout), dtype="float64"), RECIPES[name].shape,
                   RECIPES[name].loss())
            for name, o in PRESETS.items()}  # fmt: skip


def validate(study: str, options: Options) -> Judged:
    """Train as the options say and judge by the validation images, for --search."""
    net, loss = network(options), RECIPES[options.preset].loss()
    parts = load_parts(study, options, say=lambda text: None)  # the search itself has said it
    if parts.valid is None:
        raise SettingError("there are no images to validate by")
    fit(net, loss, optimiser_of(net, options), *parts.train, epochs=options.epochs, batch_size=options.batch_size,
        schedule=parse_schedule(options.schedule, options.lr, options.epochs), shuffle=options.order == "shuffled",
        seed=options.seed, threads=options.threads)  # fmt: skip
    x, t = parts.valid
    return Judged(accuracy(evaluate(net, loss, x, t)[1], t))


def run(study: str, options: Options) -> int:
    """Load, train, test and write; returns the exit code."""
    recipe = RECIPES[options.preset]
    if options.search:
        dataset = load_images(study, options)[0]
        return run_search(study, options, dataset, "judged by validation images, which it is not trained on")
    net = network(options)
    dataset, read, train, valid, test_images, test_labels = load_parts(study, options)
    with Run(study, options, dataset, read) as result:
        net.info |= {
            "classes": list(CLASSES[dataset]),
            "input": {"shape": list(recipe.shape), "scale": recipe.pixels[0] / 255, "shift": recipe.pixels[1]},
        }
        net.info["input"]["usual"] = usual(first_pixels(train[0], recipe))
        net.summary(recipe.shape)
        loss = recipe.loss()
        result.fit(net, loss, train, valid, shuffle=options.order == "shuffled")
        del train, valid  # they need most of the memory, and the pictures need some too
        test = Prepared(test_images, recipe, options.dtype)
        test_loss, y = evaluate(net, loss, test, targets(test_labels, recipe, options.dtype))
        table = confusion(y.argmax(1), test_labels, 10)
        result.metrics |= {
            "test_loss": test_loss,
            "test_accuracy": accuracy(y, test_labels),
            "per_class_accuracy": shares(table, CLASSES[dataset]),
        }
        if options.plots:
            draw(result, net, recipe, test_images, test_labels, y, table, list(CLASSES[dataset]))
        result.finish(net)
        if dataset != study:
            result.say(
                "These results are for `digits`, NOT for MNIST. To get MNIST: run again with a network connection, or "
                "put its four files into a folder mnist/ and name the folder above with --data-dir."
            )
        return 0


def draw(
    result: Run, net: Sequential, recipe: Recipe, images: Array, labels: Array, y: Array, table: Array, names: list[str]
) -> None:
    """Draw the plots of a run."""
    from scratchnet.plots import studies as plots
    from scratchnet.plots.first_layer import first_layer

    p = probabilities(net, y)
    test = ("test", result.metrics["test_accuracy"])
    result.draw_training(None if result.metrics["valid_accuracy"] else test)
    about = f"The first 24 of {len(images):,}, 28 x 28 pixels each, with their classes"
    samples = plots.image_grid(images[:24], [names[k] for k in labels[:24]], "Test images", about)
    result.picture("samples", samples)
    result.picture("confusion", plots.confusion(table, names))
    result.picture("mistakes", plots.worst_mistakes(images, labels, y.argmax(1), p, names))
    few = images[:PLACES_IN]
    result.picture("weights", first_layer(net, inputs(few, recipe, str(net.dtype)), few))
