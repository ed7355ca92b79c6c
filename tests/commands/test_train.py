"""The command `python -m scratchnet.train`: what it writes, and mistakes."""

import csv
import gzip
import json
import subprocess
import sys

import numpy as np
import pytest

import scratchnet as sn
from scratchnet import train
from scratchnet.data.digits import load_digits
from scratchnet.data.fetch import NotAvailable
from scratchnet.data.pictures import turned
from scratchnet.runs import checkpoints as resume
from scratchnet.runs.checkpoint_file import training_of
from scratchnet.studies import mnist, mnist_images


def write_idx(path, array):
    header = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    path.write_bytes(gzip.compress(header + array.astype(np.uint8).tobytes(), 1))


@pytest.fixture(scope="module")
def few():
    return load_digits(seed=3, train=400, test=100)


@pytest.fixture
def folder(tmp_path, few, monkeypatch):
    """A small data folder in MNIST's format, and an empty working directory."""
    data = tmp_path / "data" / "mnist"
    data.mkdir(parents=True)
    for name, array in zip(
        ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"), few, strict=True
    ):
        write_idx(data / f"{name}-ubyte.gz", array)
    monkeypatch.chdir(tmp_path)
    return data.parent


def run(folder, *args):
    return train.main(["mnist", "--data-dir", str(folder), "--no-plots", "--threads", "1", *args])


def metrics(path):
    return json.loads((path / "metrics.json").read_text())


@pytest.mark.parametrize("preset", list(mnist.PRESETS))
def test_every_preset_trains_and_leaves_its_files(preset, folder, tmp_path):
    assert run(folder, "--preset", preset, "--epochs", "2") == 0
    out = tmp_path / "runs" / f"mnist-{preset}"
    m = metrics(out)
    expected = {
        "study", "preset", "dataset", "seed", "device", "dtype", "threads", "epochs", "train_seconds", "versions",
        "examples_per_second", "train_loss", "valid_accuracy", "test_loss", "test_accuracy", "per_class_accuracy",
    }  # fmt: skip
    assert expected <= set(m)
    assert (m["study"], m["preset"], m["dataset"], m["epochs"], m["device"]) == ("mnist", preset, "mnist", 2, "cpu")
    assert set(m["per_class_accuracy"]) == set("0123456789")
    rows = list(csv.DictReader((out / "history.csv").open()))
    assert [row["epoch"] for row in rows] == ["0", "1", "2"]
    before = m["before_training"]
    assert {name: float(rows[0][name]) for name in before} == before and 0 <= before["train_accuracy"] < 0.5
    assert ("valid_accuracy" in before) == ("valid_accuracy" in rows[0]) == (preset != "book")
    assert not list(out.glob(".*")), "temporary files are left"


def test_the_model_file_gives_the_reported_accuracy(folder, few, tmp_path):
    run(folder, "--preset", "fcn", "--epochs", "3", "--out", "here")
    net = sn.load(tmp_path / "here" / "model.safetensors")
    given = net.info["input"]
    x = few.test_images.reshape(-1, *given["shape"]) * given["scale"] + given["shift"]
    assert (np.asarray(net(x)).argmax(1) == few.test_labels).mean() == metrics(tmp_path / "here")["test_accuracy"]
    assert net.info["classes"] == list("0123456789")


def test_the_same_seed_gives_the_same_run_and_another_one_another(folder, tmp_path):
    for out, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        run(folder, "--epochs", "2", "--seed", seed, "--out", out)
    a, b, c = (sn.load(tmp_path / out / "model.safetensors").state_dict() for out in "abc")
    assert all((a[name] == b[name]).all() for name in a)
    assert any((a[name] != c[name]).any() for name in a)


@pytest.mark.slow
def test_no_pictures_without_plots_and_five_with(folder, tmp_path):
    run(folder, "--epochs", "1")
    out = tmp_path / "runs" / "mnist-default"
    assert not list(out.glob("*.png"))
    train.main(["mnist", "--data-dir", str(folder), "--epochs", "1"])
    names = {"training", "samples", "confusion", "mistakes", "weights"}
    assert {path.stem for path in out.glob("*.png")} == names


def test_where_mnist_cannot_be_had_the_digits_are_taken_and_it_says_so(monkeypatch, tmp_path, few, capsys):
    def unreachable(name, data_dir):
        raise NotAvailable(f"{name}: cannot be reached")

    monkeypatch.setattr(mnist_images, "load_mnist", unreachable)
    monkeypatch.setattr("scratchnet.data.digits.load_digits", lambda seed: few)
    monkeypatch.chdir(tmp_path)
    assert train.main(["mnist", "--epochs", "1", "--no-plots"]) == 0
    said = capsys.readouterr().out
    assert said.count("NOT") == 2 and "--data-dir" in said.splitlines()[-1]
    assert metrics(tmp_path / "runs" / "mnist-default")["dataset"] == "digits"
    with pytest.raises(NotAvailable):
        train.main(["mnist", "--offline-ok", "no"])


