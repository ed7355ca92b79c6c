"""Exercise 13: a convolution, forward.

A convolution slides a small window of weights over a picture. At each place it
multiplies the cells under the window by the weights and adds everything up, over
all input channels; each output channel has weights and a bias of its own.

    y[n, o, r, c] = b[o] + Σ W[o, i, p, q] x[n, i, r + p, c + q]
                           summed over the channels i and the window p, q

From here on pictures come batch first, as in PyTorch:

    x   pictures, shape (N, I, H, W)
    W   weights, shape (O, I, k, l): a window of k rows and l columns
    b   biases, shape (O,)

The window moves by one cell at a time and stays inside of the picture, so y has the
shape (N, O, H − k + 1, W − l + 1). Loops over r and c are fine.
"""

import numpy as np


def convolution(x, W, b):
    raise NotImplementedError
