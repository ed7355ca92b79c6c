"""Exercise 6: BP2, the error goes back through the weights.

A layer computes z = W a + b from the activations a of the layer before it. If the
errors δ = ∂C/∂z of this layer are known, those of the layer before it follow. Each
of its activations contributes to all z of this layer, by a column of W, so the
errors come back through the transposed matrix; then comes the slope of the
activation, as in BP1:

    BP2    δ_before = (Wᵀ δ) ⊙ σ′(z_before)

The layer before has sigmoids, so σ′(z_before) = a (1 − a).

    W       weights of this layer, shape (out, in)
    delta   errors of this layer, shape (out, N)
    a       activations of the layer before, shape (in, N)

Return δ_before, shape (in, N). Where W is square, a wrong matrix fits as well as the
right one: the judge tries that too.
"""

import numpy as np


def bp2(W, delta, a):
    raise NotImplementedError
