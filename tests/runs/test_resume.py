"""Training that is interrupted, is killed or cannot write goes on to the same end.

It is bit-identical to that of an undisturbed training.
"""

import contextlib
import csv
import errno
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import scratchnet as sn
from scratchnet import CheckpointError, SettingError, train
from scratchnet.engine import layers
from scratchnet.engine.layers.base import Layer
from scratchnet.errors import Interrupted
from scratchnet.files import atomic as files
from scratchnet.files.atomic import SUFFIX
from scratchnet.runs.checkpoint_file import differences, environment, read_checkpoint
from scratchnet.runs.checkpoints import BEST, Checkpoints, checkpoints_in, newest_checkpoint
from scratchnet.runs.stop import Stop, stop_on_signal
from tests.places import PATIENCE
from tests.profiles import quick_first

X = np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32)
T = np.random.default_rng(1).integers(0, 3, 50)

OPTIMISERS = {
    "sgd": lambda net: sn.SGD(net, 0.1),
    "decay": lambda net: sn.SGD(net, 0.1, weight_decay=0.01),
    "momentum": lambda net: sn.SGD(net, 0.1, momentum=0.9),
    "nesterov": lambda net: sn.SGD(net, 0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    "clipped": lambda net: sn.SGD(net, 0.1, momentum=0.5, clip_norm=0.5),
    "adam": lambda net: sn.Adam(net, 0.01),
    "adam, decay": lambda net: sn.Adam(net, 0.01, weight_decay=0.01, clip_norm=1.0),
    "adamw": lambda net: sn.AdamW(net, 0.01),
}
SCHEDULES = {
    "none": None,
    "list": sn.PerEpoch(((0.1, 1), (0.02, 1))),
    "exponential": sn.Exponential(0.1, 0.9),
    "decay": sn.Decay(0.1, 0.1),
    "cosine": sn.Cosine(0.1, 4),
    "one cycle": sn.OneCycle(0.1, 4),
}
LAYERS = {
    "plain": lambda: [sn.Linear(6, 8), sn.Tanh(), sn.Linear(8, 3)],
    "dropout": lambda: [sn.Linear(6, 8), sn.ReLU(), sn.Dropout(0.4), sn.Linear(8, 5), sn.Dropout(0.2), sn.Linear(5, 3)],
}
with contextlib.suppress(ImportError):
    from scratchnet.engine.layers import BatchNorm1d

    LAYERS["batch norm"] = lambda: [sn.Linear(6, 8), BatchNorm1d(8), sn.ReLU(), sn.Dropout(0.3), sn.Linear(8, 3)]


def training(folder, layers, optimiser, schedule, dtype="float32", stop_at=None, resume=False, epochs=4, every=5):
    """A small training with checkpoints, which a signal ends after step `stop_at`.

    Returns (network, optimiser, history).
    """
    net = sn.Sequential(*LAYERS[layers](), seed=5, dtype=dtype)
    rule = OPTIMISERS[optimiser](net)
    history = sn.History()
    if resume:
        with newest_checkpoint(folder) as file:
            history = read_checkpoint(file, net, rule)
    stop = Stop()
    checkpoints = Checkpoints(folder, net, rule, {"environment": {}}, stop=stop, every=every, say=pytest.fail)
    checkpoints.begin(history)

    def on_step(epoch, k, steps, value):
        if rule.steps == stop_at:
            stop.number = signal.SIGTERM
        checkpoints.on_step(epoch, k, steps, value)

    sn.fit(net, sn.CrossEntropyLoss(), rule, X.astype(dtype), T, epochs=epochs, batch_size=16, valid=(X[:10], T[:10]),
           schedule=SCHEDULES[schedule], seed=2, threads=1, on_step=on_step, on_epoch=checkpoints.on_epoch,
           history=history)  # fmt: skip
    checkpoints.end()
    return net, rule, history


def bits(net, rule, history):
    """All that a training leaves, as bytes; not the seconds."""
    rows = [{name: value for name, value in row.items() if name != "seconds"} for row in history.rows]
    arrays = [*net.state_dict().values(), *rule.state().values()]
    return [a.tobytes() for a in arrays], rule.steps, rule.lr, rows, history.step_losses


@pytest.mark.parametrize("layers", LAYERS)
@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_resumed_is_bit_identical(tmp_path, optimiser, layers, thorough):
    """Every optimiser with every schedule, interrupted one to five times.

    At the ends of epochs, in the middle of one, twice in a row.
    """
    rng = random.Random(f"{optimiser} {layers}")
    for schedule in SCHEDULES if thorough else rng.sample(list(SCHEDULES), 1):
        dtype = rng.choice(["float32", "float64"])
        args = (layers, optimiser, schedule, dtype)
        wanted = bits(*training(tmp_path / "whole", *args))
        for times in (1, 5):
            folder = tmp_path / f"{schedule}-{times}"
            for n, stop_at in enumerate(sorted(rng.sample(range(1, 17), times))):
                with pytest.raises(Interrupted, match="stopped by SIGTERM") as stopped:
                    training(folder, *args, stop_at=stop_at, resume=n > 0)
                assert stopped.value.exit_code == 143
            assert bits(*training(folder, *args, resume=True)) == wanted


def test_interrupted_after_every_single_step(tmp_path):
    args = ("dropout", "adam", "cosine")
    wanted = bits(*training(tmp_path / "whole", *args))
    for step in range(1, 17):
        with pytest.raises(Interrupted):
            training(tmp_path / "cut", *args, stop_at=step, resume=step > 1)
    assert bits(*training(tmp_path / "cut", *args, resume=True)) == wanted


def test_more_epochs(tmp_path):
    args = ("dropout", "momentum", "exponential")
    wanted = bits(*training(tmp_path / "whole", *args, epochs=6))
    training(tmp_path / "more", *args, epochs=4)
    assert bits(*training(tmp_path / "more", *args, epochs=6, resume=True)) == wanted


def test_the_last_two_and_the_best_are_kept(tmp_path):
    net, _, history = training(tmp_path, "plain", "adam", "none", every=3)
    assert [path.name for path in checkpoints_in(tmp_path)] == ["step-15.safetensors", "step-16.safetensors"]
    assert sorted(os.listdir(tmp_path)) == [BEST, "step-15.safetensors", "step-16.safetensors"]
    best = max(history.epochs, key=lambda row: row["valid_accuracy"])  # the first of equals
    again, _, short = training(tmp_path / "best", "plain", "adam", "none", epochs=int(best["epoch"]))
    assert np.array_equal(sn.load(tmp_path / BEST)(X), again(X))
    # a checkpoint is a model file too
    assert np.array_equal(sn.load(tmp_path / "step-16.safetensors")(X), net(X))
    assert short.last["valid_accuracy"] == best["valid_accuracy"]


def test_a_damaged_checkpoint_is_passed_over(tmp_path):
    wanted = bits(*training(tmp_path / "whole", "plain", "adam", "none"))
    folder = tmp_path / "cut"
    with pytest.raises(Interrupted):
        training(folder, "plain", "adam", "none", stop_at=9)
    newest = checkpoints_in(folder)[-1]
    content = bytearray(newest.read_bytes())
    content[-5] ^= 1
    newest.write_bytes(content)
    assert bits(*training(folder, "plain", "adam", "none", resume=True)) == wanted
    for path in checkpoints_in(folder):
        path.write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"step-16.safetensors: cut short"):
        newest_checkpoint(folder)


