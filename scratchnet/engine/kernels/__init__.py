"""Hand-written code that makes many training steps in a row, for the CPU and the GPU.

`engine/backprop.py` says in NumPy what a step on one example does. `step.cu` is the
same in CUDA C, and `graph_steps.py` runs it; `persistent.cu` makes thousands of such
steps in one launch, `persistent.py` says how, and `persistent_steps.py` runs it.
`step.py` is the same in loops that Numba compiles, `batch_step.py` is `steps.step` in
such loops, and `compiled_steps.py` runs both; `sequence_step.py` and
`sequence_steps.py` do so for an LSTM on sequences. For the GPU `batch.cu` has the
kernels of such a step, and `batch_graph_steps.py` runs them; `layer_graph_steps.py`
records the steps of all other layers, with the products of `products_cuda.py`.
`fused.py` joins neighbouring layers of images (`block.py`, `norm.py`), and
`convolution.py` and `pooling.py` are single layers in loops. Besides, `lstm.py` and
`gru.py` walk through time in fewer passes than the layers do, an LSTM in long trainings
by the loops of `lstm_loops.py`, and on a GPU by `recurrent_cuda.py` and the kernels of
`recurrent.cu`; `pool_cuda.py` and `losses_cuda.py` are a pool and a loss in one kernel.
Which of them a training takes is decided in `choosing.py`.
"""

from scratchnet.engine import training
from scratchnet.engine.kernels import gru, losses_cuda, lstm, pool_cuda
from scratchnet.engine.kernels.batch_graph_steps import BatchGraphSteps
from scratchnet.engine.kernels.choosing import fastest, kind_of_steps
from scratchnet.engine.kernels.compiled_steps import CompiledBatches, CompiledSteps
from scratchnet.engine.kernels.fused_steps import FusedSteps
from scratchnet.engine.kernels.graph_steps import GraphSteps
from scratchnet.engine.kernels.layer_graph_steps import LayerGraphSteps
from scratchnet.engine.kernels.parts import compile_parts
from scratchnet.engine.kernels.persistent_steps import PersistentSteps, supported_in_one_launch
from scratchnet.engine.kernels.sequence_steps import CompiledSequences, supported_sequences
from scratchnet.engine.kernels.steps import KernelSteps, supported, supported_in_batches
from scratchnet.engine.layers import GRU, LSTM, AvgPool2d, MaxPool2d, MedianPool2d, MinPool2d
from scratchnet.engine.losses import CrossEntropyLoss
from scratchnet.engine.tuned import hand_in, hand_in_kernels

__all__ = [
    "BatchGraphSteps", "CompiledBatches", "CompiledSequences", "CompiledSteps", "FusedSteps", "GraphSteps",
    "KernelSteps", "LayerGraphSteps", "PersistentSteps", "compile_parts", "kind_of_steps", "supported",
    "supported_in_batches", "supported_in_one_launch", "supported_sequences",
]  # fmt: skip

hand_in_kernels((MaxPool2d, MinPool2d, MedianPool2d, AvgPool2d), pool_cuda)
hand_in_kernels((CrossEntropyLoss,), losses_cuda)
hand_in(LSTM, lstm)
hand_in(GRU, gru)
hand_in(training.fastest, fastest)
