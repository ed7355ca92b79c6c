"""What is timed: networks of the literature with their optimiser and batch.

They are described once for all engines. A network is a list of this engine's layer
objects, which are plain specifications; every other engine translates them. Inputs are
seeded random numbers in the shapes of the data sets, because a time does not depend on
what is learnt.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod

import numpy as np

import scratchnet as sn
from scratchnet.engine.layers import Layer

MOST_DIFFERENT = 10_000  # examples in memory: 31 MB, more than the caches of a core
BATCHES = 8  # different batches that a run goes through in turn


@dataclass(frozen=True)
class Workload:
    """One row of a benchmark: network, loss, optimiser and batch.

    If `optimiser` is None, the row is about inference.
    """

    name: str
    layers: Callable[[], Sequence[Layer]]
    shape: tuple[int, ...]  # of one example
    loss: str  # sse (summed squared error), cross-entropy, nll or mse
    optimiser: str | None
    lr: float = 0.1
    momentum: float = 0.0
    batch: int = 1
    sparse: bool = False  # inputs are word counts, 15 per example
    seed: int = 0
    count: int = BATCHES  # of different batches

    def batches(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Float32 inputs (N, ...) and targets.

        Targets are labels (N,) for the classifiers' losses, and values (N, K)
        otherwise.
        """
        rng = np.random.default_rng(self.seed)
        classes = self.outputs()
        count = 1 if self.optimiser is None else self.count
        x = [rng.random((self.batch, *self.shape), dtype=np.float32) for _ in range(count)]
        if self.sparse:
            x = [np.where(part < 15 / self.shape[0], np.float32(1), np.float32(0)) for part in x]
        if self.loss in ("cross-entropy", "nll"):
            return [(part, rng.integers(0, classes, self.batch)) for part in x]
        return [(part, rng.random((self.batch, classes), dtype=np.float32)) for part in x]

    def outputs(self) -> int:
        """The number of outputs for one example."""
        shape = self.shape
        for layer in self.layers():
            shape = layer.output_shape(shape)
        return shape[-1]

    def products(self) -> list[tuple[int, int, int, int]]:
        """(out, in, columns, times) of the forward product of every weight.

        A recurrent weight has a product at every time step.
        """
        found, shape = [], self.shape
        for layer in self.layers():
            after = layer.output_shape(shape)
            for p in layer.params():
                columns, times = self.batch, 1
                if len(p.shape) == 4:  # a convolution: each position of the output is a column
                    columns *= prod(after[1:])
                elif "_hh_" in p.name:
                    times = shape[0]
                elif "_ih_" in p.name:
                    columns *= shape[0]
                if len(p.shape) > 1:
                    found.append((p.shape[0], p.size // p.shape[0], columns, times))
            shape = after
        return found


def book(hidden: int, batch: int = 1, examples: int = 0) -> Workload:
    """784-H-10, sigmoid, no biases, summed squared error, SGD 0.1.

    This is the network of the published timing studies.
    """
    return Workload(
        f"book {hidden}" + (f" batch {batch}" if batch > 1 else ""),
        lambda: (sn.Linear(784, hidden, bias=False), sn.Sigmoid(), sn.Linear(hidden, 10, bias=False), sn.Sigmoid()),
        (784,), "sse", "sgd", lr=0.1 / batch, batch=batch,
        count=max(1, min(examples, MOST_DIFFERENT) // batch) if examples else BATCHES,
    )  # fmt: skip


def relu(name: str, sizes: Sequence[int], optimiser: str | None, lr: float, batch: int) -> Workload:
    """Fully connected with ReLU between, logits and cross entropy."""

    def layers() -> list[Layer]:
        parts = [part for i, o in pairwise(sizes) for part in (sn.Linear(i, o), sn.ReLU())]
        return parts[:-1]

    return Workload(name, layers, (sizes[0],), "cross-entropy", optimiser, lr=lr, batch=batch)


def cnn() -> list[Layer]:
    """Two convolutions with pooling, then 784-120-10."""
    return [
        sn.Conv2d(1, 6, 4), sn.ReLU(), sn.MaxPool2d(2, 2, 1),
        sn.Conv2d(6, 16, 2), sn.ReLU(), sn.MaxPool2d(2, 2, 1),
        sn.Flatten(), sn.Linear(784, 120), sn.ReLU(), sn.Linear(120, 10),
    ]  # fmt: skip


def lstm() -> list[Layer]:
    """One number at each of 12 times, 100 hidden units, one number out."""
    return [sn.LSTM(1, 100), sn.Linear(100, 1)]


WORKLOADS = {
    w.name: w
    for w in (
        book(200), book(1000), book(2000), book(5000),
        relu("zero-to-gans", (784, 32, 10), "sgd", 0.5, 100),
        relu("two-hidden", (784, 100, 50, 10), "adam", 0.001, 128),
        Workload(
            "fcn2",
            lambda: (
                sn.Linear(784, 128), sn.Sigmoid(), sn.Linear(128, 64), sn.ReLU(), sn.Linear(64, 10), sn.LogSoftmax()
            ),
            (784,), "nll", "sgd", lr=0.003, momentum=0.9, batch=64,
        ),
        relu("784-2000-10", (784, 2000, 10), "sgd", 0.1, 128),
        Workload("cnn", cnn, (1, 28, 28), "cross-entropy", "sgd", lr=0.003, momentum=0.9, batch=64),
        Workload("lstm batch 1", lstm, (12, 1), "mse", "adam", lr=0.001),
        Workload("lstm batch 32", lstm, (12, 1), "mse", "adam", lr=0.001, batch=32),
        Workload("tweets", lambda: (sn.Linear(3000, 200), sn.ReLU(), sn.Linear(200, 2)), (3000,),
                 "cross-entropy", "sgd", lr=0.1, batch=32, sparse=True),
        relu("predict 1 image", (784, 100, 50, 10), None, 0, 1),
        relu("predict 10,000 images", (784, 100, 50, 10), None, 0, 10_000),
    )
}  # fmt: skip
