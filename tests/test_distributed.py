"""Data-parallel training: the same weights on any number of ranks, and clear ends when something is missing."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mpi4py", reason="mpi4py is not installed")
MPIEXEC = shutil.which("mpiexec", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
pytestmark = pytest.mark.skipif(MPIEXEC is None, reason="there is no mpiexec")

ENVIRONMENT = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parent.parent)}


def mpiexec(ranks, *args, cwd=None, timeout=300):
    return subprocess.run(
        [MPIEXEC, "-n", str(ranks), sys.executable, *map(str, args)],
        capture_output=True, text=True, timeout=timeout, env=ENVIRONMENT, cwd=cwd,
    )  # fmt: skip


def same_weights(ranks, what):
    done = mpiexec(ranks, Path(__file__).parent / "mpi" / "same_weights.py", what)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


LONG = [pytest.param("studies", 23, ranks, marks=pytest.mark.nightly) for ranks in (1, 2, 4)]


@pytest.mark.parametrize(
    ("what", "cases", "ranks"), [*(("optimisers", 24, ranks) for ranks in (1, 2, 3, 4)), ("studies", 23, 3), *LONG]
)
def test_any_number_of_ranks_gives_the_weights_of_one_process(what, cases, ranks):
    rows = same_weights(ranks, what)
    assert len(rows) == cases
    for name, difference, loss_difference, same_bits, _ in rows:
        assert difference < 1e-12 and loss_difference < 1e-12, (name, difference, loss_difference)
        assert same_bits, f"{name}: the ranks have drifted apart"


def test_a_rerun_gives_the_same_bits():
    assert same_weights(3, "optimisers") == same_weights(3, "optimisers")


def test_without_mpiexec_it_says_so(tmp_path):
    environment = {k: v for k, v in ENVIRONMENT.items() if not k.startswith(("PMI", "OMPI", "MV2"))}
    done = subprocess.run(
        [sys.executable, "-m", "scratchnet.train", "digits", "--distributed"],
        capture_output=True, text=True, timeout=60, cwd=tmp_path, env=environment,
    )  # fmt: skip
    assert done.returncode == 2 and "mpiexec -n 4" in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr
