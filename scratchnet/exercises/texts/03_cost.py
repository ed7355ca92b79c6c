"""Exercise 3: the cost, and its slope.

The cost C says how far the outputs a are from the targets t. The quadratic cost is
half the squared distance, as a mean over the N examples (the columns):

    C = 1/(2N) Σ (a − t)²        summed over all elements

Its slope says how C changes if one output grows a little:

    ∂C/∂a = (a − t)/N            one number for each output

    a   outputs, shape (out, N)
    t   targets, shape (out, N)

`cost` returns a number, `cost_slope` an array of the shape of a.
"""

import numpy as np


def cost(a, t):
    raise NotImplementedError


def cost_slope(a, t):
    raise NotImplementedError
