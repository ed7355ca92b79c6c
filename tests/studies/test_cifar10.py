"""The CIFAR-10 study on a small made-up data set in the published format.

Its networks.
"""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from scratchnet import load
from scratchnet.data.cifar import CLASSES, RECORD
from scratchnet.errors import DataError, SettingError
from scratchnet.studies.cifar10 import (
    GROUPS,
    MEAN,
    PRESETS,
    STD,
    Options,
    feature_maps,
    network,
    networks,
    prepare,
    validate,
)
from scratchnet.train import main
from tests.profiles import quick_first

PICTURES = {"training", "samples", "confusion", "groups", "mistakes", "weights"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 + 20 pictures, with a pattern for each class and noise: something can be
    learned.
    """
    rng, folder = np.random.default_rng(0), tmp_path_factory.mktemp("data")
    (folder / "cifar-10").mkdir()
    patterns = np.kron(rng.integers(0, 200, (10, 3, 4, 4)), np.ones((8, 8), int)).reshape(10, -1).astype(np.uint8)
    for name, n in (("data_batch_1.bin", 60), ("test_batch.bin", 20)):
        records = rng.integers(0, 40, (n, RECORD), dtype=np.uint8)
        records[:, 0] = np.arange(n) % 10
        records[:, 1:] += patterns[records[:, 0]]
        (folder / "cifar-10" / name).write_bytes(records.tobytes())
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("preset", list(PRESETS))
def test_a_run_from_end_to_end(preset: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    plots = preset == "cnn"  # drawing takes most of the time
    args = ["--preset", preset, "--epochs", "2", "--data-dir", str(folder), "--out", str(tmp_path / "run")]
    assert main(["cifar10", *args, *([] if plots else ["--no-plots"])]) == 0
    said = capsys.readouterr().out
    assert "accuracy per class: airplane" in said and "This is a part of CIFAR-10, 60 of its 50,000" in said
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert list(metrics["per_class_accuracy"]) == list(CLASSES)
    for group, members in GROUPS.items():  # as many test pictures of every class
        mean = np.mean([metrics["per_class_accuracy"][name] for name in members])
        assert metrics[f"{group.replace('-', '_')}_accuracy"] == pytest.approx(mean)
    assert metrics["test_accuracy"] == pytest.approx(np.mean(list(metrics["per_class_accuracy"].values())))
    assert metrics["train_images"] == 54
    drawn = {path.stem for path in (tmp_path / "run").glob("*.png")}
    assert drawn == (PICTURES | {"features"} if plots else set())
    net = load(tmp_path / "run" / "model.safetensors")
    assert net(np.zeros((2, 3, 32, 32), np.float32)).shape == (2, 10)
    assert net.info["classes"] == list(CLASSES)


@pytest.mark.slow
def test_it_learns_what_can_be_learned(folder: Path, tmp_path: Path) -> None:
    args = ["--preset", "cnn", "--epochs", "20", "--data-dir", str(folder), "--out", str(tmp_path), "--no-plots"]
    main(["cifar10", *args, "--batch-size", "10"])
    assert json.loads((tmp_path / "metrics.json").read_text())["test_accuracy"] >= 0.8


@pytest.mark.slow
def test_the_number_of_epochs_follows_from_the_pictures(folder: Path, tmp_path: Path) -> None:
    main(["cifar10", "--images", "150", "--data-dir", str(folder), "--out", str(tmp_path), "--no-plots"])
    assert json.loads((tmp_path / "metrics.json").read_text())["epochs"] == 3  # of 54 pictures each


@pytest.mark.slow
def test_a_search_is_judged_by_validation_pictures(folder: Path, tmp_path: Path) -> None:
    """In processes of their own; the settings that learn come first."""
    args = ["--preset", "fcn", "--epochs", "8", "--batch-size", "10", "--data-dir", str(folder), "--threads", "1"]
    assert main(["cifar10", *args, "--search", "lr=1e-7,0.03", "--out", str(tmp_path)]) == 0
    rows = list(csv.DictReader((tmp_path / "search.csv").read_text().splitlines()))
    assert [row["lr"] for row in rows] == ["0.03", "1e-7"]
    assert float(rows[0]["valid_accuracy"]) > float(rows[1]["valid_accuracy"])
    options = replace(PRESETS["fcn"], epochs=8, batch_size=10, lr=0.03, data_dir=folder, threads="1")
    assert validate("cifar10", options).accuracy == float(rows[0]["valid_accuracy"])


@pytest.mark.slow
def test_channels_have_mean_0_and_deviation_1(data_dir: Path) -> None:
    from scratchnet.data.cifar import load_cifar10

    x = prepare(load_cifar10(data_dir).train_images, "float64")
    np.testing.assert_allclose(x.mean(axis=(0, 2, 3)), 0, atol=0.05)
    np.testing.assert_allclose(x.std(axis=(0, 2, 3)), 1, atol=0.05)
    assert len(MEAN) == len(STD) == 3


def test_networks_for_parity_are_those_of_the_presets() -> None:
    for name, (net, shape, _) in networks().items():
        assert shape == (3, 32, 32) and str(net.dtype) == "float64"
        ours, published = net.layers, network(PRESETS[name]).layers
        assert [type(layer) for layer in ours] == [type(layer) for layer in published]
        assert name == "default" or [*map(str, ours)] == [*map(str, published)]


def test_feature_maps_are_of_the_first_relu() -> None:
    net = network(PRESETS["default"])
    maps = feature_maps(net, np.random.default_rng(0).standard_normal((1, 3, 32, 32)))
    assert maps.shape == (32, 32, 32) and maps.min() == 0 < maps.max()


def test_damaged_data_is_one_clear_line(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "cifar-10").mkdir()
    for name in ("data_batch_1.bin", "test_batch.bin"):
        whole = (folder / "cifar-10" / name).read_bytes()
        (tmp_path / "cifar-10" / name).write_bytes(whole[:-1])
    with pytest.raises(DataError, match=r"data_batch_1.bin: 184379 bytes are not a whole number of records of 3073"):
        main(["cifar10", "--data-dir", str(tmp_path), "--out", str(tmp_path / "run")])
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("change", "message"), [
    ({"images": 0}, "--images must be a number from 1, not 0"),
    ({"epochs": -1}, "--epochs must be a number from 1, not -1"),
])  # fmt: skip
def test_settings_are_checked(change: dict, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        Options(**{"batch_size": 64, "lr": 0.1, **change}).check()


@pytest.mark.parametrize(("labels", "classes"), quick_first([("coarse", 20), ("fine", 100)], 1))
def test_cifar100_by_classes_and_by_groups(labels: str, classes: int, tmp_path: Path, capsys) -> None:
    (tmp_path / "cifar-100").mkdir()
    for name, n in (("train.bin", 100), ("test.bin", 100)):
        records = np.random.default_rng(n).integers(0, 256, (n, 3074), np.uint8)
        records[:, 0], records[:, 1] = np.arange(n) % 20, np.arange(n) % 100
        (tmp_path / "cifar-100" / name).write_bytes(records.tobytes())
    args = ["--preset", "fcn", "--epochs", "1", "--labels", labels, "--data-dir", str(tmp_path)]
    assert main(["cifar100", *args, "--out", str(tmp_path / "run"), *["--no-plots"] * (labels == "coarse")]) == 0
    said = capsys.readouterr().out
    assert "This is a part of CIFAR-100, 100 of its 50,000" in said
    assert ("accuracy per class: best " in said) == (labels == "fine")
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert len(metrics["per_class_accuracy"]) == classes
    net = load(tmp_path / "run" / "model.safetensors")
    assert net(np.zeros((2, 3, 32, 32), np.float32)).shape == (2, classes) and len(net.info["classes"]) == classes


def test_ten_classes_have_no_coarse_labels(folder: Path) -> None:
    with pytest.raises(SettingError, match="--labels has no effect on cifar10, whose pictures have one label each"):
        main(["cifar10", "--labels", "coarse", "--data-dir", str(folder)])