@pytest.mark.parametrize(
    ("layers", "optimiser", "reason"),
    [
        ("dropout", "adam", "unexpected '2.weight', '2.bias'"),
        ("plain", "momentum", "optimiser"),
        ("plain", "adam, decay", "optimiser"),
        ("plain", "adamw", "optimiser"),
    ],
)
def test_another_network_or_optimiser(tmp_path, layers, optimiser, reason):
    training(tmp_path, "plain", "adam", "none", epochs=1)
    with pytest.raises(CheckpointError, match=reason):
        training(tmp_path, layers, optimiser, "none", resume=True)


def test_a_model_is_no_checkpoint(tmp_path):
    net = sn.Sequential(*LAYERS["plain"]())
    net.save(tmp_path / "step-3.safetensors")
    with newest_checkpoint(tmp_path) as file, pytest.raises(CheckpointError, match="not a checkpoint of a training"):
        read_checkpoint(file, net, sn.SGD(net, 0.1))


def test_differences_of_the_environment_are_told():
    now = environment(2, "cpu")
    assert differences(now, now) == ""
    assert {"threads", "steps", "numpy", "numba", "BLAS", "device", "ranks"} == set(now) and "openblas" in now["BLAS"]
    text = differences({**now, "numpy": "1.0", "threads": "1"}, now)
    assert text == f"threads 1 then, 2 now; numpy 1.0 then, {np.__version__} now"
    assert differences(None, now).startswith("device None then, cpu now")


