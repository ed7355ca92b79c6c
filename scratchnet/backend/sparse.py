"""Products with a batch that is nearly all zeros, such as counts of words: SciPy's sparse arrays, on the CPU.

Letters: A dense (M, R), B sparse (R, K). In a forward pass they are W and a, in BP4 δ and aᵀ.

A batch of 32 tweets has about 300 of 10,000 words. So the rows and columns of B that are not empty make a small dense
block, and the product is that of a few columns of A with it: nothing is computed, or read of W, for other words.
"""

from typing import Any

import numpy as np

#: Up to so many features the whole array is faster: with 3,000 a sparse step took 1.3 times as long, with 10,000 half
#: as long (15 words in an example, 32 and 128 examples)
FEW = 5_000


def is_sparse(x: Any) -> bool:
    """Whether x is one of SciPy's sparse arrays; asked without importing them."""
    return type(x) is not np.ndarray and hasattr(x, "tocsr")


def is_wide(x: Any) -> bool:
    """Whether a batch of so many features is worth these products."""
    return bool(x.shape[1] > FEW)


def dense(x: Any) -> Any:
    """x as an ordinary array."""
    return x.toarray() if is_sparse(x) else x


def length(x: Any) -> int:
    """How many examples x has: sparse arrays refuse len()."""
    return x.shape[0] if is_sparse(x) else len(x)


def _block(B: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The rows of B that are not empty, the columns that are not, and the dense block where they cross."""
    B = B.tocoo()
    rows, r = np.unique(B.row, return_inverse=True)
    columns, c = np.unique(B.col, return_inverse=True)
    block = np.zeros((len(rows), len(columns)), B.dtype)
    np.add.at(block, (r, c), B.data)
    return rows, columns, block


def sparse_dot(A: np.ndarray, B: Any, out: np.ndarray | None = None) -> np.ndarray:
    """A B, (M, R), (R, K) → (M, K), written to `out` if given."""
    rows, columns, block = _block(B)
    if out is None:
        out = np.zeros((A.shape[0], B.shape[1]), A.dtype)
    else:
        out[...] = 0
    out[:, columns] = np.dot(A[:, rows], block)
    return out
