"""--log tensorboard and sn.TensorBoard, read by TensorBoard's own reader."""

import csv
import importlib.util
import math

import numpy as np
import pytest

import scratchnet as sn
from scratchnet.data import digits
from scratchnet.errors import SettingError
from scratchnet.train import main

pytest.importorskip("tensorboard", reason="needs the extra tensorboard")

RUN = ["digits", "--preset", "zero-to-gans", "--epochs", "3", "--no-plots", "--threads", "1"]
TINY = ["adding", "--examples", "60", "--length", "5", "--epochs", "2", "--no-plots", "--threads", "1"]


@pytest.fixture(autouse=True)
def few_digits(monkeypatch):
    drawn = digits.load_digits(0, train=600, test=60)
    monkeypatch.setattr(digits, "load_digits", lambda seed=0: drawn)


def curves(folder):
    """{name: [(step, value)]} of the event files in a folder."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read = EventAccumulator(str(folder))
    read.Reload()
    return {tag: [(point.step, point.value) for point in read.Scalars(tag)] for tag in read.Tags()["scalars"]}


def written(folder):
    """The same of history.csv."""
    with open(folder / "history.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {name: [(int(row["epoch"]), np.float32(row[name])) for row in rows if row[name]]
            for name in rows[0] if name != "epoch"}  # fmt: skip


def trained(folder, **options):
    x, labels = np.random.default_rng(0).normal(size=(40, 3)), np.arange(40) % 2
    net = sn.Sequential(sn.Linear(3, 2))
    return sn.fit(net, sn.CrossEntropyLoss(), sn.SGD(net, 0.1), x, labels, valid=(x, labels),
                  callbacks=[sn.TensorBoard(folder)], **options)  # fmt: skip


def test_the_curves_of_a_run_are_those_of_its_history(tmp_path):
    assert main([*RUN, "--log", "tensorboard", "--out", str(tmp_path / "run")]) == 0
    found = curves(tmp_path / "run")
    assert set(found) >= {"train_loss", "valid_loss", "train_accuracy", "valid_accuracy", "lr"}
    assert found == written(tmp_path / "run")
    assert [step for step, _ in found["valid_loss"]] == [0, 1, 2, 3]


def test_csv_alone_is_the_default_and_an_older_run_leaves_nothing(tmp_path):
    assert main([*RUN, "--log", "tensorboard", "--out", str(tmp_path)]) == 0
    assert list(tmp_path.glob("events*"))
    assert main([*RUN, "--log", "csv", "--out", str(tmp_path)]) == 0
    assert not list(tmp_path.glob("events*")) and (tmp_path / "history.csv").is_file()


def test_a_resumed_run_has_one_whole_curve(tmp_path):
    """Also epochs that were made after the checkpoint from which it goes on."""
    assert main([*RUN, "--log", "tensorboard", "--out", str(tmp_path)]) == 0
    steps = sorted(tmp_path.glob("checkpoints/step-*"))
    steps[-1].unlink()  # as if killed before the last checkpoint
    assert main(["digits", "--resume", str(tmp_path), "--epochs", "5"]) == 0
    found = curves(tmp_path)
    assert [step for step, _ in found["train_loss"]] == [0, 1, 2, 3, 4, 5] and found == written(tmp_path)


def test_a_run_that_began_without_may_go_on_with_it(tmp_path):
    assert main([*RUN, "--out", str(tmp_path)]) == 0
    assert main(["digits", "--resume", str(tmp_path), "--epochs", "4", "--log", "tensorboard"]) == 0
    assert curves(tmp_path) == written(tmp_path)


def test_every_training_of_a_run_has_a_folder_of_its_own(tmp_path):
    assert main([*TINY, "--log", "tensorboard", "--layers", "RNN,LSTM", "--out", str(tmp_path)]) == 0
    assert len(curves(tmp_path)["train_loss"]) == 3 == len(curves(tmp_path / "training-2")["train_loss"])


def test_a_callback_of_fit(tmp_path):
    history = trained(tmp_path / "mine", epochs=3)
    found = curves(tmp_path / "mine")
    assert [(step, pytest.approx(value)) for step, value in found["valid_loss"]] == [
        (row["epoch"], row["valid_loss"]) for row in history.epochs
    ]
    trained(tmp_path / "mine", epochs=2)  # another training in the same folder
    assert [step for step, _ in curves(tmp_path / "mine")["lr"]] == [1, 2]


def test_a_training_that_goes_on_keeps_its_curve(tmp_path):
    history = trained(tmp_path, epochs=2)
    trained(tmp_path, epochs=4, history=history)
    assert [step for step, _ in curves(tmp_path)["train_loss"]] == [1, 2, 3, 4]


def test_what_is_no_number_is_left_out(tmp_path):
    log = sn.TensorBoard(tmp_path)
    log({"epoch": 1, "train_loss": math.inf, "lr": 0.5})
    assert curves(tmp_path) == {"lr": [(1, 0.5)]}


def test_a_full_disk_does_not_end_a_run(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sn.TensorBoard, "_write", failing)
    assert main([*RUN, "--log", "tensorboard", "--out", str(tmp_path)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "warning: no event file" in said and "No space left" in said and (tmp_path / "history.csv").is_file()


def failing(*_):
    raise OSError(28, "No space left on device")


def test_without_the_package_one_line_says_how_to_get_it(tmp_path, monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "tensorboard" else real(name))
    message = r"--log tensorboard needs the package tensorboard: pip install .*\[tensorboard\]"
    with pytest.raises(SettingError, match=message):
        main([*RUN, "--log", "tensorboard", "--out", str(tmp_path / "run")])
    assert not (tmp_path / "run").exists()
    with pytest.raises(SettingError, match="TensorBoard needs the package"):
        sn.TensorBoard(tmp_path)


def test_a_search_keeps_no_curves(tmp_path):
    with pytest.raises(SettingError, match="--log has no effect with --search"):
        main([*RUN, "--search", "lr=0.1,0.5", "--log", "tensorboard", "--out", str(tmp_path)])
