"""Matrix products for Numba, made by BLAS in parts of the size at which it is fastest.

On processors with AVX-512, OpenBLAS has kernels for small products that read the
operands where they are, without repacking them. They take up to a million
multiplications. If the sums run along the rows of both operands in memory, they take up
to MOST_SUMS results. Products cut into parts of that size are faster than whole ones:

* up to 1.8 times, with a few rows of the left operand at a time, if the rows of the
  right operand are multiples of VECTOR numbers and, where the sums run along them, at
  least LONG_SUM numbers;
* 2 to 3 times where one operand has at most FEW_ROWS rows, as in a last layer, with
  parts of the other sides.

(Measured on an Intel Xeon with OpenBLAS 0.3.30 and aligned operands.)

Letters: W (O, I), a (I, N), z and delta (O, N); `small` is the largest number of
multiplications for which BLAS has such kernels, or 0.
"""

import numpy as np

from scratchnet.engine.kernels.step import compiled

MOST_SUMS, VECTOR, LONG_SUM, FEW_ROWS = 1_200, 16, 512, 16


@compiled
def rows_at_a_time(A, B, small):  # type: ignore[no-untyped-def]
    """How many rows of A are best multiplied by B at a time."""
    (O, I), N = A.shape, B.shape[1]
    along = not B.flags.c_contiguous
    if I % VECTOR == 0 and I >= LONG_SUM if along else N % VECTOR == 0:
        for rows in (8, 4):
            if rows < O and rows * I * N <= small and not (along and rows * N > MOST_SUMS):
                return rows
    return O


@compiled
def by_parts(A, N, small):  # type: ignore[no-untyped-def]
    """Whether A has few rows, and its product with N columns is not small."""
    return small > 0 and len(A) <= FEW_ROWS and A.size * N > small


@compiled
def multiply(W, a, small, z):  # type: ignore[no-untyped-def]
    """z = W a, with as many rows at a time as `rows_at_a_time` says."""
    O, N = z.shape
    if a.flags.c_contiguous and by_parts(W, N, small):  # parts of the sums
        part, some = small // (O * N), np.empty_like(z)
        z[:] = 0
        for i in range(0, len(a), part):
            np.dot(np.ascontiguousarray(W[:, i : i + part]), np.ascontiguousarray(a[i : i + part]), some)
            z += some
    else:
        np.dot(W, a, z)


@compiled
def transposed_rows_at_a_time(W, N, small):  # type: ignore[no-untyped-def]
    """How many rows of Wᵀ are best multiplied by N columns at a time.

    With few columns, as many as stay in the cache.
    """
    return min(128, small // (len(W) * N)) if by_parts(W, N, small) else W.shape[1]


@compiled
def multiply_transposed(W, i, delta, below):  # type: ignore[no-untyped-def]
    """Those rows of Wᵀ δ that `below` has room for, from row i of Wᵀ on."""
    if len(below) == W.shape[1]:
        np.dot(W.T, delta, below)
    else:
        np.dot(np.ascontiguousarray(W[:, i : i + len(below)]).T, delta, below)


@compiled
def gradient(delta, inputs, small, g):  # type: ignore[no-untyped-def]
    """g = δ aᵀ for as many rows as `rows_at_a_time` says, with the inputs aᵀ (N, I)."""
    (O, N), I = delta.shape, inputs.shape[1]
    if inputs.flags.f_contiguous and by_parts(g, N, small):  # parts of the columns
        part = MOST_SUMS // O
        for i in range(0, I, part):
            g[:, i : i + part] = np.dot(delta, np.ascontiguousarray(inputs.T[i : i + part]).T)
    else:
        np.dot(delta, inputs, g)
