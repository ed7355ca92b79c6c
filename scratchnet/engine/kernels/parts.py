"""The parts of a readable step that Numba compiles by themselves: Adam, and layers."""

import numpy as np

from scratchnet.engine import compiling
from scratchnet.engine.optim import Adam, Optimiser

#: Parameters times steps from which on this saves more time than compiling takes
MIN_UPDATES_TO_COMPILE = 1_000_000_000


def compile_parts(optimiser: Optimiser, steps: int) -> None:
    """Take the compiled parts of a step if they pay in this number of steps."""
    w = optimiser.w
    if type(w) is np.ndarray and w.size * steps >= MIN_UPDATES_TO_COMPILE and compiling.installed():
        take_compiled_parts(optimiser)


def take_compiled_parts(optimiser: Optimiser) -> None:
    """From now on this optimiser and the layers that it trains use compiled loops."""
    optimiser.compiled = True
    if isinstance(optimiser, Adam):
        from scratchnet.engine.kernels.adam import direction

        optimiser.direction = direction
