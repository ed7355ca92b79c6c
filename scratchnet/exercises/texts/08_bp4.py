"""Exercise 8: BP4, the slopes of the weights.

In z = W a + b, the weight W[j, k] multiplies activation k and adds the product to
z[j]. So its slope for one example is the error of where it leads to times the
activation of where it comes from: δ[j] · a[k]. Over all examples:

    BP4    ∂C/∂W[j, k] = Σ δ[j, n] a[k, n]     summed over the examples n

One product of two matrices does all of this at once.

    delta   errors of the layer, shape (out, N)
    a       activations that the layer was given, shape (in, N)

Return ∂C/∂W, shape (out, in), the shape of W.
"""

import numpy as np


def bp4(delta, a):
    raise NotImplementedError