# --------------------------------------------------------------- what cannot be written


@pytest.mark.parametrize("name", quick_first(["open", "write", "fsync", "replace"], 1))
def test_training_goes_on_when_checkpoints_fail(tmp_path, monkeypatch, name):
    """Every call number n of one kind fails.

    The training warns and goes on to the same end, and whatever is there can be loaded.
    """
    wanted = bits(*training(tmp_path / "whole", "plain", "adam", "none"))
    real = getattr(os, name)
    for n in range(1, 12):
        folder, said, count = tmp_path / f"{name}{n}", [], [0]

        def failing(*args, n=n, count=count, **kwargs):
            count[0] += 1
            if count[0] == 1 if n == 1 else count[0] % n == 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return real(*args, **kwargs)

        with monkeypatch.context() as patch:
            patch.setattr(files.os, name, failing)
            patch.setattr(pytest, "fail", said.append)
            patch.setattr(tempfile, "tempdir", str(tmp_path))
            result = training(folder, "plain", "adam", "none")
        assert bits(*result) == wanted
        assert said and all("No space left on device" in text for text in said)
        assert all("training goes on" in text for text in said[:-1])  # the last may be about the last checkpoint
        assert not list(folder.glob(f".*{SUFFIX}"))
        for path in folder.iterdir():
            sn.load(path)
        if checkpoints_in(folder):
            assert bits(*training(folder, "plain", "adam", "none", resume=True)) == wanted


def test_an_interrupt_that_cannot_be_kept_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(files.os, "fsync", lambda file: (_ for _ in ()).throw(OSError(errno.EIO, "Input/output error")))
    monkeypatch.setattr(pytest, "fail", lambda text: None)
    with pytest.raises(Interrupted, match="this point could not be kept"):
        training(tmp_path, "plain", "adam", "none", stop_at=3)


# ------------------------------------------------------------------------------ signals


def test_the_first_signal_is_noted_and_handlers_come_back():
    before = signal.getsignal(signal.SIGTERM)
    with stop_on_signal() as stop:
        assert stop.number == 0
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.number == signal.SIGTERM
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL == signal.getsignal(signal.SIGINT)
    assert signal.getsignal(signal.SIGTERM) == before


def test_outside_the_main_thread_signals_are_left_alone():
    seen = []

    def work():
        with stop_on_signal() as stop:
            seen.append(stop.number)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [0]


# -------------------------------------------------------------------------- the command

STUDY = [
    "digits", "--epochs", "3", "--hidden", "16", "--batch-size", "50", "--checkpoint-every", "3", "--threads", "1",
    "--no-plots",
]  # fmt: skip

# the study on fewer images than it draws by itself: 600 instead of 10,000
CHILD = """
import sys
from scratchnet.data import digits
whole = digits.load_digits
digits.load_digits = lambda seed=0: whole(seed, train=600, test=60)
from scratchnet import train
from scratchnet.cli import guard
import os, signal, time
from pathlib import Path
from scratchnet.engine import steps
from scratchnet.files import atomic
step, replace, saves = steps.step, os.replace, []
def wait_for_a_signal(*args):  # which is noted, and then the handlers are the default ones
    while signal.getsignal(signal.SIGINT) is not signal.SIG_DFL:
        time.sleep(0.005)
    Path("noted").touch()
    return step(*args)
def hold(here, there):  # save number `held` of a checkpoint never ends
    saves.append(there) if "checkpoints" in str(there) else None
    if len(saves) == held:
        Path("held").touch()
        time.sleep(3600)
    return replace(here, there)
if "--slow" in sys.argv:  # a step lasts long enough to be hit
    sys.argv.remove("--slow")
    steps.step = lambda *args: (time.sleep(0.02), step(*args))[1]
if "--until-signal" in sys.argv:
    sys.argv.remove("--until-signal")
    steps.step = wait_for_a_signal
if "--never-end" in sys.argv:  # nor does the step after the signal
    sys.argv.remove("--never-end")
    steps.step = lambda *args: (wait_for_a_signal(*args), time.sleep(3600))
if "--hold-save" in sys.argv:
    held = int(sys.argv.pop(sys.argv.index("--hold-save") + 1))
    sys.argv.remove("--hold-save")
    atomic.os.replace = hold
guard(train.main)
"""


def command(folder, *args):
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": os.getcwd()}
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, *map(str, args)], cwd=folder, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def finish(process):
    out, err = process.communicate(timeout=PATIENCE)
    return process.returncode, out, err


