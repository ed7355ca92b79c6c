"""Exercise 20: batch normalisation, forward and backward.

Each feature (a row) is shifted and scaled so that over the batch its mean is 0 and
its variance 1; two learnt numbers for each feature then scale and shift it again:

    μ = mean of x      v = mean of (x − μ)²        over the N examples of each row
    x̂ = (x − μ) / √(v + eps)
    y = γ x̂ + β

Backward, an x acts in three ways: by its own x̂, by μ, and by v. All three together:

    dγ = Σ delta ⊙ x̂            dβ = Σ delta               over the examples
    dx = γ / √(v + eps) ⊙ (delta − mean of delta − x̂ ⊙ mean of (delta ⊙ x̂))

    x             inputs, shape (F, N)
    gamma, beta   scale and shift, shape (F,)
    delta         ∂C/∂y, shape (F, N)
    eps           a small number, which keeps the root away from 0

`batch_norm` returns y; `batch_norm_back` returns (dx, dgamma, dbeta).
"""

import numpy as np


def batch_norm(x, gamma, beta, eps):
    raise NotImplementedError


def batch_norm_back(x, gamma, eps, delta):
    raise NotImplementedError
