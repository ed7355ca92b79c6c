"""Many training steps in a row, hand-written: CUDA graphs of kernels for a GPU, compiled loops for the CPU.

`reference.py` says in NumPy what a step on one example does. `step.cu` is that in CUDA C, and `graph_steps.py` runs it;
`step.py` is that in loops which Numba compiles, `batch_step.py` is `training.step` in such loops, and
`compiled_steps.py` runs both. Besides, `lstm.py` and `gru.py` walk through time in fewer passes than the layers do.
"""

from scratchnet.backend.arrays import Array
from scratchnet.engine.kernels import compiled_steps, gru, lstm
from scratchnet.engine.kernels.compiled_steps import CompiledBatches, CompiledSteps
from scratchnet.engine.kernels.graph_steps import GraphSteps
from scratchnet.engine.kernels.steps import Steps, supported, supported_in_batches
from scratchnet.engine.layers import GRU, LSTM, Sequential
from scratchnet.engine.losses import Loss
from scratchnet.engine.optim import Optimiser
from scratchnet.engine.tuned import hand_in

__all__ = [
    "CompiledBatches", "CompiledSteps", "GraphSteps", "Steps", "kind_of_steps", "supported", "supported_in_batches",
]  # fmt: skip

hand_in(LSTM, lstm)
hand_in(GRU, gru)


def kind_of_steps(
    net: Sequential, loss: Loss, optimiser: Optimiser, x: Array, batch_size: int, steps: int, threads: int
) -> type[Steps] | None:
    """What can make this training of so many steps many at a time, or None where the readable step has to make them.

    The compiled steps on batches use one thread.
    """
    one = supported(net, loss, optimiser, batch_size) is None
    if x.ndim != 2 or not (one or supported_in_batches(net, loss, optimiser) is None):
        return None
    if net.device == "cuda":
        return GraphSteps if one else None
    if not compiled_steps.installed():
        return None
    if one:
        return CompiledSteps if steps >= compiled_steps.FEW else None
    return CompiledBatches if steps >= compiled_steps.FEW_BATCHES and threads == 1 else None
