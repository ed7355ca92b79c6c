"""Ranks that differ all end at once, with one line that says what and where."""

import importlib.util
import json
import os
import struct
import subprocess
import sys

import numpy as np
import pytest
import scipy.sparse

from scratchnet.runs.agreement import Message, judge, of_arrays
from tests.mpi.commands import MPIEXEC, mpiexec, several
from tests.places import MPI, PATIENCE, ROOT
from tests.profiles import quick_first

needs_mpi = pytest.mark.skipif(
    MPIEXEC is None or importlib.util.find_spec("mpi4py") is None, reason="mpi4py or mpiexec is missing"
)
TRAIN = ["-m", "scratchnet.train"]

# ----------------------------------------------------------------------------- in words


def test_those_that_are_alike():
    assert judge([Message("a", {"--lr": "1"})] * 3, "advice") == ("", 0)


def test_what_differs_is_named_with_ranks_and_hosts():
    said = [Message("n1", {"--lr": "1", "--seed": "0"}), Message("n1", {"--lr": "1", "--seed": "0"})]
    said += [Message("n2", {"--lr": "2", "--seed": "9"}), Message("n3", {"--lr": "2", "--seed": "0"})]
    text, code = judge(said, "do so")
    assert text == "the ranks differ in --lr: 1 on ranks 0, 1 (n1), 2 on ranks 2, 3 (n2, n3); and in --seed: do so"
    assert code == 2


def test_many_ranks_and_long_values_stay_one_line():
    said = [Message(f"n{r}", {"layer": f"{r}\n" * 500} | {str(k): str(r) for k in range(50)}) for r in range(300)]
    text, _ = judge(said, "advice")
    assert "\n" not in text and len(text) < 1_000
    said = [Message(f"n{r}", {"x": str(r > 0)}) for r in range(300)]
    assert judge(said, "a")[0] == (
        "the ranks differ in x: False on rank 0 (n0), True on ranks 1, 2, 3, 4 and 295 more (n1, n2, n3, n4 and 295 "
        "more): a"
    )


def test_an_error_of_one_rank_names_it_and_that_of_all_does_not():
    fails, well = Message("n2", {}, "no such file", 2), Message("n1", {"--lr": "1"})
    assert judge([well, fails, well], "") == ("rank 1 (n2): no such file", 2)
    assert judge([fails, fails], "") == ("no such file", 2)
    assert judge([Message("n1", {}, "stopped", 130)] * 2, "") == ("stopped", 130)


def test_every_byte_of_an_array_counts_and_its_layout_in_memory_does_not():
    x = np.random.default_rng(0).normal(size=(70, 5)).astype("f4")
    other = x.copy()
    other[-1, -1] = np.nextafter(other[-1, -1], 9)
    sparse = [scipy.sparse.csr_array(a) for a in (np.eye(5), np.eye(5)[::-1], np.eye(5) * 2)]
    arrays = [x, other, x.view("i4"), x.reshape(5, -1), x[:0], x.T, *sparse, np.empty((0, 3)), np.empty((3, 0))]
    assert len({str(of_arrays(x=a)) for a in arrays}) == len(arrays)
    assert of_arrays(x=np.asfortranarray(x)) == of_arrays(x=x) == of_arrays(x=np.repeat(x, 2, axis=0)[::2])


# ------------------------------------------------------------------------------- by MPI


@needs_mpi
@pytest.mark.slow
def test_everything_that_may_differ_is_told_on_all_ranks():
    done = mpiexec(3, MPI / "ranks_that_differ.py", timeout=PATIENCE)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    told = json.loads(done.stdout)
    assert told[0] == told[1] == told[2], "all have been told the same"
    named = {
        "training: batch_size": "batch size",
        "training: schedule": "learning rate",
        "training: momentum": "optimiser's momentum",
        "training: hidden": "layer 0",
        "training: examples": "number of examples",
        "training: data": "digest of the examples",
        "training: targets": "digest of the targets",
        "training: initial weights": "digest of the initial weights",
        "training: velocity": "digest of the optimiser's velocity",
        **{f"options: {name}": "" for name in ("threads", "data_dir", "out", "plots")},
        "training: ": "",
    }
    assert len(told[0]) == 31
    for case, text in told[0].items():
        kind, name = case.split(": ")
        wanted = named.get(case, f"--{name.replace('_', '-')}" if kind == "options" else name)
        assert text.startswith(f"the ranks differ in {wanted}: " if wanted else ""), (case, text)
        assert bool(text) == bool(wanted) and len(text.splitlines()) <= 1, (case, text)
        assert not text or ("on ranks 0, 1 (" in text and "on rank 2 (" in text), text


def one_line(done, *words, code=2):
    assert done.returncode == code and len(done.stderr.splitlines()) == 1, (done.returncode, done.stderr)
    assert all(word in done.stderr for word in words), done.stderr
    assert "BAD TERMINATION" not in done.stdout and "Traceback" not in done.stderr


IRIS = [*TRAIN, "iris", "--distributed", "--no-plots"]
OTHERS = {"lr": "0.5", "seed": "7", "epochs": "3", "batch-size": "5", "hidden": "9", "dtype": "float64"}


