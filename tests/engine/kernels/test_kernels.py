"""The GPU kernels without a GPU: engine/backprop.py specifies them.

Their source is run on the CPU. Letters: I inputs, O outputs of a layer, K outputs of
the network.
"""

import shutil
import subprocess

import numpy as np
import pytest

from scratchnet import (
    SGD,
    CrossEntropyLoss,
    Linear,
    MSELoss,
    QuadraticCost,
    ReLU,
    Sequential,
    Sigmoid,
    Tanh,
    step,
)
from scratchnet.engine import backprop
from scratchnet.engine.kernels import steps
from scratchnet.engine.kernels.graph_steps import COLUMNS, KERNELS, threads_down, threads_for
from scratchnet.engine.kernels.nvrtc import text_of
from scratchnet.engine.kernels.steps import ACTIVATIONS, IDENTITY, SIGMOID, activations_of, scale_of
from scratchnet.engine.learner import Learner
from tests.cuda.emulation import Emulation
from tests.profiles import quick_every, quick_first

TEXT = text_of("step")
SIZES = [1, 31, 32, 33, 200, 784, 1000]
LAYERS = {IDENTITY: None, **{number: layer for layer, number in ACTIVATIONS.items()}}
LOSSES = [MSELoss(), MSELoss("sum"), QuadraticCost(), CrossEntropyLoss()]


def network(layers, device="cpu", dtype="float64"):
    return Sequential(*layers, seed=1, dtype=dtype, device=device)


def wide(activation=Tanh):
    """Layers with and without bias, every activation and none, in sizes that fill no
    warp.
    """
    return [Linear(6, 40), Sigmoid(), Linear(40, 7, bias=False), ReLU(), Linear(7, 5), Linear(5, 3), activation()]


def data(n, loss, features=6, K=3):
    rng = np.random.default_rng(n)
    return rng.normal(size=(n, features)), rng.integers(0, K, n) if loss.takes_labels else rng.random((n, K))


# ------------------------------------------------------------ what they are tested with


def column(v):
    return np.asarray(v, np.float64)[:, None]


def specified(activation):
    """σ and σ′ of backprop.py by the number that the kernels know."""
    return list(backprop.ACTIVATIONS.values())[activation]


def cost_of(loss, K):
    """What backprop.py calls this loss, and how many times its cost the loss is."""
    return ("cross entropy", 1.0) if loss.takes_labels else ("quadratic", 2 * scale_of(loss, K))


def special(activation, z, grad):
    """The layer's a and grad ⊙ σ′ of one special number, which backprop.py does not
    treat.
    """
    if activation == IDENTITY:
        return np.array([z]), np.array([grad])
    layer = LAYERS[activation]()
    with np.errstate(over="ignore", invalid="ignore"):
        a, cache = layer.forward(np.array([[float(z)]]))
        return a[0], layer.backward(np.array([[float(grad)]]), cache, Learner())[0]


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
@pytest.mark.parametrize("activation", LAYERS)
def test_plain_steps_are_the_engines_steps(loss, activation):
    """A hundred steps of backprop.py and the engine, for each activation and loss."""
    x, t = data(100, loss)
    last = [LAYERS[activation]()] if activation != IDENTITY else []
    net = network([*wide()[:-1], *last])
    linears = [layer for layer in net.layers if isinstance(layer, Linear)]
    weights = [la.W.value.copy() for la in linears]
    biases = [la.b.value[:, None].copy() if la.b else np.zeros((la.out_features, 1)) for la in linears]
    names = [list(backprop.ACTIVATIONS)[number] for number in activations_of(net)]
    optimiser, (cost, times) = SGD(net, 0.1), cost_of(loss, 3)
    for k in range(100):
        value = step(net, loss, optimiser, x[k : k + 1], t[k : k + 1])
        target = np.eye(3)[:, t[k], None] if loss.takes_labels else column(t[k])
        mine = backprop.step((weights, biases, names), column(x[k]), target, cost, 0.1 * times)
        assert times * mine == pytest.approx(value, rel=1e-10)
        for layer, b in zip(linears, biases, strict=True):
            if layer.b is None:
                b[:] = 0
    for layer, W, b in zip(linears, weights, biases, strict=True):
        np.testing.assert_allclose(W, layer.W.value, rtol=1e-10, atol=1e-12)
        if layer.b is not None:
            np.testing.assert_allclose(b[:, 0], layer.b.value, rtol=1e-10, atol=1e-12)


