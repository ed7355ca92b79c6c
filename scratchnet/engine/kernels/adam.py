"""Adam's passes over its vectors, as one loop for Numba.

It gives the same bits as `optim._adam`, since nothing is reordered.

Letters as in optim.py.
"""

import numpy as np

from scratchnet.engine.kernels.step import compiled_exactly


@compiled_exactly
def direction(g, m, v, beta1, beta2, eps):  # type: ignore[no-untyped-def]
    """m ← β₁ m + g, v ← β₂ v + g², g ← m / (√v + eps)."""
    real = g.dtype.type
    beta1, beta2, eps = real(beta1), real(beta2), real(eps)
    for i in range(g.size):
        m[i] = m[i] * beta1 + g[i]
        v[i] = v[i] * beta2 + g[i] * g[i]
        g[i] = m[i] / (np.sqrt(v[i]) + eps)
