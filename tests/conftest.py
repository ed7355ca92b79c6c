"""Profiles, threads, and what is absent on some machines."""

import os
from pathlib import Path
from types import ModuleType

# before NumPy is imported: at the sizes of tests several BLAS threads are only slower
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from hypothesis import HealthCheck, settings

from tests import fake_cupy

# `ci` is the same on every run; `nightly` draws anew and prints how to repeat what failed:
#   HYPOTHESIS_PROFILE=nightly pytest -m "nightly or not nightly"
_COMMON = {"deadline": None, "print_blob": True, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("ci", derandomize=True, max_examples=500, **_COMMON)
settings.register_profile("nightly", max_examples=5000, **_COMMON)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:
    """Bytes are named by their argument: their content may hold the time of day, as a
    gzip header does, and every worker must collect tests of the same names."""
    return argname if isinstance(val, (bytes, bytearray)) else None


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of the data sets, $SCRATCHNET_DATA."""
    folder = os.environ.get("SCRATCHNET_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("SCRATCHNET_DATA does not name a folder with the data sets")
    return Path(folder)


@pytest.fixture
def cupy(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The CuPy-like module in CuPy's place, for one test."""
    return fake_cupy.install(monkeypatch)
