"""One training step on one example as a few hand-written GPU kernels, many steps recorded as one CUDA graph.

`reference.py` says in NumPy what each kernel computes, `step.cu` is the same in CUDA C, `graph_steps.py` runs it.
"""

from scratchnet.kernels.graph_steps import GraphSteps, graph_steps, supported

__all__ = ["GraphSteps", "graph_steps", "supported"]
