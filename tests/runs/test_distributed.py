"""Data-parallel training: the same weights on any number of ranks, and clear ends."""

import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import time
from functools import cache

import numpy as np
import pytest

import scratchnet as sn
from tests.mpi.commands import ENVIRONMENT, MPIEXEC, mpiexec
from tests.places import MPI, PATIENCE
from tests.profiles import quick_first

pytest.importorskip("mpi4py", reason="mpi4py is not installed")
pytestmark = pytest.mark.skipif(MPIEXEC is None, reason="there is no mpiexec")


def same_weights(ranks, what, *wanted):
    done = mpiexec(ranks, MPI / "same_weights.py", what, *wanted, timeout=3600)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def check(rows):
    for row in rows:
        assert row["same bits"], f"{row['name']}: the ranks have drifted apart"
        assert row["moved"] > 1e-3, f"{row['name']}: nothing was learnt"
        assert row["step by step"] < 1e-12, row
        # rounding that the training itself multiplies is no worse than with another
        # order of the examples
        allowed = max(1e-12, 10 * row["control"]) if row["unstable"] else 1e-12
        assert row["difference"] < allowed and row["loss"] < allowed, row


QUICK = ["momentum, {0}", "clipped, {0}, BatchNorm1d", "adam, {1}", "nesterov, {1}, BatchNorm1d"]
QUICK = [name.format(sn.CrossEntropyLoss(), sn.MSELoss("sum")) for name in QUICK]


@pytest.mark.parametrize("ranks", quick_first([2, 1, 4], 1))
def test_any_number_of_ranks_gives_the_weights_of_one_process(ranks, thorough):
    rows = same_weights(ranks, "optimisers", *([] if thorough else QUICK))
    assert len(rows) == (48 if thorough else len(QUICK))
    check(rows)


@pytest.mark.slow
def test_three_ranks_give_the_weights_of_one_process_and_again_the_same_bits():
    rows = same_weights(3, "optimisers")
    assert len(rows) == 48
    check(rows)
    once_more = [row for row in rows if str(sn.CrossEntropyLoss()) in row["name"]]  # each optimiser, both networks
    assert len(once_more) == 12
    assert same_weights(3, "optimisers", *(row["name"] for row in once_more)) == once_more


SHORT = ["mnist, zero-to-gans", "mnist, cnn", "iris, default", "tweets, tutorial", "waveforms, classifier",
         "flights, default", "copy, LSTM"]  # fmt: skip


@pytest.mark.slow
def test_studies_as_they_are_on_three_ranks():
    rows = same_weights(3, "studies", *SHORT)
    assert [row["name"] for row in rows] == SHORT
    check(rows)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("ranks", [1, 2, 3, 4])
def test_all_studies_as_they_are(ranks):
    rows = same_weights(ranks, "studies")
    assert len(rows) == 27
    check(rows)


def test_without_mpiexec_it_says_so(tmp_path):
    environment = {k: v for k, v in ENVIRONMENT.items() if not k.startswith(("PMI", "OMPI", "MV2"))}
    done = subprocess.run(
        [sys.executable, "-m", "scratchnet.train", "digits", "--distributed"],
        capture_output=True, text=True, timeout=PATIENCE, cwd=tmp_path, env=environment,
    )  # fmt: skip
    assert done.returncode == 2 and "mpiexec -n 4" in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr


# ------------------------------------------------------------------- ends, and going on

FLIGHTS = [
    "flights",
    "--dtype",
    "float64",
    "--lr",
    "0.001",
    "--epochs",
    "150",
    "--batch-size",
    "30",
    "--threads",
    "1",
    "--no-plots",
]
TELL = """\
import os, pathlib, sys, time
from scratchnet.cli import guard
from scratchnet.runs.ranks import Ranks
from scratchnet.train import main
rank, holding, awaited = os.environ["PMI_RANK"], sys.argv.pop(1), pathlib.Path(sys.argv.pop(1))
pathlib.Path(f"pid-{rank}").write_text(str(os.getpid()))
agree = Ranks.agree
def hold(self, asked, stop):
    while rank == holding and awaited.exists() and not asked.number:
        time.sleep(0.005)
    agree(self, asked, stop)
Ranks.agree = hold
guard(main)
"""


