"""Exercise 9: a fully connected layer, forward and backward.

Now the equations come together in a layer. Forward, it computes

    z = W a + b

Backward, it is given delta = ∂C/∂z and returns three things:

    dW = ∂C/∂W    by BP4, the shape of W
    db = ∂C/∂b    by BP3, the shape of b
    da = ∂C/∂a    by BP2 without its ⊙ σ′, which the activation layer does

    W       weights, shape (out, in)
    b       biases, shape (out,)
    a       inputs, shape (in, N)
    delta   ∂C/∂z, shape (out, N)

`forward` returns z, shape (out, N); `backward` returns (dW, db, da).
"""

import numpy as np


def forward(W, b, a):
    raise NotImplementedError


def backward(W, a, delta):
    raise NotImplementedError
