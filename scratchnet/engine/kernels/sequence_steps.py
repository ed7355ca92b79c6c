"""Many steps in a row on sequences: the loops of sequence_step.py, run by Numba."""

import numpy as np

from scratchnet.backend.arrays import Array, aligned_zeros
from scratchnet.engine.kernels.compiled_steps import CompiledBatches
from scratchnet.engine.kernels.steps import KernelSteps, supported_in_batches
from scratchnet.engine.layers import LSTM, Sequential
from scratchnet.engine.losses import Loss
from scratchnet.engine.optim import Optimiser


def supported_sequences(net: Sequential, loss: Loss, optimiser: Optimiser) -> str | None:
    """Why there are no compiled steps on sequences for this training, or None."""
    first, rest = net.layers[0], net.layers[1:]
    if type(first) is not LSTM or first.num_layers > 1 or first.output != "last" or not rest:
        return "the network does not begin with one LSTM, of which the last h goes on"
    if net.dtype != np.float32:
        return "the network is not in float32"
    return supported_in_batches(net.with_layers(*rest), loss, optimiser)


class CompiledSequences(CompiledBatches):
    __doc__ = KernelSteps.__doc__

    def __init__(
        self, net: Sequential, loss: Loss, optimiser: Optimiser, x: Array, target: Array, batch_size: int = 1
    ) -> None:
        super().__init__(net, loss, optimiser, x, target, batch_size)
        lstm = net.layers[0]
        assert isinstance(lstm, LSTM)
        (W_ih, W_hh, b_ih, b_hh), T = lstm.weights[0], self.x.shape[1]
        I, H = lstm.input_size, lstm.hidden_size
        self.lstm = np.array([[H, 4 * H, W_hh.start, b_hh.start], [I, 4 * H, W_ih.start, b_ih.start]])
        self.W = aligned_zeros(4 * H * (H + I + 1), net.dtype, np).reshape(4 * H, -1)
        # for each example: a, cells, tanh(c), δ, ∂C/∂h, ∂C/∂c; a and δ abreast
        F = H + I + 1
        self.ends = np.cumsum([(T + 1) * F, (T + 1) * 5 * H, T * H, T * 4 * H, H, H, T * F, T * 4 * H])
        self.room = aligned_zeros(int(self.ends[-1]) * min(batch_size, self.examples), net.dtype, np)
        self.g = aligned_zeros(max(self.g.size, W_hh.size, W_ih.size), net.dtype, np)

    def _make(self, n: int) -> int:
        from scratchnet.engine.kernels import sequence_step
        from scratchnet.engine.kernels.blas import blas_of

        return sequence_step.steps(
            self.w, self.layers, self.lstm, self.x, *self.targets, self.order, self.batch_size, self.at, n,
            self.optimiser.lr, *self.rule, self.optimiser.steps, self.scale or 0.0, self.averages,
            blas_of(self.w.dtype.char), self.a, self.delta, self.W, self.room, self.ends, self.g, self.losses,
        )  # fmt: skip
