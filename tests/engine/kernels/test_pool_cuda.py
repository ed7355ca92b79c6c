"""The kernels of pools and of the cross entropy: they compute what NumPy does.

On a GPU, or on the stub of one.
"""

import numpy as np
import pytest

from scratchnet import (
    AvgPool2d,
    CrossEntropyLoss,
    Linear,
    MaxPool2d,
    MedianPool2d,
    MinPool2d,
    MSELoss,
    Sequential,
    step,
)
from scratchnet.backend.arrays import to_numpy
from scratchnet.engine.kernels import losses_cuda, pool_cuda
from scratchnet.engine.learner import Learner
from scratchnet.engine.optim import SGD
from tests.cuda import stub

POOLS = {
    "apart": lambda: MaxPool2d(2),
    "overlapping": lambda: MaxPool2d(3, stride=1),
    "padded": lambda: MinPool2d((3, 2), stride=(2, 1), padding=1),
    "gaps": lambda: MaxPool2d(2, stride=3),
    "median": lambda: MedianPool2d(2),
    "median, overlapping": lambda: MedianPool2d((3, 2), stride=(1, 2)),
    "mean": lambda: AvgPool2d(2),
    "mean, padded": lambda: AvgPool2d((2, 3), stride=1, padding=1),
}

pytestmark = pytest.mark.gpu


def image(special):
    """(C, H, W, N): many equal cells, and where asked NaN and infinities."""
    rng = np.random.default_rng(5)
    x = rng.integers(-2, 3, size=(2, 6, 7, 5)).astype(float)
    if special:
        for value, share in ((np.nan, 0.1), (-np.inf, 0.4), (np.inf, 0.1)):
            x[rng.random(x.shape) < share] = value
    return x


@np.errstate(invalid="ignore")
def pooled(make, device, x):
    """(y, y at inference, dx) for columns x."""
    net = Sequential(make(), seed=1, dtype="float64", device=device)
    (layer,), learn = net.layers, Learner()
    learn.begin()
    y, cache = layer.forward(net.xp.asarray(x), learn)
    delta = np.random.default_rng(1).normal(size=y.shape)
    dx = layer.backward(net.xp.asarray(delta), cache, learn, True)
    return [to_numpy(a).copy() for a in (y, layer.forward(net.xp.asarray(x))[0], dx)]


def check_pool(make, special):
    for here, there in zip(*(pooled(make, device, image(special)) for device in ("cpu", "cuda")), strict=True):
        np.testing.assert_allclose(there, here, rtol=1e-13, atol=1e-13)


def crossed(device, K=5, N=70):
    rng = np.random.default_rng(2)
    z, t = 30 * rng.normal(size=(N, K)), rng.integers(0, K, N)
    z[0] *= 100  # e to the power of it overflows
    net = Sequential(Linear(K, K, bias=False, init="zeros"), seed=1, dtype="float64", device=device)
    net.params["0.weight"].value[...] = net.xp.eye(K)
    value, delta, _, _ = net.cost(z, t, CrossEntropyLoss())
    return float(value), to_numpy(delta).copy()


def check_cross_entropy(**sizes):
    (value, delta), (other, there) = crossed("cpu", **sizes), crossed("cuda", **sizes)
    assert other == pytest.approx(value, rel=1e-12)
    np.testing.assert_allclose(there, delta, rtol=1e-11, atol=1e-15)


def ours(seen):
    """The launches of the kernels that are tested here, in turn."""
    return [name for name in seen.launches if name in ("choose", "median", "average", "give_back", "cross_entropy")]


@pytest.mark.parametrize("special", [False, True])
@pytest.mark.parametrize("name", POOLS)
def test_a_pool_is_that_of_the_cpu(gpu, name, special):
    with stub.watch() as seen:
        check_pool(POOLS[name], special)
    forward = {"mean": "average", "median": "median"}.get(name.partition(",")[0], "choose")
    assert ours(seen) == ([forward, "give_back", forward] if stub.is_installed() else [])


