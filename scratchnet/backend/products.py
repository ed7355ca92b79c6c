"""Products: A B, A Bᵀ, sums of rows, and the update C ← C + α δ aᵀ in place.

All products of the engine go through these functions.
"""

import functools
import importlib
from collections.abc import Callable
from contextvars import ContextVar
from types import ModuleType
from typing import Any

import numpy as np
from scipy.linalg import blas
from threadpoolctl import threadpool_info

from scratchnet.backend.arrays import Array, fuse, vector_of, xp_of
from scratchnet.backend.sparse import add_sparse_dot, is_sparse, sparse_dot
from scratchnet.backend.threads import WORTH_THREADS, numpys_threads

# Each special case is behind a function that says when it applies.
# benchmarks/special_cases.py measures what it saves. A small step spends as much time
# in Python as in its products, so the sizes that rule a case out are looked at first.

#: While a step on a GPU is recorded in a graph: who makes its products, in cuBLAS's
#: place, which CuPy does not call then. (A, B, C, alpha, beta) → C = β C + α A B; C may
#: be None, for a new array.
own_products: ContextVar[Callable[[Array, Array, Array | None, Any, Any], Array] | None]
own_products = ContextVar("own_products", default=None)

FEW = 32  # rows; with so few, OpenBLAS is slow if it has to transpose an operand
SLICE = 1_024  # columns
MANY = 4 * SLICE  # columns


@functools.cache
def small_products() -> int:
    """The most multiplications for which BLAS does not repack the operands.

    0 if it always repacks. As far as we know, OpenBLAS has kernels that do not repack
    for processors with AVX-512.
    """
    known = {"SkylakeX", "Cooperlake", "SapphireRapids"}
    return 1_000_000 if any(library.get("architecture") in known for library in threadpool_info()) else 0


def is_faster_turned(A: Array, B: Array) -> bool:
    """Whether (Bᵀ Aᵀ)ᵀ is faster than A B, whose rows are FEW.

    That is so if OpenBLAS would have to transpose B.
    """
    return type(A) is np.ndarray and A.flags.c_contiguous and B.flags.fnc


def is_faster_in_slices(small: int, *wide: Array) -> bool:
    """Whether a product of MANY columns is faster in slices of them.

    That is so if the other two sides are small together, as in a convolution. Where
    BLAS has `small_products`, slices are not repacked; here, repacking costs more than
    the product itself.
    """
    if small > 2_048 or not small_products():
        return False
    return all(type(B) is np.ndarray and B.flags.c_contiguous for B in wide)


def is_faster_built(C: np.ndarray, N: int) -> bool:
    """Whether a gradient over N examples is better built first and then added to C.

    That is so if C has few rows or columns, unless the product is small, and with
    several threads, which SciPy's BLAS does not use.
    """
    operations = C.size * N
    return (min(C.shape) <= FEW and operations > 1_000_000) or (operations >= WORTH_THREADS and numpys_threads() > 1)


def dot(A: Array, B: Array, out: Array | None = None) -> Array:
    """The matrix product A B of two 2-D arrays; B may be sparse.

    Transposed views are read where they are, never copied.
    """
    if is_sparse(B):
        return sparse_dot(A, B, out)
    if len(A) <= FEW and out is None and is_faster_turned(A, B):
        return np.ascontiguousarray(np.dot(B.T, A.T).T)
    if B.shape[1] >= MANY and is_faster_in_slices(A.size, B):
        return _dot_in_slices(A, B, np.empty((len(A), B.shape[1]), np.result_type(A, B)) if out is None else out)
    if type(A) is not np.ndarray and (own := own_products.get()) is not None:
        return own(A, B, out, 1.0, 0.0)
    # NumPy returns 0 for a product with a single 0, but 0 · NaN is NaN
    if A.size == 1 or B.size == 1:
        return xp_of(A).multiply(A, B, out=out)
    return A.dot(B, out)  # the method takes two thirds of the time of the function


def _dot_in_slices(A: np.ndarray, B: np.ndarray, out: np.ndarray) -> np.ndarray:
    whole = B.shape[1] // SLICE * SLICE
    slices, results = (a[:, :whole].reshape(len(a), -1, SLICE).swapaxes(0, 1) for a in (B, out))
    np.matmul(A, slices, out=results)
    if whole < B.shape[1]:
        out[:, whole:] = np.dot(A, B[:, whole:])
    return out


def dot_transposed(A: Array, B: Array, out: Array | None = None) -> Array:
    """The matrix product A Bᵀ, as in BP4, whose columns are the examples."""
    if A.shape[1] < MANY or not is_faster_in_slices(len(A) * len(B), A, B):
        return dot(A, B.T, out)
    whole = A.shape[1] // SLICE * SLICE
    a, b = (x[:, :whole].reshape(len(x), -1, SLICE).swapaxes(0, 1) for x in (A, B))
    product = np.sum(np.matmul(a, b.swapaxes(1, 2)), axis=0, out=out)
    if whole < A.shape[1]:
        product += np.dot(A[:, whole:], B[:, whole:].T)
    return product


# Above LONG_ROW numbers, BLAS adds so many one after the other that its
# rounding error is up to twice that of PyTorch, which adds in parts. With parts of at
# most PART numbers, the errors are equal.
LONG_ROW, PART = 256, 128


@functools.lru_cache(maxsize=1024)
def _parts(n: int) -> int:
    """Into how many equal parts, of at most PART numbers, to cut a row of n numbers."""
    return n // max(d for d in range(1, PART + 1) if n % d == 0)


