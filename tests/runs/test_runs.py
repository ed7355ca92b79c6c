"""A run of a study and its folder: other data, a second run, a full disk,
interruptions.
"""

import errno
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import scratchnet as sn
from scratchnet import CheckpointError, NonFiniteError, SettingError, train
from scratchnet.data.digits import load_digits
from scratchnet.errors import Interrupted, NotWrittenError
from scratchnet.files import atomic, tensorfile
from scratchnet.plots import style
from scratchnet.runs import checkpoints, run
from scratchnet.runs.checkpoint_file import training_of
from scratchnet.runs.checkpoints import Checkpoints, checkpoints_in, newest_checkpoint
from scratchnet.runs.identity import changed, digests
from scratchnet.runs.options import check_effect
from scratchnet.runs.stop import stop_on_signal
from scratchnet.studies import cifar10, least_squares, waveforms
from tests.commands.test_train import write_idx
from tests.places import PATIENCE, ROOT
from tests.profiles import quick_first


def digits_as_mnist(folder, images):
    """These images in MNIST's files, below `folder`."""
    folder = folder / "mnist"
    folder.mkdir(parents=True)
    names = "train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"
    for name, array in zip(names, images, strict=True):
        write_idx(folder / f"{name}-ubyte.gz", array)


@pytest.fixture(scope="module")
def few():
    return load_digits(seed=3, train=200, test=40)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


QUICK = ["--epochs", "1", "--no-plots", "--threads", "1"]
SMALL = ["mnist", *QUICK, "--hidden", "8", "--batch-size", "50"]


# --------------------------------------------------------------------------- other data


def test_digests():
    a = np.arange(6, dtype=np.int32).reshape(2, 3)
    same = digests(a=a, b=["x", "yz"])
    assert same == digests(a=np.asfortranarray(a), b=["x", "yz"]) == digests(a=a.astype(">i4"), b=("x", "yz"))
    for other in (a.reshape(3, 2), a.astype(np.int64), a + 1):
        assert changed(same, digests(a=other, b=["x", "yz"])) == ["a"]
    assert changed(same, digests(a=a, b=["xy", "z"])) == ["b"]
    assert changed(same, digests(a=a)) == ["b"] and changed(None, digests(train_labels=a)) == ["train labels"]


@pytest.mark.parametrize("part", range(4))
def test_other_images_or_labels_are_refused_on_resume(here, few, part):
    """One pixel, or one label: the number of examples stays."""
    digits_as_mnist(here / "a", few)
    assert train.main([*SMALL, "--data-dir", "a", "--out", "run"]) == 0
    arrays = [a.copy() for a in few]
    arrays[part].reshape(-1)[-1] ^= 1
    digits_as_mnist(here / "b", arrays)
    before = {path: path.read_bytes() for path in here.glob("run/**/*.*")}
    with pytest.raises(CheckpointError, match=f"other data .*: {few._fields[part].replace('_', ' ')}\\)"):
        train.main(["mnist", "--resume", "run", "--data-dir", "b", "--epochs", "2"])
    assert {path: path.read_bytes() for path in here.glob("run/**/*.*")} == before
    (here / "a").rename(here / "moved")  # the same data elsewhere are the same data
    assert train.main(["mnist", "--resume", "run", "--data-dir", "moved", "--epochs", "2"]) == 0


def test_an_edited_csv_is_refused_on_resume_before_the_cross_validation(here, capsys):
    pytest.importorskip("nltk")
    lines = ["author,text", *(f"{'ab'[k % 2]},ship number {k} of {'xy'[k % 2]}" for k in range(20))]
    (here / "own.csv").write_text("\n".join(lines))
    assert train.main(["tweets", *QUICK, "--csv", "own.csv", "--folds", "2", "--out", "run"]) == 0
    (here / "own.csv").write_text("\n".join(lines).replace("number 7", "number 8"))
    capsys.readouterr()
    with pytest.raises(CheckpointError, match=r"other data \(changed since then: tweets\)"):
        train.main(["tweets", "--resume", "run", "--epochs", "2"])
    assert capsys.readouterr().out == ""