def test_kernels_and_activations_have_the_names_and_numbers_of_the_text():
    kernels = {line.split("(")[0].split()[-1] for line in TEXT.splitlines() if "__global__" in line}
    assert kernels == set(KERNELS)
    numbers = next(line for line in TEXT.splitlines() if line.startswith("enum"))
    names = [name.strip() for name in numbers.partition("{")[2].partition("}")[0].split(",")]
    assert [getattr(steps, name) for name in names] == [0, 1, 2, 3]
    assert [name.lower() for name in names] == list(backprop.ACTIVATIONS)


# ------------------------------------------------------------- the text, run on the CPU


class Kernels:
    """The kernels for one type, called on NumPy arrays.

    Everything is run in both orders of blocks and threads.
    """

    def __init__(self, dtype, source=TEXT):
        self.dtype = np.dtype(dtype)
        name = {"float32": "float", "float64": "double"}[dtype]
        self.library = Emulation(source, (f"-DREAL={name}",))

    def guarded(self, values):
        """A copy with NaN before and behind it.

        Reading there spoils the result, and writing there is found.
        """
        values = np.asarray(values, self.dtype)
        room = np.full(values.size + 128, np.nan, self.dtype)
        room[64:-64] = values.ravel()
        return room[64:-64].reshape(values.shape)

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
            assert np.isnan(room[:64]).all() and np.isnan(room[-64:]).all(), f"{name} writes outside its arrays"

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
    sigma, sigma_prime = specified(activation)
    W, b, z = (kernels.guarded(rng.normal(size=s)) for s in ((O, I), O, I))
    a = kernels.guarded(sigma(z))  # of the layer below, with the same activation
    W /= np.sqrt(I)
    out, below = kernels.empty(O), kernels.empty(I)
    kernels("forward", O, threads_for(I), W, b, a, 0, 0, 0, I, activation, out)
    kernels.close(out, sigma(W.astype(np.float64) @ a + b))
    delta = kernels.guarded(rng.normal(size=O))
    kernels("backward", -(-I // COLUMNS), threads_down(O), W, delta, a, I, O, activation, below)
    kernels.close(below, W.T.astype(np.float64) @ delta * sigma_prime(z))  # BP2
    lr = kernels.guarded([0.25])
    changed = W - 0.25 * np.outer(delta, a).astype(np.float64), b - 0.25 * delta.astype(np.float64)  # BP4, BP3
    kernels("update", O, threads_for(I), W, b, delta, a, 0, 0, 0, I, lr)
    kernels.close(W, changed[0])
    kernels.close(b, changed[1])


def test_first_layer_reads_its_example_where_it_lies(kernels):
    rng = np.random.default_rng(0)
    W, x = kernels.guarded(rng.normal(size=(3, 33))), kernels.guarded(rng.normal(size=(5, 33)))
    order, at = np.array([4, 0, 3, 1, 2]), np.array([1])
    out, delta, lr = kernels.empty(3), kernels.guarded(rng.normal(size=3)), kernels.guarded([0.5])
    kernels("forward", 3, 32, W, 0, x, order, at, 1, 33, IDENTITY, out)
    kernels.close(out, W @ x[3])
    expected = W - 0.5 * np.outer(delta, x[3])
    kernels("update", 3, 32, W, 0, delta, x, order, at, 1, 33, lr)
    kernels.close(W, expected)


@pytest.mark.parametrize("K", SIZES)
@pytest.mark.parametrize("activation", LAYERS)
def test_kernels_of_the_losses(kernels, K, activation):
    rng = np.random.default_rng(K)
    sigma, sigma_prime = specified(activation)
    z = rng.random(K)
    z[0] = -50  # far from the rest
    y, targets, scale = (kernels.guarded(v) for v in (sigma(z), rng.random((3, K)), [0.5]))
    order, at = np.array([0, 0, 2, 1]), np.array([2])
    for name, cost, target, t in (
        ("squares", "quadratic", targets, targets[1]),  # of scale ½
        ("cross_entropy", "cross entropy", np.array([0, K - 1, 0]), np.eye(K)[K - 1]),
    ):
        C, nabla_a = (of(column(y), column(t)) for of in backprop.COSTS[cost])
        expected = C, nabla_a[:, 0] * sigma_prime(z)  # BP1
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
        args = y, label, order, at, 0, 3, IDENTITY, delta, np.array([losses.ctypes.data])
        kernels("cross_entropy", 1, 32, *args)
        assert np.isfinite(losses[0]) == finite
        assert np.isfinite(delta).all() == finite


def test_special_numbers_pass_the_kernels(kernels):
    """A weight of 1, so that z is the input, and σ′, also for special numbers coming
    back.
    """
    one, back = kernels.guarded([[1.0]]), [1.0, -2, 3, np.inf, 5, 6, np.nan]
    for activation in LAYERS:
        for z, grad in zip([-np.inf, -800, -0.0, 0.0, 800, np.inf, np.nan], back, strict=True):
            a, expected = special(activation, z, grad)
            out, below = kernels.empty(1), kernels.empty(1)
            kernels("forward", 1, 32, one, 0, kernels.guarded([z]), 0, 0, 0, 1, activation, out)
            np.testing.assert_allclose(out, a, rtol=1e-6, atol=1e-38)
            kernels("backward", 1, 32, one, kernels.guarded([grad]), out, 1, 1, activation, below)
            np.testing.assert_allclose(below, expected, rtol=1e-6, atol=1e-38)


def test_advance(kernels):
    at = np.array([7])
    kernels.library.launch("advance", 1, 1, [at.ctypes.data, 100])
    assert at[0] == 107


def test_a_kernel_is_the_texts_own_and_not_the_c_librarys():
    """glibc has an `advance` too, which a call by name would reach."""
    text = """
extern "C" __global__ void advance(long long *at, long long steps) { at[0] += steps; }
extern "C" __global__ void twice(long long *at, long long steps) { advance(at, steps); advance(at, steps); }
"""
    at = np.array([7])
    Emulation(text).launch("twice", 1, 1, [at.ctypes.data, 100])
    assert at[0] == 207


@pytest.mark.parametrize(
    ("right", "wrong"),
    quick_every(
        4,
        [
            ("grad * (a * (1 - a))", "grad * (a * (1 + a))"),
            ("z < 0 ? 0 : z", "z > 0 ? z : 0"),
            ("__syncthreads(); // of_warp may", "// of_warp may"),
            ("= v;\n    __syncthreads();", "= v;"),
            ("= sum;\n    __syncthreads();", "= sum;"),
            ("threadIdx.x < 8 && i < I", "threadIdx.x < 8"),
            ("sum += __shfl_xor_sync(0xffffffff, sum, 16);", ""),
            ("-= change * a[i]", "+= change * a[i]"),
            ("order[*at + step] * I", "order[step] * I"),
            ("- (k == label)", ""),
            ("(*losses)[*at + step] = *scale", "(*losses)[*at] = *scale"),
            ("*at += steps", "*at += 1"),
        ],
    ),
)
def test_planted_faults_are_found(right, wrong):
    assert right in TEXT
    with pytest.raises(AssertionError):
        faulty = Kernels("float64", TEXT.replace(right, wrong, 1))
        for O, I in ((1, 32), (200, 33), (33, 200), (31, 784)):
            test_kernels_of_a_layer(faulty, O, I)
        for K in (33, 200):
            test_kernels_of_the_losses(faulty, K, SIGMOID)
        test_first_layer_reads_its_example_where_it_lies(faulty)
        test_special_numbers_pass_the_kernels(faulty)
        test_advance(faulty)


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


@pytest.mark.parametrize("real", quick_first(["float", "double"], 1))
def test_nvcc_compiles_the_text(real, tmp_path):
    nvcc = shutil.which("nvcc") or shutil.which("nvcc", path="/usr/local/cuda/bin")
    if nvcc is None:
        pytest.skip("nvcc is not installed")
    source, out = tmp_path / "step.cu", tmp_path / "step.ptx"
    source.write_text(TEXT, encoding="utf-8")
    command = [nvcc, "-ptx", "-arch=sm_75", "-std=c++17", "-Werror", "all-warnings", f"-DREAL={real}", "-o", str(out)]
    done = subprocess.run([*command, str(source)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    text = out.read_text()
    assert all(f".entry {name}(" in text for name in KERNELS)
    assert ".f64" not in text if real == "float" else ".f64" in text  # no double arithmetic slips into float
