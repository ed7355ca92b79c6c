"""Exercise 21: dropout.

In training, dropout leaves out each neuron with probability p, so that no neuron can
rely on another one. What remains is divided by 1 − p: the expected value of every
neuron stays what it was, and nothing has to be changed when the network is used.

    y = x / (1 − p)  where a neuron is kept, and 0 where it is dropped

Backward, the slopes are treated in the same way: what was dropped had no influence.

    x       activations, an array of any shape
    keep    the same shape, True where a neuron is kept; None when the network is used
    p       the probability, from 0 to below 1
    delta   ∂C/∂y, the shape of x

`dropout` returns y: with keep = None it is x itself. `dropout_back` returns ∂C/∂x.
"""

import numpy as np


def dropout(x, keep, p):
    raise NotImplementedError


def dropout_back(keep, p, delta):
    raise NotImplementedError