def test_an_edited_table_is_refused_on_resume(here):
    lines = [f"{a} {a} {a} {a} {a} {a} {a + k} {k % 3 + 1}" for k, a in enumerate(np.linspace(1, 5, 30))]
    folder = here / "data" / "wheat-seeds"
    folder.mkdir(parents=True)
    (folder / "seeds_dataset.txt").write_text("\n".join(lines))
    study = ["wheat", "--data-dir", "data"]
    assert train.main([*study, *QUICK, "--folds", "2", "--out", "run"]) == 0
    (folder / "seeds_dataset.txt").write_text("\n".join([*lines[:-1], lines[-1][:-1] + "1"]))
    with pytest.raises(CheckpointError, match=r"other data \(changed since then: classes\)"):
        train.main([*study, "--resume", "run", "--epochs", "2"])


# ------------------------------------------------------------------------- a second run


def child(code, *args, **options):
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.Popen([sys.executable, "-c", code, *map(str, args)], env=environment, text=True,
                            **{"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, **options})  # fmt: skip


HOLD = """
import sys
from pathlib import Path
from scratchnet.errors import SettingError
from scratchnet.runs.lock import take
try:
    lock = take(Path(sys.argv[1]))
except SettingError as e:
    print(e, flush=True)
else:
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_run_in_the_same_folder_is_told_who_is_there(tmp_path, monkeypatch, few):
    holder = child(HOLD, tmp_path / "run")
    assert holder.stdout.readline() == "held\n"
    monkeypatch.setattr("scratchnet.data.digits.load_digits", lambda seed=0: few)
    again = ["digits", *QUICK, "--hidden", "8", "--out", str(tmp_path / "run")]
    try:
        with pytest.raises(SettingError, match=rf"process {holder.pid} on \S+ since \d.*--out") as refused:
            train.main(again)
        assert str(tmp_path / "run") in str(refused.value)
        assert os.listdir(tmp_path / "run") == ["checkpoints"]
    finally:
        holder.kill()
        holder.communicate()
    assert train.main(again) == 0  # what a dead process has left does no harm
    assert train.main([*again, "--seed", "1"]) == 0  # and the lock is given back, also after an error:
    with pytest.raises(NonFiniteError):
        train.main([*again, "--lr", "1e30", "--optimizer", "sgd", "--schedule", "constant", "--batch-size", "10"])
    assert train.main(again) == 0


def test_of_many_runs_that_begin_together_one_gets_the_folder(tmp_path):
    begun = [child(HOLD, tmp_path / "run") for _ in range(4)]
    said = [process.stdout.readline() for process in begun]
    for process in begun:
        process.communicate()
    assert said.count("held\n") == 1, said
    assert sum("another run is writing there" in line for line in said) == 3, said


# -------------------------------------------------------------------------- a full disk


@pytest.fixture
def full_disk(monkeypatch):
    """full_disk(place): from then on nothing can be written below that folder."""
    full, write = [], atomic.atomic_write

    def atomic_write(path, content):
        if any(Path(path).resolve().is_relative_to(Path(place).resolve()) for place in full):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        write(path, content)

    for module in (tensorfile, style, run):
        monkeypatch.setattr(module, "atomic_write", atomic_write)
    return full.append


@pytest.fixture
def whole(here, few, monkeypatch):
    """The weights of an undisturbed run of STUDY."""
    monkeypatch.setattr("scratchnet.data.digits.load_digits", lambda seed=0: few)
    assert train.main([*STUDY, "--no-plots", "--out", "whole"]) == 0
    return sn.load("whole/model.safetensors").state_dict()


STUDY = ["digits", "--epochs", "2", "--hidden", "8", "--threads", "1", "--checkpoint-every", "1"]


def assert_same(weights, path):
    found = sn.load(path).state_dict()
    assert list(found) == list(weights) and all((found[name] == weights[name]).all() for name in weights)


def weights_named(error):
    return re.search(r"weights are in (\S+?\.safetensors)", str(error))[1]


def test_a_disk_that_is_full_after_the_training(here, whole, full_disk, monkeypatch):
    """The plots cannot be written: the message names the checkpoint to go on from."""
    end = Checkpoints.end
    monkeypatch.setattr(Checkpoints, "end", lambda self: (end(self), full_disk("run"))[0])
    with pytest.raises(NotWrittenError, match=r"training\.png: No space left on device; the trained weights") as e:
        train.main([*STUDY, "--out", "run"])
    assert_same(whole, weights_named(e.value))
    monkeypatch.undo()
    monkeypatch.chdir(here)
    monkeypatch.setattr("scratchnet.data.digits.load_digits", lambda seed=0: load_digits(3, 200, 40))
    assert train.main(["digits", "--resume", "run", "--no-plots"]) == 0
    assert_same(whole, "run/model.safetensors")


def test_a_disk_that_is_full_before_the_last_checkpoint(here, whole, full_disk, monkeypatch, capsys):
    """It goes to the system's temporary folder."""
    (here / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(here / "tmp"))
    end = Checkpoints.end
    monkeypatch.setattr(Checkpoints, "end", lambda self: (full_disk("run"), end(self))[1])
    with pytest.raises(NotWrittenError, match="No space left") as e:
        train.main([*STUDY, "--no-plots", "--out", "run"])
    assert weights_named(e.value).startswith(str(here / "tmp"))
    assert_same(whole, weights_named(e.value))
    assert weights_named(capsys.readouterr().out) == weights_named(e.value)


def test_the_last_checkpoint_takes_the_room_of_older_ones(here, whole, monkeypatch):
    """A disk with room for no more than there is."""
    write, names = checkpoints.write_checkpoint, []

    def short(path, *args):
        if ending and len(checkpoints_in(path.parent)) > 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        names.append(path.name)
        write(path, *args)

    ending, end = [], Checkpoints.end
    monkeypatch.setattr(checkpoints, "write_checkpoint", short)
    monkeypatch.setattr(Checkpoints, "end", lambda self: (ending.append(1), end(self))[1])
    assert train.main([*STUDY, "--no-plots", "--out", "run"]) == 0
    assert_same(whole, f"run/checkpoints/{names[-1]}")


# ------------------------------------------------------------------- an end by the user

SLOW = """
import sys
from scratchnet.data import digits
whole = digits.load_digits
digits.load_digits = lambda seed=0: whole(seed, train=200, test=40)
from scratchnet.engine import steps
import time
step = steps.step
steps.step = lambda *args: (time.sleep(0.01), step(*args))[1]
from scratchnet import train
from scratchnet.cli import guard
guard(train.main)
"""


def until_it_trains(process, folder):
    while not checkpoints_in(folder / "run" / "checkpoints"):
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)


LONG = ["digits", "--epochs", "2000", "--hidden", "8", "--threads", "1", "--no-plots", "--out", "run"]


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="there are no pseudo-terminals here")
@pytest.mark.slow
def test_a_closed_terminal_leaves_a_checkpoint_to_go_on_from(tmp_path):
    """SIGHUP, and a terminal that can be written to no more."""
    import pty

    code = SLOW.replace("import sys\n", "import sys, fcntl, termios\nfcntl.ioctl(0, termios.TIOCSCTTY, 0)\n", 1)
    ours, its = pty.openpty()
    process = child(code, *LONG, cwd=tmp_path, stdin=its, stdout=its, stderr=its, start_new_session=True)
    os.close(its)
    until_it_trains(process, tmp_path)
    os.close(ours)
    assert process.wait(PATIENCE) == 128 + signal.SIGHUP
    with newest_checkpoint(tmp_path / "run" / "checkpoints") as file:
        assert training_of(file)["steps"] > 0


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="there is no SIGHUP here")
@pytest.mark.parametrize("method", quick_first(["step", "epoch"], 1))
def test_a_terminal_that_fails_before_its_signal_comes_costs_no_step(here, monkeypatch, method):
    """Writing fails a moment before SIGHUP is noted: that counts as the signal."""
    from scratchnet.runs import run as module

    def fails(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(module.ProgressLines, method, fails)
    with pytest.raises(Interrupted) as e:
        train.main([*STUDY, "--out", "run"])
    assert e.value.exit_code == 128 + signal.SIGHUP
    with newest_checkpoint(here / "run" / "checkpoints") as file:
        assert training_of(file)["steps"] > 0


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="there is no SIGHUP here")
def test_under_nohup_the_training_goes_on(monkeypatch):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_on_signal() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert stop.number == 0 and signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_ctrl_c_while_drawing_says_where_the_weights_are(here, whole, monkeypatch):
    def stopped(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("scratchnet.studies.mnist.draw", stopped)
    with pytest.raises(Interrupted, match="after the training: the trained weights are in") as e:
        train.main([*STUDY, "--out", "run"])
    assert e.value.exit_code == 130
    assert_same(whole, weights_named(e.value))


SWALLOWS = """
print("importing", flush=True)
import time
try:
    time.sleep(3600)
except BaseException:
    pass
raise ImportError("as if it were not there")
"""


def test_ctrl_c_during_imports_is_one_word(tmp_path):
    (tmp_path / "slow_study.py").write_text(SWALLOWS)
    process = child(
        "import scratchnet.studies, sys\n"
        "scratchnet.studies.__path__.append(sys.argv.pop())\n"
        "from scratchnet.studies.catalogue import STUDIES\n"
        "STUDIES['slow'] = ('slow_study', '')\n"
        "from scratchnet import cli, train\n"
        "cli.guard(train.main)\n",
        "slow", tmp_path, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout.readline() == "importing\n"
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=PATIENCE) == ("", "stopped\n")
    assert process.returncode == 130


# -------------------------------------------------------------------- where output goes


@pytest.mark.slow
def test_a_reader_that_leaves_ends_a_training_quietly(tmp_path):
    """As `| head -1` does."""
    process = child(SLOW, *LONG, cwd=tmp_path, stderr=subprocess.PIPE)
    assert process.stdout.readline().startswith("layer")
    process.stdout.close()
    assert process.wait(PATIENCE) == 141 and process.stderr.read() == ""


@pytest.mark.slow
def test_a_reader_that_leaves_ends_the_proof_quietly(tmp_path):
    pytest.importorskip("torch", reason="PyTorch is what networks are compared with")
    code = "from parity.__main__ import main\nfrom scratchnet.cli import guard\nguard(main)\n"
    process = child(code, "--network", "parity/narrow", "--steps", "2", cwd=tmp_path, stderr=subprocess.PIPE)
    assert process.stdout.readline().startswith("comparing parity/narrow")  # not silent until the end
    process.stdout.close()
    assert process.wait(PATIENCE) == 141 and process.stderr.read() == ""


BRIEF = ["mnist", "--epochs", "1", "--hidden", "8", "--no-plots", "--threads", "1", "--out", "run"]
OFFLINE = SLOW.replace("from scratchnet import train\n", """
from scratchnet import train
from scratchnet.data.fetch import NotAvailable
from scratchnet.studies import mnist_images
def load_mnist(*args):
    raise NotAvailable("mnist: there is no network")
mnist_images.load_mnist = load_mnist
""")  # fmt: skip


@pytest.mark.slow
def test_a_closed_output_and_an_output_without_unicode(tmp_path, monkeypatch):
    code = f"import os\nos.close(1)\nimport sys\nsys.stdout = None\n{OFFLINE}"
    closed = child(code, *BRIEF, cwd=tmp_path, stderr=subprocess.PIPE)
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    plain = child(OFFLINE, *BRIEF[:-1], "plain", cwd=tmp_path, stderr=subprocess.PIPE)
    assert closed.communicate(timeout=PATIENCE) == ("", "") and closed.returncode == 0
    out, err = plain.communicate(timeout=PATIENCE)
    assert (err, plain.returncode) == ("", 0)
    assert "+----" in out and "This is NOT MNIST" in out and "?" not in out
    assert {path.name for path in tmp_path.glob("*/model.safetensors")} == {"model.safetensors"}


def test_what_an_encoding_lacks_is_written_otherwise():
    guarded = "from scratchnet.cli import guard\nguard(lambda args: print('┌─┐ é → “µ” \\u4e16 \\udc80'))"
    for encoding, wanted in (("ascii", '+-+ e -> "u" ? ?\n'), ("utf-8", "┌─┐ é → “µ” 世 ?\n")):
        environment = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONPATH": str(ROOT)}
        done = subprocess.run([sys.executable, "-c", guarded], env=environment, capture_output=True)
        assert (done.stdout.decode(), done.stderr, done.returncode) == (wanted, b"", 0)


# ------------------------------------------------------------------- Ctrl-C in `sn.fit`


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_a_stopped_fit_gives_its_history_and_can_be_continued(error):
    x = np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32)
    t = np.random.default_rng(1).integers(0, 3, 50)

    def begin():
        net = sn.Sequential(sn.Linear(6, 8), sn.Tanh(), sn.Linear(8, 3), seed=0)
        return net, sn.CrossEntropyLoss(), sn.Adam(net, 0.01), x, t

    def stop(epoch, k, steps, loss):
        if (epoch, k) == (2, 1):
            raise error

    wanted, stopped = begin(), begin()
    whole = sn.fit(*wanted, epochs=4, batch_size=16)
    with pytest.raises(error) as e:
        sn.fit(*stopped, epochs=4, batch_size=16, on_step=stop)
    history = e.value.history
    assert [row["epoch"] for row in history.epochs] == [1, 2] and history.step_losses == whole.step_losses[:10]
    again = sn.fit(*stopped, epochs=4, batch_size=16, history=history)
    assert again.step_losses == whole.step_losses and (stopped[0](x) == wanted[0](x)).all()


