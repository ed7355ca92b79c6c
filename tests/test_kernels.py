"""The GPU kernels without a GPU: their readable versions, their text run on the CPU, their runner on a fake of CuPy.

Letters: I inputs, O outputs of a layer, K outputs of the network.
"""

import inspect
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import scratchnet.kernels
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
    QuadraticCost,
    ReLU,
    Sequential,
    Sigmoid,
    Softmax,
    Tanh,
    fit,
    step,
)
from scratchnet.backend import cuda_problem, to_numpy
from scratchnet.errors import DataError, NonFiniteError, ShapeError
from scratchnet.kernels import GraphSteps, reference, supported
from scratchnet.kernels.graph_steps import ACTIVATIONS, KERNELS, activations_of, scale_of, threads_for
from scratchnet.learner import Learner
from tests import fake_cupy
from tests.cases import CASES
from tests.cuda_on_cpu import Emulation

SOURCE = Path(scratchnet.kernels.__file__).with_name("step.cu")
SIZES = [1, 31, 32, 33, 200, 784, 1000]
LAYERS = {reference.IDENTITY: None, **{number: layer for layer, number in ACTIVATIONS.items()}}
LOSSES = [MSELoss(), MSELoss("sum"), QuadraticCost(), CrossEntropyLoss()]


def network(layers, device="cpu", dtype="float64"):
    return Sequential(*layers, seed=1, dtype=dtype, device=device)


def wide(activation=Tanh):
    """Layers with and without bias, with every activation and with none, of sizes that fill no warp."""
    return [Linear(6, 40), Sigmoid(), Linear(40, 7, bias=False), ReLU(), Linear(7, 5), Linear(5, 3), activation()]


def data(n, loss, features=6, K=3):
    rng = np.random.default_rng(n)
    return rng.normal(size=(n, features)), rng.integers(0, K, n) if loss.takes_labels else rng.random((n, K))


# ------------------------------------------------------------------------------------------ the readable versions


@pytest.mark.parametrize("activation", LAYERS)
@pytest.mark.parametrize("bias", [True, False])
def test_reference_of_a_layer_is_the_layer(activation, bias):
    rng = np.random.default_rng(0)
    linear, kind = Linear(5, 4, bias), LAYERS[activation]
    net = network([linear] if kind is None else [linear, kind()])
    W, b = linear.W.value.copy(), linear.b.value.copy() if bias else None
    a, delta = rng.normal(size=5), rng.normal(size=4)
    y, caches = net.forward(a[:, None], learn := Learner())
    np.testing.assert_allclose(reference.forward(W, b, a, activation), y[:, 0], rtol=1e-12)
    sigma = reference.times_sigma_prime(delta, y[:, 0], activation)
    expected = delta if kind is None else net.layers[1].backward(delta[:, None].copy(), caches[1], learn)[:, 0]
    np.testing.assert_allclose(sigma, expected, rtol=1e-12)
    below = linear.backward(sigma[:, None].copy(), caches[0], learn)[:, 0]
    np.testing.assert_allclose(reference.backward(W, sigma, a, reference.IDENTITY), below, rtol=1e-12)
    reference.update(W, b, sigma, a, 0.1)
    np.testing.assert_allclose(W, linear.W.value - 0.1 * linear.W.grad, rtol=1e-12)
    if bias:
        np.testing.assert_allclose(b, linear.b.value - 0.1 * linear.b.grad, rtol=1e-12)


