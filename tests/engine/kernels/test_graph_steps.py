"""The steps of single examples that are recorded as CUDA graphs: whole trainings.

On a GPU, or on the stub of one, which also counts the launches.
"""

import json
import re
from collections import Counter

import numpy as np
import pytest

import scratchnet.engine.kernels
from benchmarks.engines import build
from benchmarks.workloads import book
from scratchnet import (
    SGD,
    Adam,
    Conv2d,
    CrossEntropyLoss,
    Dropout,
    Linear,
    LogSoftmax,
    MSELoss,
    NLLLoss,
    ReLU,
    Sigmoid,
    Softmax,
    Tanh,
    fit,
)
from scratchnet.data import digits
from scratchnet.engine.kernels import GraphSteps, supported
from scratchnet.engine.kernels.graph_steps import KERNELS
from scratchnet.errors import DataError, NonFiniteError, ShapeError
from scratchnet.runs.checkpoints import checkpoints_in
from scratchnet.train import main
from tests.cuda import stub
from tests.engine.kernels.test_kernels import LOSSES, data, network, wide
from tests.profiles import quick_first

pytestmark = pytest.mark.gpu


def trained(device, loss, x, t, layers=wide, dtype="float64", lr=0.3, **options):
    net = network(layers(), device, dtype)
    history = fit(net, loss, SGD(net, lr), x, t, batch_size=1, threads=1, **options)
    return net, history


def agree(here, there):
    np.testing.assert_allclose(there[1].step_losses, here[1].step_losses, rtol=1e-10)
    for name, w in here[0].state_dict().items():
        np.testing.assert_allclose(there[0].state_dict()[name], w, rtol=1e-10, atol=1e-12, err_msg=name)
    for mine, other in zip(there[1].epochs, here[1].epochs, strict=True):
        assert {k: v for k, v in mine.items() if k != "seconds"} == pytest.approx(
            {k: v for k, v in other.items() if k != "seconds"}, rel=1e-10
        )


def graphs(seen):
    """{kernels of a graph: how often it was launched}"""
    return {int(name.removeprefix("graph of ")): n for name, n in Counter(seen.launches).items() if "graph" in name}


@pytest.mark.parametrize("loss", quick_first(LOSSES, 1), ids=repr)
def test_fit_on_the_device_is_fit_on_the_cpu(gpu, loss):
    x, t = data(230, loss)
    options = {"epochs": 3, "schedule": lambda epoch: 0.3 / (epoch + 1), "valid": (x[:9], t[:9])}
    here = trained("cpu", loss, x, t, **options)
    with stub.watch() as seen:
        there = trained("cuda", loss, x, t, **options)
    agree(here, there)
    kernels = 4 + 1 + 3 + 4  # forward, loss, backward, update
    if stub.is_installed():
        assert graphs(seen) == {100 * kernels + 1: 5, 10 * kernels + 1: 9}
        # the first hundred steps, which load the kernels
        assert sum(name in {*KERNELS} - {"cross_entropy"} for name in seen.launches) == 100 * (
            kernels - isinstance(loss, CrossEntropyLoss)
        ) + 1  # fmt: skip
    per_epoch = 3  # the losses, twice, and the validation
    assert len(seen.reads) <= 1 + loss.takes_labels + per_epoch * 3 + 3


def test_nobody_waits_within_an_epoch(gpu):
    x, t = data(1000, MSELoss())
    net = network(wide(), "cuda")
    steps = GraphSteps(net, MSELoss(), SGD(net, 0.1), gpu.asarray(x), gpu.asarray(t))
    losses = gpu.full(1000, np.nan)
    order = gpu.arange(1000)
    with stub.watch() as seen:
        steps.begin(order, losses)
        done = 0
        while done < 1000:
            done += steps.run(1000 - done)
    assert seen.waits == seen.transfers == []
    assert done == steps.optimiser.steps == 1000 and np.isfinite(losses.get()).all()
    assert graphs(seen) == ({1201: 9} if stub.is_installed() else {})
    assert steps.losses is losses  # its address is on the device, so it has to be kept


def test_on_step_sees_every_step_as_it_is(gpu):
    x, t = data(12, CrossEntropyLoss())
    looked = {}
    for device in ("cpu", "cuda"):
        net = network(wide(), device)
        optimiser = SGD(net, 0.3)
        rows = looked[device] = []

        def look(epoch, k, steps, loss, net=net, optimiser=optimiser, rows=rows):
            rows.append((epoch, k, steps, loss, optimiser.steps, net.state_dict()["0.weight"][0, 0]))
            if (epoch, k) == (1, 5):
                optimiser.lr = 0.05  # may be set at any time

        with stub.watch() as seen:
            fit(net, CrossEntropyLoss(), optimiser, x, t, epochs=2, batch_size=1, threads=1, on_step=look)
    for a, b in zip(looked["cpu"], looked["cuda"], strict=True):
        assert [*map(float, b)] == pytest.approx(
            [*map(float, a)], rel=1e-12
        )  # losses of the first epoch are still there
    assert graphs(seen) == ({13: 23} if stub.is_installed() else {})


