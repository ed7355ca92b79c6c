"""Many steps in a row on the CPU: the loops of step.py and batch_step.py, run by Numba.

A step made of NumPy calls spends up to half of its time on the calls themselves, and
goes through the weights more often than necessary.

Letters as in steps.py and batch_step.py.
"""

import numpy as np

from scratchnet.backend.arrays import LINE, Array, aligned_zeros
from scratchnet.engine.kernels.steps import KernelSteps, rule_of
from scratchnet.engine.layers import Sequential
from scratchnet.engine.losses import Loss
from scratchnet.engine.optim import Optimiser
from scratchnet.engine.steps import describe_non_finite
from scratchnet.errors import NonFiniteError


class CompiledSteps(KernelSteps):
    __doc__ = KernelSteps.__doc__
    how = "compiled by Numba"

    def __init__(
        self, net: Sequential, loss: Loss, optimiser: Optimiser, x: Array, target: Array, batch_size: int = 1
    ) -> None:
        super().__init__(net, loss, optimiser, x, target, batch_size)
        self.w, self.real = net.store.values, net.dtype.type
        sizes = np.array([layer.out_features for layer in self.linears])
        line = LINE // net.dtype.itemsize
        # room for the outputs of each layer
        room = -(-sizes * min(batch_size, self.examples) // line) * line
        starts = [(la.W.start, -1 if la.b is None else la.b.start) for la in self.linears]
        inputs = [layer.in_features for layer in self.linears]
        # the columns are those of step.py
        self.layers = np.column_stack([inputs, sizes, starts, np.cumsum(room) - room, self.activations])
        self.a, self.delta = (aligned_zeros(room.sum(), net.dtype, np) for _ in range(2))
        no_values, no_labels = np.empty((0, 0), net.dtype), np.empty(0, np.int64)
        self.targets = (no_values, self.target) if loss.takes_labels else (self.target, no_labels)

    def begin(self, order: Array, losses: Array, at: int = 0) -> None:
        self.order, self.losses, self.at = np.ascontiguousarray(order, np.int64), losses, at

    def run(self, n: int) -> int:
        """Make the next n steps.

        Raises NonFiniteError at a loss that is not finite; that step then changes
        nothing.
        """
        begin, end, finite = self.at, self.at + n, True
        while self.at < end and finite:
            # up to the next multiple of a hundred, as `count` requires
            made = self._make(min(end - self.at, 100 - self.optimiser.steps % 100))
            self.at += made
            finite = np.isfinite(self.losses[self.at - 1])
            self.optimiser.count(made - (not finite))
        if not finite:
            k = self.at - 1
            value = float(self.losses[k])
            raise NonFiniteError(describe_non_finite(self.net, self.batch(k)[0], value, self.optimiser.steps + 1))
        return self.at - begin

    def _make(self, n: int) -> int:
        from scratchnet.engine.kernels import step

        return step.steps(
            self.w, self.layers, self.x, *self.targets, self.order, self.at, n, self.real(self.optimiser.lr),
            self.real(self.scale or 0), self.a, self.delta, self.losses,
        )  # fmt: skip


class CompiledBatches(CompiledSteps):
    __doc__ = KernelSteps.__doc__

    def __init__(
        self, net: Sequential, loss: Loss, optimiser: Optimiser, x: Array, target: Array, batch_size: int = 1
    ) -> None:
        super().__init__(net, loss, optimiser, x, target, batch_size)
        self.averages = loss.averages
        none = np.empty(0, net.dtype)
        rule, m, v, betas, eps = rule_of(optimiser)
        self.rule = rule, none if m is None else m, none if v is None else v, betas, eps
        self.rows, self.columns = (
            aligned_zeros(min(batch_size, self.examples) * self.x.shape[1], net.dtype, np) for _ in range(2)
        )
        self.g = aligned_zeros(max(la.W.size for la in self.linears), net.dtype, np)

    def _make(self, n: int) -> int:
        from scratchnet.engine.kernels import batch_step
        from scratchnet.engine.kernels.blas import blas_of

        return batch_step.steps(
            self.w, self.layers, self.x, *self.targets, self.order, self.batch_size, self.at, n, self.optimiser.lr,
            *self.rule, self.optimiser.steps, self.scale or 0.0, self.averages, blas_of(self.w.dtype.char),
            self.a, self.delta, self.rows, self.columns, self.g, self.losses,
        )  # fmt: skip
