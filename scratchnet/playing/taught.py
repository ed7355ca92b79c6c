"""What the page's digits come from: pictures found here, and a network taught quickly.

Letters: N examples, K classes.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from scratchnet.data.digits import load_digits
from scratchnet.data.fetch import local_folder
from scratchnet.data.mnist import load_mnist
from scratchnet.engine.layers import Conv2d, Flatten, Linear, MaxPool2d, ReLU, Sequential, Sigmoid, Tanh
from scratchnet.engine.layers.base import Layer
from scratchnet.engine.losses import CrossEntropyLoss
from scratchnet.engine.metrics import accuracy
from scratchnet.engine.optim import SGD, Adam, Optimiser
from scratchnet.engine.steps import Steps
from scratchnet.engine.training import order_of
from scratchnet.files.folders import cache_folder

ACTIVATIONS: dict[str, type[Layer]] = {"sigmoid": Sigmoid, "tanh": Tanh, "relu": ReLU}
VALID = 1_000  # pictures that judge a network; no network on the page learns from them


@dataclass(frozen=True, eq=False)
class Pictures:
    """Grey pictures (N, 28, 28) uint8 with labels, for learning and for judging."""

    name: str
    images: np.ndarray
    labels: np.ndarray
    valid_images: np.ndarray
    valid_labels: np.ndarray


@dataclass(frozen=True, eq=False)
class Model:
    """A network for grey pictures, and how it takes them: pixel · scale + shift."""

    net: Sequential
    shape: tuple[int, ...]
    scale: float
    shift: float
    classes: tuple[str, ...]
    about: str

    def inputs(self, images: np.ndarray) -> np.ndarray:
        """Pixels (N, 28, 28) from 0 to 255 as this network takes them."""
        x = images.reshape(-1, *self.shape).astype(self.net.dtype)
        x *= self.scale
        x += self.shift
        return x


def find_pictures() -> Pictures:
    """MNIST if it is on this machine, otherwise digits that this project draws."""
    # all four files must be there already: nothing is downloaded
    folder = local_folder("mnist", [], None) or cache_folder() / "mnist"
    if len(list(folder.glob("*-ubyte*"))) >= 4:
        d, name = load_mnist(), "MNIST"
    else:
        d, name = load_digits(train=5_000, test=VALID), "digits that scratchnet draws itself"
    if name == "MNIST":
        # the last training pictures judge: the test set is not touched
        images, labels, valid, valid_labels = (
            d.train_images[:-VALID], d.train_labels[:-VALID], d.train_images[-VALID:], d.train_labels[-VALID:]
        )  # fmt: skip
    else:
        images, labels, valid, valid_labels = d.train_images, d.train_labels, d.test_images, d.test_labels
    return Pictures(name, images, labels.astype(np.int64), valid, valid_labels.astype(np.int64))


def dense_network(hidden: list[int], activation: str, seed: int = 0) -> Sequential:
    """784 pixels, hidden layers of these sizes, and ten logits."""
    layers: list[Layer] = []
    for n_in, n_out in zip([784, *hidden], hidden):
        layers += [Linear(n_in, n_out), ACTIVATIONS[activation]()]
    return Sequential(*layers, Linear(hidden[-1] if hidden else 784, 10), seed=seed)


def convolution_network(seed: int = 0) -> Sequential:
    """Two convolutions with pooling, small enough to look at every number."""
    return Sequential(
        Conv2d(1, 6, 5), ReLU(), MaxPool2d(2), Conv2d(6, 8, 3), ReLU(), MaxPool2d(2), Flatten(), Linear(200, 10),
        seed=seed,
    )  # fmt: skip


def optimiser_for(net: Sequential, name: str, rate: float) -> Optimiser:
    """A fresh optimiser by its name on the page."""
    if name == "adam":
        return Adam(net, lr=rate)
    return SGD(net, lr=rate, momentum=0.9 if name == "momentum" else 0.0)


def teach(model: Model, optimiser: Optimiser, pictures: Pictures, steps: int, batch: int = 20) -> None:
    """Make so many steps of descent, on examples in a new order."""
    order = order_of(0, 0, len(pictures.images))[: steps * batch]
    x, labels = model.inputs(pictures.images[order]), pictures.labels[order]
    made = Steps(model.net, CrossEntropyLoss(), optimiser, x, labels, batch)
    count = -(-len(order) // batch)
    made.begin(np.arange(len(order)), np.zeros(count, np.float32))
    for _ in range(count):
        made.run(1)


def judged(model: Model, pictures: Pictures) -> float:
    """The share of the validation pictures that the network reads rightly."""
    return accuracy(model.net(model.inputs(pictures.valid_images)), pictures.valid_labels)


def quick_model(kind: str, pictures: Pictures) -> Model:
    """A small network that has learnt for about a second: "dense" or "convolution"."""
    dense = kind == "dense"
    net: Any = dense_network([30], "sigmoid") if dense else convolution_network()
    shape = (784,) if dense else (1, 28, 28)
    model = Model(net, shape, 1 / 255, 0.0, tuple("0123456789"), "")
    optimiser = SGD(net, lr=0.5) if dense else Adam(net, lr=0.003)
    steps = 1_500 if dense else 400
    teach(model, optimiser, pictures, steps)
    share = judged(model, pictures)
    sizes = "784-30-10" if dense else "two convolutions"
    about = (
        f"A small network ({sizes}) that has learnt in {steps:,} steps from {pictures.name}: "
        f"it reads {share:.1%} of {len(pictures.valid_labels):,} other pictures rightly"
    )
    return Model(net, shape, 1 / 255, 0.0, model.classes, about)
