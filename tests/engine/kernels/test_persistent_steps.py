"""The steps that train in one launch: which trainings take them, and how they train.

On a GPU, or on the stub of one.
"""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest

from scratchnet import SGD, CrossEntropyLoss, Linear, MSELoss, ReLU, Sequential, Sigmoid, Tanh, fit
from scratchnet.engine.kernels import (
    GraphSteps,
    PersistentSteps,
    kind_of_steps,
    persistent_steps,
    supported_in_one_launch,
)
from scratchnet.engine.steps import Steps
from scratchnet.errors import DeviceError, SettingError
from tests.engine.kernels.test_kernels import data, network

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize(
    ("sizes", "change", "why"),
    [
        ((784, 5000, 10), {}, None),
        ((1024, 7, 32), {}, None),
        ((784, 30, 10), {"MultiProcessorCount": 1}, None),
        ((784, 6337, 10), {}, "6337 hidden units are too many for the registers of 132"),
        ((784, 700, 10), {"MultiProcessorCount": 14}, "700 hidden units are too many"),
        ((1025, 7, 10), {}, "1025 inputs"),
        ((784, 7, 33), {}, "33 outputs"),
        ((784, 30, 20, 10), {}, "3 Linear layers"),
        ((784, 10), {}, "1 Linear layers"),
        ((784, 30, 10), {"CooperativeLaunch": 0}, "cannot promise"),
    ],
)
def test_fit_takes_one_launch_where_the_network_fits(gpu, monkeypatch, sizes, change, why):
    attributes = {"CooperativeLaunch": 1, "MultiProcessorCount": 132, **change}
    monkeypatch.setattr(gpu.cuda, "Device", lambda: SimpleNamespace(attributes=attributes))
    layers = [layer for I, O in itertools.pairwise(sizes) for layer in (Linear(I, O), Sigmoid())]
    net = Sequential(*layers, device="cuda")
    x, t = gpu.zeros((3, sizes[0]), np.float32), gpu.zeros((3, sizes[-1]), np.float32)
    found = supported_in_one_launch(net)
    assert found is None if why is None else why in found
    kind = GraphSteps if why else PersistentSteps
    assert kind_of_steps(Steps(net, MSELoss(), SGD(net, 0.1), x, t), 10, 1) is kind
    momentum = SGD(net, 0.1, momentum=0.5)
    assert kind_of_steps(Steps(net, MSELoss(), momentum, x, t), 10, 1) is not PersistentSteps
    if why:
        with pytest.raises(SettingError, match=why):
            PersistentSteps(net, MSELoss(), SGD(net, 0.1), x, t)


def small():
    return [Linear(6, 40), Tanh(), Linear(40, 3), Sigmoid()]


def trained(device, loss, x, t, layers=small, dtype="float64", lr=0.3, **options):
    net = network(layers(), device, dtype)
    return net, fit(net, loss, SGD(net, lr), x, t, batch_size=1, threads=1, **options)


def agree(here, there, tolerance=1e-9):
    np.testing.assert_allclose(there[1].step_losses, here[1].step_losses, rtol=tolerance, atol=tolerance)
    for name, w in here[0].state_dict().items():
        np.testing.assert_allclose(there[0].state_dict()[name], w, rtol=tolerance, atol=tolerance, err_msg=name)


@pytest.fixture
def launches(monkeypatch):
    """The numbers of steps of all launches, with at most 100 in each."""
    made, train = [], PersistentSteps._train
    monkeypatch.setattr(persistent_steps, "STEPS_IN_A_LAUNCH", 100)
    monkeypatch.setattr(PersistentSteps, "_train", lambda self, n: made.append(n) or train(self, n))
    return made


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("loss", [MSELoss("sum"), CrossEntropyLoss()], ids=repr)
def test_one_launch_trains_as_the_cpu(gpu, launches, loss, dtype):
    x, t = data(120, loss)

    def layers():
        return [Linear(6, 70, bias=False), ReLU(), Linear(70, 3)]

    options = {"layers": layers, "dtype": dtype, "lr": 0.01, "epochs": 2, "schedule": lambda epoch: 0.01 / (epoch + 1)}
    here, there = (trained(device, loss, x, t, **options) for device in ("cpu", "cuda"))
    agree(here, there, 1e-3 if dtype == "float32" else 1e-9)
    assert launches == [100, 20] * 2


def test_few_steps_between_two_looks_are_left_to_graphs(gpu, launches):
    x, t = data(45, MSELoss())
    seen = {}
    for every in (1, 20):
        rows = seen[every] = []
        trained("cuda", MSELoss(), x, t, on_step=lambda *row, rows=rows: rows.append(row), steps_per_callback=every)
        assert launches == ([] if every == 1 else [20, 20])
    whole = {row[1]: float(row[3]) for row in seen[1]}
    assert [row[1] for row in seen[20]] == [19, 39, *range(40, 45)]  # the last five by graphs of one step
    assert [float(row[3]) for row in seen[20]] == pytest.approx([whole[row[1]] for row in seen[20]], rel=1e-9)


def test_one_launch_repeats_itself_bit_for_bit(gpu, launches):
    x, t = data(110, CrossEntropyLoss())
    first, second = (trained("cuda", CrossEntropyLoss(), x, t, dtype="float32") for _ in range(2))
    assert first[1].step_losses == second[1].step_losses and launches == [100, 10] * 2


def test_blocks_that_do_not_meet_are_told_and_change_nothing(gpu, monkeypatch):
    x, t = data(60, MSELoss())
    net = network(small(), "cuda")
    optimiser = SGD(net, 0.1)
    before = net.state_dict()
    monkeypatch.setattr(persistent_steps, "PATIENCE", -1)  # nobody is ever waited for
    monkeypatch.setattr(persistent_steps, "WARPS", 2)  # several blocks
    with pytest.raises(DeviceError, match="waited for each other in vain"):
        fit(net, MSELoss(), optimiser, x, t, batch_size=1)
    assert optimiser.steps == 0
    for name, w in net.state_dict().items():
        np.testing.assert_array_equal(w, before[name])
    monkeypatch.setattr(persistent_steps, "PATIENCE", 1 << 30)
    agree(trained("cpu", MSELoss(), x, t), trained("cuda", MSELoss(), x, t))
