"""The steps on batches that are recorded as CUDA graphs: they are the engine's steps.

On a GPU, or on the stub of one, which also counts the launches. Letters: N
examples of a batch.
"""

import numpy as np
import pytest

from scratchnet import SGD, Adam, CrossEntropyLoss, Linear, LogSoftmax, MSELoss, NLLLoss, ReLU, Sigmoid, Tanh, fit
from scratchnet.engine.kernels import BatchGraphSteps, LayerGraphSteps, kind_of_steps
from scratchnet.engine.kernels.batch_graph_steps import supported_batch
from scratchnet.engine.kernels.nvrtc import text_of
from scratchnet.engine.steps import Steps
from scratchnet.errors import NonFiniteError
from tests.cuda import stub
from tests.engine.kernels.test_graph_steps import agree, graphs
from tests.engine.kernels.test_kernels import LOSSES, data, network, wide
from tests.profiles import quick_first

OPTIMISERS = {
    "plain": lambda net: SGD(net, 0.1),
    "momentum": lambda net: SGD(net, 0.1, momentum=0.9),
    "adam": lambda net: Adam(net, 0.01),
}
TEXT = text_of("batch")

pytestmark = pytest.mark.gpu


def trained(device, loss, x, t, optimiser="adam", layers=wide, dtype="float64", batch_size=7, **options):
    net = network(layers(), device, dtype)
    return net, fit(net, loss, OPTIMISERS[optimiser](net), x, t, batch_size=batch_size, threads=1, **options)


@pytest.mark.parametrize("optimiser", OPTIMISERS)
@pytest.mark.parametrize("loss", quick_first(LOSSES[::-1], 1), ids=repr)
def test_fit_on_batches_is_fit_on_the_cpu(gpu, loss, optimiser):
    x, t = data(94, loss)  # 13 batches of 7, and one of 3
    options = {"epochs": 3, "schedule": lambda epoch: 0.03 / (epoch + 1), "valid": (x[:9], t[:9])}
    with stub.watch() as seen:
        here, there = (trained(device, loss, x, t, optimiser, **options) for device in ("cpu", "cuda"))
    agree(here, there)
    # ten steps, the first of which load the kernels; one; and one of three examples
    kernels = 4 + 1 + 3 + 4
    if stub.is_installed():
        assert graphs(seen) == {10 * kernels + 2: 2, kernels + 2: 9 + 3}


@pytest.mark.parametrize("batch_size", [1, 16, 33, 100])
def test_batches_of_any_size(gpu, batch_size):
    x, t = data(80, CrossEntropyLoss(), features=40)

    def layers():
        return [Linear(40, 33), Tanh(), Linear(33, 3), LogSoftmax()]

    options = {"layers": layers, "batch_size": batch_size, "epochs": 2}
    with stub.watch() as seen:
        here, there = (trained(device, NLLLoss(), x, t, **options) for device in ("cpu", "cuda"))
    agree(here, there)
    assert graphs(seen) or not stub.is_installed()


def test_nobody_waits_within_an_epoch(gpu):
    x, t = data(70, MSELoss())
    net = network(wide(), "cuda")
    steps = BatchGraphSteps(net, MSELoss(), Adam(net, 0.1), gpu.asarray(x), gpu.asarray(t), 7)
    losses = gpu.full(10, np.nan)
    order = gpu.arange(70)
    with stub.watch() as seen:
        for _ in range(2):
            steps.begin(order, losses)
            assert steps.run(10) == 10
    assert seen.waits == seen.transfers == [] and np.isfinite(losses.get()).all()
    assert steps.optimiser.steps == 20


def test_going_on_in_the_middle_of_an_epoch(gpu):
    x, t = data(40, MSELoss())
    whole = trained("cuda", MSELoss(), x, t, epochs=2)

    class Stopped(Exception):
        pass

    def stop(epoch, k, steps, loss):
        if (epoch, k) == (1, 3):
            raise Stopped

    net = network(wide(), "cuda")
    optimiser = Adam(net, 0.01)
    options = {"epochs": 2, "batch_size": 7, "threads": 1}
    with pytest.raises(Stopped) as stopped:
        fit(net, MSELoss(), optimiser, x, t, on_step=stop, **options)
    history = fit(net, MSELoss(), optimiser, x, t, history=stopped.value.history, **options)
    assert history.step_losses == whole[1].step_losses
    for name, w in whole[0].state_dict().items():
        np.testing.assert_array_equal(net.state_dict()[name], w)


def test_a_loss_that_is_no_number_is_found_at_the_end_of_the_epoch(gpu):
    x, t = data(20, MSELoss())
    net = network([Linear(6, 9), ReLU(), Linear(9, 3)], "cuda")
    with pytest.raises(NonFiniteError, match="the loss became"):
        fit(net, MSELoss("sum"), SGD(net, 1e200), x, t, batch_size=5, epochs=3)


