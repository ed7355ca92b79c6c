"""The cross entropy on a GPU as one kernel, where CuPy would launch some twenty.

Letters as in losses.cu.
"""

import numpy as np

from scratchnet.backend.arrays import Array, xp_of
from scratchnet.engine.kernels.nvrtc import kernel
from scratchnet.engine.losses import CrossEntropyLoss

#: Outputs of a batch, above which one block is slower than CuPy's passes; an estimate
MOST_OUTPUTS = 1 << 16
THREADS = 256


def forward(loss: CrossEntropyLoss, z: Array, t: Array) -> tuple[Array, Array]:
    """`CrossEntropyLoss.forward`, for outputs (K, N)."""
    xp = xp_of(z)
    if z.ndim != 2 or z.size > MOST_OUTPUTS:
        return loss.forward(z, t)
    (K, N), z = z.shape, xp.ascontiguousarray(z)
    delta, value = xp.empty_like(z), xp.empty((), z.dtype)
    threads = min(-(-N // 32) * 32, THREADS)
    labels = xp.ascontiguousarray(t, dtype=np.int64)
    kernel(xp, "losses", "cross_entropy", str(z.dtype))((1,), (threads,), (z, labels, K, N, delta, value))
    return value, delta
