"""Training on a GPU is training on the CPU; and nothing in a step waits for the device.

Whole trainings, the main command, every study, layer, loss and optimiser: with a GPU,
or with the stub, which also sees waiting and copies.
"""

import importlib
import json
import pkgutil

import numpy as np
import pytest

import scratchnet
import scratchnet.studies
from parity.report import all_networks, choose, lines
from scratchnet import (
    SGD,
    Adam,
    AdamW,
    CrossEntropyLoss,
    Dropout,
    Linear,
    LogSoftmax,
    MSELoss,
    NLLLoss,
    QuadraticCost,
    ReLU,
    Sequential,
    Sigmoid,
    Softmax,
    Tanh,
    fit,
    step,
)
from scratchnet.backend.devices import cuda_problem, resolve_device
from scratchnet.data.digits import load_digits
from scratchnet.errors import DataError, DeviceError, NonFiniteError
from scratchnet.train import main
from tests.cases import CASES, Case
from tests.cuda import stub

pytestmark = pytest.mark.gpu

OPTIMISERS = {
    "sgd": lambda net: SGD(net, 0.3),
    "sgd-decay": lambda net: SGD(net, 0.3, weight_decay=0.01),
    "momentum": lambda net: SGD(net, 0.1, momentum=0.9),
    "momentum-decay": lambda net: SGD(net, 0.1, momentum=0.9, weight_decay=0.01),
    "nesterov": lambda net: SGD(net, 0.1, momentum=0.9, weight_decay=0.01, nesterov=True),
    "sgd-clipped": lambda net: SGD(net, 0.3, momentum=0.5, clip_norm=0.05),
    "adam": lambda net: Adam(net, 0.01, weight_decay=0.01),
    "adam-clipped": lambda net: Adam(net, 0.01, clip_norm=0.05),
    "adamw": lambda net: AdamW(net, 0.01),
}
CLOSE = {"rtol": 1e-9, "atol": 1e-11}
#: the last layer, the loss and whether it takes labels
ENDS = {
    "cross-entropy": (None, CrossEntropyLoss(), True),
    "nll": (LogSoftmax, NLLLoss(), True),
    "mse": (Sigmoid, MSELoss(), False),
    "mse-sum": (Tanh, MSELoss("sum"), False),
    "quadratic": (Softmax, QuadraticCost(), False),
}


def network(end, device, dropout=0.0):
    layers = [Linear(6, 8), Sigmoid(), Linear(8, 7, bias=False), ReLU(), Dropout(dropout), Linear(7, 3)]
    return Sequential(*layers, *([end()] if end else []), seed=1, dtype="float64", device=device)


def batch(n, labels):
    rng = np.random.default_rng(n)
    return rng.normal(size=(n, 6)), rng.integers(0, 3, n) if labels else rng.random((n, 3))


def agree(a, b):
    assert set(a) == set(b)
    for name in a:
        assert np.isfinite(a[name]).all()
        np.testing.assert_allclose(a[name], b[name], **CLOSE, err_msg=name)


@pytest.mark.parametrize("n", [1, 5])
@pytest.mark.parametrize("optimiser", OPTIMISERS)
@pytest.mark.parametrize("end", ENDS)
def test_training_steps(gpu, end, optimiser, n):
    last, loss, labels = ENDS[end]
    x, t = batch(n, labels)
    here, there = network(last, "cpu"), network(last, "cuda")
    a, b = OPTIMISERS[optimiser](here), OPTIMISERS[optimiser](there)
    x_there, t_there = gpu.asarray(x), gpu.asarray(t)
    for _ in range(3):
        expected = step(here, loss, a, x, t)
        with stub.watch() as seen:
            value = step(there, loss, b, x_there, t_there)
        assert seen.waits == seen.transfers == []
        assert type(value) is gpu.ndarray and value.shape == ()
        np.testing.assert_allclose(value.get(), expected, rtol=1e-9)
    agree(here.state_dict(), there.state_dict())
    agree(dict(enumerate(map(np.asarray, a.state().values()))), {k: v.get() for k, v in enumerate(b.state().values())})


def known(transfers):
    """The copies to the device that have to be.

    Random numbers are drawn on the host, so that they are the same on every device; and
    where CuPy stacks many arrays, their addresses are copied.
    """
    return [line for line in transfers if "learner.py" in line or ".stack(" in line]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_layer_of_the_table(gpu, case: Case):
    """A step of each layer, its gradients and its inference, as on the CPU.

    No waiting.
    """
    here = Sequential(case.make(), seed=1, dtype="float64")
    there = Sequential(case.make(), seed=1, dtype="float64", device="cuda")
    x = np.moveaxis(case.x(), -1, 0)
    t = np.random.default_rng(0).normal(size=here(x).shape)
    x_there, t_there = gpu.asarray(x), gpu.asarray(t)
    with stub.watch() as seen:
        y = there(x_there)
        step(there, MSELoss(), SGD(there, 0.01), x_there, t_there)
    assert seen.waits == [] and seen.transfers == known(seen.transfers)
    np.testing.assert_allclose(y.get(), here(x), **CLOSE)
    step(here, MSELoss(), SGD(here, 0.01), x, t)
    agree(here.state_dict(), there.state_dict())
    (_, a), (_, b) = here.gradients(x, t, MSELoss()), there.gradients(x_there, t_there, MSELoss())
    agree(a, {name: g.get() for name, g in b.items()})


