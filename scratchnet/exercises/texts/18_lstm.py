"""Exercise 18: a step of an LSTM.

An LSTM keeps a second state, the cell c, which changes slowly: gates between 0 and 1
decide what is written (i), kept (f) and shown (o).

    z = W_x x + W_h h + b             4H rows: z_i, z_f, z_g, z_o, in this order
    i = σ(z_i)   f = σ(z_f)   g = tanh(z_g)   o = σ(z_o)
    c_new = f ⊙ c + i ⊙ g
    h_new = o ⊙ tanh(c_new)

    x          input of this time, shape (I, N)
    h, c       states from the time before, shape (H, N)
    W_x, W_h   weights, shapes (4H, I) and (4H, H)
    b          biases, shape (4H,)

Return (h_new, c_new), each of shape (H, N).
"""

import numpy as np


def lstm(x, h, c, W_x, W_h, b):
    raise NotImplementedError