def test_going_on_in_the_middle_of_an_epoch(gpu):
    x, t = data(40, MSELoss())
    whole = trained("cuda", MSELoss(), x, t, epochs=2)

    class Stopped(Exception):
        pass

    def stop(epoch, k, steps, loss):
        if (epoch, k) == (1, 6):
            raise Stopped

    net = network(wide(), "cuda")
    history, optimiser = scratchnet.History(), SGD(net, 0.3)
    with pytest.raises(Stopped):
        fit(net, MSELoss(), optimiser, x, t, epochs=2, batch_size=1, threads=1, on_step=stop, history=history)
    history = fit(net, MSELoss(), optimiser, x, t, epochs=2, batch_size=1, threads=1, history=history)
    assert history.step_losses == whole[1].step_losses and optimiser.steps == 80
    for name, w in whole[0].state_dict().items():
        np.testing.assert_array_equal(net.state_dict()[name], w)


def test_examples_that_are_strided_and_labels_of_any_whole_type(gpu):
    x, t = data(20, CrossEntropyLoss())
    here = trained("cpu", CrossEntropyLoss(), x, t)
    strided = gpu.asarray(np.repeat(x, 2, axis=1))[:, ::2]
    agree(here, trained("cuda", CrossEntropyLoss(), strided, t.astype(np.uint8)))


def test_float32(gpu):
    x, t = data(150, MSELoss())
    here, there = (trained(device, MSELoss(), x, t, dtype="float32") for device in ("cpu", "cuda"))
    for name, w in here[0].state_dict().items():
        assert there[0].state_dict()[name].dtype == np.float32
        np.testing.assert_allclose(there[0].state_dict()[name], w, rtol=1e-4, atol=1e-5)


def test_what_fails_while_a_graph_is_recorded_is_what_is_told(stub_gpu, monkeypatch):
    """And not that a recording which was broken off cannot be ended."""
    x, t = data(20, MSELoss())

    def fails(*_):
        raise MemoryError("no room for a launch")

    class Stream(stub_gpu.cuda.Stream):
        def end_capture(self):
            super().end_capture()
            raise RuntimeError("the capture is invalid")

    monkeypatch.setattr(GraphSteps, "_launch", fails)
    monkeypatch.setattr(stub_gpu.cuda, "Stream", Stream)
    with pytest.raises(MemoryError, match="no room for a launch"):
        trained("cuda", MSELoss(), x, t, epochs=3)


def test_errors_are_those_of_the_cpu(gpu):
    x, t = data(20, CrossEntropyLoss())
    for wrong, target, error, text in (
        (
            CrossEntropyLoss(),
            np.where(np.arange(20) == 7, 3, t),
            DataError,
            "label 3 is out of range: the network has 3",
        ),
        (CrossEntropyLoss(), np.where(np.arange(20) == 7, -1, t), DataError, "label -1 is out of range"),
        (MSELoss(), np.zeros((20, 4)), ShapeError, "target"),
        (CrossEntropyLoss(), np.zeros(20), ShapeError, "labels"),
    ):
        for device in ("cpu", "cuda"):
            with pytest.raises(error, match=text):
                trained(device, wrong, x, target)
    for device in ("cpu", "cuda"):
        with pytest.raises(ShapeError, match="layer 0"):
            trained(device, CrossEntropyLoss(), x[:, :5], t)


def test_a_loss_that_is_no_number_is_found_at_the_end_of_the_epoch(gpu):
    x, t = data(20, MSELoss())
    with pytest.raises(NonFiniteError, match="the loss became"):
        trained("cuda", MSELoss("sum"), x, t, layers=lambda: [Linear(6, 9), ReLU(), Linear(9, 3)], lr=1e200, epochs=3)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({}, None),
        ({"batch_size": 2}, "a batch of 2"),
        ({"optimiser": lambda net: SGD(net, 0.1, momentum=0.9)}, "momentum"),
        ({"optimiser": lambda net: SGD(net, 0.1, weight_decay=0.1)}, "weight decay"),
        ({"optimiser": lambda net: SGD(net, 0.1, clip_norm=1.0)}, "clipping"),
        ({"optimiser": lambda net: Adam(net, 0.1)}, "SGD"),
        ({"loss": NLLLoss()}, "loss NLLLoss"),
        ({"layers": [Linear(6, 3), LogSoftmax()]}, "LogSoftmax"),
        ({"layers": [Linear(6, 3), Dropout(0.5)]}, "Dropout"),
        ({"layers": [Sigmoid(), Linear(6, 3)]}, r"Sigmoid\(\) does not follow a Linear"),
        ({"layers": [Linear(6, 3), Tanh(), Tanh()]}, r"Tanh\(\) does not follow a Linear"),
        ({"layers": [Linear(6, 3), Softmax()]}, "Softmax"),
        ({"layers": [Conv2d(1, 2, 3)]}, "Conv2d"),
    ],
)
def test_supported_says_why_not(gpu, change, why):
    net = network(change.get("layers", [Linear(6, 3), Sigmoid()]), "cuda")
    optimiser = change.get("optimiser", lambda net: SGD(net, 0.1))(net)
    found = supported(net, change.get("loss", MSELoss()), optimiser, change.get("batch_size", 1))
    assert found is None if why is None else re.search(why, found)