@pytest.mark.parametrize("activation", ACTIVATIONS.values())
def test_special_numbers_pass_the_activations_as_in_the_layers(activation):
    z = np.array([-np.inf, -800, -0.0, 0.0, 1e-300, 800, np.inf, np.nan])
    layer = LAYERS[activation]()
    with np.errstate(over="ignore"):
        a, cache = layer.forward(z[:, None].copy())
        mine = reference.activate(z, activation)
    np.testing.assert_array_equal(mine, a[:, 0])
    np.testing.assert_array_equal(np.signbit(mine[:-1]), np.signbit(a[:-1, 0]))
    grads = np.array([1.0, -2, 3, np.inf, 5, 6, 7, 8])
    with np.errstate(invalid="ignore"):
        expected = layer.backward(grads[:, None].copy(), cache, Learner())[:, 0]
        np.testing.assert_array_equal(reference.times_sigma_prime(grads, mine, activation), expected)


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
@pytest.mark.parametrize("activation", LAYERS)
def test_reference_of_a_loss_is_the_loss(loss, activation):
    rng = np.random.default_rng(0)
    y, t = rng.random(7), 3 if loss.takes_labels else rng.random(7)
    target = np.array([t]) if loss.takes_labels else t[:, None]
    value, delta = loss.forward(y[:, None], target)
    mine = reference.cross_entropy(y, t, activation) if loss.takes_labels else reference.squares(
        y, t, scale_of(loss, 7), activation
    )  # fmt: skip
    assert mine[0] == pytest.approx(value, rel=1e-12)
    expected = reference.times_sigma_prime(delta[:, 0], y, activation)
    np.testing.assert_allclose(mine[1], expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_reference_steps_are_the_engines_steps(loss):
    x, t = data(100, loss)
    net = network(wide())
    linears = [layer for layer in net.layers if isinstance(layer, Linear)]
    weights = [(la.W.value.copy(), la.b.value.copy() if la.b else None) for la in linears]
    optimiser = SGD(net, 0.3)
    scale = None if loss.takes_labels else scale_of(loss, 3)
    for k in range(100):
        value = step(net, loss, optimiser, x[k : k + 1], t[k : k + 1])
        mine = reference.step(weights, activations_of(net), x[k], t[k], 0.3, scale)
        assert mine == pytest.approx(value, rel=1e-10)
    for layer, (W, b) in zip(linears, weights, strict=True):
        np.testing.assert_allclose(W, layer.W.value, rtol=1e-10, atol=1e-12)
        if b is not None:
            np.testing.assert_allclose(b, layer.b.value, rtol=1e-10, atol=1e-12)


def test_every_kernel_has_a_readable_version_of_the_same_name():
    kernels = {line.split("(")[0].split()[-1] for line in SOURCE.read_text().splitlines() if "__global__" in line}
    assert kernels == set(KERNELS)
    assert kernels - {"advance"} <= {name for name, _ in inspect.getmembers(reference, inspect.isfunction)}
    numbers = next(line for line in SOURCE.read_text().splitlines() if line.startswith("enum"))
    names = [name.strip() for name in numbers.partition("{")[2].partition("}")[0].split(",")]
    assert [getattr(reference, name) for name in names] == [0, 1, 2, 3]


# ------------------------------------------------------------------------------------------ the text, run on the CPU


class Kernels:
    """The kernels for one type, called on NumPy arrays; everything is run in both orders of blocks and threads."""

    def __init__(self, dtype):
        self.dtype = np.dtype(dtype)
        name = {"float32": "float", "float64": "double"}[dtype]
        self.library = Emulation(SOURCE.read_text(), (f"-DREAL={name}",))

    def guarded(self, values):
        """A copy with NaN before and behind it: what reads there spoils its result, what writes there is found."""
        values = np.asarray(values, self.dtype)
        room = np.full(values.size + 16, np.nan, self.dtype)
        room[8:-8] = values.ravel()
        return room[8:-8].reshape(values.shape)

    def empty(self, *shape):
        return self.guarded(np.full(shape, np.nan))

    def __call__(self, name, blocks, threads, *args):
        arrays = [a for a in args if isinstance(a, np.ndarray) and a.dtype == self.dtype]
        before = [a.copy() for a in arrays]
        after = []
        for backwards in (False, True):
            for a, values in zip(arrays, before, strict=True):
                a[...] = values
            addresses = [a.ctypes.data if isinstance(a, np.ndarray) else a for a in args]
            self.library.launch(name, blocks, threads, addresses, backwards)
            after.append([a.copy() for a in arrays])
        for a, forwards, other in zip(arrays, *after, strict=True):
            np.testing.assert_array_equal(forwards, other, err_msg=f"{name}: a race")
            room = a
            while room.base is not None:
                room = room.base
            assert np.isnan(room[:8]).all() and np.isnan(room[-8:]).all(), f"{name} writes outside its arrays"

    def close(self, mine, expected):
        assert not np.isnan(mine).any()
        tolerance = 2e-5 if self.dtype == np.float32 else 1e-12
        np.testing.assert_allclose(mine, expected, rtol=tolerance, atol=tolerance)


@pytest.fixture(scope="module", params=["float32", "float64"])
def kernels(request):
    return Kernels(request.param)


def shapes():
    """(O, I) pairs: all sizes on both sides, without the products of the large."""
    return [(O, I) for O in SIZES for I in SIZES if O * I <= 40_000]


@pytest.mark.parametrize(("O", "I"), shapes())
def test_kernels_of_a_layer(kernels, O, I):
    rng = np.random.default_rng([O, I])
    activation = (O + I) % 4
    W, b, a = (kernels.guarded(rng.normal(size=s)) for s in ((O, I), O, I))
    W /= np.sqrt(I)
    out, below = kernels.empty(O), kernels.empty(I)
    kernels("forward", O, threads_for(I), W, b, a, 0, 0, 0, I, activation, out)
    kernels.close(out, reference.forward(*(v.astype(np.float64) for v in (W, b, a)), activation))
    delta = kernels.guarded(rng.normal(size=O))
    backward_threads = 32 * min(-(-O // 4), 32)
    kernels("backward", -(-I // 32), backward_threads, W, delta, a, I, O, activation, below)
    kernels.close(below, reference.backward(*(v.astype(np.float64) for v in (W, delta, a)), activation))
    lr = kernels.guarded([0.25])
    changed = W.astype(np.float64), b.astype(np.float64)
    reference.update(*changed, delta, a, 0.25)
    kernels("update", O, threads_for(I), W, b, delta, a, 0, 0, 0, I, lr)
    kernels.close(W, changed[0])
    kernels.close(b, changed[1])


def test_first_layer_reads_its_example_where_it_lies(kernels):
    rng = np.random.default_rng(0)
    W, x = kernels.guarded(rng.normal(size=(3, 33))), kernels.guarded(rng.normal(size=(5, 33)))
    order, at = np.array([4, 0, 3, 1, 2]), np.array([1])
    out, delta, lr = kernels.empty(3), kernels.guarded(rng.normal(size=3)), kernels.guarded([0.5])
    kernels("forward", 3, 32, W, 0, x, order, at, 1, 33, reference.IDENTITY, out)
    kernels.close(out, W @ x[3])
    expected = W - 0.5 * np.outer(delta, x[3])
    kernels("update", 3, 32, W, 0, delta, x, order, at, 1, 33, lr)
    kernels.close(W, expected)


@pytest.mark.parametrize("K", SIZES)
@pytest.mark.parametrize("activation", LAYERS)
def test_kernels_of_the_losses(kernels, K, activation):
    rng = np.random.default_rng(K)
    y, targets, scale = (kernels.guarded(v) for v in (rng.random(K), rng.random((3, K)), [0.5]))
    y[0] = -50  # far from the rest
    order, at = np.array([0, 0, 2, 1]), np.array([2])
    for name, target, expected in (
        ("squares", targets, reference.squares(y.astype(np.float64), targets[1], 0.5, activation)),
        ("cross_entropy", np.array([0, K - 1, 0]), reference.cross_entropy(y.astype(np.float64), K - 1, activation)),
    ):
        delta, losses = kernels.empty(K), kernels.empty(4)
        address = np.array([losses.ctypes.data])
        rest = (scale,) if name == "squares" else ()
        kernels(name, 1, threads_for(K), y, target, order, at, 1, K, *rest, activation, delta, address)
        np.testing.assert_allclose(delta, expected[1], rtol=1e-4 if kernels.dtype == np.float32 else 1e-12, atol=1e-6)
        np.testing.assert_allclose(losses[3], expected[0], rtol=1e-5 if kernels.dtype == np.float32 else 1e-12)
        assert np.isnan(losses[:3]).all()


def test_no_exponent_overflows_and_nan_is_not_hidden(kernels):
    order, at, label = np.array([0]), np.array([0]), np.array([1])
    for values, finite in (([1e4, -1e4, 0.0], True), ([1.0, np.nan, 0.0], False), ([np.nan, 1.0, 0.0], False)):
        delta, losses = kernels.empty(3), kernels.empty(1)
        y = kernels.guarded(values)
        args = y, label, order, at, 0, 3, reference.IDENTITY, delta, np.array([losses.ctypes.data])
        kernels("cross_entropy", 1, 32, *args)
        assert np.isfinite(losses[0]) == finite
        assert np.isfinite(delta).all() == finite


def test_special_numbers_pass_the_kernels(kernels):
    """A weight of 1, so that z is the input; and σ′ of what comes out, with special numbers coming back too."""
    one, back = kernels.guarded([[1.0]]), [1.0, -2, 3, np.inf, 5, 6, np.nan]
    for activation in LAYERS:
        for z, grad in zip([-np.inf, -800, -0.0, 0.0, 800, np.inf, np.nan], back, strict=True):
            with np.errstate(over="ignore", invalid="ignore"):
                a = reference.activate(np.array([z]), activation)
                expected = reference.times_sigma_prime(np.array([grad]), a, activation)
            out, below = kernels.empty(1), kernels.empty(1)
            kernels("forward", 1, 32, one, 0, kernels.guarded([z]), 0, 0, 0, 1, activation, out)
            np.testing.assert_allclose(out, a, rtol=1e-6, atol=1e-38)
            kernels("backward", 1, 32, one, kernels.guarded([grad]), out, 1, 1, activation, below)
            np.testing.assert_allclose(below, expected, rtol=1e-6, atol=1e-38)


def test_advance(kernels):
    at = np.array([7])
    kernels.library.launch("advance", 1, 1, [at.ctypes.data, 100])
    assert at[0] == 107


def test_the_emulation_finds_races_and_barriers_that_not_all_reach():
    race = """
    extern "C" __global__ void shift(REAL *out) {
        __shared__ REAL kept[32];
        kept[threadIdx.x] = threadIdx.x;
        out[threadIdx.x] = kept[(threadIdx.x + 1) % 32];
    }
    extern "C" __global__ void half(REAL *out) {
        if (threadIdx.x < 16) __syncthreads();
        out[threadIdx.x] = 1;
    }"""
    library = Emulation(race, ("-DREAL=double",))
    results = []
    for backwards in (False, True):
        out = np.zeros(32)
        library.launch("shift", 1, 32, [out.ctypes.data], backwards)
        results.append(out)
    assert not np.array_equal(*results) and all(np.isnan(out).any() for out in results)
    with pytest.raises(AssertionError, match="half"):
        library.launch("half", 1, 32, [np.zeros(32).ctypes.data])


@pytest.mark.parametrize("real", ["float", "double"])
def test_nvcc_compiles_the_text(real, tmp_path):
    nvcc = shutil.which("nvcc") or shutil.which("nvcc", path="/usr/local/cuda/bin")
    if nvcc is None:
        pytest.skip("nvcc is not installed")
    out = tmp_path / "step.ptx"
    command = [nvcc, "-ptx", "-arch=sm_75", "-std=c++17", "-Werror", "all-warnings", f"-DREAL={real}", "-o", str(out)]
    done = subprocess.run([*command, str(SOURCE)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    text = out.read_text()
    assert all(f".entry {name}(" in text for name in KERNELS)
    assert ".f64" not in text if real == "float" else ".f64" in text  # no double arithmetic slips into float


# ------------------------------------------------------------------------------------------ the runner


@pytest.fixture
def cupy(monkeypatch):
    """The CuPy-like module in CuPy's place, for one test."""
    return fake_cupy.install(monkeypatch)


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


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_fit_on_the_device_is_fit_on_the_cpu(cupy, loss):
    x, t = data(230, loss)
    options = {"epochs": 3, "schedule": lambda epoch: 0.3 / (epoch + 1), "valid": (x[:9], t[:9])}
    here = trained("cpu", loss, x, t, **options)
    with fake_cupy.watch() as (waits, _):
        there = trained("cuda", loss, x, t, **options)
    agree(here, there)
    kernels = 4 + 1 + 3 + 4  # forward, loss, backward, update
    assert [(len(g.launches), g.replays) for g in fake_cupy.graphs] == [(100 * kernels + 1, 5), (10 * kernels + 1, 9)]
    assert len(fake_cupy.eager_launches) == 100 * kernels + 1  # the first hundred steps, which load the kernels
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
            history.step_losses += history.running[:7].get().tolist()
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
        ({"device": "cpu"}, "the device cpu"),
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
    import re

    net = network(change.get("layers", [Linear(6, 3), Sigmoid()]), change.get("device", "cuda"))
    optimiser = change.get("optimiser", lambda net: SGD(net, 0.1))(net)
    found = supported(net, change.get("loss", MSELoss()), optimiser, change.get("batch_size", 1))
    assert found is None if why is None else re.search(why, found)


def test_what_is_not_supported_trains_as_ever(cupy):
    x, t = data(30, MSELoss())
    results = []
    for device in ("cpu", "cuda"):
        net = network(wide(), device)
        results.append((net, fit(net, MSELoss(), SGD(net, 0.1, momentum=0.5), x, t, batch_size=1, threads=1)))
    agree(*results)
    sequences = np.random.default_rng(0).normal(size=(8, 4, 6))
    there = network([Linear(6, 3)], "cuda")
    fit(there, MSELoss(), SGD(there, 0.1), sequences, np.zeros((8, 4, 3)), batch_size=1, threads=1)
    assert fake_cupy.graphs == [] and fake_cupy.eager_launches == []


@pytest.mark.parametrize("steps", [3, 211, 1003])
def test_the_benchmarks_engine_takes_them(cupy, steps):
    here, there = (build(f"scratchnet {name}", book(20)) for name in ("numpy", "cupy"))
    recorded = len(fake_cupy.graphs)
    for run in (here, there):
        run(steps)
    assert recorded == len(fake_cupy.graphs) == 3
    for a, b in zip(here.weights(), there.weights(), strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-3, atol=1e-5)


# ------------------------------------------------------------------------------------------ the fake, and CuPy itself


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
    module = real.RawModule(code=SOURCE.read_text(), options=("-DREAL=float",))  # compiled at its first use
    assert callable(module.get_function) and callable(real.cuda.Stream) and callable(real.cuda.get_current_stream)
    assert {"begin_capture", "end_capture"} <= set(dir(real.cuda.Stream)) and "launch" in dir(real.cuda.Graph)


# ------------------------------------------------------------------------------------------ with a GPU


@pytest.fixture
def gpu():
    problem = cuda_problem()
    if problem is not None:
        pytest.skip(problem)


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
