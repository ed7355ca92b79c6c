"""The images that mnist and its siblings train on: which ones, and in which order.

And how their settings are searched.
"""

import csv
import gzip
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from scratchnet import SGD, CrossEntropyLoss, Linear, ReLU, Sequential, train
from scratchnet.data.digits import load_digits
from scratchnet.engine.training import order_of
from scratchnet.errors import SettingError
from scratchnet.studies import mnist
from scratchnet.studies.mnist_images import load_parts
from tests.profiles import quick_first


def write_idx(path, array):
    header = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    path.write_bytes(gzip.compress(header + array.astype(np.uint8).tobytes(), 1))


@pytest.fixture(scope="module")
def few():
    return load_digits(seed=3, train=200, test=50)


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


def parts(folder, **options):
    o = replace(mnist.PRESETS["two-hidden"], data_dir=folder, **options)
    return load_parts("mnist", o)


def pixels(images):
    return images.reshape(len(images), -1).astype(np.float32) / 255


def test_all_images_in_the_order_of_the_file(folder, few):
    found = parts(folder, valid=0, order="file")
    assert found.valid is None
    np.testing.assert_allclose(found.train[0][:], pixels(few.train_images))
    np.testing.assert_array_equal(found.train[1], few.train_labels)


def test_in_the_order_of_the_file_the_last_images_are_those_of_validation(folder, few):
    found = parts(folder, valid=30, order="file")
    np.testing.assert_array_equal(found.train[1], few.train_labels[:-30])
    np.testing.assert_array_equal(found.valid[1], few.train_labels[-30:])
    np.testing.assert_allclose(found.valid[0], pixels(few.train_images)[-30:])


def test_shuffled_every_image_is_in_one_part(folder, few):
    found = parts(folder, valid=30)
    x = np.concatenate([found.train[0][:], found.valid[0]])
    np.testing.assert_allclose(np.sort(x.sum(1)), np.sort(pixels(few.train_images).sum(1)), rtol=1e-5)
    assert len(found.valid[0]) == 30 and (found.train[1] != few.train_labels[:-30]).any()
    assert len(parts(folder, valid=5_000).valid[1]) == 40, "of few images a fifth"


@pytest.mark.parametrize(("order", "shuffled"), [("file", False), ("shuffled", True)])
def test_the_order_is_that_of_every_epoch(order, shuffled, folder, monkeypatch):
    from scratchnet.engine.steps import Steps

    orders = []
    begin = Steps.begin

    def spy(self, order, losses, at=0):
        orders.append(np.asarray(order))
        begin(self, order, losses, at)

    monkeypatch.setattr(Steps, "begin", spy)
    args = ["mnist", "--preset", "two-hidden", "--data-dir", str(folder), "--order", order, "--valid", "0",
            "--epochs", "2", "--no-plots", "--threads", "1"]  # fmt: skip
    assert train.main(args) == 0
    for epoch, found in enumerate(orders):
        np.testing.assert_array_equal(found, order_of(0, epoch, 200) if shuffled else np.arange(200))


@pytest.mark.parametrize("preset", quick_first(["two-hidden", "logistic", "cnn"], 1))
@pytest.mark.slow
def test_without_a_validation_set_there_are_pictures_and_all_figures_but_one(preset, folder, capsys):
    args = ["mnist", "--preset", preset, "--data-dir", str(folder), "--valid", "0", "--epochs", "1", "--out", "out"]
    assert train.main(args) == 0
    assert "valid accuracy" not in capsys.readouterr().out
    metrics = json.loads(Path("out/metrics.json").read_text())
    assert metrics["valid_accuracy"] is None and 0 <= metrics["test_accuracy"] <= 1
    assert Path("out/training.png").stat().st_size > 10_000
    assert train.main(["mnist", "--resume", "out", "--epochs", "2", "--no-plots"]) == 0


