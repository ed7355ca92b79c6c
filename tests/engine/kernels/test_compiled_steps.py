"""The CPU's compiled loops against the readable step, in portions and by `fit`."""

import json

import numpy as np
import pytest

from scratchnet import (
    SGD,
    Adam,
    CrossEntropyLoss,
    History,
    Linear,
    LogSoftmax,
    MSELoss,
    NLLLoss,
    NonFiniteError,
    ReLU,
    Sequential,
    Sigmoid,
    Tanh,
    fit,
    load,
    step,
)
from scratchnet.data import digits
from scratchnet.engine import compiling
from scratchnet.engine.kernels import CompiledBatches, CompiledSteps, choosing, kind_of_steps
from scratchnet.engine.steps import Steps
from scratchnet.errors import DataError, ShapeError
from scratchnet.runs.checkpoints import checkpoints_in
from scratchnet.train import main
from tests.engine.kernels.test_kernels import LOSSES, data, network, wide
from tests.profiles import quick_first

pytest.importorskip("numba", reason="numba, of the extra `fast`, is not installed")


@pytest.fixture
def few(monkeypatch):
    """Even the shortest training takes the compiled steps."""
    monkeypatch.setattr(choosing, "worth_compiling", lambda kind, plain, steps: True)


#: One kind of training for each kind of compiled steps and each of their rules
TRAININGS = {
    "one example": (1, lambda net: SGD(net, 0.3)),
    "plain": (4, lambda net: SGD(net, 0.3)),
    "momentum": (4, lambda net: SGD(net, 0.1, momentum=0.9)),
    "adam": (4, lambda net: Adam(net, 0.01)),
}


def deep():
    return [Linear(6, 17), Tanh(), Linear(17, 1, bias=False), ReLU(), Linear(1, 9), Linear(9, 3), Sigmoid()]


