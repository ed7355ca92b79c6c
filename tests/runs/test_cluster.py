"""Search and cross-validation by a Dask scheduler on this machine.

The figures are the same, whatever happens to a worker.
"""

import csv
import os
import re
import signal
import subprocess
import sys

import pytest

from tests.places import PATIENCE, ROOT
from tests.profiles import quick_first

pytest.importorskip("distributed", reason="dask[distributed] is not installed")

ENVIRONMENT = {
    **os.environ,
    "OPENBLAS_NUM_THREADS": "1",
    "PYTHONPATH": str(ROOT),
    "DASK_DISTRIBUTED__WORKER__DAEMON": "False",
}
#: A first combination of a moment, and a second that ends with the test
ENDLESS = ["iris", "--folds", "3", "--search", "epochs=1,10000000", "--out", "out"]
SEARCH = ["iris", "--epochs", "20", "--folds", "3", "--search", "lr=0.1,0.03,0.01 batch-size=4,16", "--out", "out"]


@pytest.fixture
def processes():
    """A list; what is in it is ended with the test."""
    running = []
    yield running
    for p in running:
        p.kill()
        p.communicate()


@pytest.fixture
def scheduler(processes, tmp_path):
    """The address of a scheduler of its own on this machine."""
    p = subprocess.Popen(
        [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0",
         "--no-dashboard"],
        stderr=subprocess.PIPE, text=True, env=ENVIRONMENT, cwd=tmp_path,
    )  # fmt: skip
    processes.append(p)
    return next(m[1] for line in p.stderr if (m := re.search(r"(tcp://127\.0\.0\.1:\d+)", line)))


def start_worker(processes, scheduler, cwd):
    """One worker without a nanny; returns when it is registered."""
    p = subprocess.Popen(
        [sys.executable, "-m", "distributed.cli.dask_worker", scheduler, "--nthreads", "1", "--no-nanny",
         "--no-dashboard", "--host", "127.0.0.1"],
        stderr=subprocess.PIPE, text=True, env=ENVIRONMENT, cwd=cwd,
    )  # fmt: skip
    processes.append(p)
    assert any("Registered to" in line for line in p.stderr)
    return p


def train(*args, cwd, **environment):
    return subprocess.Popen([sys.executable, "-m", "scratchnet.train", *args], cwd=cwd, text=True,
                            env={**ENVIRONMENT, **environment},
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # fmt: skip


def rows_of(folder):
    rows = list(csv.DictReader((folder / "search.csv").read_text().splitlines()))
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


@pytest.mark.slow
def test_search_goes_on_when_a_worker_is_killed(processes, scheduler, tmp_path):
    workers = [start_worker(processes, scheduler, tmp_path) for _ in range(2)]
    p = train(*SEARCH, "--scheduler", scheduler, cwd=tmp_path)
    for line in p.stdout:
        if "lr=" in line:  # the first result is there, the others are under way
            os.kill(workers[0].pid, signal.SIGKILL)
            break
    out, err = p.communicate()
    assert p.returncode == 0 and err == "", err
    there = rows_of(tmp_path / "out")
    assert len(there) == 6 and "best first" in out
    accuracies = [float(row["cv_accuracy"]) for row in there]
    assert accuracies == sorted(accuracies, reverse=True)
    here = train(*SEARCH, cwd=tmp_path / "out")
    assert here.communicate()[1] == "" and here.returncode == 0
    assert rows_of(tmp_path / "out" / "out") == there, "the same figures as on the cores of this machine"


@pytest.mark.slow
def test_folds(processes, scheduler, tmp_path):
    start_worker(processes, scheduler, tmp_path)
    lines = []
    for where in (["--scheduler", scheduler], []):
        p = train("iris", "--epochs", "5", "--folds", "3", "--no-plots", "--out", "out", *where, cwd=tmp_path)
        out, err = p.communicate()
        assert p.returncode == 0 and err == "", err
        lines.append([line for line in out.splitlines() if "  fold " in line or "mean " in line])
    assert len(lines[0]) == 4 and lines[0] == lines[1]


@pytest.mark.slow
def test_no_workers(scheduler, tmp_path):
    p = train("iris", "--scheduler", scheduler, "--out", "out", cwd=tmp_path)
    _, err = p.communicate()
    assert p.returncode == 2 and "has no workers" in err and len(err.splitlines()) == 1, err


@pytest.mark.parametrize("address", quick_first(["127.0.0.1:notaport", "nonsense://x", "tcp://127.0.0.1:9"], 1))
@pytest.mark.slow
def test_no_scheduler_is_one_line(address, tmp_path):
    p = train("iris", "--scheduler", address, "--out", "out", cwd=tmp_path)
    _, err = p.communicate()
    assert p.returncode == 2 and address in err and "dask scheduler" in err and len(err.splitlines()) == 1, err


@pytest.mark.slow
def test_tls_without_certificates_is_one_line(tmp_path):
    p = train("iris", "--scheduler", "tls://127.0.0.1:9", "--out", "out", cwd=tmp_path)
    _, err = p.communicate()
    assert p.returncode == 2 and "name the certificates" in err and len(err.splitlines()) == 1, err


@pytest.mark.slow
def test_a_scheduler_that_is_lost_is_one_line_and_what_was_done_is_kept(processes, scheduler, tmp_path):
    start_worker(processes, scheduler, tmp_path)
    p = train(*ENDLESS, "--scheduler", scheduler, cwd=tmp_path)
    assert any("epochs=" in line for line in p.stdout)
    processes[0].kill()
    _, err = p.communicate()
    assert p.returncode == 2 and "the connection to the scheduler is lost" in err and len(err.splitlines()) == 1, err
    assert rows_of(tmp_path / "out")


@pytest.mark.slow
def test_the_only_worker_that_ends_is_one_line_and_what_was_done_is_kept(processes, scheduler, tmp_path):
    worker = start_worker(processes, scheduler, tmp_path)
    p = train(*ENDLESS, "--scheduler", scheduler, cwd=tmp_path, SCRATCHNET_TIMEOUT="2")
    assert any("epochs=" in line for line in p.stdout)
    worker.kill()
    _, err = p.communicate(timeout=PATIENCE)
    assert p.returncode == 2 and "its last worker has ended and none has come for 2 s" in err, err
    assert len(err.splitlines()) == 1, err
    assert rows_of(tmp_path / "out")
