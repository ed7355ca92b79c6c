"""Products by a kernel of our own: those of NumPy, for any strides.

On a GPU, or on the stub of one. Letters as in gemm.cu.
"""

import numpy as np
import pytest

from scratchnet.backend import products
from scratchnet.engine.kernels import products_cuda
from scratchnet.engine.kernels.products_cuda import Products, parts_of
from tests.cuda import stub

pytestmark = pytest.mark.gpu
SIZES = [(1, 1, 1), (3, 5, 70), (16, 16, 32), (17, 33, 31), (40, 1, 600), (2, 3, 1025), (1, 1, 5000)]


def matrix(cupy, rows, columns, way, dtype="float64"):
    """Random numbers, in rows, in columns, or with gaps."""
    rng = np.random.default_rng(rows + columns)
    if way == "columns":
        return cupy.asarray(rng.normal(size=(columns, rows)).astype(dtype)).T
    a = cupy.asarray(rng.normal(size=(rows, 2 * columns if way == "gaps" else columns)).astype(dtype))
    return a[:, ::2] if way == "gaps" else a


def check(cupy, m, n, k, ways, dtype="float64"):
    own, tolerance = Products(), 1e-12 if dtype == "float64" else 1e-4
    A, B, C = (matrix(cupy, *size, way, dtype) for size, way in zip(((m, k), (k, n), (m, n)), ways, strict=True))
    product, before = A.get() @ B.get(), C.get()
    np.testing.assert_allclose(own(A, B, None, 1.0, 0.0).get(), product, rtol=tolerance, atol=tolerance)
    alpha = cupy.full(1, -0.3, dtype)
    for factor, beta in ((alpha, 1.0), (1.0, 0.9), (0.5, 0.0)):
        out = C.copy() if ways[2] == "rows" else C
        before = out.get()
        own(A, B, out, factor, beta)
        expected = beta * before + (-0.3 if factor is alpha else factor) * product
        np.testing.assert_allclose(out.get(), expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("ways", [("rows",) * 3, ("columns", "rows", "rows"), ("rows", "columns", "gaps"),
                                  ("columns", "gaps", "columns")], ids=",".join)  # fmt: skip
def test_a_product_is_numpys(gpu, size, ways):
    check(gpu, *size, ways)


def test_float32(gpu):
    check(gpu, 17, 33, 600, ("columns", "rows", "rows"), "float32")


def test_what_is_not_read(gpu):
    """C without β may hold NaN; 0 · NaN is NaN; an empty product is 0 or nothing."""
    own, nan = Products(), gpu.full((3, 4), np.nan)
    assert np.isfinite(own(gpu.ones((3, 2)), gpu.ones((2, 4)), nan, 1.0, 0.0).get()).all()
    assert np.isnan(own(gpu.zeros((1, 1)), gpu.full((1, 1), np.nan), None, 1.0, 0.0).get()).all()
    assert own(gpu.ones((3, 0)), gpu.ones((0, 4)), None, 1.0, 0.0).get().tolist() == [[0.0] * 4] * 3
    assert own(gpu.ones((0, 2)), gpu.ones((2, 4)), None, 1.0, 0.0).shape == (0, 4)


def test_the_parts_cover_the_sum():
    for m, n, k in SIZES:
        count, terms = parts_of(m, n, k)
        assert (count - 1) * terms < k <= count * terms
        assert count == 1 or terms >= products_cuda.FEWEST_TERMS
    assert parts_of(1, 1, 5000)[0] > 1 and parts_of(1000, 1000, 5000)[0] == 1


def test_the_engine_multiplies_by_it_only_while_it_is_asked_to(gpu):
    A, B = matrix(gpu, 5, 6, "rows"), matrix(gpu, 6, 7, "rows")
    calls = []

    def own(*args):
        calls.append(args)
        return Products()(*args)

    token = products.own_products.set(own)
    try:
        C = products.dot(A, B)
        products.add_product(C, A, B.T, -1.0)
        assert abs(C.get()).max() < 1e-14
        products.add_product(C, A[:, :1], B.T[:, :1], 0.5)
        np.testing.assert_allclose(C.get(), 0.5 * np.outer(A.get()[:, 0], B.get()[0]))
        np.testing.assert_allclose(products.inner(A[0], A[1]).get(), A.get()[0] @ A.get()[1])
    finally:
        products.own_products.reset(token)
    assert len(calls) == 4
    products.dot(A, B)
    assert len(calls) == 4


FAULTS = [
    ("from = part * terms", "from = part * (terms - 1)"),
    ("part < count; part++", "part < count - 1; part++"),
    ("sum += parts[part * m * n + i];", "sum = parts[part * m * n + i];"),
    ("product + *beta * *at", "product + *at"),
    ("alpha ? *alpha * sum : sum", "sum"),
    ("i / n, i % n, sum", "i % m, i / m, sum"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("right", "wrong"), FAULTS)
def test_planted_faults_are_found(stub_gpu, monkeypatch, right, wrong):
    stub.plant(stub_gpu, monkeypatch, "gemm", right, wrong, products_cuda)
    with pytest.raises((AssertionError, stub_gpu.cuda.driver.CUDADriverError)):
        for size in ((5, 9, 1030), (17, 33, 600)):
            check(stub_gpu, *size, ("rows", "rows", "gaps"))
            check(stub_gpu, *size, ("columns", "rows", "columns"))
