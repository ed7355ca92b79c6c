"""The layers' own steps, on a GPU, recorded as CUDA graphs.

What is recorded is `steps.step` itself: whatever the layers, the loss and the optimiser
launch. A graph repeats it with the same addresses and the same numbers, so

* the examples whose turn it is are gathered on the device, and the optimiser's rates
  are read there;
* products are made by a kernel of our own, because CuPy does not call cuBLAS while a
  stream is recorded;
* the arrays that a step makes come from a pool of memory that nobody else uses, and the
  layers' buffers are not those of other batch sizes;
* layers that do something else on the host in every step, such as drawing random
  numbers, cannot be recorded: `supported_layers` tells which can.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from scratchnet.backend.arrays import Array
from scratchnet.backend.products import own_products
from scratchnet.engine import layers as of
from scratchnet.engine.advice import warn
from scratchnet.engine.kernels import recurrent_cuda
from scratchnet.engine.kernels.products_cuda import MOST_MULTIPLICATIONS, Products
from scratchnet.engine.kernels.recorded import RatedSteps
from scratchnet.engine.layers import Layer, Sequential
from scratchnet.engine.layers.recurrent import Recurrent
from scratchnet.engine.losses import CrossEntropyLoss, Loss, MSELoss, NLLLoss, QuadraticCost
from scratchnet.engine.optim import SGD, Adam, AdamW, Optimiser, Rates, clip_gradient, decay_weights
from scratchnet.engine.steps import Steps, step

#: Layers whose steps launch the same in every step of a batch size, and do nothing else
#: that matters; not their subclasses, which may do anything
LAYERS: frozenset[type[Layer]] = frozenset({
    of.AvgPool2d, of.BatchNorm1d, of.BatchNorm2d, of.Conv2d, of.ConvTranspose2d, of.Embedding, of.Flatten, of.GRU,
    of.LSTM, of.Linear, of.LogSoftmax, of.MaxPool2d, of.MedianPool2d, of.MinPool2d, of.ReLU, of.RNN, of.Sigmoid,
    of.Softmax, of.Tanh,
})  # fmt: skip
LOSSES = frozenset({CrossEntropyLoss, MSELoss, NLLLoss, QuadraticCost})
OPTIMISERS = frozenset({Adam, AdamW, SGD})
HOOKS = (clip_gradient, decay_weights)


def supported_layers(plain: Steps) -> str | None:
    """Why these readable steps cannot be recorded, or None if they can."""
    net, optimiser, N = plain.net, plain.optimiser, min(plain.batch_size, plain.examples)
    for one, known in ((plain.loss, LOSSES), (optimiser, OPTIMISERS), *((layer, LAYERS) for layer in net.layers)):
        if type(one) not in known:
            return f"{one} cannot be recorded"
    if any(hook not in HOOKS for hook in optimiser.hooks) or optimiser.sum_of_all is not None:
        return "the optimiser has a hook that cannot be recorded"
    if plain.work() > 2 * MOST_MULTIPLICATIONS:
        return f"the products of {N} examples are too large for a recorded step"
    for layer in net.layers:
        if isinstance(layer, Recurrent) and not recurrent_cuda.are_small(layer, N):
            return f"{layer} is too large for a recorded step"
    return None


class Own:
    """What the recorded steps of one batch size have to themselves."""

    def __init__(self, xp: Any, size: int) -> None:
        self.pool = xp.cuda.MemoryPool()
        self.products = Products()
        self.buffers: dict[object, Array] = {}
        self.chosen = xp.empty(size, np.int64)  # the examples of the step
        self.kept: list[Any] = []

    def keep(self, size: int) -> Any:
        """Memory that is not given to anybody else before `kept` is cleared.

        After a step with it, the pool has memory for each array of such a step, so that
        it need not ask the device for more while a step is recorded.
        """
        self.kept.append(self.pool.malloc(size))
        return self.kept[-1]


class LayerGraphSteps(RatedSteps):
    __doc__ = RatedSteps.__doc__
    how = "as the layers make them, in CUDA graphs"
    text = "layers"
    steps_in_a_graph = (10, 1)

    def __init__(
        self, net: Sequential, loss: Loss, optimiser: Optimiser, x: Array, target: Array, batch_size: int = 1
    ) -> None:
        super().__init__(net, loss, optimiser, x, target, min(batch_size, len(x)))
        self.own: dict[int, Own] = {}  # by the number of examples
        self.can_record = True

    def _make(self, n: int, size: int) -> int:
        if size not in self.own:
            # the first step loads all kernels, and makes the layers' buffers
            own = self.own[size] = Own(self.xp, size)
            made = self._one(size, own.keep)
            own.kept.clear()
            return made
        if self.can_record:
            try:
                self._graph(n, size)
            except Exception as e:  # nothing has been launched yet
                self.can_record = False
                warn(f"the GPU does not record the steps of this network ({e}): they are launched one by one")
            else:
                return super()._make(n, size)
        return self._one(size, self.own[size].pool.malloc)

    @contextlib.contextmanager
    def _in_turn(self) -> Iterator[None]:
        """Launch on `stream`, after everything before and before everything after.

        The memory of a pool belongs to the stream that is current when it is given.
        """
        others = self.xp.cuda.get_current_stream()
        self.stream.wait_event(others.record())
        with self.stream:
            yield
        others.wait_event(self.stream.record())

    def _record(self, n: int, size: int) -> Any:
        with self.xp.cuda.using_allocator(self.own[size].pool.malloc):
            return super()._record(n, size)

    def _one(self, size: int, allocator: Any) -> int:
        """Make one step, launched from here."""
        with self._in_turn(), self.xp.cuda.using_allocator(allocator):
            self._launch(1, size)
        return 1

    def _launch(self, n: int, size: int) -> None:
        """Launch the kernels of n steps, with what they have to themselves."""
        optimiser, own = self.optimiser, self.own[size]
        steps, buffers, optimiser._buffers = optimiser.steps, optimiser._buffers, own.buffers
        products = own_products.set(own.products)
        try:
            super()._launch(n, size)
        finally:
            own_products.reset(products)
            optimiser.recorded = None
            optimiser.steps, optimiser._buffers = steps, buffers  # `run` counts the steps

    def _step(self, step_number: int, N: int) -> None:
        """`steps.step` on batch number at + step of the epoch, which has N examples."""
        chosen, settings = self.own[N].chosen, self.settings[step_number]
        here = self.number, step_number
        self._call("take", -(-N // 256), 256, self.order, *here, self.batch_size, N, chosen)
        self.optimiser.recorded = Rates(settings[4], settings[3], settings[5])  # the columns in rates.cu
        value = step(self.net, self.loss, self.optimiser, self.x[chosen], self.target[chosen])
        self._call("keep", 1, 1, value, *here, self.address)
