"""The engines that race, one file each.

Every one has `train(work, device)`, which returns a run that makes n training steps.
Only at its end does a run wait until the work is done. An engine that is not installed,
or that cannot build a network, raises Missing with the reason.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from benchmarks.workloads import Workload


class Missing(Exception):
    """Says why an engine does not take part."""


@dataclass(frozen=True)
class Trainer:
    """A run of n steps that cycles through the batches and then waits.

    `weights` gives the parameters after it.
    """

    batches: list
    step: Callable[..., object]
    finish: Callable[[], object] = lambda: None
    weights: Callable[[], list[np.ndarray]] = list
    begin: Callable[[], object] = lambda: None
    place: list[int] = field(default_factory=lambda: [0])  # the batch to go on with

    def __call__(self, n: int) -> None:
        self.begin()
        batches, step, first = self.batches, self.step, self.place[0]
        for k in range(first, first + n):
            step(*batches[k % len(batches)])
        self.place[0] = (first + n) % len(batches)
        self.finish()


# name: (module, function, device)
ENGINES = {
    "scratchnet numpy": ("scratchnet_", "train", "cpu"),
    "scratchnet compiled": ("scratchnet_", "train_compiled", "cpu"),
    "scratchnet cupy": ("scratchnet_", "train", "cuda"),
    "PyTorch eager": ("pytorch", "train", "cpu"),
    "PyTorch compile": ("pytorch", "train_compiled", "cpu"),
    "PyTorch eager cuda": ("pytorch", "train", "cuda"),
    "PyTorch CUDA graph": ("pytorch", "train_graph", "cuda"),
    "JAX jit": ("jax_", "train", "cpu"),
    "JAX scan": ("jax_", "train_scan", "cpu"),
    "JAX jit cuda": ("jax_", "train", "cuda"),
    "scikit-learn": ("sklearn_", "train", "cpu"),
    "textbook NumPy": ("textbook", "train", "cpu"),
    "products alone": ("scratchnet_", "products", "cpu"),
}


def build(name: str, work: Workload) -> Trainer:
    """An engine's run on a workload. Raises Missing."""
    module, function, device = ENGINES[name]
    try:
        engine = importlib.import_module(f"benchmarks.engines.{module}")
    except ImportError as e:
        raise Missing(f"{e.name} is not installed") from None
    return getattr(engine, function)(work, device)