def test_the_last_epoch_of_a_history_without_epochs():
    with pytest.raises(SettingError, match="no epoch yet"):
        assert sn.History().last


# ------------------------------------------------------------------------------ options


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["iris", "--data-dir", "nowhere"], "--data-dir has no effect on iris"),
        (["digits", "--data-dir", "nowhere"], "--data-dir has no effect on digits"),
        (["flights", "--data-dir", "nowhere"], "--data-dir has no effect on flights"),
        (["cifar10", "--epochs", "2", "--images", "2000"], "--images has no effect with --epochs 2"),
        (["cifar10", "--preset", "cnn", "--images", "2000"], "--images has no effect with --epochs 20"),
        (["mnist", "--preset", "zero-to-gans", "--lr", "0.1"], "--lr has no effect with --schedule '0.5 for 5"),
        (["mnist", "--momentum", "0.5"], "--momentum has no effect with --optimizer adam"),
        (["mnist", "--preset", "cnn", "--dropout", "0.5"], "--dropout has no effect with --preset cnn"),
        (["digits", "--offline-ok", "no"], "--offline-ok has no effect on digits"),
        (["tweets", "--preset", "tutorial", "--folds", "3"], "--folds has no effect with --preset tutorial"),
        (["iris", "--threads", "²"], "--threads must be"),
        (["iris", "--threads", "1" + 30 * "0"], "--threads must be"),
        (["iris", "--hidden", "²"], "--hidden must be"),
        (["iris", "--hidden", "1" + 30 * "0"], "--hidden must be"),
        (["iris", "--seed", "1" + 32 * "0"], "--seed must be"),
        (["iris", "--epochs", "1" + 30 * "0"], "--epochs must be"),
        (["iris", "--folds", "1" + 30 * "0"], "--folds must be"),
        (["iris", "--schedule", "decay:-1", "--epochs", "2"], "schedule 'decay:-1'"),
        (["iris", "--schedule", "-1 for 3"], "schedule '-1 for 3'"),
        (["iris", "--schedule", "exponential:nan"], "schedule 'exponential:nan'"),
        (["iris", "--schedule", "exponential:1e300", "--epochs", "9"], "beyond all numbers"),
    ],
)
def test_options_that_cannot_be_or_have_no_effect(here, args, words):
    with pytest.raises(SettingError, match=re.escape(words)):
        train.main(args)
    assert not list(here.iterdir())