@pytest.mark.slow
def test_a_search_is_judged_by_validation_images(folder, capsys):
    args = ["mnist", "--preset", "two-hidden", "--data-dir", str(folder), "--epochs", "3", "--out", "out",
            "--search", "hidden=16;8,4,lr=0.01;1e-6"]  # fmt: skip
    assert train.main(args) == 0
    rows = list(csv.DictReader(Path("out/search.csv").read_text().splitlines()))
    assert list(rows[0]) == ["hidden", "lr", "valid_accuracy", "seconds", "problem"]
    assert {(row["hidden"], row["lr"]) for row in rows} == {(h, lr) for h in ("16", "8,4") for lr in ("0.01", "1e-6")}
    found = [float(row["valid_accuracy"]) for row in rows]
    assert found == sorted(found, reverse=True)
    said = capsys.readouterr().out
    assert "4 combinations, each judged by validation images" in said and "test" not in said
    # the figure is that of a run with the same settings
    best = rows[0]
    args = ["mnist", "--preset", "two-hidden", "--data-dir", str(folder), "--epochs", "3", "--threads", "1",
            "--hidden", best["hidden"], "--lr", best["lr"], "--no-plots", "--out", "one"]  # fmt: skip
    assert train.main(args) == 0
    assert json.loads(Path("one/metrics.json").read_text())["valid_accuracy"] == found[0]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--valid", "-1"], "--valid must be a number of images, or 0, not -1"),
        (["--valid", "0", "--search", "lr=0.1"], "--search judges by the validation images: give --valid too"),
        (["--preset", "book", "--search", "lr=0.1"], "--search judges by the validation images"),
        (["--search", "lr=0.1", "--distributed"], "leave out --distributed"),
        (["--order", "alphabetical"], "--order"),
        (["--search", "hidden=100;300;,lr=0.1"], "write NAME=VALUE,VALUE"),
    ],
)
def test_mistakes_are_one_line(args, words, folder):
    with pytest.raises(SettingError, match=words):
        train.train(["mnist", "--data-dir", str(folder), *args])


def test_the_images_stay_bytes_until_a_batch_is_read(folder, few):
    """60,000 images as numbers would be 188 MB; a network on a GPU has them there."""
    found = parts(folder, valid=0, order="file").train[0]
    assert found.images.dtype == np.uint8 and found.shape == (len(few.train_images), 784)
    np.testing.assert_allclose(found.read(np.array([5, 2])), pixels(few.train_images)[[5, 2]])
    on_a_gpu = parts(folder, valid=0, order="file", device="cuda").train[0]
    np.testing.assert_array_equal(on_a_gpu, found[:])


def test_compiled_steps_have_the_images_in_memory(folder, monkeypatch):
    """That x is read batch by batch is no reason not to compile a training."""
    pytest.importorskip("numba")
    from scratchnet.engine.kernels import CompiledBatches, choosing
    from scratchnet.engine.reading import ReadingSteps
    from scratchnet.engine.training import Training

    monkeypatch.setattr(choosing, "worth_compiling", lambda kind, plain, steps: False)
    x, t = parts(folder, valid=0).train
    kinds = []
    for worth in (False, True):
        monkeypatch.setattr(choosing, "worth_compiling", lambda kind, plain, steps, worth=worth: worth)
        net = Sequential(Linear(784, 4), ReLU(), Linear(4, 10))
        training = Training(net, CrossEntropyLoss(), SGD(net, 0.1), x, t, batch_size=8, threads=1)
        kinds.append(type(training.steps))
        assert training.steps.x.shape == x.shape
    assert kinds == [ReadingSteps, CompiledBatches]


TRAIN = """
import sys
from benchmarks.timing import peak_memory
from scratchnet.train import main

assert main(sys.argv[1:]) == 0
print(peak_memory()[0])
"""


@pytest.mark.slow
def test_memory_grows_by_the_bytes_of_the_images(tmp_path):
    """By less than three times the images; as float32 they alone would take four."""
    rng, peaks, sizes = np.random.default_rng(0), [], (2_000, 42_000)
    for n in sizes:
        data = tmp_path / f"{n}" / "mnist"
        data.mkdir(parents=True)
        for part, count in (("train", n), ("t10k", 100)):
            write_idx(data / f"{part}-images-idx3-ubyte.gz", rng.integers(0, 256, (count, 28, 28), np.uint8))
            write_idx(data / f"{part}-labels-idx1-ubyte.gz", rng.integers(0, 10, count, np.uint8))
        options = "mnist", "--preset", "zero-to-gans", "--epochs", "1", "--valid", "100", "--data-dir", data.parent
        command = [sys.executable, "-c", TRAIN, *map(str, options), "--out", str(tmp_path / "run")]
        peaks.append(float(subprocess.run(command, capture_output=True, check=True).stdout.split()[-1]) * 2**20)
    assert peaks[1] - peaks[0] < 3 * (sizes[1] - sizes[0]) * 28 * 28