def outcome(folder):
    """What a finished run leaves, without the times."""
    with open(folder / "history.csv") as file:
        rows = [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]
    metrics = json.loads((folder / "metrics.json").read_text())
    metrics = {k: v for k, v in metrics.items() if k not in ("train_seconds", "examples_per_second")}
    with newest_checkpoint(folder / "checkpoints") as file:
        arrays = {name: file.read(name).tobytes() for name in file.entries}
    model = sn.load(folder / "model.safetensors")
    return rows, metrics, arrays, {name: a.tobytes() for name, a in model.state_dict().items()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An uninterrupted run."""
    folder = tmp_path_factory.mktemp("whole")
    code, _, err = finish(command(folder, *STUDY, "--out", "run"))
    assert code == 0, err
    return outcome(folder / "run")


def wait_for_training(process, folder):
    """Until the first checkpoint is there."""
    while not checkpoints_in(folder / "run" / "checkpoints"):
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)


def wait_for_file(process, path):
    """Whether the file appears before the process ends."""
    while not path.exists():
        if process.poll() is not None:
            return False
        time.sleep(0.005)
    return True


@pytest.mark.parametrize(("number", "code"), quick_first([(signal.SIGTERM, 143), (signal.SIGINT, 130)], 1))
@pytest.mark.slow
def test_a_signal_ends_the_command_in_order(tmp_path, whole, number, code):
    process = command(tmp_path, *STUDY, "--out", "run", "--until-signal")
    wait_for_training(process, tmp_path)
    process.send_signal(number)
    returned, out, err = finish(process)
    assert returned == code, (out, err)
    assert len(err.splitlines()) == 1 and err.startswith(f"stopped by {signal.Signals(number).name} in epoch"), err
    assert "go on with --resume run" in err
    assert os.listdir(tmp_path / "run") == ["checkpoints"]
    returned, out, err = finish(command(tmp_path, "digits", "--resume", "run"))
    assert returned == 0 and "resumed from run/checkpoints/step-" in out and "warning" not in out, (out, err)
    assert outcome(tmp_path / "run") == whole


@pytest.mark.slow
def test_a_second_signal_ends_at_once(tmp_path):
    process = command(tmp_path, *STUDY, "--out", "run", "--never-end")
    wait_for_training(process, tmp_path)
    process.send_signal(signal.SIGINT)
    wait_for_file(process, tmp_path / "noted")  # and the batch is never finished
    process.send_signal(signal.SIGINT)
    finish(process)
    assert process.returncode == -signal.SIGINT  # 130 in a shell


def kill_at_random_points(folder, whole, points, seed):
    """Kill −9 a run again and again, and resume it each time; every end is the same.

    This ends after `points` kills. Every third kill falls into a save, which is held up
    for it; the others come at any moment.
    """
    rng, kills, runs, in_save = random.Random(seed), 0, 0, 0
    while kills < points:
        run = folder / f"run{runs}"
        while True:
            begun = bool(checkpoints_in(run / "checkpoints"))
            before, left = states(run), {*run.glob(f"checkpoints/.*{SUFFIX}")}
            (folder / "held").unlink(missing_ok=True)
            hit_save = kills < points and kills % 3 == 1
            how = ["--hold-save", rng.randint(1, 3)] if hit_save else ["--slow"]
            process = command(folder, *(["digits", "--resume", run] if begun else [*STUDY, "--out", run]), *how)
            if hit_save:
                wait_for_file(process, folder / "held")
            elif kills < points:
                while process.poll() is None and rng.random() < 0.97:  # one in ten is hit before it trains at all
                    if states(run) != before:
                        break
                    time.sleep(0.02)
                time.sleep(rng.uniform(0, 0.8))
            if kills < points and process.poll() is None:
                process.kill()
                process.communicate()
                kills += 1
                in_save += bool({*run.glob(f"checkpoints/.*{SUFFIX}")} - left)
                for path in run.glob("**/*.safetensors"):
                    sn.load(path)  # none is ever unreadable
                continue
            code, out, err = finish(process)
            assert code == 0, (out, err)
            break
        assert outcome(run) == whole, f"run {runs}"
        assert not list(run.glob(f"**/.*{SUFFIX}"))
        runs += 1
        print(f"{runs} runs ended as the whole one, {kills} kills so far, {in_save} of them during a save")
    assert kills == points and in_save >= points // 3


def states(run):
    """The checkpoints of a run, and when each was written; one may go while we look."""
    found = {}
    for path in run.glob("checkpoints/*"):
        with contextlib.suppress(FileNotFoundError):
            found[path.name] = path.stat().st_mtime_ns
    return found


@pytest.mark.slow
def test_kill_9_at_random_points(tmp_path, whole):
    kill_at_random_points(tmp_path, whole, 6, seed=0)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_kill_9_at_fifty_random_points(tmp_path, whole):
    kill_at_random_points(tmp_path, whole, 50, seed=1)


KILLED_IN_SAVE = CHILD.replace(
    "guard(train.main)",
    """
import os
from scratchnet.files import atomic as files
name, number, count = sys.argv.pop(), int(sys.argv.pop()), 0
real = getattr(os, name)
def killed(*args):
    global count
    count += 1
    if count == number:
        os.kill(os.getpid(), 9)
    return real(*args)
setattr(files.os, name, killed)
guard(train.main)
""",
)


@pytest.mark.parametrize("name", quick_first(["replace", "write", "fsync"], 1))
def test_kill_9_during_a_save(tmp_path, whole, name, thorough):
    """Killed just before call number n of a checkpoint's write, fsync or rename."""
    for n in (1, 4, 7) if thorough else (4,):
        run = Path(f"run{n}")
        done = subprocess.run(
            [sys.executable, "-c", KILLED_IN_SAVE, *STUDY, "--out", run, str(n), name], cwd=tmp_path, check=False,
            env={**os.environ, "PYTHONPATH": os.getcwd()}, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == -9, done.stderr
        args = ["--resume", run] if checkpoints_in(tmp_path / run / "checkpoints") else [*STUDY[1:], "--out", run]
        code, out, err = finish(command(tmp_path, "digits", *args))
        assert code == 0, (out, err)
        assert outcome(tmp_path / run) == whole
        assert not list((tmp_path / run).glob(f"**/.*{SUFFIX}"))


@pytest.fixture
def finished(tmp_path, monkeypatch):
    from scratchnet.data import digits

    drawn = digits.load_digits(0, train=600, test=60)
    monkeypatch.setattr(digits, "load_digits", lambda seed=0: drawn)
    monkeypatch.chdir(tmp_path)
    assert train.main([*STUDY, "--out", "run"]) == 0
    return tmp_path


@pytest.mark.parametrize(
    ("args", "error", "reason"),
    [
        (["mnist", "--resume", "run"], SettingError, "of study digits, not mnist"),
        (["digits", "--resume", "run", "--lr", "0.5"], SettingError, "--lr 0.5 cannot be given"),
        (["digits", "--resume", "run", "--hidden", "8"], SettingError, "--hidden 8 cannot be given"),
        (["digits", "--resume", "run", "--batch-size", "8"], SettingError, "--batch-size 8 cannot be given"),
        (["digits", "--resume", "nowhere"], CheckpointError, "no checkpoint to go on from"),
        (["digits", "--checkpoint-every", "-1"], SettingError, "--checkpoint-every must be"),
    ],
)
def test_a_resumed_run_is_the_same_run(finished, args, error, reason):
    with pytest.raises(error, match=reason):
        train.main(args)


def test_other_data(finished, monkeypatch):
    from scratchnet.data import digits

    fewer = digits.load_digits(0)
    monkeypatch.setattr(digits, "load_digits", lambda seed=0: type(fewer)(*(a[:50] for a in fewer)))
    with pytest.raises(CheckpointError, match="other data: examples 480 then, 40 now"):
        train.main(["digits", "--resume", "run"])


def test_more_epochs_by_the_command_and_a_new_run_in_the_same_folder(finished, capsys):
    assert train.main(["digits", "--resume", "run", "--epochs", "4"]) == 0
    assert json.loads((finished / "run" / "metrics.json").read_text())["epochs"] == 4
    assert train.main([*STUDY, "--out", "run", "--epochs", "1"]) == 0
    assert "resumed" not in capsys.readouterr().out.rpartition("parameters, ")[2]
    assert [path.name for path in checkpoints_in(finished / "run" / "checkpoints")] == [
        "step-9.safetensors",
        "step-10.safetensors",
    ]


def test_layers_are_all_covered():
    """A layer with random numbers or running values must be resumed above."""
    used = {type(layer).__name__ for build in LAYERS.values() for layer in build()}
    special = {
        name for name, kind in vars(layers).items()
        if isinstance(kind, type) and issubclass(kind, Layer) and name in ("Dropout", "BatchNorm1d")
    }  # fmt: skip
    assert special <= used