@pytest.mark.slow
@needs_mpi
@pytest.mark.parametrize(
    "option",
    [name if name == "hidden" else pytest.param(name, marks=pytest.mark.nightly) for name in OTHERS],
)
def test_a_command_line_that_differs(option, tmp_path):
    done = several([1, *IRIS], [1, *IRIS, f"--{option}", OTHERS[option]], cwd=tmp_path, timeout=PATIENCE)
    one_line(done, f"error: the ranks differ in --{option}: ", "on rank 0 (", f"{OTHERS[option]} on rank 1 (")
    assert done.stdout == "" and not list(tmp_path.iterdir()), "nothing was begun"


@pytest.fixture
def images(tmp_path):
    """Makes a folder with an MNIST of n pictures."""

    def make(name, n, seed=0):
        rng, folder = np.random.default_rng(seed), tmp_path / name / "mnist"
        folder.mkdir(parents=True)
        for kind, count in (("train", n), ("t10k", 10)):
            pixels, labels = rng.integers(0, 256, (count, 28, 28), np.uint8), np.arange(count, dtype=np.uint8) % 10
            (folder / f"{kind}-images-idx3-ubyte").write_bytes(
                struct.pack(">4i", 2051, count, 28, 28) + pixels.tobytes()
            )
            (folder / f"{kind}-labels-idx1-ubyte").write_bytes(struct.pack(">2i", 2049, count) + labels.tobytes())
        return folder.parent

    return make


MNIST = [*TRAIN, "mnist", "--distributed", "--no-plots", "--epochs", "1", "--hidden", "8", "--out", "out"]
TWO_HOSTS = {"MPIR_CVAR_NOLOCAL": "1"}  # MPICH takes each process for a machine of its own, which reads its own data


@pytest.mark.slow
@needs_mpi
@pytest.mark.parametrize(("other", "named"), [((60, 1), "digest of the examples"), ((50, 0), "number of examples")])
def test_other_data_on_the_second_machine(other, named, images, tmp_path):
    here, there = images("here", 60), images("there", *other)
    done = several([1, *MNIST, "--data-dir", here], [1, *MNIST, "--data-dir", there], cwd=tmp_path, **TWO_HOSTS)
    one_line(done, f"the ranks differ in {named}: ", "put the same data on all machines")


@pytest.mark.slow
@needs_mpi
@pytest.mark.parametrize("rank", [0, 1])
def test_one_machine_without_the_data(rank, images, tmp_path):
    """It would train on `digits`, and the others on MNIST."""
    (tmp_path / "file").touch()  # where its cache should be, so that nothing is fetched from the network
    with_, without = {"SCRATCHNET_DATA": images("here", 60)}, {"SCRATCHNET_DATA": "", "SCRATCHNET_CACHE": "file/x"}
    commands = [[1, with_, *MNIST], [1, without, *MNIST]]
    done = several(*(commands if rank else commands[::-1]), cwd=tmp_path, timeout=PATIENCE, **TWO_HOSTS)
    one_line(done, "the ranks differ in data set: ", f"digits on rank {rank} (", f"mnist on rank {1 - rank} (")


@pytest.mark.slow
@needs_mpi
def test_one_machine_that_cannot_read_its_data(images, tmp_path):
    done = several([1, *MNIST, "--data-dir", images("here", 60)], [1, *MNIST, "--data-dir", "nowhere"], cwd=tmp_path,
                   **TWO_HOSTS)  # fmt: skip
    one_line(done, "error: rank 1 (", "--data-dir nowhere: no such folder")


@pytest.mark.slow
@needs_mpi
def test_a_mistake_on_one_command_line(tmp_path):
    done = several([2, *IRIS], [1, *IRIS, "--epochs", "many"], cwd=tmp_path)
    one_line(done, "error: rank 2 (", "--epochs")


@needs_mpi
@pytest.mark.parametrize(
    ("first", "second"),
    quick_first(
        [
            (IRIS, ["-c", "import time; time.sleep(3600)"]),  # hangs before MPI
            (["-c", "pass"], IRIS),  # ends before MPI
            (IRIS, ["-c", "import time; from mpi4py import MPI; time.sleep(3600)"]),  # hangs after
        ],
        1,
    ),
)
@pytest.mark.slow
def test_a_rank_that_never_comes(first, second, tmp_path):
    done = several([1, *first], [1, *second], cwd=tmp_path, timeout=PATIENCE, SCRATCHNET_TIMEOUT="1")
    one_line(done, "error: not all processes that mpiexec started have come within 1 s")


@pytest.mark.slow
@needs_mpi
def test_a_limit_that_is_no_number(tmp_path):
    done = mpiexec(2, *IRIS, cwd=tmp_path, SCRATCHNET_TIMEOUT="soon")
    one_line(done, "$SCRATCHNET_TIMEOUT must be a number of seconds above 0, not 'soon'")


WAITS = """
import os, sys, time
from scratchnet.runs.ranks import wait_until_read
os.write(1, b"x" * 1000)
wait_until_read(1, 60)
os.write(2, b"read")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="pipes of Unix")
@pytest.mark.slow
def test_what_was_written_is_read_before_the_end():
    p = subprocess.Popen([sys.executable, "-c", WAITS], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                         env={**os.environ, "PYTHONPATH": str(ROOT)})  # fmt: skip
    assert len(os.read(p.stdout.fileno(), 999)) == 999
    with pytest.raises(subprocess.TimeoutExpired):
        p.wait(1.5)
    os.read(p.stdout.fileno(), 1)
    assert p.stderr.read() == b"read" and p.wait() == 0
    p.stdout.close()
    p.stderr.close()