@pytest.mark.parametrize("study", [found.name for found in pkgutil.iter_modules(scratchnet.studies.__path__)])
def test_every_study(gpu, study, tmp_path):
    """Three steps of each preset's network, moved to the device as a model file."""
    module = importlib.import_module(f"scratchnet.studies.{study}")
    for here, shape, loss in getattr(module, "networks", dict)().values():
        three_steps(gpu, here, shape, loss, tmp_path)


def three_steps(gpu, here, shape, loss, tmp_path):
    here.save(tmp_path / "model.safetensors")
    there = scratchnet.load(tmp_path / "model.safetensors", device="cuda")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4, *shape))
    y = here(x).shape
    t = rng.integers(0, y[-1], y[:-1]) if loss.takes_labels else rng.random(y)
    a, b = SGD(here, 0.01, momentum=0.5), SGD(there, 0.01, momentum=0.5)
    x_there, t_there = gpu.asarray(x), gpu.asarray(t)
    for _ in range(3):
        expected = step(here, loss, a, x, t)
        with stub.watch() as seen:
            value = step(there, loss, b, x_there, t_there)
        assert seen.waits == [] and seen.transfers == known(seen.transfers)
        np.testing.assert_allclose(value.get(), expected, rtol=1e-9)
    for name, w in here.state_dict().items():
        np.testing.assert_allclose(there.state_dict()[name], w, **CLOSE, err_msg=name)


def test_the_main_command(gpu, tmp_path, monkeypatch):
    """`python -m scratchnet.train digits --device cuda`, from the digits to the last
    file.
    """
    few = load_digits(0, 1_000, 200)
    monkeypatch.setattr("scratchnet.data.digits.load_digits", lambda seed=0: few)
    results = {}
    for device in ("cpu", "cuda"):
        out = tmp_path / device
        options = ["--preset", "fcn", "--epochs", "1", "--threads", "1", "--no-plots", "--dtype", "float64"]
        assert main(["digits", *options, "--device", device, "--out", str(out)]) == 0
        results[device] = json.loads((out / "metrics.json").read_text())
        assert results[device]["device"] == device
    for name in ("train_loss", "test_loss", "valid_accuracy", "test_accuracy"):
        assert results["cuda"][name] == pytest.approx(results["cpu"][name], rel=1e-9)


@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_fit_waits_per_epoch_and_not_per_step(gpu, dropout):
    x, t = batch(48, True)
    counts = []
    for batch_size in (2, 24):
        histories, nets = [], []
        for device in ("cpu", "cuda"):
            net = network(None, device, dropout)
            with stub.watch() as seen:
                histories.append(
                    fit(net, CrossEntropyLoss(), Adam(net, 0.01), x, t, epochs=3, batch_size=batch_size, threads=1)
                )
            nets.append(net)
        counts.append(len(seen.reads))
        np.testing.assert_allclose(histories[0].step_losses, histories[1].step_losses, rtol=1e-9)
        agree(nets[0].state_dict(), nets[1].state_dict())
    assert counts[0] == counts[1] <= 1 + 2 * 3, seen.reads  # once for NaN in the data, and at the end of every epoch


@pytest.mark.parametrize("kind", ["loader", "on disk"])
def test_data_that_are_read_batch_by_batch(gpu, kind, tmp_path):
    x, t = batch(48, True)
    np.save(tmp_path / "x.npy", x)
    given = {
        "loader": ([(x[k : k + 10], t[k : k + 10]) for k in range(0, 48, 10)],),
        "on disk": (np.load(tmp_path / "x.npy", mmap_mode="r"), t),
    }[kind]
    histories, nets = [], []
    for device in ("cpu", "cuda"):
        net = network(None, device)
        valid = given if kind == "on disk" else given[0]
        histories.append(fit(net, CrossEntropyLoss(), Adam(net, 0.01), *given, epochs=3, batch_size=10, valid=valid,
                             threads=1))  # fmt: skip
        nets.append(net)
    np.testing.assert_allclose(histories[0].step_losses, histories[1].step_losses, rtol=1e-9)
    assert len(histories[0].step_losses) == 15
    agree(nets[0].state_dict(), nets[1].state_dict())


