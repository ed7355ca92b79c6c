"""Steps on one example each, on a GPU: thousands of them in one launch.

A CUDA graph still launches several kernels a step. For networks of two layers there is
a shorter way: one launch, whose blocks keep their parts of the weights in registers
and meet once in each step (persistent.py, persistent.cu).

Letters as in steps.py; I-H-K the network.
"""

from types import ModuleType

import numpy as np

from scratchnet.backend.arrays import Array
from scratchnet.engine.kernels.graph_steps import GraphSteps
from scratchnet.engine.kernels.nvrtc import compiled
from scratchnet.engine.kernels.recorded import bias_of
from scratchnet.engine.kernels.steps import activations_of, supported
from scratchnet.engine.layers import Linear, Sequential
from scratchnet.engine.losses import Loss
from scratchnet.engine.optim import Optimiser
from scratchnet.errors import DeviceError, SettingError

WARP = 32  # threads
MOST_INPUTS, MOST_OUTPUTS = 1024, WARP
WARPS, MOST_ROWS = 8, 8  # warps of a block; rows of W¹, that is hidden units, of a warp
#: So many registers of a thread may hold weights, by the bytes of a number; with more,
#: some would be kept in memory (the tests ask ptxas)
REGISTERS = {4: 205, 8: 176}
#: Fewer steps are left to the graphs: a launch reads and writes all weights
FEWEST_STEPS = 10
STEPS_IN_A_LAUNCH = 2_000
#: How often a block looks for another one before it gives up: several seconds
PATIENCE = 1 << 23


def registers(rows: int, I: int, itemsize: int) -> int:
    """Registers that hold weights, biases and the example, in one thread."""
    columns = -(-I // WARP)
    return (rows * (columns + 2) + columns) * itemsize // 4


def rows_for(H: int, I: int, itemsize: int, multiprocessors: int) -> int | None:
    """The hidden units of a warp if a block runs on each multiprocessor at most.

    None if they are too many for its registers.
    """
    rows = -(-H // (WARPS * multiprocessors))
    return rows if rows <= MOST_ROWS and registers(rows, I, itemsize) <= REGISTERS[itemsize] else None


def multiprocessors(xp: ModuleType) -> int:
    """How many blocks can run, and wait for each other, at once; 0 if none can."""
    attributes = xp.cuda.Device().attributes
    return attributes["MultiProcessorCount"] if attributes["CooperativeLaunch"] else 0


def supported_in_one_launch(net: Sequential) -> str | None:
    """Why one launch cannot train this network, or None if it can.

    `steps.supported` has been asked before.
    """
    linears = [layer for layer in net.layers if isinstance(layer, Linear)]
    if len(linears) != 2:
        return f"the network has {len(linears)} Linear layers, not two"
    I, H, K = linears[0].in_features, linears[0].out_features, linears[1].out_features
    if I > MOST_INPUTS or K > MOST_OUTPUTS:
        return f"it has {I} inputs and {K} outputs; the most are {MOST_INPUTS} and {MOST_OUTPUTS}"
    count = multiprocessors(net.xp)
    if count == 0:
        return "the GPU cannot promise to run all blocks at the same time"
    if rows_for(H, I, net.dtype.itemsize, count) is None:
        return f"{H} hidden units are too many for the registers of {count} multiprocessors"
    return None


class PersistentSteps(GraphSteps):
    __doc__ = GraphSteps.__doc__
    how = "thousands in one launch"

    def __init__(
        self, net: Sequential, loss: Loss, optimiser: Optimiser, x: Array, target: Array, batch_size: int = 1
    ) -> None:
        super().__init__(net, loss, optimiser, x, target, batch_size)
        why = supported(net, loss, optimiser, batch_size) or supported_in_one_launch(net)
        if why is not None:
            raise SettingError(f"PersistentSteps: {why}")
        xp, dtype, (hidden, output) = net.xp, net.dtype, self.linears
        I, H, K = hidden.in_features, hidden.out_features, output.out_features
        rows = rows_for(H, I, dtype.itemsize, multiprocessors(xp)) or 0
        self.blocks = -(-H // (WARPS * rows))
        constants = {"INPUTS": I, "OUTPUTS": K, "ROWS": rows, "WARPS": WARPS}
        constants |= zip(("HIDDEN", "OUTPUT"), activations_of(net), strict=True)
        module = compiled(xp, "persistent", str(dtype), True, **constants)
        self.kernel = module.get_function("persistent")
        self.contributions = xp.zeros((2, self.blocks, WARP), dtype)
        self.published = xp.zeros(self.blocks, np.int64)
        self.exchanges = 0  # so far
        self.late = xp.zeros(1, np.int64)
        self.before = xp.empty_like(net.store.values)  # the weights before a launch

    def run(self, n: int) -> int:
        """Make the next steps, at most n and at most 2,000; returns how many.

        It waits for them. Raises DeviceError, with the weights and all else as before,
        if the blocks of the GPU do not run at the same time.
        """
        if n < FEWEST_STEPS:
            return super().run(n)
        n = min(n, STEPS_IN_A_LAUNCH)
        self.before[...] = self.net.store.values
        self._train(n)
        if self.late.get()[0]:
            self.net.store.values[...] = self.before
            self.published.fill(0)
            self.late.fill(0)
            self.exchanges = 0
            raise DeviceError(
                "the GPU's blocks waited for each other in vain, perhaps because it is shared or debugged: "
                "train with fit(..., steps=scratchnet.engine.kernels.GraphSteps)"
            )
        self.exchanges += n
        self.optimiser.steps += n
        self.at += n
        return n

    def _train(self, n: int) -> None:
        hidden, output = self.linears
        values, labels = (0, self.target) if self.factor is None else (self.target, 0)
        self.set_rate()
        self.kernel(
            (self.blocks,), (WARPS * WARP,),
            (hidden.W.value, bias_of(hidden), output.W.value, bias_of(output), self.x, values, labels,
             self.order, self.number, n, hidden.out_features, self.lr, 0 if self.factor is None else self.factor,
             self.address, self.contributions, self.published, self.exchanges, PATIENCE, self.late),
        )  # fmt: skip