def test_windows_of_many_taps_are_pooled_by_cupy(gpu, monkeypatch):
    monkeypatch.setattr(pool_cuda, "MOST_TAPS", 3)
    with stub.watch() as seen:
        check_pool(POOLS["apart"], True)
    assert ours(seen) == []


@pytest.mark.parametrize("sizes", [{}, {"N": 1}, {"K": 40, "N": 33}, {"N": 300}], ids=str)
def test_the_cross_entropy_is_that_of_the_cpu(gpu, sizes):
    with stub.watch() as seen:
        check_cross_entropy(**sizes)
    assert ours(seen) == (["cross_entropy"] if stub.is_installed() else [])


def test_outputs_with_gaps_between_them(gpu):
    """The kernel knows of no strides."""
    rng = np.random.default_rng(3)
    z, t, loss = rng.normal(size=(9, 4)), gpu.asarray(rng.integers(0, 4, 9)), CrossEntropyLoss()
    value, delta = losses_cuda.forward(loss, gpu.asarray(z).T, t)
    other, there = losses_cuda.forward(loss, gpu.asarray(z.T.copy()), t)
    assert float(value) == float(other)
    np.testing.assert_array_equal(to_numpy(delta), to_numpy(there))


def test_many_outputs_are_left_to_cupy(gpu, monkeypatch):
    monkeypatch.setattr(losses_cuda, "MOST_OUTPUTS", 100)
    with stub.watch() as seen:
        check_cross_entropy()
    assert ours(seen) == []


def test_a_label_that_nobody_checked_gives_nan(gpu):
    """`fit` checks labels once; a step by itself does not wait for the device."""
    net = Sequential(Linear(4, 3), device="cuda")
    x = gpu.zeros((2, 4), np.float32)
    for wrong in (3, -1):
        assert np.isnan(float(step(net, CrossEntropyLoss(), SGD(net, 0.0), x, gpu.asarray([0, wrong]))))
    assert np.isfinite(float(step(net, CrossEntropyLoss(), SGD(net, 0.0), x, gpu.asarray([0, 2]))))
    assert np.isfinite(float(step(net, MSELoss(), SGD(net, 0.0), x, gpu.zeros((2, 3), np.float32))))


FAULTS = {
    "pool": [
        ("sign * v > sign * best", "sign * v >= sign * best"),
        (" || v != v", ""),
        ("chosen < 0 || ", ""),
        ("start % s == 0 && ", ""),
        ("start / s < positions", "start / s <= positions"),
        ("code[there] == i * k_cols + j", "code[there] == i + k_cols * j"),
        ("delta[there] * (REAL(1) / cells)", "delta[there]"),
        ("sum * (REAL(1) / cells)", "sum"),
        ("w < 0 || w >= W)", "w < 0 || w > W)"),
        ("less <= (taps - 1) / 2 &&", "less <= taps / 2 &&"),
        ("j < taps && number < 0;", "j < taps;"),
        ("less += u < v;", "less += u <= v;"),
        ("            number = i;\n            break;", "            break;"),
    ],
    "losses": [
        ("- (k == label ? mean : 0)", ""),
        ("top = combine(top, z[k * N + n], true);", "top = 0;"),
        ("            sum += of_warp[w];", "            sum = of_warp[w];"),
        ("n += blockDim.x", "n += blockDim.x * 2"),
    ],
}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "right", "wrong"), [(name, *fault) for name, of in FAULTS.items() for fault in of])
def test_planted_faults_are_found(stub_gpu, monkeypatch, name, right, wrong):
    stub.plant(stub_gpu, monkeypatch, name, right, wrong, pool_cuda, losses_cuda)
    with pytest.raises(AssertionError):
        if name == "pool":
            for make in POOLS.values():
                check_pool(make, False)
                check_pool(make, True)
        else:
            check_cross_entropy(N=300)
            check_cross_entropy(K=40, N=600)
