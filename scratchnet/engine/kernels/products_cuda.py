"""Products of matrices on a GPU by a kernel of our own, for steps that are recorded.

CuPy does not call cuBLAS while a stream is recorded. Letters as in gemm.cu.
"""

from typing import Any

from scratchnet.backend.arrays import Array, xp_of
from scratchnet.engine.kernels.nvrtc import kernel

#: Multiplications of a product, above which cuBLAS is better although it cannot be
#: recorded; an estimate
MOST_MULTIPLICATIONS = 1 << 27
TILE, THREADS = 16, 256  # as in product.cu
#: A long sum is cut into parts, as long as the blocks of a product are fewer than
#: BLOCKS; a part has FEWEST_TERMS at least. Both are estimates.
BLOCKS, FEWEST_TERMS = 256, 256


def tiles(rows: int, columns: int) -> int:
    """Blocks for a matrix of this size."""
    return -(-rows // TILE) * -(-columns // TILE)


def parts_of(m: int, n: int, k: int) -> tuple[int, int]:
    """Into how many parts of how many terms the sums of a product are cut.

    It depends on the sizes alone, so that every GPU gives the same bits.
    """
    parts = max(1, min(BLOCKS // tiles(m, n), k // FEWEST_TERMS))
    terms = -(-k // parts)
    return -(-k // terms), terms


class Products:
    """C = β C + α A B, for `products.own_products`.

    Numbers for α and β are kept on the device, because graphs hold their addresses.
    """

    def __init__(self) -> None:
        self.numbers: dict[tuple[float, str], Array] = {}

    def __call__(self, A: Array, B: Array, C: Array | None, alpha: Any, beta: float) -> Array:
        xp, (m, k), n = xp_of(A), A.shape, B.shape[1]
        if C is None:
            C = xp.empty((m, n), A.dtype)
        if C.size == 0:
            return C
        count, terms = parts_of(m, n, max(k, 1))
        parts = 0 if count == 1 else xp.empty((count, m, n), A.dtype)
        factors = self.number(alpha, 1.0, C), self.number(beta, 0.0, C)
        out = C, *strides(C), m, n
        args = A, *strides(A), B, *strides(B), *out, k, terms, *factors, parts
        launch("multiply", count * tiles(m, n), *args)
        if count > 1:
            launch("join", -(-m * n // THREADS), parts, count, *out, *factors)
        return C

    def number(self, value: Any, default: float, like: Array) -> Any:
        """An array of one number, or the null pointer for the default."""
        if not isinstance(value, (int, float)):
            return value
        if value == default:
            return 0
        key = float(value), like.dtype.char
        if key not in self.numbers:
            self.numbers[key] = xp_of(like).full(1, value, like.dtype)
        return self.numbers[key]


def strides(a: Array) -> tuple[int, int]:
    """Those of rows and columns, in elements."""
    return a.strides[0] // a.itemsize, a.strides[1] // a.itemsize


def launch(name: str, blocks: int, *args: Any) -> None:
    a = args[0]
    kernel(xp_of(a), "gemm", name, str(a.dtype))((blocks,), (THREADS,), args)