def row_sums(A: Array) -> Array:
    """The sum of each row of A.

    BLAS, on the CPU, takes a third of the time of A.sum(axis=1). A long row is summed
    in parts, which rounds less.
    """
    if type(A) is not np.ndarray:
        return A.sum(axis=1)
    rows, n = A.shape
    if n <= LONG_ROW:
        return np.dot(A, vector_of(1, n, A))
    A, parts = np.ascontiguousarray(A), _parts(n)
    if parts > n // 8:
        return A.sum(axis=1)  # pairwise, which is as exact
    sums = np.dot(A.reshape(rows * parts, -1), vector_of(1, n // parts, A))
    return np.dot(sums.reshape(rows, parts), vector_of(1, parts, A))


def row_dots(A: Array, B: Array) -> Array:
    """Σ A ⊙ B over each row, as a column; on the CPU the product A ⊙ B is not built.

    (C, M), (C, M) → (C, 1).
    """
    if type(A) is not np.ndarray:
        return (A * B).sum(axis=1, keepdims=True)
    return (A[:, None, :] @ B[:, :, None])[:, 0]


def inner(x: Array, y: Array) -> Array:
    """xᵀ y of two vectors, without a complex conjugate."""
    if type(x) is not np.ndarray and (own := own_products.get()) is not None:
        return own(x[None], y[:, None], None, 1.0, 0.0).reshape(())
    return x.dot(y)


def axpy(alpha: Any, x: Array, y: Array) -> None:
    """y ← y + α x in place, for contiguous vectors, without a temporary."""
    if type(y) is np.ndarray:
        # BLAS refuses empty vectors, which networks without parameters have
        if y.size:
            (blas.saxpy if y.dtype == np.float32 else blas.daxpy)(x, y, y.size, alpha)
    else:
        _axpy(y, x, alpha)


@fuse
def _axpy(y: Array, x: Array, alpha: Any) -> None:
    y += alpha * x


def add_outer(C: Array, delta: Array, a: Array, alpha: Any) -> None:
    """C ← C + α δ aᵀ in place for one example, without building δ aᵀ: BLAS's ger.

    Shapes: C (out, in), delta (out, 1), a (in, 1). C must be C-contiguous.
    """
    if type(C) is np.ndarray:
        ger = blas.sger if C.dtype == np.float32 else blas.dger
        # by position, because keywords take as long as the call: after the increments 1
        # and 1, C is overwritten (and a and delta need no copy: ger leaves them alone)
        ger(alpha, a[:, 0], delta[:, 0], 1, 1, C.T, 1, 1, 1)
    elif (own := own_products.get()) is not None:
        own(delta, a.T, C, alpha, 1.0)
    elif (cublas := _cublas(xp_of(C).__name__)) is not None:
        # its ger passes the pointers on with an increment of 1, whatever the strides
        # are
        xp = xp_of(C)
        cublas.ger(alpha, xp.ascontiguousarray(delta[:, 0]), xp.ascontiguousarray(a[:, 0]), C)
    else:
        C += alpha * dot(delta, a.T)


def add_rows(C: Array, index: Array, rows: Array) -> None:
    """C[k] ← C[k] + the sum of all `rows` (M, D) whose `index` (M,) is k, in place.

    Rows of equal index are sorted next to each other and summed at once, which takes a
    quarter of the time of NumPy's add.at.
    """
    xp = xp_of(C)
    if xp is not np:
        xp.add.at(C, index, rows)
    elif index.size:
        order = np.argsort(index, kind="stable")
        ordered = index[order]
        first = np.flatnonzero(np.diff(ordered, prepend=-1))
        C[ordered[first]] += np.add.reduceat(rows[order], first, axis=0)


def add_product(C: Array, delta: Array, a: Array, alpha: Any = 1.0, beta: float = 1.0) -> None:
    """C ← β C + α δ aᵀ in place.

    As a rule δ aᵀ is not built, so there is one pass over C instead of three.

    Shapes: C (out, in), delta (out, N), a (in, N), which may be sparse. C must be
    C-contiguous.
    """
    if is_sparse(a):
        add_sparse_dot(C, delta, a.T, alpha, beta)
    elif delta.shape[1] == 1 and beta == 1.0:
        add_outer(C, delta, a, alpha)
    elif type(C) is not np.ndarray and (own := own_products.get()) is not None:
        own(delta, a.T, C, alpha, beta)
    elif type(C) is not np.ndarray and (cublas := _cublas(xp_of(C).__name__)) is not None:
        cublas.gemm("N", "T", delta, a, C, alpha, beta)
    elif type(C) is not np.ndarray or is_faster_built(C, delta.shape[1]):
        product = dot_transposed(delta, a)
        if beta != 1.0:
            C *= beta
        axpy(alpha, product.ravel(), C.ravel())
    else:
        # BLAS counts columns first, so to it this is Cᵀ ← β Cᵀ + α a δᵀ. It reads an
        # operand in place only if that is F-contiguous, so we pass each operand or its
        # transpose, whichever is.
        gemm = blas.sgemm if C.dtype == np.float32 else blas.dgemm
        A, trans_a = (a, 0) if a.flags.f_contiguous else (a.T, 1)
        D, trans_d = (delta, 1) if delta.flags.f_contiguous else (delta.T, 0)
        gemm(alpha, A, D, beta, C.T, trans_a, trans_d, 1)


def _cublas(module: str) -> ModuleType | None:
    """CuPy's cuBLAS, which `import cupy` does not load and the documentation omits."""
    try:
        return importlib.import_module(f"{module}.cublas")
    except ImportError:
        return None
