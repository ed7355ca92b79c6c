"""One comparison of two arrays, a list of them, and how they are judged."""

import dataclasses

import numpy as np

from parity.errors import Difference

GRADIENT_TOLERANCE = 1e-12  # float64, forward values, δ and gradients, norm-relative
TRAINING_TOLERANCE = 1e-10  # float64, losses and weights after up to 100 steps


@dataclasses.dataclass(frozen=True)
class Row(Difference):
    """One comparison. Indices and shapes are batch first, as in PyTorch.

    `layer` is the number of the layer (None for the loss) and `name` its text; `what`
    is "value" (its output), "delta" (∂C/∂output), "gradient" (of `parameter`) or, in
    training, "loss" and "weight"; `step` counts training steps from 1. `absolute`,
    `relative`, `norm_relative` and the rest of a `Difference` are the distance from
    PyTorch in the same dtype.

    `error` is judged against `tolerance`. In float64 it is `norm_relative`. In float32
    it is our distance from the float64 reference, also norm-relative; `torch_error` is
    PyTorch's own distance, and the tolerance is that of `parity.rounding`.
    """

    layer: int | None
    name: str
    what: str
    parameter: str
    error: float
    torch_error: float
    tolerance: float
    step: int | None = None

    @property
    def ok(self) -> bool:
        return self.error <= self.tolerance  # false for NaN

    @property
    def array(self) -> tuple[str, int | None, str]:
        """The array of the network that this row is about."""
        return self.what, self.layer, self.parameter

    @property
    def where(self) -> str:
        """The place of the worst element, as text."""
        place = "loss" if self.layer is None else f"layer {self.layer} {self.name.partition('(')[0]}"
        at = f"[{', '.join(map(str, self.index))}]" if self.index else ""
        return " ".join(filter(None, (place, self.parameter or ("" if self.layer is None else self.what)))) + at


class Comparison(list[Row]):
    """The rows of a comparison, in the order they were made: a list with a verdict."""

    @property
    def ok(self) -> bool:
        """Whether every row is within its tolerance."""
        return all(row.ok for row in self)

    @property
    def worst(self) -> Row:
        """The row that comes closest to its tolerance, or exceeds it most."""
        return max(self, key=lambda row: row.error / row.tolerance if row.error == row.error else np.inf)

    def of(self, what: str) -> "Comparison":
        """The rows of one kind: "value", "delta", "gradient", "loss" or "weight"."""
        return Comparison(row for row in self if row.what == what)

    def __str__(self) -> str:
        return "\n".join(
            f"{'ok  ' if row.ok else 'FAIL'} {f'step {row.step} ' if row.step else ''}{row.what:8} {row.where}: "
            f"error {row.error:.1e} (tolerance {row.tolerance:.1e}), ours {row.ours:.9g}, PyTorch {row.theirs:.9g}"
            for row in self
        )
