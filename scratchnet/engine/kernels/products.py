"""Matrix products for Numba, by NumPy's BLAS, in parts of the size that is fastest.

On processors with AVX-512, OpenBLAS has kernels for small products that read the
operands where they are, without repacking them. They take up to a million
multiplications. If the sums run along the rows of both operands in memory, they take up
to MOST_SUMS results. A few rows of the left operand at a time are then up to 1.8 times
as fast as the whole product, if the rows of the right operand are multiples of VECTOR
numbers and, where the sums run along them, at least LONG_SUM numbers. (Measured on an
Intel Xeon with OpenBLAS 0.3.30 and aligned operands.)

Letters: W (O, I), a (I, N), z and delta (O, N). `blas` is the address of BLAS's
function and the largest number of multiplications for which it has such kernels, or 0.
"""

import numpy as np

from scratchnet.engine.kernels.blas import gemm
from scratchnet.engine.kernels.step import compiled

MOST_SUMS, VECTOR, LONG_SUM, FEW_ROWS, LONG = 1_200, 16, 384, 32, 512


@compiled
def rows_at_a_time(A, B, blas):  # type: ignore[no-untyped-def]
    """How many rows of A are best multiplied by B at a time."""
    (O, I), N, small = A.shape, B.shape[1], blas[1]
    along = B.strides[0] < B.strides[1]
    if I % VECTOR == 0 and I >= LONG_SUM if along else N % VECTOR == 0:
        for rows in (O, 8, 4):
            if rows <= O and rows * I * N <= small and not (along and rows * N > MOST_SUMS):
                return rows
    return O


@compiled
def multiply(A, B, blas, C):  # type: ignore[no-untyped-def]
    """C = A B."""
    gemm(blas[0], 1.0, A, B, 0.0, C)  # type: ignore[call-arg]


@compiled
def multiply_in_parts(A, B, blas, beta, C):  # type: ignore[no-untyped-def]
    """C ← A B + β C, by as many rows of A at a time as are fastest."""
    rows = rows_at_a_time(A, B, blas)
    for o in range(0, len(A), rows):
        gemm(blas[0], 1.0, A[o : o + rows], B, beta, C[o : o + rows])  # type: ignore[call-arg]


@compiled
def add_dots(A, B, C):  # type: ignore[no-untyped-def]
    """C ← C + A Bᵀ, from four sums at a time, of LONG columns in the nearest cache."""
    (O, M), I, zero = A.shape, len(B), C.dtype.type(0)
    for m in range(0, M, LONG):
        part = slice(m, min(M, m + LONG))
        for o in range(0, O, 2):
            p = min(o + 1, O - 1)  # the row after o, or o itself if it is the last
            a, a_p = A[o, part], A[p, part]
            for i in range(0, I, 2):
                j = min(i + 1, I - 1)
                b, b_j = B[i, part], B[j, part]
                oi = oj = pi = pj = zero
                for n in range(a.size):
                    oi += a[n] * b[n]
                    oj += a[n] * b_j[n]
                    pi += a_p[n] * b[n]
                    pj += a_p[n] * b_j[n]
                C[o, i] += oi
                if j > i:
                    C[o, j] += oj
                if p > o:
                    C[p, i] += pi
                if p > o and j > i:
                    C[p, j] += pj


@compiled
def sum_of_products(A, B, blas, beta, C):  # type: ignore[no-untyped-def]
    """C ← A Bᵀ + β C, where rows are long.

    Repacking such operands takes BLAS longer than the few results.
    """
    if blas[1] == 0 and C.size <= MOST_SUMS:
        if beta == 0:
            C[:] = 0  # 0 times NaN would be NaN
        else:
            C *= C.dtype.type(beta)
        add_dots(A, B, C)
    else:
        multiply_in_parts(A, B.T, blas, beta, C)


@compiled
def add_product(C, alpha, A, B, blas, beta):  # type: ignore[no-untyped-def]
    """C ← β C + α A B, in place."""
    gemm(blas[0], alpha, A, B, beta, C)  # type: ignore[call-arg]


@compiled
def multiply_at_one_time(A, B, blas, C):  # type: ignore[no-untyped-def]
    """C = A B for one time of a sequence, in parts if that is faster.

    With a single column it is BLAS's product of a matrix and a vector: with AVX2, the
    other one takes four times as long.
    """
    if B.shape[1] == 1:
        np.dot(A, B.reshape(len(B)), C.reshape(len(C)))
    else:
        multiply_in_parts(A, B, blas, 0.0, C)


@compiled
def is_faster_turned(A, B, blas):  # type: ignore[no-untyped-def]
    """Whether (Bᵀ Aᵀ)ᵀ is faster than A B.

    That is so if A has few rows, B is F-contiguous, and BLAS repacks all operands.
    """
    return len(A) <= FEW_ROWS and not B.flags.c_contiguous and blas[1] == 0


@compiled
def multiply_turned(A, B, blas, C):  # type: ignore[no-untyped-def]
    """C = (Bᵀ Aᵀ)ᵀ."""
    turned = np.empty((B.shape[1], len(A)), A.dtype)
    multiply(B.T, A.T, blas, turned)
    turn(turned, C)


@compiled
def turn(rows, columns):  # type: ignore[no-untyped-def]
    """columns = rowsᵀ, in squares of VECTOR² numbers that stay in the nearest cache."""
    N, I = rows.shape
    for j in range(0, N, VECTOR):
        for i in range(0, I, VECTOR):
            for n in range(j, min(j + VECTOR, N)):
                for k in range(i, min(i + VECTOR, I)):
                    columns[k, n] = rows[n, k]


@compiled
def turn_some(rows, chosen, columns):  # type: ignore[no-untyped-def]
    """columns = rows[chosen]ᵀ, read once."""
    N, I = len(chosen), rows.shape[1]
    for j in range(0, N, VECTOR):
        for i in range(0, I, VECTOR):
            for n in range(j, min(j + VECTOR, N)):
                row = rows[chosen[n]]
                for k in range(i, min(i + VECTOR, I)):
                    columns[k, n] = row[k]


#: With more outputs of the first layer, a batch is best turned into columns where BLAS
#: has small products: that costs less than it saves
WORTH_TURNING = 128
