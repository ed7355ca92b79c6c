"""Products with a batch that is nearly all zeros, such as counts of words, on the CPU.

The batch is one of SciPy's sparse arrays. Of 10,000 words, a batch of 32 tweets has
about 300. So the rows and columns of B that are not empty form a small dense block, and
only the matching columns of A are multiplied by it: for words that do not occur,
nothing is computed, and nothing of W is read.

Letters: A dense (M, R), B sparse (R, K). In a forward pass they are W and a, in BP4 δ
and aᵀ.
"""

from typing import Any

import numpy as np

#: Up to this number of features, dense arrays are faster. With 3,000 features a sparse
#: step took 1.3 times as long, with 10,000 half as long (15 words in an example, 32 and
#: 128 examples).
DENSE_FEATURES = 5_000


def is_sparse(x: Any) -> bool:
    """Whether x is one of SciPy's sparse arrays; does not import SciPy."""
    return type(x) is not np.ndarray and hasattr(x, "tocsr")


def is_wide(x: Any) -> bool:
    """Whether a batch has enough features for these products to pay."""
    return bool(x.shape[1] > DENSE_FEATURES)


def dense(x: Any) -> Any:
    """x as an ordinary array."""
    return x.toarray() if is_sparse(x) else x


def length(x: Any) -> int:
    """How many examples x has; len() does not work for sparse arrays."""
    return x.shape[0] if is_sparse(x) else len(x)


def _block(B: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The rows and columns of B that are not empty, and the block where they meet."""
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


def add_sparse_dot(C: np.ndarray, A: np.ndarray, B: Any, alpha: float, beta: float) -> None:
    """C ← β C + α A B in place; C must be C-contiguous."""
    rows, columns, block = _block(B)
    if beta != 1.0:
        C *= beta
    product = np.dot(alpha * A[:, rows], block)
    # C[:, columns] += product takes twice as long: it walks down the columns, reads
    # them, adds, and writes them back
    places = C.shape[1] * np.arange(len(C))[:, None] + columns
    np.add.at(C.reshape(-1), places.ravel(), product.ravel())
