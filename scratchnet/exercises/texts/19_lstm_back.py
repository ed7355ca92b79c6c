"""Exercise 19: a step of an LSTM, backward.

Go through exercise 18 from its end to its beginning. Two slopes come in, for the two
states that the step returned: dh_new and dc_new. First,

    do = dh_new ⊙ tanh(c_new)
    dc_total = dc_new + dh_new ⊙ o ⊙ (1 − tanh²(c_new))

because c_new acts both directly and through h_new. From c_new = f ⊙ c + i ⊙ g follow
di, df, dg and the slope of the old c. Each gate is then multiplied by the slope of its
own σ or tanh, which gives the four blocks of dz. The rest is BP2, BP3 and BP4.

    x, h, c, W_x, W_h, b   as in exercise 18: compute the gates again
    dh_new, dc_new         ∂C/∂h_new and ∂C/∂c_new, shape (H, N)

Return (dx, dh, dc, dW_x, dW_h, db).
"""

import numpy as np


def lstm_back(x, h, c, W_x, W_h, b, dh_new, dc_new):
    raise NotImplementedError
