"""Batch normalisation, and a ReLU after it, as loops for Numba.

A channel is worked on from beginning to end while it is in the processor's cache.

Letters as in layers/norm.py; x, y and delta are (C, M).
"""

import numpy as np

from scratchnet.engine.kernels.step import compiled


@compiled
def normalise(x, gamma, beta, eps, relu, y, mean, var):  # type: ignore[no-untyped-def]
    """y = γ x̂ + β, or max(0, γ x̂ + β); writes the mean and variance of each channel."""
    (C, M), real = x.shape, x.dtype.type
    zero = real(0)
    for c in range(C):
        total, squares = zero, zero
        for m in range(M):
            total += x[c, m]
        mu = total / real(M)
        for m in range(M):
            squares += (x[c, m] - mu) * (x[c, m] - mu)
        mean[c], var[c] = mu, squares / real(M)
        scale, shift = gamma[c] / real(np.sqrt(var[c] + real(eps))), beta[c]
        for m in range(M):
            z = (x[c, m] - mu) * scale + shift
            y[c, m] = zero if relu and z <= zero else z


@compiled
def normalise_back(delta, x, y, gamma, mean, var, eps, relu, d_gamma, d_beta):  # type: ignore[no-untyped-def]
    """delta becomes ∂C/∂x, that is γ/σ (δ − mean(δ) − x̂ mean(δ ⊙ x̂)).

    Writes ∂C/∂γ = Σ δ ⊙ x̂ and ∂C/∂β = Σ δ.
    """
    (C, M), real = x.shape, x.dtype.type
    zero = real(0)
    for c in range(C):
        d, x_c, y_c = delta[c], x[c], y[c]
        mu, inverse = mean[c], real(1) / real(np.sqrt(var[c] + real(eps)))
        if relu:
            for m in range(M):
                d[m] = zero if y_c[m] == zero else d[m]
        total, along = zero, zero
        for m in range(M):
            total += d[m]
            along += d[m] * (x_c[m] - mu)
        d_beta[c], d_gamma[c] = total, along * inverse
        rate, of_all, of_x_hat = gamma[c] * inverse, total / real(M), along * inverse * inverse / real(M)
        for m in range(M):
            d[m] = rate * (d[m] - of_all - (x_c[m] - mu) * of_x_hat)
