"""Matrix products for Numba, by BLAS, in the parts that it is fastest with.

OpenBLAS has kernels for small products, which do not repack the operands: on processors with AVX-512 for up to a
million multiplications and, where the sums run along the rows of both operands as they lie in memory, for up to RESULT
sums. Parts that they take are faster than the whole product: up to 1.8 times by a few rows of the left operand, if the
rows of the right one are multiples of VECTOR numbers and, where the sums run along them, LONG; and 2 to 3 times with
FEW rows, as of a last layer, by parts of the other sides. (Intel Xeon with OpenBLAS 0.3.30; aligned operands.)

Letters: W (O, I), a (I, N), z and delta (O, N); `small` is the number of multiplications up to which BLAS has such
kernels, or 0.
"""

import numpy as np

from scratchnet.engine.kernels.step import compiled

RESULT, VECTOR, LONG, FEW = 1_200, 16, 512, 16


@compiled
def rows_at_a_time(A, B, small):  # type: ignore[no-untyped-def]
    """How many rows of A are best multiplied with B at a time."""
    (O, I), N = A.shape, B.shape[1]
    along = not B.flags.c_contiguous
    if I % VECTOR == 0 and I >= LONG if along else N % VECTOR == 0:
        for rows in (8, 4):
            if rows < O and rows * I * N <= small and not (along and rows * N > RESULT):
                return rows
    return O


@compiled
def by_parts(A, N, small):  # type: ignore[no-untyped-def]
    """Whether A has few rows, and its product with N columns is not small."""
    return small > 0 and len(A) <= FEW and A.size * N > small


@compiled
def multiply(W, a, small, z):  # type: ignore[no-untyped-def]
    """z = W a, of as many rows as `rows_at_a_time` says."""
    O, N = z.shape
    if a.flags.c_contiguous and by_parts(W, N, small):  # of the sums
        part, some = small // (O * N), np.empty_like(z)
        z[:] = 0
        for i in range(0, len(a), part):
            np.dot(np.ascontiguousarray(W[:, i : i + part]), np.ascontiguousarray(a[i : i + part]), some)
            z += some
    else:
        np.dot(W, a, z)


@compiled
def transposed_rows_at_a_time(W, N, small):  # type: ignore[no-untyped-def]
    """How many rows of Wᵀ are best multiplied with N columns at a time; of few columns so many as stay in the cache."""
    return min(128, small // (len(W) * N)) if by_parts(W, N, small) else W.shape[1]


@compiled
def multiply_transposed(W, i, delta, below):  # type: ignore[no-untyped-def]
    """Wᵀ δ, of the rows of Wᵀ from i that `below` has."""
    if len(below) == W.shape[1]:
        np.dot(W.T, delta, below)
    else:
        np.dot(np.ascontiguousarray(W[:, i : i + len(below)]).T, delta, below)


@compiled
def gradient(delta, inputs, small, g):  # type: ignore[no-untyped-def]
    """g = δ aᵀ, of as many rows as `rows_at_a_time` says, with the inputs aᵀ (N, I)."""
    (O, N), I = delta.shape, inputs.shape[1]
    if inputs.flags.f_contiguous and by_parts(g, N, small):  # of the columns
        part = RESULT // O
        for i in range(0, I, part):
            g[:, i : i + part] = np.dot(delta, np.ascontiguousarray(inputs.T[i : i + part]).T)
    else:
        np.dot(delta, inputs, g)
