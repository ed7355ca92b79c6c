"""Profiles, threads, and what is absent on some machines."""

import gc
import os
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from types import ModuleType

# before NumPy is imported: at the sizes of tests several BLAS threads are only slower
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from hypothesis import HealthCheck, settings

from scratchnet.backend.devices import cuda_problem
from scratchnet.cli import guard
from tests.cuda import stub

_COMMON = {"deadline": None, "print_blob": True, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("quick", derandomize=True, max_examples=10, **_COMMON)
settings.register_profile("full", derandomize=True, max_examples=500, **_COMMON)
settings.register_profile("nightly", max_examples=5000, **_COMMON)  # draws anew, prints how to repeat what failed
#: The tests that a profile runs, where no -m says otherwise
TESTS = {"quick": "not slow and not nightly and not gpu", "full": "not nightly and not gpu", "nightly": "not gpu"}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--profile", choices=list(TESTS), default="quick", help="how thorough the tests are")
    parser.addoption("--stub-gpu", action="store_true", help="the tests for a GPU, on CuPy with a stub of the driver")


def pytest_configure(config: pytest.Config) -> None:
    profile = config.getoption("profile")
    settings.load_profile(profile)
    if config.getoption("stub_gpu"):
        why = stub.problem()
        if why is not None:
            pytest.exit(f"skipped: {why}", returncode=0)
        stub.install()
        # what a kernel did wrong may be seen when the memory is freed
        config.addinivalue_line("filterwarnings", "error::pytest.PytestUnraisableExceptionWarning")
    of_gpu = "gpu" + {"quick": " and not slow and not nightly", "full": " and not nightly", "nightly": ""}[profile]
    config.option.markexpr = config.option.markexpr or (of_gpu if config.getoption("stub_gpu") else TESTS[profile])


def pytest_collection() -> None:
    """The tests stay until the end: the collector need not look through them again."""
    gc.disable()


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session")
def thorough(request: pytest.FixtureRequest) -> bool:
    """Whether a test that repeats something may do so thousands of times."""
    return request.config.getoption("profile") != "quick"


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:
    """Name bytes and long texts by their argument.

    Their content may hold the time of day, as a gzip header does, and every worker must
    collect tests of the same names.
    """
    long = isinstance(val, (bytes, bytearray)) or (isinstance(val, str) and len(val) > 80)
    return argname if long else None


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of the data sets, $SCRATCHNET_DATA."""
    folder = os.environ.get("SCRATCHNET_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("SCRATCHNET_DATA does not name a folder with the data sets")
    return Path(folder)


@pytest.fixture
def as_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., CompletedProcess]:
    """Run a command's `main` with these arguments as its own process would run it.

    This process runs it, which has imported everything already.
    """

    def run(main: Callable[..., int | None], *args: object) -> CompletedProcess:
        line = [str(a) for a in args]
        monkeypatch.setattr(sys, "argv", ["command", *line])
        with pytest.raises(SystemExit) as end:
            guard(main)
        said = capsys.readouterr()
        return CompletedProcess(line, end.value.code, said.out, said.err)

    return run


@pytest.fixture
def gpu() -> ModuleType:
    """CuPy with a GPU, or with the stub of one."""
    problem = cuda_problem()
    assert problem is None or not stub.is_installed(), problem
    if problem is not None:
        pytest.skip(problem)
    import cupy

    return cupy


@pytest.fixture
def stub_gpu(gpu: ModuleType) -> ModuleType:
    """CuPy with the stub, which tells what it was asked for."""
    if not stub.is_installed():
        pytest.skip("only the stub GPU shows this: pytest --stub-gpu")
    return gpu