def test_validation_and_a_bad_loss(gpu):
    x, t = batch(20, True)
    rows = []
    for device in ("cpu", "cuda"):
        net = network(None, device)
        rows.append(fit(net, CrossEntropyLoss(), SGD(net, 0.1), x, t, valid=(x, t), threads=1).last)
    for name in ("train_loss", "valid_loss", "valid_accuracy"):
        assert rows[0][name] == pytest.approx(rows[1][name], rel=1e-9)
    x[3, 2] = np.nan
    net = network(None, "cuda")
    with pytest.raises((NonFiniteError, DataError)):
        fit(net, CrossEntropyLoss(), SGD(net, 0.1), x, t, threads=1)


@pytest.mark.parametrize("n", [1, 5])
def test_an_input_that_is_a_strided_view(gpu, n):
    """cuBLAS's rank-one update takes a vector without its stride."""
    x, t = batch(n, True)
    wide = np.repeat(x, 2, axis=1)
    here, there = network(None, "cpu"), network(None, "cuda")
    step(here, CrossEntropyLoss(), SGD(here, 0.3), x, t)
    step(there, CrossEntropyLoss(), SGD(there, 0.3), gpu.asarray(wide)[:, ::2], gpu.asarray(t))
    agree(here.state_dict(), there.state_dict())


def test_models_travel(gpu, tmp_path):
    x, _ = batch(4, True)
    there = network(None, "cuda")
    there.save(tmp_path / "m.safetensors")
    here = scratchnet.load(tmp_path / "m.safetensors")
    np.testing.assert_allclose(here(x), there(x).get(), rtol=1e-9)
    back = scratchnet.load(tmp_path / "m.safetensors", device="cuda")
    agree(back.state_dict(), here.state_dict())


def test_what_is_for_the_host_is_numpys(gpu):
    x, t = batch(20, True)
    net = network(None, "cuda")
    history = fit(net, CrossEntropyLoss(), SGD(net, 0.1), x, t, epochs=1, valid=(x, t))
    assert type(net.predict(x)) is np.ndarray and type(net(x)) is gpu.ndarray
    assert all(type(w) is np.ndarray for w in net.state_dict().values())
    assert {type(value) for value in [*history.step_losses, *history.last.values()]} <= {int, float, str}


@pytest.mark.parametrize("n", [1, 5])
def test_plain_sgd_on_one_example_updates_in_place_with_cublas(stub_gpu, n):
    x, t = batch(n, True)
    net = network(None, "cuda")
    x, t = stub_gpu.asarray(x), stub_gpu.asarray(t)
    with stub.watch() as seen:
        step(net, CrossEntropyLoss(), SGD(net, 0.3), x, t)
    assert seen.launches.count("ger") == (3 if n == 1 else 0)


@pytest.mark.parametrize("place", ["target", "valid"])
@pytest.mark.parametrize("label", [3, -1])
def test_a_label_out_of_range_is_told_before_the_first_step(gpu, place, label):
    """In batches of several examples, where CuPy takes an index modulo the size."""
    x, t = batch(20, True)
    wrong = np.where(np.arange(20) == 7, label, t)
    net = network(None, "cuda")
    before = net.state_dict()
    target, valid = (wrong, None) if place == "target" else (t, (x, wrong))
    with pytest.raises(DataError, match=f"label {label} is out of range: the network has 3 outputs"):
        fit(net, CrossEntropyLoss(), SGD(net, 0.1), x, target, batch_size=5, valid=valid)
    agree(net.state_dict(), before)


def test_the_product_that_asks_for_cublas_is_one_that_takes_it(stub_gpu):
    """CuPy multiplies arrays of one number by a kernel of its own."""
    with stub.watch() as seen:
        assert cuda_problem() is None
    assert "gemm" in seen.launches


@pytest.mark.parametrize("message", ["", "libcublas.so.12: not found\nand more"])
def test_a_gpu_without_cublas_is_not_usable(gpu, message, monkeypatch):
    def no_cublas(*_):
        raise RuntimeError(message)

    assert cuda_problem() is None
    monkeypatch.setattr(gpu, "dot", no_cublas)
    with pytest.raises(DeviceError, match=r"RuntimeError.*\[ctk\]") as e:
        Sequential(Linear(2, 2), device="cuda")
    assert message.partition("\n")[0] in str(e.value) and "and more" not in str(e.value)
    assert resolve_device("auto") == "cpu"


@pytest.mark.parametrize("name", ["parity/narrow", "parity/embedding"])
def test_the_proof_against_pytorch_on_the_device(gpu, name):
    """`python -m parity --device cuda`, for inputs that are numbers and indices."""
    rows = list(lines(choose(all_networks(), name), ("float64",), "cuda", 2))
    assert len(rows) == 5 and all(row.ok and row.device == "cuda" for row in rows)
