"""The proof: every value, δ, gradient and training step, compared with PyTorch's.

Run all of it with `python -m parity`; see README.md in this folder.
"""

from parity.compare import compare
from parity.rows import Comparison, Row
from parity.training import compare_training
from parity.twins import from_torch, to_torch

__all__ = ["Comparison", "Row", "compare", "compare_training", "from_torch", "to_torch"]