def begin(ranks, folder, holding, args=FLIGHTS, checkpoint="checkpoints/step-20.safetensors"):
    """A training of several ranks in `folder`, which has done a few steps.

    A file has the pid of every rank. It goes no further than a step or two after the
    checkpoint, where the rank `holding` waits for a signal.
    """
    p = subprocess.Popen(
        [MPIEXEC, "-n", str(ranks), sys.executable, "-c", TELL, str(holding), f"out/{checkpoint}", *args,
         "--distributed", "--out", "out", "--checkpoint-every", "5"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT, cwd=folder,
    )  # fmt: skip
    while not (folder / "out" / checkpoint).exists():
        assert p.poll() is None, p.communicate()
        time.sleep(0.01)
    return p


def alone(folder, *args):
    environment = {k: v for k, v in ENVIRONMENT.items() if not k.startswith(("PMI", "OMPI", "MV2"))}
    return subprocess.run(
        [sys.executable, "-m", "scratchnet.train", *args],
        capture_output=True, text=True, timeout=PATIENCE, cwd=folder, env=environment,
    )  # fmt: skip


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("uninterrupted")
    done = alone(folder, *FLIGHTS, "--out", "out")
    assert done.returncode == 0, done.stderr
    return sn.load(folder / "out" / "model.safetensors")


def same_model(folder, net, tolerance=1e-12):
    """Whether every array is the same except for another order of sums, relative to its
    norm.

    How much that order matters depends on the BLAS kernels. (Those for Prescott leave
    1e-13 after 44 steps of cifar10.)
    """
    there = sn.load(folder / "out" / "model.safetensors").state_dict()
    return all(
        np.linalg.norm(value - there[name]) <= tolerance * np.linalg.norm(value)
        for name, value in net.state_dict().items()
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("whom", "number", "then"),
    [
        ("mpiexec", signal.SIGINT, 2),
        ("mpiexec", signal.SIGTERM, 1),
        ("rank 0", signal.SIGTERM, 4),
        ("rank 2", signal.SIGINT, 3),
    ],
)
def test_a_signal_stops_all_after_the_same_step_and_another_number_of_ranks_goes_on(
    whom, number, then, tmp_path, uninterrupted
):
    p = begin(3, tmp_path, 0 if whom == "mpiexec" else whom[-1])
    os.kill(p.pid if whom == "mpiexec" else int((tmp_path / f"pid-{whom[-1]}").read_text()), number)
    _, err = p.communicate(timeout=PATIENCE)
    assert p.returncode in (130, 143), (p.returncode, err)
    assert len(err.splitlines()) == 1 and err.startswith("stopped by SIG") and "--resume out" in err, err
    step = int(re.search(r"after step (\d)", err)[1])
    newest = max(int(path.stem[5:]) for path in (tmp_path / "out" / "checkpoints").glob("step-*"))
    assert newest % 4 == step % 4, "the checkpoint is of the step that the message names"
    if then == 1:
        done = alone(tmp_path, "flights", "--resume", "out", "--no-plots")
    else:
        done = mpiexec(
            then, "-m", "scratchnet.train", "flights", "--resume", "out", "--no-plots", "--distributed", cwd=tmp_path
        )
    assert done.returncode == 0 and done.stderr == "", done.stderr
    assert "resumed from" in done.stdout and ("ranks 3 then" in done.stdout) == (then != 3)
    assert same_model(tmp_path, uninterrupted)
    if then == 3:  # as before, so bit for bit
        (tmp_path / "whole").mkdir()
        whole = mpiexec(3, "-m", "scratchnet.train", *FLIGHTS, "--distributed", "--out", "out", cwd=tmp_path / "whole")
        assert whole.returncode == 0, whole.stderr
        assert same_model(tmp_path, sn.load(tmp_path / "whole" / "out" / "model.safetensors"), 0.0)


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 2])
def test_a_rank_that_is_killed_ends_all_and_the_last_checkpoint_is_good(rank, tmp_path, uninterrupted):
    p = begin(3, tmp_path, rank)
    pids = [int((tmp_path / f"pid-{r}").read_text()) for r in range(3)]
    os.kill(pids[rank], signal.SIGKILL)
    out, err = p.communicate(timeout=PATIENCE)
    assert p.returncode != 0 and ("Killed (signal 9)" in out + err or "Abort" in out + err), out + err
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            while True:  # until the system has let go of it
                os.kill(pid, 0)
                time.sleep(0.01)
    done = mpiexec(
        2, "-m", "scratchnet.train", "flights", "--resume", "out", "--no-plots", "--distributed", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert same_model(tmp_path, uninterrupted)


OTHERS = {  # a network with batch normalisation and random crops, one with dropout, and the second of two networks
    "iris": (["--epochs", "60", "--folds", "2"], "checkpoints/step-20.safetensors"),
    "cifar10": (["--batch-size", "18", "--epochs", "2"], "checkpoints/step-10.safetensors"),
    "copy": (["--layers", "GRU,LSTM", "--examples", "170", "--epochs", "6"], "checkpoints-2/step-10.safetensors"),
}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A folder with a CIFAR-10 of 200 + 20 pictures."""
    folder, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    (folder / "cifar-10").mkdir()
    for name, n in (("data_batch_1.bin", 200), ("test_batch.bin", 20)):
        records = rng.integers(0, 256, (n, 3073), np.uint8)
        records[:, 0] %= 10
        records.tofile(folder / "cifar-10" / name)
    return folder


@pytest.fixture(scope="module")
def other_models(tmp_path_factory):
    """other_models(*args): the model of an undisturbed run, which is made once."""

    @cache
    def made(*args):
        folder = tmp_path_factory.mktemp(args[0])
        whole = alone(folder, *args, "--out", "out")
        assert whole.returncode == 0, whole.stderr
        return sn.load(folder / "out" / "model.safetensors")

    return made


@pytest.mark.slow
@pytest.mark.parametrize("study", OTHERS)
@pytest.mark.parametrize(("number", "then"), [(signal.SIGKILL, 2), (signal.SIGTERM, 1)])
def test_other_studies_end_and_go_on_too(study, number, then, tmp_path, pictures, other_models):
    more, checkpoint = OTHERS[study]
    args = [study, "--dtype", "float64", "--threads", "1", "--no-plots", *more]
    if study == "cifar10":
        args += ["--data-dir", str(pictures)]
    p = begin(3, tmp_path, 1, args, checkpoint)
    os.kill(int((tmp_path / "pid-1").read_text()), number)
    out, err = p.communicate(timeout=PATIENCE)
    if number == signal.SIGKILL:
        assert p.returncode != 0 and "Killed (signal 9)" in out + err, out + err
    else:
        assert p.returncode == 143 and len(err.splitlines()) == 1 and "--resume out" in err, err
    more = [study, "--resume", "out", "--no-plots"]
    done = alone(tmp_path, *more) if then == 1 else mpiexec(
        then, "-m", "scratchnet.train", *more, "--distributed", cwd=tmp_path
    )  # fmt: skip
    assert done.returncode == 0 and done.stderr == "", done.stderr
    assert same_model(tmp_path, other_models(*args))


COUNTED = """
import os, pathlib, sys
import scratchnet.studies.cifar10 as study
from scratchnet.cli import guard
from scratchnet.train import main
load = study.load_cifar10
def counted(folder):
    pathlib.Path(f"read-by-{os.environ['PMI_RANK']}").touch()
    return load(folder)
study.load_cifar10 = counted
guard(main)
"""


@pytest.mark.slow
def test_data_are_read_once_per_host(tmp_path, pictures):
    args = ["cifar10", "--preset", "fcn", "--epochs", "1", "--no-plots", "--distributed", "--data-dir", str(pictures)]
    done = mpiexec(3, "-c", COUNTED, *args, "--out", "out", cwd=tmp_path)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    assert [path.name for path in tmp_path.glob("read-by-*")] == ["read-by-0"]


@pytest.mark.slow
def test_an_error_of_all_ranks_is_told_once(tmp_path):
    done = mpiexec(3, "-m", "scratchnet.train", "flights", "--distributed", "--resume", "nowhere", cwd=tmp_path)
    assert done.returncode == 2 and done.stderr.count("nowhere") == 1, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["iris", "--folds", "200"], "error: iris: 50 examples of setosa, too few for 200 folds"),
        (["flights", "--out", "file/x"], f"error: rank 0 ({platform.node()}): file/x/checkpoints: Not a directory"),
        (
            ["cifar10", "--data-dir", "nowhere"],
            f"error: rank 0 ({platform.node()}): --data-dir nowhere: no such folder",
        ),  # rank 0 alone reads
    ],
)
def test_a_mistake_that_is_found_when_all_run_is_one_line(args, message, tmp_path):
    (tmp_path / "file").touch()
    done = mpiexec(2, "-m", "scratchnet.train", *args, "--distributed", cwd=tmp_path)
    assert done.returncode == 2 and done.stderr.startswith(message), done.stderr
    assert len(done.stderr.splitlines()) == 1 and "BAD TERMINATION" not in done.stdout, done.stdout + done.stderr


@pytest.mark.slow
def test_a_loss_that_is_no_number_ends_all(tmp_path):
    args = ["flights", "--distributed", "--lr", "1e200", "--dtype", "float64", "--optimizer", "sgd", "--out", "out"]
    done = mpiexec(3, "-m", "scratchnet.train", *args, cwd=tmp_path)
    assert done.returncode == 3 and done.stderr.startswith("error: the loss became"), done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr


GIVEN_UP = """
import numpy as np, scratchnet as sn
from scratchnet.runs.ranks import Ranks
from scratchnet.runs.shared import shared
net = sn.Sequential(sn.Linear(3, 4), sn.BatchNorm1d(4), sn.Linear(4, 2))
before = {name: value.copy() for name, value in net.state_dict().items()}
x = np.ones((8, 3), np.float32)
x[7] = np.inf
with Ranks() as ranks, np.errstate(all="ignore"):
    try:
        steps = shared(ranks)(net, sn.CrossEntropyLoss(), sn.SGD(net, 0.1), x, np.zeros(8, int), 8)
        steps.begin(np.arange(8), np.zeros(1))
        steps.run(1)
    except sn.NonFiniteError:
        assert all((before[name] == value).all() for name, value in net.state_dict().items())
        print("as before")
"""


@pytest.mark.slow
def test_a_step_that_is_given_up_changes_nothing(tmp_path):
    done = mpiexec(2, "-c", GIVEN_UP, cwd=tmp_path)
    assert done.returncode == 0 and done.stdout.count("as before") == 2, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "args",
    [
        ("iris", "--epochs", "2", "--folds", "2"),
        ("tweets", "--preset", "tutorial", "--epochs", "1"),
        ("copy", "--epochs", "1", "--examples", "100"),
        ("waveforms", "--epochs", "1", "--echoes", "300", "--passes", "10"),
    ],
)
def test_other_studies_are_told_and_written_once(args, tmp_path):
    done = mpiexec(2, "-m", "scratchnet.train", *args, "--distributed", "--out", "out", "--no-plots", cwd=tmp_path)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    written = [line for line in done.stdout.splitlines() if line.startswith("written to out/")]
    assert len(written) == len(set(written)) and sum("metrics.json" in line for line in written) == 1
    assert (tmp_path / "out" / "model.safetensors").exists()


@pytest.mark.slow
@pytest.mark.parametrize("args", [("iris", "--search", "lr=0.1")])
def test_what_cannot_be_shared_says_so(args, tmp_path):
    done = mpiexec(2, "-m", "scratchnet.train", *args, "--distributed", "--out", "out", cwd=tmp_path)
    assert done.returncode == 2 and done.stderr.count("--distributed") == 1, done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr


@pytest.mark.slow
def test_folds_of_several_ranks_are_those_of_one_process(tmp_path):
    args = ["iris", "--epochs", "3", "--folds", "3", "--dtype", "float64", "--no-plots", "--out", "out"]
    (tmp_path / "alone").mkdir()
    done = mpiexec(2, "-m", "scratchnet.train", *args, "--distributed", cwd=tmp_path)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    assert done.stdout.count("fold 3/3") == 1, "they are told once"
    assert alone(tmp_path / "alone", *args).returncode == 0
    together, one = (json.loads((at / "out" / "metrics.json").read_text()) for at in (tmp_path, tmp_path / "alone"))
    assert together["ranks"] == 2 and together["cv_folds"] == one["cv_folds"]
    assert together["train_loss"] == pytest.approx(one["train_loss"], rel=1e-12)


@pytest.mark.slow
def test_an_interrupt_before_the_training_is_one_line(tmp_path):
    done = mpiexec(
        2, "-c", "from scratchnet.runs.ranks import Ranks\nwith Ranks(): raise KeyboardInterrupt", cwd=tmp_path
    )
    assert done.returncode == 130 and done.stderr == "stopped\n", done.stderr


@pytest.mark.slow
def test_a_bug_on_one_rank_ends_all_with_its_traceback(tmp_path):
    code = "from scratchnet.runs.ranks import Ranks\nwith Ranks() as r:\n  r.rank == 1 and 1 / 0\n  r.comm.Barrier()"
    done = mpiexec(3, "-c", code, cwd=tmp_path)
    assert (
        done.returncode != 0
        and f"error: rank 1 ({platform.node()}): Traceback" in done.stderr
        and "ZeroDivisionError" in done.stderr
    ), done.stderr


def test_without_mpi4py_it_says_so(tmp_path):
    (tmp_path / "mpi4py").mkdir()
    (tmp_path / "mpi4py" / "__init__.py").write_text("raise ImportError('No module named mpi4py')")
    done = subprocess.run(
        [sys.executable, "-m", "scratchnet.train", "flights", "--distributed"],
        capture_output=True, text=True, timeout=PATIENCE, cwd=tmp_path,
        env={**ENVIRONMENT, "PMI_RANK": "0", "PYTHONPATH": f"{tmp_path}{os.pathsep}{ENVIRONMENT['PYTHONPATH']}"},
    )  # fmt: skip
    assert done.returncode == 2 and "[mpi]'" in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr


# ------------------------------------------------------------------------- two machines


def why_no_namespaces():
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return "network namespaces need root"
    if not all(map(shutil.which, ("ip", "unshare", "awk", "hostname"))):
        return "ip (iproute2), unshare, awk or hostname is missing"
    made = subprocess.run(["ip", "netns", "add", f"sn-probe-{os.getpid()}"], capture_output=True)
    subprocess.run(["ip", "netns", "del", f"sn-probe-{os.getpid()}"], capture_output=True)
    return "this machine allows no network namespaces" if made.returncode else ""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="network namespaces are Linux's")
def test_data_are_read_once_on_each_of_two_machines(tmp_path, pictures):
    if why := why_no_namespaces():
        pytest.skip(why)
    done = subprocess.run(
        [MPI / "two_machines.sh", "4", sys.executable, "-c", COUNTED, "cifar10", "--preset",
         "fcn", "--epochs", "1", "--no-plots", "--distributed", "--data-dir", pictures, "--out", "out"],
        capture_output=True, text=True, timeout=PATIENCE, env={**ENVIRONMENT, "MPIEXEC": MPIEXEC}, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in tmp_path.glob("read-by-*")) == ["read-by-0", "read-by-2"]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="network namespaces are Linux's")
@pytest.mark.parametrize("ranks", [2, 4])
def test_two_machines(ranks, tmp_path, uninterrupted):
    if why := why_no_namespaces():
        pytest.skip(why)
    script = MPI / "two_machines.sh"
    done = subprocess.run(
        [script, str(ranks), sys.executable, "-m", "scratchnet.train", *FLIGHTS, "--distributed", "--out", "out"],
        capture_output=True, text=True, timeout=PATIENCE, env={**ENVIRONMENT, "MPIEXEC": MPIEXEC}, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert f"{ranks} ranks" in done.stdout
    crossed = int(re.fullmatch(r"bytes on the wire: (\d+)\n", done.stderr)[1])
    gradient = 8 * uninterrupted.store.message.size
    assert 600 * gradient < crossed - 600 * gradient, "in each of 600 steps it crosses once each way"
    assert same_model(tmp_path, uninterrupted)
