"""The parts of a readable step that Numba compiles by themselves: Adam, and layers.

An LSTM's walks take 2.6 s to compile. One sequence at a time saves so much in 30,000
steps with 100 units.
"""

import numpy as np

from scratchnet.engine import compiling
from scratchnet.engine.layers import LSTM
from scratchnet.engine.optim import Adam, Optimiser

#: Parameters times steps from which on this saves more time than compiling takes
MIN_UPDATES_TO_COMPILE = 1_000_000_000
#: The same where there is an LSTM
MIN_UPDATES_TO_COMPILE_AN_LSTM = 1_400_000_000


def compile_parts(optimiser: Optimiser, steps: int) -> None:
    """Take the compiled parts of a step if they pay in this number of steps."""
    w, walks = optimiser.w, any(type(layer) is LSTM for layer in optimiser.net.layers)
    least = MIN_UPDATES_TO_COMPILE_AN_LSTM if walks else MIN_UPDATES_TO_COMPILE
    if type(w) is np.ndarray and w.size * steps >= least and compiling.installed():
        take_compiled_parts(optimiser)


def take_compiled_parts(optimiser: Optimiser) -> None:
    """From now on this optimiser and the layers that it trains use compiled loops."""
    optimiser.compiled = True
    if isinstance(optimiser, Adam):
        from scratchnet.engine.kernels.adam import direction

        optimiser.direction = direction
