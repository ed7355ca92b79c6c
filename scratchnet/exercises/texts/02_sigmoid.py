"""Exercise 2: the sigmoid, and its slope.

An activation function bends the weighted input z. The classic one is the sigmoid,
which turns any number into one between 0 and 1:

    σ(z) = 1 / (1 + e⁻ᶻ)

To learn by slopes we need its derivative too. It can be written with σ itself:

    σ′(z) = σ(z) (1 − σ(z))

    z   weighted inputs, an array of any shape

Both functions work element by element and return an array of the shape of z. They
also have to be right for z = −800 and z = 800, where σ is 0 and 1.
"""

import numpy as np


def sigmoid(z):
    raise NotImplementedError


def sigmoid_prime(z):
    raise NotImplementedError
