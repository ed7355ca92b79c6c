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


@pytest.mark.parametrize("ranks", [1, 2, 3, 4])
def test_any_number_of_ranks_gives_the_weights_of_one_process(ranks):
    script = Path(__file__).parent / "mpi" / "same_weights.py"
    done = mpiexec(ranks, script)
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert len(rows) == 24
    for optimiser, loss, difference, loss_difference, same_bits, _ in rows:
        assert difference < 1e-12 and loss_difference < 1e-12, (optimiser, loss, difference, loss_difference)
        assert same_bits, f"{optimiser}, {loss}: the ranks have drifted apart"


def test_a_rerun_gives_the_same_bits():
    script = Path(__file__).parent / "mpi" / "same_weights.py"
    first, second = (mpiexec(3, script) for _ in range(2))
    assert first.returncode == 0 and first.stdout == second.stdout


def test_without_mpiexec_it_says_so(tmp_path):
    environment = {k: v for k, v in ENVIRONMENT.items() if not k.startswith(("PMI", "OMPI", "MV2"))}
    done = subprocess.run(
        [sys.executable, "-m", "scratchnet.train", "digits", "--distributed"],
        capture_output=True, text=True, timeout=60, cwd=tmp_path, env=environment,
    )  # fmt: skip
    assert done.returncode == 2 and "mpiexec -n 4" in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr
