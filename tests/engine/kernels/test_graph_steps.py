"""The runner of the GPU kernels: whole trainings on the fake of CuPy.

Those marked gpu run on a GPU.
"""

import json
import re

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
    Sequential,
    Sigmoid,
    Softmax,
    Tanh,
    fit,
    step,
)
from scratchnet.backend.arrays import to_numpy
from scratchnet.data import digits
from scratchnet.engine.kernels import GraphSteps, supported
from scratchnet.errors import DataError, NonFiniteError, ShapeError
from scratchnet.runs.checkpoints import checkpoints_in
from scratchnet.train import main
from tests import fake_cupy
from tests.cases import CASES
from tests.engine.kernels.test_kernels import LOSSES, TEXT, data, network, wide
from tests.profiles import quick_first


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


@pytest.mark.parametrize("loss", quick_first(LOSSES, 1), ids=repr)
def test_fit_on_the_device_is_fit_on_the_cpu(cupy, loss):
    x, t = data(230, loss)
    options = {"epochs": 3, "schedule": lambda epoch: 0.3 / (epoch + 1), "valid": (x[:9], t[:9])}
    here = trained("cpu", loss, x, t, **options)
    with fake_cupy.watch() as (waits, _):
        there = trained("cuda", loss, x, t, **options)
    agree(here, there)
    kernels = 4 + 1 + 3 + 4  # forward, loss, backward, update
    assert [(len(g.launches), g.replays) for g in fake_cupy.graphs] == [(100 * kernels + 1, 5), (10 * kernels + 1, 9)]
    # Before training and after each epoch the validation examples are judged; of the
    # losses, the cross entropy is a kernel of its own
    judged = 4 if isinstance(loss, CrossEntropyLoss) else 0
    # the first hundred steps, which load the kernels
    assert len(fake_cupy.eager_launches) == 100 * kernels + 1 + judged
    per_epoch = 3  # the losses, twice, and the validation
    assert len(waits) <= 1 + loss.takes_labels + per_epoch * 3 + 3


def test_nobody_waits_within_an_epoch(cupy):
    x, t = data(1000, MSELoss())
    net = network(wide(), "cuda")
    steps = GraphSteps(net, MSELoss(), SGD(net, 0.1), cupy.asarray(x), cupy.asarray(t))
    losses = cupy.full(1000, np.nan)
    with fake_cupy.watch() as (waits, copies):
        steps.begin(cupy.arange(1000), losses)
        done = 0
        while done < 1000:
            done += steps.run(1000 - done)
    assert waits == [] and copies == []
    assert done == steps.optimiser.steps == 1000 and np.isfinite(losses.get()).all()
    assert [g.replays for g in fake_cupy.graphs] == [9]
    assert steps.losses is losses  # its address is on the device, so it has to be kept


def test_on_step_sees_every_step_as_it_is(cupy):
    x, t = data(12, CrossEntropyLoss())
    seen = {}
    for device in ("cpu", "cuda"):
        net = network(wide(), device)
        optimiser = SGD(net, 0.3)
        rows = seen[device] = []

        def look(epoch, k, steps, loss, net=net, optimiser=optimiser, rows=rows):
            rows.append((epoch, k, steps, loss, optimiser.steps, net.state_dict()["0.weight"][0, 0]))
            if (epoch, k) == (1, 5):
                optimiser.lr = 0.05  # may be set at any time

        fit(net, CrossEntropyLoss(), optimiser, x, t, epochs=2, batch_size=1, threads=1, on_step=look)
    for a, b in zip(seen["cpu"], seen["cuda"], strict=True):
        assert [*map(float, b)] == pytest.approx(
            [*map(float, a)], rel=1e-12
        )  # losses of the first epoch are still there
    assert [(len(g.launches), g.replays) for g in fake_cupy.graphs] == [(13, 23)]


def test_going_on_in_the_middle_of_an_epoch(cupy):
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


def test_examples_that_are_strided_and_labels_of_any_whole_type(cupy):
    x, t = data(20, CrossEntropyLoss())
    here = trained("cpu", CrossEntropyLoss(), x, t)
    strided = cupy.asarray(np.repeat(x, 2, axis=1))[:, ::2]
    agree(here, trained("cuda", CrossEntropyLoss(), strided, t.astype(np.uint8)))


def test_float32(cupy):
    x, t = data(150, MSELoss())
    here, there = (trained(device, MSELoss(), x, t, dtype="float32") for device in ("cpu", "cuda"))
    for name, w in here[0].state_dict().items():
        assert there[0].state_dict()[name].dtype == np.float32
        np.testing.assert_allclose(there[0].state_dict()[name], w, rtol=1e-4, atol=1e-5)


def test_what_fails_while_a_graph_is_recorded_is_what_is_told(cupy, monkeypatch):
    """And not that a recording which was broken off cannot be ended."""
    x, t = data(20, MSELoss())

    def fails(*_):
        raise MemoryError("no room for a launch")

    def cannot_end(_):
        raise RuntimeError("the capture is invalid")

    monkeypatch.setattr(GraphSteps, "_launch", fails)
    monkeypatch.setattr(fake_cupy.Stream, "end_capture", cannot_end)
    with pytest.raises(MemoryError, match="no room for a launch"):
        trained("cuda", MSELoss(), x, t, epochs=3)


def test_errors_are_those_of_the_cpu(cupy):
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


def test_a_loss_that_is_no_number_is_found_at_the_end_of_the_epoch(cupy):
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
def test_supported_says_why_not(cupy, change, why):
    net = network(change.get("layers", [Linear(6, 3), Sigmoid()]), "cuda")
    optimiser = change.get("optimiser", lambda net: SGD(net, 0.1))(net)
    found = supported(net, change.get("loss", MSELoss()), optimiser, change.get("batch_size", 1))
    assert found is None if why is None else re.search(why, found)


def test_what_is_not_supported_trains_as_ever(cupy):
    x, t = data(30, MSELoss())
    results = []
    for device in ("cpu", "cuda"):
        net = network(wide(), device)
        results.append((net, fit(net, MSELoss(), SGD(net, 0.1, weight_decay=0.1), x, t, batch_size=1, threads=1)))
    agree(*results)
    sequences = np.random.default_rng(0).normal(size=(8, 4, 6))
    there = network([Linear(6, 3)], "cuda")
    fit(there, MSELoss(), SGD(there, 0.1), sequences, np.zeros((8, 4, 3)), batch_size=1, threads=1)
    assert fake_cupy.graphs == [] and fake_cupy.eager_launches == []


def test_the_command_takes_them(cupy, tmp_path, monkeypatch):
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
        assert main(["digits", *options]) == 0
        results[device] = json.loads((out / "metrics.json").read_text()), checkpoints_in(out / "checkpoints")
    # ten steps at a time, which lead to every thirtieth; the first ten load the kernels
    assert [(len(g.launches), g.replays) for g in fake_cupy.graphs] == [(10 * 6 + 1, 7)]
    for name in ("train_loss", "test_loss", "test_accuracy"):
        assert results["cuda"][0][name] == pytest.approx(results["cpu"][0][name], rel=1e-9)
    for here, there in zip(*(results[device][1] for device in ("cpu", "cuda")), strict=True):
        assert here.name == there.name
        for name, w in scratchnet.load(here).state_dict().items():
            np.testing.assert_allclose(scratchnet.load(there).state_dict()[name], w, rtol=1e-9, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("steps", [3, 211, 1003])
def test_the_benchmarks_engine_takes_them(cupy, steps):
    here, there = (build(f"scratchnet {name}", book(20)) for name in ("numpy", "cupy"))
    recorded = len(fake_cupy.graphs)
    for run in (here, there):
        run(steps)
    assert recorded == len(fake_cupy.graphs) == 3
    for a, b in zip(here.weights(), there.weights(), strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-3, atol=1e-5)


# ------------------------------------------------------------ the fake, and CuPy itself


def test_the_fake_forbids_while_capturing_what_a_gpu_cannot_repeat(cupy):
    a, kernel = cupy.zeros(4), cupy.RawModule(code='extern "C" __global__ void f(double *a) { a[0] += 1; }')
    kernel = kernel.get_function("f")
    with cupy.cuda.Stream(non_blocking=True) as stream:
        stream.begin_capture()
        for forbidden in (  # whatever computes, copies, waits or allocates
            lambda: a + a, lambda: cupy.zeros(3), lambda: cupy.exp(a), a.get, a.sum, lambda: float(a[0]),
            lambda: a.__setitem__(0, 1.0), lambda: a.fill(0), lambda: cupy.dot(a, a), stream.synchronize,
            lambda: fake_cupy.cublas.ger(1.0, a, a, a), lambda: cupy.asarray([1.0]), lambda: a.__iadd__(a),
        ):  # fmt: skip
            with pytest.raises(RuntimeError, match="captured"):
                forbidden()
        with pytest.raises(AssertionError, match="loaded"):
            kernel((1,), (1,), (a,))
        stream.end_capture()
    kernel((1,), (1,), (a,))
    gone = cupy.zeros(4)
    with stream:
        stream.begin_capture()
        kernel((1,), (1,), (a,))
        kept = stream.end_capture()
        stream.begin_capture()
        kernel((1,), (1,), (gone,))
        lost = stream.end_capture()
    kept.launch()
    kept.launch()
    assert a.get()[0] == 3
    del gone
    with pytest.raises(AssertionError, match="is gone"):
        lost.launch()


def test_cupy_has_what_the_runner_uses():
    real = pytest.importorskip("cupy", reason="CuPy is not installed")
    module = real.RawModule(code=TEXT, options=("-DREAL=float",))  # compiled at its first use
    assert callable(module.get_function) and callable(real.cuda.Stream) and callable(real.cuda.get_current_stream)
    assert {"begin_capture", "end_capture"} <= set(dir(real.cuda.Stream)) and "launch" in dir(real.cuda.Graph)


# --------------------------------------------------------------------------- with a GPU


@pytest.mark.gpu
@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_layer_on_a_gpu(gpu, case):
    layer_on_both_devices(case)


def layer_on_both_devices(case):
    """Output and gradients of a layer, and a step, on the device as on the CPU."""
    here, there = (Sequential(case.make(), seed=1, dtype="float64", device=device) for device in ("cpu", "cuda"))
    x = np.moveaxis(case.x(), -1, 0)
    y = here(x)
    np.testing.assert_allclose(to_numpy(there(x)), y, rtol=1e-9, atol=1e-11)
    t = np.random.default_rng(0).normal(size=y.shape)
    (value, a), (other, b) = here.gradients(x, t, MSELoss()), there.gradients(x, t, MSELoss())
    assert other == pytest.approx(value, rel=1e-9)
    for name, g in a.items():
        np.testing.assert_allclose(to_numpy(b[name]), g, rtol=1e-8, atol=1e-10, err_msg=name)
    for net in (here, there):
        step(net, MSELoss(), SGD(net, 0.01), x, t)
    for name, w in here.state_dict().items():
        np.testing.assert_allclose(there.state_dict()[name], w, rtol=1e-8, atol=1e-10, err_msg=name)


@pytest.mark.parametrize("case", CASES[::10], ids=str)
def test_the_comparison_for_a_gpu_itself(cupy, case):
    layer_on_both_devices(case)


@pytest.mark.gpu
@pytest.mark.parametrize("loss", LOSSES, ids=repr)
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


@pytest.mark.gpu
def test_a_gpu_repeats_itself_bit_for_bit(gpu):
    x, t = data(250, CrossEntropyLoss())
    first, second = (trained("cuda", CrossEntropyLoss(), x, t, dtype="float32", epochs=2) for _ in range(2))
    assert first[1].step_losses == second[1].step_losses
