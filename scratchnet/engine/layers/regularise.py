"""Layers that act only in training."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from scratchnet.backend.arrays import Array
from scratchnet.engine import checks
from scratchnet.engine.equations import bp1_error
from scratchnet.engine.layers.base import Layer, acts_as_in_training
from scratchnet.engine.learner import Learner


@dataclass(eq=False)
class Dropout(Layer):
    """y = x ⊙ m, where m is 0 with probability p and 1/(1 − p) otherwise.

    At inference y = x. Which neurons are dropped depends only on the seed, the step and
    the example (see `Learner.uniform`). Raises SettingError unless 0 ≤ p < 1.
    Source: N. Srivastava et al., Dropout, JMLR 15 (2014), section 10 ("inverted"
    dropout).
    """

    p: float = 0.5

    output_is: ClassVar[Literal["view"]] = "view"

    def __post_init__(self) -> None:
        self.p = checks.number("Dropout", "p", self.p, most=1.0, below=True)

    def forward(self, x: Array, learn: Learner | None = None) -> tuple[Array, Array | None]:
        if not acts_as_in_training(learn) or self.p == 0:
            return x, None
        m = (learn.uniform(x) >= self.p).astype(x.dtype)
        m *= 1 / (1 - self.p)
        return x * m, m

    def backward(self, delta: Array, m: Array | None, learn: Learner, need_dx: bool = True) -> Array:
        return delta if m is None else bp1_error(delta, m)
