"""The layer that looks things up: every index stands for a vector that is learnt.

Letters: V indices, D numbers in a vector, T times of a sequence, N examples; x are
indices (T, N), y is (T, D, N).
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from scratchnet.backend.arrays import Array, xp_of
from scratchnet.engine import checks
from scratchnet.engine.layers.base import Layer, Shape, need_sizes
from scratchnet.engine.learner import Learner
from scratchnet.engine.params import Param
from scratchnet.errors import DataError


@dataclass(eq=False)
class Embedding(Layer):
    """y_t = W[x_t]: of every index the row of W that belongs to it.

    It is the first layer of a network. Input (N, T), whole numbers from 0 to
    num_embeddings − 1; output (N, T, embedding_dim). (N,) gives (N, embedding_dim),
    and likewise with more axes. W is (num_embeddings, embedding_dim) as in PyTorch,
    with initial values N(0, 1). `padding_idx` is an index that stands for nothing, such
    as the end of a short sequence: its row is 0 and is not trained; −1 is the last.

    With one-hot columns a it is y = Wᵀ a, so ∂C/∂W = a δᵀ (BP4): the row of an index is
    the sum of δ over the places where the index stands. Raises DataError for an index
    outside. Parameters as torch.nn.Embedding.
    Source: Y. Bengio et al., A neural probabilistic language model, JMLR 3 (2003).
    """

    num_embeddings: int
    embedding_dim: int
    padding_idx: int | None = None

    takes_indices: ClassVar[bool] = True

    def __post_init__(self) -> None:
        need_sizes(self, "num_embeddings", "embedding_dim")
        V = self.num_embeddings
        if self.padding_idx is not None:
            self.padding_idx = checks.whole("Embedding", "padding_idx", self.padding_idx, -V, V - 1) % V
        self.W = Param("weight", (V, self.embedding_dim), self._init, held_row=self.padding_idx)

    def _init(self, rng: np.random.Generator, shape: Shape) -> np.ndarray:
        W = rng.standard_normal(shape)
        if self.padding_idx is not None:
            W[self.padding_idx] = 0
        return W

    def forward(self, x: Array, learn: Learner | None = None) -> tuple[Array, Array]:
        if type(x) is np.ndarray:  # a GPU would have to be waited for
            self.check(x)
        y = self.W.value[x]  # (..., N, D)
        return xp_of(x).ascontiguousarray(y.swapaxes(-1, -2)), x

    def backward(self, delta: Array, x: Array, learn: Learner, need_dx: bool = True) -> None:
        rows = delta.swapaxes(-1, -2)  # (..., N, D)
        if self.padding_idx is not None:
            rows = xp_of(x).where((x == self.padding_idx)[..., None], 0, rows)
        learn.rows(self.W, x.ravel(), rows.reshape(-1, self.embedding_dim))  # BP4
        # whole numbers have no derivative: there is no dx

    def check(self, x: Array) -> None:
        """Raise DataError, with its place, for an index of x (..., N) without a row."""
        if x.size and not (x.min() >= 0 and x.max() < self.num_embeddings):
            wrong = np.argwhere((x < 0) | (x >= self.num_embeddings))[0]
            place = ", ".join(str(int(k)) for k in (wrong[-1], *wrong[:-1]))
            raise DataError(
                f"{self}: the input holds the index {int(x[tuple(wrong)])}, at [{place}] of the batch, but there are "
                f"only those from 0 to {self.num_embeddings - 1}"
            )

    def output_shape(self, shape: Shape) -> Shape:
        return (*shape, self.embedding_dim)

    def input_shape(self) -> Shape:
        return (1,)
