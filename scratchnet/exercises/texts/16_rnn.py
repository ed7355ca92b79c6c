"""Exercise 16: a recurrent network, forward.

A recurrent network reads a sequence, one time after the other, and keeps a hidden
state h from each time to the next:

    h[t] = tanh(W_x x[t] + W_h h[t − 1] + b)      with h = 0 before the first time

The same weights serve all times. Sequences have their times first, and examples are
columns again, so that x[t] is a matrix (I, N):

    x     inputs, shape (T, I, N)
    W_x   weights for the input, shape (H, I)
    W_h   weights for the state, shape (H, H)
    b     biases, shape (H,)

Return the states of all times, shape (T, H, N).
"""

import numpy as np


def rnn(x, W_x, W_h, b):
    raise NotImplementedError
