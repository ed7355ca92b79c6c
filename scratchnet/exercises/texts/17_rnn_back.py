"""Exercise 17: backpropagation through time.

Each state h[t] acts in two ways: on the cost directly, by delta[t], and on the next
state. So we walk back from the last time to the first, and carry the slope that
comes from the future:

    dh = delta[t] + W_hᵀ dz[t + 1]           nothing comes from beyond the last time
    dz[t] = dh ⊙ (1 − h[t]²)                 the slope of tanh

Every time gives its share of the slopes of the weights, which add up:

    dW_x = Σ dz[t] x[t]ᵀ      dW_h = Σ dz[t] h[t − 1]ᵀ      db = Σ dz[t]
    dx[t] = W_xᵀ dz[t]

    x       inputs, shape (T, I, N)
    h       states from the forward pass, shape (T, H, N); 0 before the first time
    delta   ∂C/∂h of each time, as if it had no successor, shape (T, H, N)

Return (dx, dW_x, dW_h, db).
"""

import numpy as np


def rnn_back(x, h, W_x, W_h, delta):
    raise NotImplementedError
