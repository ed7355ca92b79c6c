"""Steps on a GPU that are recorded as CUDA graphs: what all such steps share.

With small batches, a GPU spends most of its time waiting for the next launch. A graph
is launched once for all the steps in it. It repeats exactly what was recorded,
including addresses. So every buffer is made beforehand and kept; the order of the
examples, the number of the step and the learning rate are read on the device; and
nothing is copied to the host.
"""

import contextlib
from typing import Any, ClassVar

import numpy as np

from scratchnet.backend.arrays import Array
from scratchnet.engine.kernels.nvrtc import compiled
from scratchnet.engine.kernels.steps import KernelSteps, rule_of
from scratchnet.engine.layers import Linear, Sequential
from scratchnet.engine.losses import Loss
from scratchnet.engine.optim import Adam, Optimiser
from scratchnet.engine.steps import Steps

SETTINGS = 6  # columns of the settings in rates.cu


class RecordedSteps(Steps):
    __doc__ = Steps.__doc__
    how = "in CUDA graphs"
    text: ClassVar[str]  # the name of the file with the kernels
    steps_in_a_graph: ClassVar[tuple[int, ...]] = (100, 10, 1)  # the largest that fits is taken

    def __init__(
        self, net: Sequential, loss: Loss, optimiser: Optimiser, x: Array, target: Array, batch_size: int = 1
    ) -> None:
        super().__init__(net, loss, optimiser, x, target, batch_size)
        self.xp = xp = net.xp
        self.stream = xp.cuda.Stream(non_blocking=True)  # the default stream cannot be recorded
        # The graphs hold the addresses of these, so they must live as long as the
        # graphs.
        self.order = xp.zeros(self.examples, np.int64)
        self.number = xp.zeros(1, np.int64)
        self.address = xp.zeros(1, np.int64)  # of the losses; every epoch has its own
        # the learning rate, here and on the device
        self.rate, self.lr = float("nan"), xp.zeros(1, net.dtype)
        self.module = compiled(xp, self.text, str(net.dtype))
        self.kernels: dict[str, Any] = {}
        self.graphs: dict[tuple[int, int], Any] = {}  # by the numbers of steps and of examples in each

    def begin(self, order: Array, losses: Array, at: int = 0) -> None:
        """Begin an epoch: step k takes batch k of this order and writes losses[k].

        The first step to be made is number `at`.
        """
        self.order[...] = order
        self.losses, self.at = losses, at
        self.address.fill(losses.data.ptr)
        self.number.fill(at)

    def run(self, n: int) -> int:
        """Make the next steps, at most n and at most 100; returns how many.

        It does not wait for them.
        """
        whole, size = self.examples // self.batch_size - self.at, self.batch_size
        if whole <= 0:
            whole, size = 1, self.examples % self.batch_size  # the last batch of the epoch
        n = next(steps for steps in self.steps_in_a_graph if steps <= min(n, whole))
        self.set_rate()
        n = self._make(n, size)
        self.optimiser.steps += n
        self.at += n
        return n

    def set_rate(self) -> None:
        """Bring the learning rate to the device, where it has changed."""
        if self.rate != self.optimiser.lr:
            self.rate = self.optimiser.lr
            self.lr.fill(self.rate)

    def _make(self, n: int, size: int) -> int:
        """Make n steps, or fewer, on `size` examples each; returns how many."""
        # on the stream of everything else, so it waits for its turn
        self._graph(n, size).launch()
        return n

    def _graph(self, n: int, size: int) -> Any:
        if (n, size) not in self.graphs:
            self.graphs[n, size] = self._record(n, size)
        return self.graphs[n, size]

    def _record(self, n: int, size: int) -> Any:
        with self.stream as stream:
            stream.begin_capture()
            try:
                self._launch(n, size)
            except BaseException:
                with contextlib.suppress(Exception):  # it may fail too, and would hide what went wrong first
                    stream.end_capture()
                raise
            return stream.end_capture()

    def _launch(self, n: int, size: int) -> None:
        """Launch the kernels of n steps on `size` examples each."""
        raise NotImplementedError

    def _call(self, name: str, blocks: int, threads: int, *args: Any) -> None:
        if name not in self.kernels:
            self.kernels[name] = self.module.get_function(name)
        self.kernels[name]((blocks,), (threads,), args)


class RatedSteps(RecordedSteps):
    """Recorded steps whose optimiser needs more than a learning rate: see rates.cu."""

    def __init__(
        self, net: Sequential, loss: Loss, optimiser: Optimiser, x: Array, target: Array, batch_size: int = 1
    ) -> None:
        super().__init__(net, loss, optimiser, x, target, batch_size)
        xp = self.xp
        self.rule, _, _, (beta1, beta2), eps = rule_of(optimiser)
        decay = optimiser.weight_decay if isinstance(optimiser, Adam) and optimiser.decoupled else 0.0
        self.given = xp.asarray([0.0, beta1, beta2, eps, decay], np.float64)  # of `rates`
        self.lr = self.given[:1]
        self.settings = xp.empty((self.steps_in_a_graph[0], SETTINGS), net.dtype)
        # steps in all, which Adam counts: here as they are known there
        self.counted, self.made = 0, xp.zeros(1, np.int64)

    def run(self, n: int) -> int:
        """Make the next steps, at most n; returns how many. It does not wait."""
        if self.counted != self.optimiser.steps:
            self.made.fill(self.optimiser.steps)
        n = super().run(n)
        self.counted = self.optimiser.steps
        return n

    def _launch(self, n: int, size: int) -> None:
        self._call("rates", 1, 32 * -(-n // 32), self.made, n, self.rule, self.given, self.settings)
        for step in range(n):
            self._step(step, size)
        self._call("advance", 1, 1, self.number, self.made, n)

    def _step(self, step: int, N: int) -> None:
        """Launch the step on batch number at + step of the epoch, of N examples."""
        raise NotImplementedError


class KernelGraphs(RecordedSteps, KernelSteps):
    """Recorded steps of Linear layers in kernels that hold the whole step."""

    def __init__(
        self, net: Sequential, loss: Loss, optimiser: Optimiser, x: Array, target: Array, batch_size: int = 1
    ) -> None:
        super().__init__(net, loss, optimiser, x, target, batch_size)
        xp, dtype = net.xp, net.dtype
        self.factor = None if self.scale is None else xp.asarray([self.scale], dtype)
        sizes = [layer.out_features for layer in self.linears]
        self.outputs, self.deltas = ([xp.empty((batch_size, size), dtype) for size in sizes] for _ in range(2))
        self.loaded = False

    def _make(self, n: int, size: int) -> int:
        # a kernel is loaded when it is first launched, which cannot be recorded
        if self.loaded:
            return super()._make(n, size)
        self._launch(n, size)
        self.loaded = True
        return n


def bias_of(layer: Linear) -> Any:
    """The bias, or the null pointer."""
    return 0 if layer.b is None else layer.b.value
