"""Steps on one example each, on the CPU: the loops of step.py, compiled by Numba where it is installed.

With batches of one, a step made of NumPy calls spends up to half of its time on the calls, and reads every weight once
more than it must. Letters: as in reference.py.
"""

import importlib.util
from typing import Any

import numpy as np

from scratchnet.backend import Array
from scratchnet.kernels.steps import Steps
from scratchnet.layers import Sequential
from scratchnet.losses import Loss
from scratchnet.optim import Optimiser

#: Up to so many steps the compilation, a few seconds on a machine's first time, would take longer than it saves
FEW = 50_000


def installed() -> bool:
    """Whether Numba is there; asked without importing it, which takes half a second."""
    return importlib.util.find_spec("numba") is not None


class CompiledSteps(Steps):
    __doc__ = Steps.__doc__
    how = "steps compiled by Numba"

    def __init__(self, net: Sequential, loss: Loss, optimiser: Optimiser, x: Array, target: Array) -> None:
        from scratchnet.kernels import step

        super().__init__(net, loss, optimiser, x, target)
        self.steps: Any = step.steps
        self.w, self.real = net.store.values, net.dtype.type
        sizes = [layer.out_features for layer in self.linears]
        ends = np.cumsum(sizes)
        starts = [(la.W.start, -1 if la.b is None else la.b.start) for la in self.linears]
        inputs = [layer.in_features for layer in self.linears]
        self.layers = np.column_stack([inputs, sizes, starts, ends - sizes, self.activations])  # rows as in step.py
        self.a, self.delta = np.empty(ends[-1], net.dtype), np.empty(ends[-1], net.dtype)
        no_values, no_labels = np.empty((0, 0), net.dtype), np.empty(0, np.int64)
        self.targets = (no_values, self.target) if loss.takes_labels else (self.target, no_labels)

    def begin(self, order: Array, losses: Array, at: int = 0) -> None:
        self.order, self.losses, self.at = np.ascontiguousarray(order, np.int64), losses, at

    def run(self, n: int) -> int:
        """Make the next n steps; fewer if a loss is NaN or infinite: that step changes nothing, and is the last."""
        made = self.steps(
            self.w, self.layers, self.x, *self.targets, self.order, self.at, n, self.real(self.optimiser.lr),
            self.real(self.scale or 0), self.a, self.delta, self.losses,
        )  # fmt: skip
        self.at += made
        self.optimiser.steps += made - (not np.isfinite(self.losses[self.at - 1]))
        return made
