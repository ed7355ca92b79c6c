"""BLAS's product for compiled loops: every layout, precision, and both libraries."""

import itertools

import numpy as np
import pytest

numba = pytest.importorskip("numba", reason="numba, of the extra `fast`, is not installed")

from numba.extending import get_cython_function_address  # noqa: E402

from scratchnet.engine.kernels.blas import address_of_gemm, gemm  # noqa: E402
from scratchnet.engine.kernels.products import multiply_in_parts, rows_at_a_time, sum_of_products, turn  # noqa: E402
from tests.profiles import quick_first  # noqa: E402


@numba.njit
def call(address, alpha, A, B, beta, C):
    gemm(address, alpha, A, B, beta, C)


@pytest.mark.parametrize("dtype", quick_first(["float32", "float64"], 1))
@pytest.mark.parametrize("library", ["numpy", "scipy"])
def test_a_product_in_place(library: str, dtype: str) -> None:
    """C ← α A B + β C for all orders in memory.

    With β = 0 it does not matter what was in C.
    """
    address = address_of_gemm(dtype)
    if library == "scipy":
        name = "sgemm" if dtype == "float32" else "dgemm"
        address = get_cython_function_address("scipy.linalg.cython_blas", name)
    rng = np.random.default_rng(0)
    for (m, k, n), orders in itertools.product(
        [(5, 7, 3), (1, 1, 1), (1, 9, 4), (40, 1, 6)], itertools.product("CF", "CF")
    ):
        A, B = (np.asarray(rng.random(s), dtype, order) for s, order in zip([(m, k), (k, n)], orders, strict=True))
        C = rng.random((m, n)).astype(dtype)
        expected = 0.5 * A @ B - 2 * C
        call(address, 0.5, A, B, -2.0, C)
        np.testing.assert_allclose(C, expected, rtol=1e-5, atol=1e-6)
        C[...] = np.nan
        call(address, 1.0, A, B, 0.0, C)
        np.testing.assert_allclose(C, A @ B, rtol=1e-5, atol=1e-6)


def test_a_c_contiguous_result_is_asked_for() -> None:
    A = np.ones((2, 2))
    with pytest.raises(numba.TypingError):
        call(address_of_gemm("float64"), 1.0, A, A, 0.0, np.asfortranarray(np.ones((2, 3))))


@pytest.mark.parametrize("shape", [(1, 1), (16, 16), (17, 40), (100, 784), (3, 50)])
def test_rows_are_turned_into_columns(shape: tuple[int, int]) -> None:
    rows = np.arange(np.prod(shape), dtype="float32").reshape(shape)
    columns = np.full(shape[::-1], np.nan, "float32")
    turn(rows, columns)
    assert np.array_equal(columns, rows.T)


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(("small", "rows"), [(0, 21), (20 * 400 * 16, 8), (5 * 400 * 16, 4), (10**6, 21)])
def test_a_product_in_parts_is_the_product(small: int, rows: int, turned: bool) -> None:
    """21 rows, in parts of 8 or 4 or as a whole; sums along the rows of B or not."""
    rng = np.random.default_rng(0)
    A, B, C = (rng.random(shape) for shape in ((21, 400), (400, 16), (21, 16)))
    B = np.asfortranarray(B) if turned else B
    blas = address_of_gemm("float64"), small
    assert rows_at_a_time(A, B, blas) == rows
    expected = A @ B + 2 * C
    multiply_in_parts(A, B, blas, 2.0, C)
    np.testing.assert_allclose(C, expected, rtol=1e-12)


@pytest.mark.parametrize("small", [0, 10**6])
@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 2, 512), (3, 5, 700), (16, 25, 1100), (40, 40, 30)])
def test_sums_of_products_of_rows(shape: tuple[int, int, int], small: int) -> None:
    """C ← A Bᵀ + β C, by BLAS or not; rows are a part of longer ones, as in a grid."""
    rng = np.random.default_rng(0)
    O, I, M = shape
    A, B, C = (rng.random(size) for size in ((O, 2 * M), (I, M), (O, I)))
    A, expected = A[:, M:], A[:, M:] @ B.T
    blas = address_of_gemm("float64"), small
    C[...] = np.nan  # what was there does not matter
    sum_of_products(A, B, blas, 0, C)
    np.testing.assert_allclose(C, expected, rtol=1e-12)
    sum_of_products(A, B, blas, 2, C)
    np.testing.assert_allclose(C, 3 * expected, rtol=1e-12)