@pytest.mark.parametrize(
    ("layers", "batch_size", "why"),
    [
        ([Linear(6, 3)], 256, None),
        ([Linear(6, 3)], 257, "257 examples; the most are 256"),
        ([Linear(2000, 3000), Sigmoid(), Linear(3000, 3)], 32, "6000000 weights in a layer"),
        ([Linear(2000, 3000), Sigmoid(), Linear(3000, 3)], 16, None),
    ],
)
def test_which_batches_are_recorded(gpu, layers, batch_size, why):
    net = network(layers, "cuda", "float32")
    found = supported_batch(net, batch_size)
    assert found is None if why is None else why in found
    x, t = gpu.zeros((300, layers[0].in_features), np.float32), gpu.zeros((300, 3), np.float32)
    otherwise = Steps if len(layers) > 1 and batch_size == 32 else LayerGraphSteps
    for optimiser, kind in (
        (Adam(net, 0.1), otherwise if why else BatchGraphSteps),
        (Adam(net, 0.1, weight_decay=0.1), otherwise),
        (SGD(net, 0.1, momentum=0.5, nesterov=True), otherwise),
    ):
        assert kind_of_steps(Steps(net, MSELoss(), optimiser, x, t, batch_size), 10, 1) is kind


FAULTS = [
    ("of_rows ? M.order_of_rows[r]", "of_rows ? r"),
    ("(*at + step) * batch", "*at * batch"),
    ("        __syncthreads();\n        for (int d", "        for (int d"),
    ("            sum += a[i][d] * b[j][d];\n        __syncthreads();", "            sum += a[i][d] * b[j][d];"),
    ("first + r, k + j) : 0;", "first + r, k + j) : 1;"),
    ("sum += delta[n * O + o];", "sum = delta[n * O + o];"),
    ("*m = settings[1] * *m + g;", "*m = settings[2] * *m + g;"),
    ("*made + threadIdx.x + 1", "*made + threadIdx.x"),
    ("eps /= root;", ""),
    ("*made += steps;", ""),
    ("averages ? *scale / N : *scale", "*scale"),
    ("(k == label ? mean : 0)", "0"),
    ("= REAL(1) / N;", "= 1;"),
    ("top = over_warp(top, true);", ""),
    ("        of_warp[threadIdx.x / 32] = v;\n    __syncthreads();", "        of_warp[threadIdx.x / 32] = v;"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("right", "wrong"), FAULTS)
def test_planted_faults_are_found(stub_gpu, monkeypatch, right, wrong):
    assert right in TEXT
    text = TEXT.replace(right, wrong, 1)
    monkeypatch.setattr("scratchnet.engine.kernels.recorded.compiled", lambda *_: module(stub_gpu, text))
    with pytest.raises((AssertionError, NonFiniteError)):
        for loss in (MSELoss(), CrossEntropyLoss()):
            x, t = data(94, loss)
            agree(*(trained(device, loss, 30 * x, t, epochs=2) for device in ("cpu", "cuda")))


def module(stub_gpu, text):
    return stub_gpu.RawModule(code=text, options=("-DREAL=double",))


@pytest.mark.parametrize("optimiser", OPTIMISERS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_gpu_trains_on_batches_as_the_cpu(gpu, optimiser, dtype):
    x, t = data(230, CrossEntropyLoss(), features=50)

    def layers():
        return [Linear(50, 70), Sigmoid(), Linear(70, 33, bias=False), ReLU(), Linear(33, 3)]

    options = {"layers": layers, "dtype": dtype, "batch_size": 16, "epochs": 2}
    here, there = (trained(device, CrossEntropyLoss(), x, t, optimiser, **options) for device in ("cpu", "cuda"))
    tolerance = 1e-3 if dtype == "float32" else 1e-9
    np.testing.assert_allclose(there[1].step_losses, here[1].step_losses, rtol=tolerance, atol=tolerance)
    for name, w in here[0].state_dict().items():
        np.testing.assert_allclose(there[0].state_dict()[name], w, rtol=tolerance, atol=tolerance, err_msg=name)


@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_launches_of_a_step(stub_gpu, optimiser):
    """One for 100 steps, which launches 6 kernels for each; and 2 besides."""
    x, t = data(1600, CrossEntropyLoss(), features=20)
    net = network([Linear(20, 30), Sigmoid(), Linear(30, 3)], "cuda", "float32")
    steps = BatchGraphSteps(
        net, CrossEntropyLoss(), OPTIMISERS[optimiser](net), stub_gpu.asarray(x, "f4"), stub_gpu.asarray(t), 8
    )
    losses = stub_gpu.empty(200, "f4")
    steps.begin(stub_gpu.arange(1600), losses)
    steps.run(100)  # loads the kernels
    steps.run(100)  # records
    steps.begin(stub_gpu.arange(1600), losses)
    with stub.watch() as seen:
        steps.run(100)
    assert len(seen.launches) == 1 and len(seen.nodes) == 100 * 6 + 2
    assert seen.waits == seen.transfers == []
