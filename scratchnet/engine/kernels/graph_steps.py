"""Steps on one example each, on a GPU: a few kernels a step, recorded as CUDA graphs.

With batches of one example, a GPU spends most of its time waiting for the next launch.
A graph is launched once for all the steps in it. It repeats exactly what was recorded,
including addresses. So every buffer is made beforehand and kept; the order of the
examples, the number of the step and the learning rate are read on the device; and
nothing is copied to the host.

Letters as in steps.py.
"""

import contextlib
from typing import Any

import numpy as np

from scratchnet.backend.arrays import Array
from scratchnet.engine.kernels.nvrtc import compiled
from scratchnet.engine.kernels.steps import KernelSteps
from scratchnet.engine.layers import Linear, Sequential
from scratchnet.engine.losses import Loss
from scratchnet.engine.optim import Optimiser

KERNELS = ("forward", "backward", "update", "squares", "cross_entropy", "advance")
STEPS_IN_A_GRAPH = (100, 10, 1)  # steps in a graph: the largest that fits is taken


class GraphSteps(KernelSteps):
    __doc__ = KernelSteps.__doc__
    how = "in CUDA graphs"

    def __init__(
        self, net: Sequential, loss: Loss, optimiser: Optimiser, x: Array, target: Array, batch_size: int = 1
    ) -> None:
        super().__init__(net, loss, optimiser, x, target, batch_size)
        xp, dtype = net.xp, net.dtype
        self.xp = xp
        self.factor = None if self.scale is None else xp.asarray([self.scale], dtype)
        # The graphs hold the addresses of these too, so they must live as long as the
        # graphs.
        self.order = xp.zeros(self.examples, np.int64)
        self.number = xp.zeros(1, np.int64)
        self.address = xp.zeros(1, np.int64)  # of the losses; every epoch has its own
        # the learning rate, here and on the device
        self.rate, self.lr = float("nan"), xp.zeros(1, dtype)
        self.outputs = [xp.empty(layer.out_features, dtype) for layer in self.linears]
        self.deltas = [xp.empty(layer.out_features, dtype) for layer in self.linears]
        module = compiled(xp, "step", str(dtype))
        self.kernels = {name: module.get_function(name) for name in KERNELS}
        self.loaded = False
        self.graphs: dict[int, Any] = {}  # by the number of steps

    def begin(self, order: Array, losses: Array, at: int = 0) -> None:
        """Begin an epoch: step k takes example order[k] and writes losses[k].

        The first step to be made is number `at`.
        """
        self.order[...] = order
        self.losses = losses
        self.address.fill(losses.data.ptr)
        self.number.fill(at)

    def run(self, n: int) -> int:
        """Make the next steps, at most n and at most 100; returns how many.

        It does not wait for them.
        """
        n = next(size for size in STEPS_IN_A_GRAPH if size <= n)
        self.set_rate()
        # a kernel is loaded when it is first launched, which cannot be recorded
        if not self.loaded:
            self._launch(n)
            self.loaded = True
        else:
            if n not in self.graphs:
                self.graphs[n] = self._record(n)
            # on the stream of everything else, so it waits for its turn
            self.graphs[n].launch()
        self.optimiser.steps += n
        return n

    def set_rate(self) -> None:
        """Bring the learning rate to the device, where it has changed."""
        if self.rate != self.optimiser.lr:
            self.rate = self.optimiser.lr
            self.lr.fill(self.rate)

    def _record(self, n: int) -> Any:
        # the default stream cannot be recorded
        stream = self.xp.cuda.Stream(non_blocking=True)
        with stream:
            stream.begin_capture()
            try:
                self._launch(n)
            except BaseException:
                with contextlib.suppress(Exception):  # it may fail too, and would hide what went wrong first
                    stream.end_capture()
                raise
            return stream.end_capture()

    def _launch(self, n: int) -> None:
        for step in range(n):
            self._step(step)
        self._call("advance", 1, 1, self.number, n)

    def _step(self, step: int) -> None:
        """`backprop.step` on the example of step number at + step."""
        here = self.order, self.number, step
        nowhere = 0, 0, 0
        inputs = [(self.x, *here), *((a, *nowhere) for a in self.outputs[:-1])]
        layers = list(zip(self.linears, inputs, self.activations, self.outputs, self.deltas, strict=True))
        for layer, a, activation, out, _ in layers:
            I, O = layer.in_features, layer.out_features
            self._call("forward", O, threads_for(I), layer.W.value, bias_of(layer), *a, I, activation, out)
        y, delta, K, activation = self.outputs[-1], self.deltas[-1], self.outputs[-1].size, self.activations[-1]
        name, scale = ("cross_entropy", ()) if self.factor is None else ("squares", (self.factor,))
        self._call(name, 1, threads_for(K), y, self.target, *here, K, *scale, activation, delta, self.address)
        for k in reversed(range(len(layers))):
            layer, a, _, _, delta = layers[k]
            I, O = layer.in_features, layer.out_features
            if k > 0:
                below = I, O, self.activations[k - 1], self.deltas[k - 1]
                self._call("backward", -(-I // 32), 32 * min(-(-O // 4), 32), layer.W.value, delta, a[0], *below)
            self._call("update", O, threads_for(I), layer.W.value, bias_of(layer), delta, *a, I, self.lr)

    def _call(self, name: str, blocks: int, threads: int, *args: Any) -> None:
        self.kernels[name]((blocks,), (threads,), args)


def threads_for(n: int) -> int:
    """Threads of a block that goes through n elements.

    Whole warps, with at least four elements for each thread.
    """
    return 32 * min(-(-n // 128), 8)


def bias_of(layer: Linear) -> Any:
    """The bias, or the null pointer."""
    return 0 if layer.b is None else layer.b.value
