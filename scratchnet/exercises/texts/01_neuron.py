"""Exercise 1: a neuron.

A neuron multiplies each of its inputs by a weight, adds the products up, and adds
its bias. The result is called its weighted input, z:

    z = w₁ x₁ + w₂ x₂ + ... + wₙ xₙ + b

Here it is given N examples at once. Examples are columns: x[i, k] is input i of
example k.

    w   the weights, shape (n,)
    b   the bias, a number
    x   the inputs, shape (n, N)

Return z for every example, shape (N,).

Check it with: python -m scratchnet.exercises check .
"""

import numpy as np


def neuron(w, b, x):
    raise NotImplementedError