def test_what_is_not_supported_trains_as_ever(gpu):
    x, t = data(30, MSELoss())
    results = []
    with stub.watch() as seen:
        for device in ("cpu", "cuda"):
            net = network(wide(), device)
            results.append((net, fit(net, MSELoss(), SGD(net, 0.1, weight_decay=0.1), x, t, batch_size=1, threads=1)))
        sequences = np.random.default_rng(0).normal(size=(8, 4, 6))
        there = network([Linear(6, 3)], "cuda")
        fit(there, MSELoss(), SGD(there, 0.1), sequences, np.zeros((8, 4, 3)), batch_size=1, threads=1)
    agree(*results)
    # as the layers make their steps
    assert not stub.is_installed() or graphs(seen)
    assert not ({*KERNELS} - {"advance"}) & {*seen.launches, *seen.nodes}


def test_the_command_takes_them(gpu, tmp_path, monkeypatch):
    """`python -m scratchnet.train digits --preset book --device cuda`, with
    checkpoints.
    """
    few = digits.load_digits(0)
    monkeypatch.setattr(digits, "load_digits", lambda seed=0: type(few)(*(part[:40] for part in few)))
    results = {}
    for device in ("cpu", "cuda"):
        out = tmp_path / device
        options = ["--preset", "book", "--hidden", "5", "--epochs", "2", "--threads", "1", "--no-plots", "--seed", "1"]
        options += ["--dtype", "float64", "--checkpoint-every", "30", "--device", device, "--out", str(out)]
        with stub.watch() as seen:
            assert main(["digits", *options]) == 0
        results[device] = json.loads((out / "metrics.json").read_text()), checkpoints_in(out / "checkpoints")
    # ten steps at a time, which lead to every thirtieth
    assert not stub.is_installed() or seen.launches.count("persistent") == 8
    for name in ("train_loss", "test_loss", "test_accuracy"):
        assert results["cuda"][0][name] == pytest.approx(results["cpu"][0][name], rel=1e-9)
    for here, there in zip(*(results[device][1] for device in ("cpu", "cuda")), strict=True):
        assert here.name == there.name
        for name, w in scratchnet.load(here).state_dict().items():
            np.testing.assert_allclose(scratchnet.load(there).state_dict()[name], w, rtol=1e-9, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize(("batch", "steps"), [(1, 3), (1, 211), (1, 1003), (4, 230)])
def test_the_benchmarks_engine_takes_them(gpu, batch, steps):
    here, there = (build(f"scratchnet {name}", book(20, batch)) for name in ("numpy", "cupy"))
    with stub.watch() as seen:
        for run in (here, there):
            run(steps)
    assert not stub.is_installed() or graphs(seen) or "persistent" in seen.launches
    for a, b in zip(here.weights(), there.weights(), strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("loss", quick_first(LOSSES, 1), ids=repr)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("look", [None, lambda *_: None], ids=["hundreds", "one by one"])
def test_a_gpu_trains_as_the_cpu(gpu, loss, dtype, look):
    x, t = data(330, loss, features=100)

    def layers():
        return [Linear(100, 200), Sigmoid(), Linear(200, 33, bias=False), ReLU(), Linear(33, 3), Tanh()]

    options = {"layers": layers, "dtype": dtype, "lr": 0.05, "epochs": 2, "on_step": look}
    here, there = (trained(device, loss, x, t, **options) for device in ("cpu", "cuda"))
    tolerance = 1e-3 if dtype == "float32" else 1e-9
    np.testing.assert_allclose(there[1].step_losses, here[1].step_losses, rtol=tolerance, atol=tolerance)
    for name, w in here[0].state_dict().items():
        np.testing.assert_allclose(there[0].state_dict()[name], w, rtol=tolerance, atol=tolerance, err_msg=name)


def test_a_gpu_repeats_itself_bit_for_bit(gpu):
    x, t = data(250, CrossEntropyLoss())
    first, second = (trained("cuda", CrossEntropyLoss(), x, t, dtype="float32", epochs=2) for _ in range(2))
    assert first[1].step_losses == second[1].step_losses
