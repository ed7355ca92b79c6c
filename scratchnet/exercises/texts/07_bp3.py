"""Exercise 7: BP3, the slopes of the biases.

In z = W a + b the bias is added to z, so a bias that grows by a little makes z grow
by as much: for one example ∂C/∂b = ∂C/∂z = δ. The same bias serves all N examples,
and the slopes of all of them add up:

    BP3    ∂C/∂b = Σ δ           summed over the examples

There is no division by N: δ comes from a cost that is already a mean, and contains
the 1/N (see BP1).

    delta   errors, shape (out, N)

Return ∂C/∂b, shape (out,).
"""

import numpy as np


def bp3(delta):
    raise NotImplementedError