def test_a_run_with_few_images_of_cifar_can_be_resumed(here):
    """It has both epochs and images in its checkpoint."""
    options = replace(cifar10.PRESETS["default"], images=2000, epochs=2)
    check_effect("cifar10", options, options)


def test_too_little_memory_is_one_line():
    code = "from scratchnet.cli import guard\nimport numpy as np\nguard(lambda args: np.empty(1 << 60, np.uint8))"
    process = child(code, stderr=subprocess.PIPE)
    out, err = process.communicate(timeout=PATIENCE)
    assert (out, process.returncode) == ("", 2)
    assert err.startswith("error: there is not enough memory") and err.count("\n") == 1


# ---------------------------------------------------------------------------- compiling

COMPILES = SLOW.replace("from scratchnet import train\n", """
from scratchnet import train
from scratchnet.engine.kernels import choosing
choosing.worth_compiling = lambda *args: True
""")  # fmt: skip


@pytest.mark.slow
def test_compiling_is_told_once(tmp_path, monkeypatch):
    pytest.importorskip("numba")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
    said = []
    for _ in range(2):  # the second one finds what the first has compiled
        process = child(COMPILES, "digits", "--preset", "book", "--epochs", "2", "--hidden", "5", "--threads", "1",
                        "--no-plots", "--out", "run", cwd=tmp_path, stderr=subprocess.PIPE)  # fmt: skip
        out, err = process.communicate(timeout=PATIENCE)
        assert (process.returncode, err) == (0, "")
        said.append(out.count("compiling (once)"))
    assert said == [1, 0]


