"""The kernels of an LSTM's and a GRU's times: they walk as the layers do on the CPU.

On a GPU, or on the stub of one. Letters: T times, N sequences.
"""

import numpy as np
import pytest

from scratchnet import GRU, LSTM, Sequential
from scratchnet.backend.arrays import to_numpy
from scratchnet.engine.kernels import recurrent_cuda
from scratchnet.engine.learner import Learner
from tests.cuda import stub

LAYERS = {"lstm": lambda **o: LSTM(3, 5, **o), "gru": lambda **o: GRU(3, 5, **o)}

pytestmark = pytest.mark.gpu


def walks(make, N=4, T=6, masked=True, **options):
    """Everything that `run` and `run_back` return, here and on the device."""
    rng = np.random.default_rng(N)
    layer = make(**options)
    x, first, last, delta = (
        rng.normal(size=shape)
        for shape in ((T, 3, N), (layer.num_layers, layer.states, 5, N), (layer.num_layers, layer.states, 5, N),
                      (T, 5, N) if layer.output == "sequence" else (5, N))
    )  # fmt: skip
    mask = np.arange(T)[:, None] < rng.integers(1, T + 1, N) if masked else None
    found = []
    for device in ("cpu", "cuda"):
        net = Sequential(make(**options), seed=1, dtype="float64", device=device)
        (layer,), learn, there = net.layers, Learner(), net.xp.asarray
        learn.begin()
        states = [[tuple(map(there, of_layer)) for of_layer in of] for of in (first, last)]
        y, end, cache = layer.run(there(x), learn, states[0], None if mask is None else there(mask))
        dx, begin = layer.run_back(there(delta.copy()), cache, learn, True, states[1])
        grads = {name: p.grad for name, p in net.params.items()}
        results = {"y": y, "dx": dx, **grads}
        results |= {f"{name} {k} {j}": array for name, state in (("end", end), ("begin", begin))
                    for k, arrays in enumerate(state) for j, array in enumerate(arrays)}  # fmt: skip
        found.append({name: to_numpy(array).copy() for name, array in results.items()})
    return found


def check(*args, **options):
    here, there = walks(*args, **options)
    assert here.keys() == there.keys()
    for name, array in here.items():
        np.testing.assert_allclose(there[name], array, rtol=1e-10, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("output", ["last", "sequence"])
def test_a_walk_is_that_of_the_cpu(gpu, name, masked, output):
    with stub.watch() as seen:
        check(LAYERS[name], masked=masked, output=output, num_layers=2)
    assert not stub.is_installed() or {name, f"{name}_back"} <= {*seen.launches}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("N", [1, 33])
def test_sequences_in_several_blocks(gpu, name, N):
    check(LAYERS[name], N=N, T=3, output="sequence")


@pytest.mark.parametrize("name", LAYERS)
def test_large_products_are_left_to_cublas(gpu, monkeypatch, name):
    monkeypatch.setattr(recurrent_cuda, "MOST_MULTIPLICATIONS", 100)
    with stub.watch() as seen:
        check(LAYERS[name], masked=False)
    assert not {name, f"{name}_back"} & {*seen.launches}
    assert not stub.is_installed() or "gemm" in seen.launches


FAULTS = [
    ("= v;\n    __syncthreads();", "= v;"),
    ("held ? a[here] : o * s", "o * s"),
    ("held ? cells[0] : c;", "c;"),
    ("carried[here] = held ? grad : 0;", "carried[here] = 0;"),
    ("    if (!held)\n        dc", "    dc"),
    ("? carried[here] : dh[here];", "? 0 : dh[here];"),
    ("        grad += above[", "        grad = above["),
    ("h : n + z * (h - n)", "h : z + n * (h - n)"),
    ("carried[here] = held ? grad : kept", "carried[here] = kept"),
    ("delta[cell] = held ? 0 : grad * (h - n)", "delta[cell] = grad * (h - n)"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("right", "wrong"), FAULTS)
def test_planted_faults_are_found(stub_gpu, monkeypatch, right, wrong):
    stub.plant(stub_gpu, monkeypatch, "recurrent", right, wrong, recurrent_cuda)
    with pytest.raises(AssertionError):
        for make in LAYERS.values():
            check(make, output="sequence", num_layers=2)
