"""Exercise 11: momentum.

Plain descent forgets each slope after its step. With momentum, a weight has a
velocity v, like a ball that rolls downhill: slopes that agree make it faster, and
slopes that change their sign cancel.

    v_new = mu · v + g
    w_new = w − lr · v_new

    w, g, v   weights, their slopes and their velocities, of one shape
    lr, mu    the learning rate, and the share of the velocity that is kept

Return (w_new, v_new), both as new arrays.
"""

import numpy as np


def momentum(w, g, v, lr, mu):
    raise NotImplementedError