def command(*args, cwd):
    return subprocess.run(
        [sys.executable, "-m", "scratchnet.train", *map(str, args)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["minst"], "did you mean mnist"),
        (["mnist", "--preset", "bok"], "did you mean book"),
        (["minst"], "? There are mnist, "),
        (["mnist", "--epoch", "3"], "did you mean --epochs? See python -m scratchnet.train mnist --help"),
        (["mnist", "--zzz", "3"], "no option --zzz. See python -m scratchnet.train mnist --help"),
        (["mnist", "--epochs", "many"], "--epochs"),
        (["mnist", "--epochs", "0"], "--epochs must be a number from 1"),
        (["mnist", "--batch-size", "-3"], "--batch-size"),
        (["mnist", "--hidden", "30,-2"], "--hidden"),
        (["mnist", "--hidden", "30;2"], "--hidden"),
        (["mnist", "--lr", "nan"], "--lr"),
        (["mnist", "--dropout", "1"], "--dropout"),
        (["mnist", "--threads", "none"], "--threads"),
        (["mnist", "--schedule", "sometimes"], "schedule 'sometimes'"),
        (["mnist", "--data-dir", "nowhere"], "nowhere"),
        (["mnist", "--preset", "fcn2", "--hidden", "3"], "two sizes"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(args, words, tmp_path, monkeypatch, as_command):
    monkeypatch.chdir(tmp_path)
    done = as_command(train.main, *args)
    assert done.returncode == 2, done.stderr
    assert words in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr
    assert not list(tmp_path.iterdir()), "something was written"


def test_a_damaged_file_is_one_line_and_exit_code_2(folder, tmp_path, as_command):
    path = folder / "mnist" / "train-labels-idx1-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-20])
    done = as_command(train.main, "mnist", "--data-dir", folder)
    assert done.returncode == 2 and path.name in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_a_loss_that_is_no_number_stops_the_run_with_exit_code_3(folder, tmp_path):
    done = command("mnist", "--data-dir", folder, "--preset", "zero-to-gans", "--schedule", "constant", "--lr", "1e30",
                   "--threads", "1", cwd=tmp_path)  # fmt: skip
    assert done.returncode == 3, done.stderr
    assert "step 2" in done.stderr and "layer" in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr
    left = [path.name for path in (tmp_path / "runs" / "mnist-zero-to-gans").iterdir()]
    assert left == ["checkpoints"], "half a run was written"


def test_a_folder_that_cannot_be_written_is_one_line(folder, tmp_path, as_command):
    (tmp_path / "file").write_text("")
    done = as_command(train.main, "mnist", "--data-dir", folder, "--out", tmp_path / "file" / "x")
    assert done.returncode == 2 and "file" in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr


def test_help_lists_the_studies_without_the_heavy_modules(tmp_path):
    code = (
        "import sys; from scratchnet import train; train.main(['--help']); "
        "print([m for m in ('numpy', 'scipy', 'tyro') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert done.stdout.splitlines()[-1] == "[]"
    assert all(study in done.stdout for study in train.STUDIES)


def test_augment_rotate_turns_the_training_images_only(folder, tmp_path, few):
    assert run(folder, "--preset", "two-hidden", "--epochs", "1", "--augment", "rotate", "--out", "rotated") == 0
    assert run(folder, "--preset", "two-hidden", "--epochs", "1", "--out", "plain") == 0
    for name, examples in (("rotated", 3 * 320), ("plain", 320)):
        with resume.newest_checkpoint(tmp_path / name / "checkpoints") as file:
            assert training_of(file)["run"]["examples"] == examples
    images = few.train_images[:20]
    left, right = turned(images, 10), turned(images, -10)
    assert left.dtype == np.uint8 and left.shape == images.shape and not np.array_equal(left, right)
    back, further = (turned(left, by).astype(int) for by in (-10, 10))
    assert abs(back - images).mean() < 0.5 * abs(further - images).mean()
    # to the left is counter-clockwise: a mark to the right of the middle moves up
    mark = np.zeros((1, 28, 28), np.uint8)
    mark[0, 13:15, 24] = 255
    assert turned(mark, 10)[0].argmax() // 28 < 13
