"""Hand-written code that makes many training steps in a row, for the CPU and the GPU.

`engine/backprop.py` says in NumPy what a step on one example does. `step.cu` is the
same in CUDA C, and `graph_steps.py` runs it; `persistent.cu` makes thousands of such
steps in one launch, `persistent.py` says how, and `persistent_steps.py` runs it.
`step.py` is the same in loops that Numba compiles, `batch_step.py` is `steps.step` in
such loops, and `compiled_steps.py` runs both; for the GPU `batch.cu` has the kernels of
such a step, and `batch_graph_steps.py` runs them. Besides, `lstm.py` and `gru.py` walk
through time in fewer passes than the layers do, on a GPU by `recurrent_cuda.py` and the
kernels of `recurrent.cu`.
"""

import numpy as np

from scratchnet.backend.sparse import is_sparse
from scratchnet.engine import training
from scratchnet.engine.kernels import compiled_steps, gru, lstm
from scratchnet.engine.kernels.batch_graph_steps import BatchGraphSteps, supported_batch
from scratchnet.engine.kernels.compiled_steps import CompiledBatches, CompiledSteps
from scratchnet.engine.kernels.graph_steps import GraphSteps
from scratchnet.engine.kernels.persistent_steps import PersistentSteps, supported_in_one_launch
from scratchnet.engine.kernels.steps import KernelSteps, supported, supported_in_batches
from scratchnet.engine.layers import GRU, LSTM
from scratchnet.engine.optim import Adam, Optimiser
from scratchnet.engine.steps import Steps
from scratchnet.engine.tuned import hand_in

__all__ = [
    "BatchGraphSteps", "CompiledBatches", "CompiledSteps", "GraphSteps", "KernelSteps", "PersistentSteps",
    "compile_parts", "kind_of_steps", "supported", "supported_in_batches", "supported_in_one_launch",
]  # fmt: skip

hand_in(LSTM, lstm)
hand_in(GRU, gru)


def fastest(plain: Steps, steps: int, threads: int) -> Steps:
    """The fastest way to make this number of steps, in place of plain ones."""
    kind = kind_of_steps(plain, steps, threads)
    if kind is Steps:
        compile_parts(plain.optimiser, steps)
        return plain
    return kind(plain.net, plain.loss, plain.optimiser, plain.x, plain.target, plain.batch_size)


def kind_of_steps(plain: Steps, steps: int, threads: int) -> type[Steps]:
    """The class that can make these steps many at a time, or `Steps` if there is none.

    The compiled steps on batches use one thread.
    """
    net, loss, optimiser = plain.net, plain.loss, plain.optimiser
    one = supported(net, loss, optimiser, plain.batch_size) is None
    if type(plain) is not Steps or plain.x.ndim != 2 or is_sparse(plain.x):
        return Steps
    if not (one or supported_in_batches(net, loss, optimiser) is None):
        return Steps
    if net.device == "cuda":
        if not one:
            return BatchGraphSteps if supported_batch(net, plain.batch_size) is None else Steps
        return PersistentSteps if supported_in_one_launch(net) is None else GraphSteps
    if not compiled_steps.installed():
        return Steps
    if one:
        return CompiledSteps if steps >= compiled_steps.MIN_STEPS_TO_COMPILE else Steps
    return CompiledBatches if steps >= compiled_steps.MIN_BATCHES_TO_COMPILE and threads == 1 else Steps


def compile_parts(optimiser: Optimiser, steps: int) -> None:
    """Compile the parts of the readable step that pay in this number of steps."""
    w = optimiser.w
    if type(w) is not np.ndarray or w.size * steps < compiled_steps.MIN_UPDATES_TO_COMPILE:
        return
    if compiled_steps.installed():
        optimiser.compiled = True
        if isinstance(optimiser, Adam):
            from scratchnet.engine.kernels.adam import direction

            optimiser.direction = direction


hand_in(training.fastest, fastest)