def test_the_clock_of_a_training_stands_still_while_numba_compiles(monkeypatch):
    """A compiler that takes an hour, by the clock that it looks at."""
    event = pytest.importorskip("numba.core.event")
    from scratchnet.engine import compiling
    from scratchnet.engine.kernels import step  # noqa: F401, the latter watches

    now, told = [compiling.time.perf_counter()], []
    monkeypatch.setattr(compiling, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    monkeypatch.setattr(compiling, "_spent", compiling._spent)  # what it is now comes back after the test
    before = compiling.clock()
    with compiling.told(lambda: told.append(1)):
        for _ in range(2):
            with event.trigger_event("numba:compile"), event.trigger_event("numba:compile"):  # one needs another
                now[0] += 3600
            now[0] += 1
    assert told == [1] and abs(compiling.clock() - before - 2) < 1e-6


# ------------------------------------------------------------- what is said of a result


@pytest.mark.parametrize("dropout", [0.5, 0.0])
def test_a_training_loss_above_the_validation_loss_is_explained(here, few, capsys, monkeypatch, dropout):
    monkeypatch.setattr("scratchnet.data.digits.load_digits", lambda seed=0: few)
    assert train.main(["digits", "--no-plots", "--epochs", "3", "--hidden", "32", "--batch-size", "10",
                       "--threads", "1", "--dropout", str(dropout)]) == 0  # fmt: skip
    assert ("because it is taken during the epoch and with dropout" in capsys.readouterr().out) == (dropout > 0)


def test_the_times_of_the_ways_to_tell_wave_heights_are_medians_of_rounds_in_turn(monkeypatch):
    """If the machine is busy for one method in four of nine rounds, nothing changes."""
    o = replace(waveforms.PRESETS["default"], hidden="4")
    echoes, turns = waveforms.sea(waveforms.stream(o, 5), 18), []

    def timed(way, part):
        way(part)
        turns.append(way)
        round, k = divmod(len(turns) - 1, 4)
        return (k + 1.0) * (1000 if round % 2 and k == 2 else 1)

    monkeypatch.setattr(least_squares, "timed", timed)
    ways = least_squares.judge(partial(waveforms.heights_of, waveforms.height_network(o)), echoes)
    assert [way.seconds for way in ways] == [1, 2, 3, 4] and len(turns) == 36 and turns[:4] * 9 == turns
    assert all(way.swh.shape == (18,) for way in ways) and np.isfinite(ways[0].swh).all()
    fitted = [least_squares.fit_model(power, False)[0] for power in echoes.power]
    assert np.array_equal(ways[2].swh, fitted, equal_nan=True)
