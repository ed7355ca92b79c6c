"""Exercise 5: BP1, the error of the last layer.

Backpropagation computes δ = ∂C/∂z for every layer, from the last one back to the
first. It begins with the last layer, whose activations are the outputs of the
network. The chain rule gives

    BP1    δ = ∂C/∂a ⊙ σ′(z)     where ⊙ multiplies element by element

The cost here is the quadratic one of exercise 3, so ∂C/∂a = (a − t)/N. The last
layer has sigmoids, so σ′(z) = a (1 − a): you do not need z.

    a   outputs of the network, a = σ(z), shape (out, N)
    t   targets, shape (out, N)

Return δ, shape (out, N).
"""

import numpy as np


def bp1(a, t):
    raise NotImplementedError
