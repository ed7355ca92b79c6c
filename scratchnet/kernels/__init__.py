"""Training steps on one example each, hand-written: CUDA graphs of kernels for a GPU, compiled loops for the CPU.

`reference.py` says in NumPy what a step does. `step.cu` is that in CUDA C, and `graph_steps.py` runs it; `step.py` is
that in loops which Numba compiles, and `compiled_steps.py` runs it.
"""

from scratchnet.backend import Array
from scratchnet.kernels import compiled_steps
from scratchnet.kernels.compiled_steps import CompiledSteps
from scratchnet.kernels.graph_steps import GraphSteps
from scratchnet.kernels.steps import Steps, supported
from scratchnet.layers import Sequential
from scratchnet.losses import Loss
from scratchnet.optim import Optimiser

__all__ = ["CompiledSteps", "GraphSteps", "Steps", "kind_of_steps", "supported"]


def kind_of_steps(
    net: Sequential, loss: Loss, optimiser: Optimiser, x: Array, batch_size: int, steps: int
) -> type[Steps] | None:
    """What can make this training of so many steps many at a time, or None where the readable step has to make them."""
    if x.ndim != 2 or supported(net, loss, optimiser, batch_size) is not None:
        return None
    if net.device == "cuda":
        return GraphSteps
    return CompiledSteps if steps >= compiled_steps.FEW and compiled_steps.installed() else None
