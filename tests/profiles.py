"""Values of a parameter: the full profile takes all, the quick one a sample."""

from collections.abc import Iterable
from typing import Any

import pytest


def slow_if(slow: object, value: Any) -> Any:
    """The value; if `slow`, in the full profile only."""
    return pytest.param(*(value if isinstance(value, tuple) else (value,)), marks=pytest.mark.slow) if slow else value


def quick_every(n: int, values: Iterable[Any]) -> list[Any]:
    """All values; only every nth of them in the quick profile, the first among them."""
    return [slow_if(k % n, value) for k, value in enumerate(values)]


def quick_first(values: Iterable[Any], n: int) -> list[Any]:
    """All values; only the first n of them in the quick profile."""
    return [slow_if(k >= n, value) for k, value in enumerate(values)]
