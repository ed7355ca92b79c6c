"""Exercise 4: one step of gradient descent.

If the slope ∂C/∂w of a weight is positive, C grows with w: to make C smaller, w has
to become smaller. Gradient descent moves every weight against its slope, and the
learning rate says how far:

    w_new = w − lr · g           with g = ∂C/∂w

    w    weights, an array of any shape
    g    their slopes, the same shape
    lr   the learning rate, a number

Return the new weights as a new array. The caller still needs the old ones, so leave
w as it is.
"""

import numpy as np


def descend(w, g, lr):
    raise NotImplementedError
