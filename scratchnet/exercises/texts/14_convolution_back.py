"""Exercise 14: a convolution, backward.

The same weights are used at every place of the window, and most cells of x lie under
the window several times. Whatever is used several times gets the sum of its slopes:

    ∂C/∂b[o] = Σ delta[n, o, r, c]                          over n, r, c
    ∂C/∂W[o, i, p, q] = Σ delta[n, o, r, c] x[n, i, r + p, c + q]   over n, r, c
    ∂C/∂x[n, i, r + p, c + q] gets delta[n, o, r, c] W[o, i, p, q]
                                                  from every o, r, c, p, q

These are BP3, BP4 and BP2 of exercise 9, with a window.

    x       pictures, shape (N, I, H, W)
    W       weights, shape (O, I, k, l)
    delta   ∂C/∂y, shape (N, O, H − k + 1, W − l + 1)

Return (dx, dW, db). One loop over r and c, as in the forward pass, can do all of it.
"""

import numpy as np


def convolution_back(x, W, delta):
    raise NotImplementedError