def in_portions(net, loss, optimiser, x, t, portion):
    steps = CompiledSteps(net, loss, optimiser, x, t)
    losses = np.full(len(x), np.nan, net.dtype)
    steps.begin(np.arange(len(x)), losses)
    done = 0
    while done < len(x):
        done += steps.run(min(portion, len(x) - done))
    return losses


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
@pytest.mark.parametrize("layers", [wide, deep, lambda: [Linear(6, 3, bias=False)]], ids=["wide", "deep", "one"])
@pytest.mark.parametrize(("dtype", "tolerance"), quick_first([("float64", 1e-12), ("float32", 2e-4)], 1))
def test_they_are_the_readable_step(loss, layers, dtype, tolerance):
    x, t = data(150, loss)
    x = x.astype(dtype)
    here, there = network(layers(), "cpu", dtype), network(layers(), "cpu", dtype)
    optimiser = SGD(here, 0.2)
    expected = [step(here, loss, optimiser, x[k : k + 1], t[k : k + 1]) for k in range(150)]
    losses = in_portions(there, loss, SGD(there, 0.2), x, t, 40)
    np.testing.assert_allclose(losses, expected, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(there.store.values, here.store.values, rtol=tolerance, atol=tolerance)
    assert there.store.values.dtype == dtype and not np.array_equal(here.store.values, network(layers()).store.values)


@pytest.mark.parametrize("dtype", quick_first(["float64", "float32"], 1))
@pytest.mark.parametrize("features", [6, 33, 784])
def test_the_same_bits_in_any_portions(dtype, features):
    rng = np.random.default_rng(0)
    x, t = rng.normal(size=(90, features)).astype(dtype), rng.integers(0, 3, 90)
    results = set()
    for portion in (1, 7, 90):
        net = Sequential(Linear(features, 37), Sigmoid(), Linear(37, 3), seed=2, dtype=dtype)
        in_portions(net, CrossEntropyLoss(), SGD(net, 0.1), x, t, portion)
        results.add(net.store.values.tobytes())
    assert len(results) == 1


def test_which_trainings_take_them(monkeypatch):
    x = np.zeros((10, 6), "float32")

    def taken(steps=1_000_000, batch_size=1, optimiser=lambda net: SGD(net, 0.1), x=x):
        net = network(wide())
        return kind_of_steps(Steps(net, MSELoss(), optimiser(net), x, np.zeros(10), batch_size), steps, 1)

    assert taken() is CompiledSteps
    assert taken(steps=10_000) is taken(x=x[:, :, None]) is Steps
    assert taken(batch_size=2) is taken(optimiser=Adam) is CompiledBatches
    monkeypatch.setattr(compiling, "installed", lambda: False)
    assert taken() is Steps


@pytest.mark.parametrize("training", TRAININGS)
def test_fit_with_them_is_fit_without(few, monkeypatch, training):
    x, t = data(50, NLLLoss())
    batch_size, make = TRAININGS[training]
    histories, networks = [], []
    for there in (True, False):
        monkeypatch.setattr(compiling, "installed", lambda there=there: there)
        net = network([Linear(6, 12), Tanh(), Linear(12, 3), LogSoftmax()])
        optimiser = make(net)
        options = {"epochs": 3, "schedule": lambda epoch: 0.1 / (epoch + 1), "valid": (x[:9], t[:9])}
        histories.append(fit(net, NLLLoss(), optimiser, x, t, batch_size=batch_size, threads=1, **options))
        networks.append(net)
        assert optimiser.steps == 3 * -(-50 // batch_size)
    np.testing.assert_allclose(histories[0].step_losses, histories[1].step_losses, rtol=1e-9)
    np.testing.assert_allclose(networks[0].store.values, networks[1].store.values, rtol=1e-9, atol=1e-12)
    for a, b in zip(histories[0].epochs, histories[1].epochs, strict=True):
        assert {k: v for k, v in a.items() if k != "seconds"} == pytest.approx(
            {k: v for k, v in b.items() if k != "seconds"}, rel=1e-9
        )


def test_on_step_is_called_at_the_multiples_and_at_the_end_of_an_epoch(few):
    x, t = data(25, MSELoss())
    for together, expected in ((1, range(1, 51)), (10, [10, 20, 25, 30, 40, 50])):
        net = network(wide())
        optimiser, seen = SGD(net, 0.1), []

        def look(epoch, k, steps, loss, optimiser=optimiser, seen=seen):
            assert epoch * steps + k + 1 == optimiser.steps and np.isfinite(loss)
            seen.append(optimiser.steps)

        fit(
            net,
            MSELoss(),
            optimiser,
            x,
            t,
            epochs=2,
            batch_size=1,
            threads=1,
            on_step=look,
            steps_per_callback=together,
        )
        assert seen == list(expected)


@pytest.mark.parametrize("training", TRAININGS)
def test_going_on_in_the_middle_of_an_epoch_gives_the_same_bits(few, training):
    class Stopped(Exception):
        pass

    def stop(epoch, k, steps, loss):
        if (epoch, k) == (1, 5):
            raise Stopped

    batch_size, make = TRAININGS[training]
    n = 19 * batch_size - batch_size // 2  # the last batch is smaller
    x, t = data(n, MSELoss())
    whole, net = network(wide()), network(wide())
    through = fit(whole, MSELoss(), make(whole), x, t, epochs=2, batch_size=batch_size, threads=1)
    history, optimiser = History(), make(net)
    options = {"epochs": 2, "batch_size": batch_size, "threads": 1, "history": history}
    with pytest.raises(Stopped):
        fit(net, MSELoss(), optimiser, x, t, on_step=stop, steps_per_callback=5, **options)
    fit(net, MSELoss(), optimiser, x, t, **options)
    assert history.step_losses == through.step_losses
    np.testing.assert_array_equal(net.store.values, whole.store.values)


@pytest.mark.parametrize("batch_size", [1, 4])
def test_a_loss_that_is_no_number_changes_nothing_and_is_told_as_ever(few, monkeypatch, batch_size):
    x, t = data(20 * batch_size, MSELoss())
    errors, weights = [], []
    for there in (True, False):
        monkeypatch.setattr(compiling, "installed", lambda there=there: there)
        net = network([Linear(6, 9), ReLU(), Linear(9, 3)])
        optimiser = SGD(net, 1e60)
        with pytest.raises(NonFiniteError) as error:
            fit(net, MSELoss("sum"), optimiser, x, t, batch_size=batch_size, threads=1, epochs=3)
        errors.append((str(error.value), optimiser.steps))
        weights.append(net.store.values)
    assert errors[0] == errors[1] and errors[0][1] > 0
    assert np.isfinite(weights[0]).all()
    np.testing.assert_allclose(weights[0], weights[1], rtol=1e-9)


def test_errors_are_those_of_the_readable_step(few):
    x, t = data(20, CrossEntropyLoss())
    for loss, inputs, target, error, text in (
        (CrossEntropyLoss(), x, np.where(np.arange(20) == 7, 3, t), DataError, "label 3 is out of range"),
        (CrossEntropyLoss(), x, np.where(np.arange(20) == 7, -1, t), DataError, "label -1 is out of range"),
        (MSELoss(), x, np.zeros((20, 4)), ShapeError, "target"),
        (CrossEntropyLoss(), x[:, :5], t, ShapeError, "layer 0"),
    ):
        net = network(wide())
        with pytest.raises(error, match=text):
            fit(net, loss, SGD(net, 0.1), inputs, target, batch_size=1, threads=1)


def test_strided_examples_and_labels_of_any_whole_type(few):
    x, t = data(20, CrossEntropyLoss())
    here, there = network(wide()), network(wide())
    fit(here, CrossEntropyLoss(), SGD(here, 0.1), x, t, batch_size=1, threads=1)
    strided = np.repeat(x, 2, axis=1)[:, ::2]
    fit(there, CrossEntropyLoss(), SGD(there, 0.1), strided, t.astype(np.uint8), batch_size=1, threads=1)
    np.testing.assert_array_equal(here.store.values, there.store.values)


def test_the_command_takes_them_and_resumes_with_the_same_bits(few, tmp_path, monkeypatch, capsys):
    part = digits.load_digits(0)
    monkeypatch.setattr(digits, "load_digits", lambda seed=0: type(part)(*(a[:40] for a in part)))
    options = [
        "digits",
        "--preset",
        "book",
        "--hidden",
        "5",
        "--threads",
        "1",
        "--no-plots",
        "--dtype",
        "float64",
        "--checkpoint-every",
        "30",
    ]
    assert main([*options, "--epochs", "3", "--out", str(tmp_path / "whole")]) == 0
    assert "device cpu, steps compiled by Numba, 1 BLAS thread" in capsys.readouterr().out
    names = [path.name for path in checkpoints_in(tmp_path / "whole" / "checkpoints")]
    assert names == ["step-90.safetensors", "step-120.safetensors"]
    assert main([*options, "--epochs", "2", "--out", str(tmp_path / "parts")]) == 0
    assert main([*options, "--epochs", "3", "--resume", str(tmp_path / "parts"), "--out", str(tmp_path / "parts")]) == 0
    metrics = [json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("whole", "parts")]
    assert metrics[0]["train_loss"] == metrics[1]["train_loss"]
    whole, parts = (load(tmp_path / name / "model.safetensors").state_dict() for name in ("whole", "parts"))
    for name, w in whole.items():
        np.testing.assert_array_equal(parts[name], w)
