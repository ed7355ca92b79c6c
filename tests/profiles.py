"""Values of a parameter: the full profile takes all, the quick one a sample."""

from collections.abc import Iterable
from typing import Any

import pytest


def _slow(value: Any) -> Any:
    return pytest.param(*(value if isinstance(value, tuple) else (value,)), marks=pytest.mark.slow)


def quick_every(n: int, values: Iterable[Any]) -> list[Any]:
    """All values; only every nth of them in the quick profile, the first among them."""
    return [_slow(value) if k % n else value for k, value in enumerate(values)]


def quick_first(values: Iterable[Any], n: int) -> list[Any]:
    """All values; only the first n of them in the quick profile."""
    return [value if k < n else _slow(value) for k, value in enumerate(values)]
