"""Exercise 15: max pooling, forward and backward.

Pooling makes a picture smaller: of every square of 2 x 2 cells only the largest value
is kept. The squares do not overlap.

    y[n, c, r, s] = max of x[n, c, 2r : 2r + 2, 2s : 2s + 2]

Backward, only the cell that was the largest has had an influence, so it gets all of
delta, and the other three get 0.

    x       pictures, shape (N, C, H, W) with H and W even; no two cells are equal
    delta   ∂C/∂y, shape (N, C, H/2, W/2)

`pool` returns y, shape (N, C, H/2, W/2); `pool_back` returns ∂C/∂x, the shape of x.
"""

import numpy as np


def pool(x):
    raise NotImplementedError


def pool_back(x, delta):
    raise NotImplementedError
