"""Recorded steps of layers: they are the layers' own steps, launched otherwise.

All of it is on CuPy, with a GPU or with the stub of one.
"""

import numpy as np
import pytest

from scratchnet import (
    GRU,
    LSTM,
    RNN,
    SGD,
    Adam,
    AdamW,
    AvgPool2d,
    BatchNorm1d,
    BatchNorm2d,
    Conv2d,
    ConvTranspose2d,
    CrossEntropyLoss,
    Dropout,
    Embedding,
    Flatten,
    Linear,
    LogSoftmax,
    MaxPool2d,
    MedianPool2d,
    MinPool2d,
    MSELoss,
    NLLLoss,
    QuadraticCost,
    ReLU,
    Sequential,
    Sigmoid,
    Softmax,
    Tanh,
    fit,
)
from scratchnet.backend.arrays import to_numpy
from scratchnet.engine.kernels import products_cuda
from scratchnet.engine.kernels.layer_graph_steps import LAYERS, LayerGraphSteps, Own
from scratchnet.engine.kernels.recorded import RatedSteps, RecordedSteps
from scratchnet.engine.steps import Steps, step
from scratchnet.engine.training import Training
from scratchnet.errors import NonFiniteError, ScratchnetWarning
from tests.cuda import stub

pytestmark = pytest.mark.gpu
CE, MSE = CrossEntropyLoss(), MSELoss()


class Readable(Steps):
    """The readable steps, which nothing takes the place of."""


def cnn():
    return [Conv2d(1, 4, 3), ReLU(), MaxPool2d(2), Conv2d(4, 6, 3, padding=1), Tanh(), AvgPool2d(2), Flatten(),
            Linear(24, 3)]  # fmt: skip


def autoencoder():
    return [Conv2d(1, 3, 3, stride=2), BatchNorm2d(3), Sigmoid(), ConvTranspose2d(3, 1, 3, stride=2),
            MedianPool2d(2, 1), MinPool2d(2), Flatten(), Linear(16, 9), BatchNorm1d(9), ReLU(),
            Linear(9, 3, bias=False)]  # fmt: skip


#: layers, and the shape of an example
NETWORKS = {
    "CNN": (cnn, (1, 10, 10)),
    "LSTM": (lambda: [LSTM(5, 7, num_layers=2), Linear(7, 3)], (4, 5)),
    "GRU": (lambda: [GRU(5, 7, output="sequence"), GRU(7, 6), Linear(6, 3)], (4, 5)),
    "RNN": (lambda: [RNN(5, 7), Linear(7, 3)], (4, 5)),
    "autoencoder": (autoencoder, (1, 9, 9)),
    "embedding": (lambda: [Embedding(11, 5, padding_idx=2), LSTM(5, 4), Linear(4, 3)], (6,)),
    "MLP": (lambda: [Linear(6, 9), Softmax(), Linear(9, 3)], (6,)),
    "log likelihood": (lambda: [Linear(6, 9), Tanh(), Tanh(), Linear(9, 3), LogSoftmax()], (6,)),
}
OPTIMISERS = {
    "plain": lambda net: SGD(net, 0.1),
    "momentum": lambda net: SGD(net, 0.1, momentum=0.9),
    "nesterov": lambda net: SGD(net, 0.1, momentum=0.9, nesterov=True),
    "decay": lambda net: SGD(net, 0.1, momentum=0.9, weight_decay=0.01, clip_norm=0.5),
    "adam": lambda net: Adam(net, 0.01, weight_decay=0.01),
    "adamw": lambda net: AdamW(net, 0.01),
}
BATCH = 4


def data(name, loss, batches=11):
    """So many batches, and a smaller one."""
    rng = np.random.default_rng(0)
    shape = (batches * BATCH + 3, *NETWORKS[name][1])
    x = rng.integers(0, 11, shape) if name == "embedding" else rng.normal(size=shape)
    return x, rng.integers(0, 3, len(x)) if loss.takes_labels else rng.random((len(x), 3))


def trained(name, optimiser="adam", loss=CE, steps=LayerGraphSteps, dtype="float64", batches=11, **options):
    net = Sequential(*NETWORKS[name][0](), seed=1, dtype=dtype, device="cuda")
    rule = OPTIMISERS[optimiser](net)
    options = {"epochs": 3, "schedule": lambda epoch: 0.02 / (epoch + 1), "batch_size": BATCH} | options
    return net, rule, fit(net, loss, rule, *data(name, loss, batches), steps=steps, **options)


def agree(one, other, tolerance=1e-12):
    np.testing.assert_allclose(one[2].step_losses, other[2].step_losses, rtol=tolerance, atol=tolerance)
    for name, w in other[0].state_dict().items():
        np.testing.assert_allclose(one[0].state_dict()[name], w, rtol=tolerance, atol=tolerance, err_msg=name)
    for name, sums in other[1].state().items():
        np.testing.assert_allclose(
            to_numpy(one[1].state()[name]), to_numpy(sums), rtol=100 * tolerance, atol=tolerance, err_msg=name
        )
    assert one[1].steps == other[1].steps == len(other[2].step_losses)


@pytest.mark.parametrize("optimiser", OPTIMISERS)
@pytest.mark.parametrize("name", ["CNN", "LSTM", "GRU"])
def test_recorded_steps_are_the_readable_ones(gpu, name, optimiser):
    agree(*(trained(name, optimiser, steps=kind) for kind in (LayerGraphSteps, Readable)))


@pytest.mark.parametrize(
    ("name", "optimiser", "loss"),
    [("RNN", "momentum", MSE), ("autoencoder", "plain", QuadraticCost()), ("autoencoder", "adam", MSELoss("sum")),
     ("embedding", "plain", CE), ("embedding", "adam", CE), ("embedding", "momentum", CE), ("MLP", "adamw", CE),
     ("log likelihood", "decay", NLLLoss())],
)  # fmt: skip
def test_every_layer_and_loss_is_recorded_as_it_is(gpu, name, optimiser, loss):
    agree(*(trained(name, optimiser, loss, kind) for kind in (LayerGraphSteps, Readable)))


def test_every_layer_that_is_recorded_is_tested(gpu):
    tested = {type(layer) for make, _ in NETWORKS.values() for layer in make()}
    assert tested == LAYERS


@pytest.mark.parametrize("name", ["CNN", "LSTM"])
def test_float32(gpu, name):
    agree(*(trained(name, "adamw", steps=kind, dtype="float32") for kind in (LayerGraphSteps, Readable)), 1e-4)


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_batches_of_any_size(gpu, batch_size):
    agree(*(trained("CNN", steps=kind, batches=3, batch_size=batch_size) for kind in (LayerGraphSteps, Readable)))


def test_long_sums_are_cut_into_parts(gpu, monkeypatch):
    monkeypatch.setattr(products_cuda, "FEWEST_TERMS", 8)
    agree(*(trained("CNN", steps=kind) for kind in (LayerGraphSteps, Readable)))


def test_fit_takes_them_and_validates_meanwhile(gpu):
    """What is computed between the epochs gets other memory."""
    x, t = data("CNN", CE)
    options = {"valid": (x[:9], t[:9]), "patience": 2}
    net, rule, history = trained("CNN", steps=None, **options)
    again = trained("CNN", steps=Readable, **options)
    agree((net, rule, history), again)
    np.testing.assert_allclose(
        [row["valid_loss"] for row in history.epochs], [row["valid_loss"] for row in again[2].epochs], rtol=1e-12
    )
    training = Training(net, CE, rule, x, t, batch_size=BATCH)
    assert type(training.steps) is LayerGraphSteps and training.how == "as the layers make them, in CUDA graphs"


def test_a_training_repeats_itself_and_goes_on_bit_for_bit(gpu):
    """From a checkpoint in the middle of an epoch too, where other graphs are taken."""
    whole, again = (trained("CNN", "momentum", dtype="float32") for _ in range(2))

    class Stopped(Exception):
        pass

    def stop(epoch, k, steps, loss):
        if (epoch, k) == (1, 6):
            raise Stopped

    with pytest.raises(Stopped) as stopped:
        trained("CNN", "momentum", dtype="float32", on_step=stop)
    # the weights and the optimiser's sums as they were then
    net = Sequential(*cnn(), seed=1, device="cuda")
    rule = OPTIMISERS["momentum"](net)
    schedule, (x, t) = (lambda epoch: 0.02 / (epoch + 1)), data("CNN", CE)
    options = {"batch_size": BATCH, "schedule": schedule, "epochs": 3}
    with pytest.raises(Stopped) as stopped:
        fit(net, CE, rule, x, t, on_step=stop, **options)
    history = fit(net, CE, rule, x, t, history=stopped.value.history, **options)
    for other in (again, (net, rule, history)):
        assert other[2].step_losses == whole[2].step_losses
        for name, w in whole[0].state_dict().items():
            np.testing.assert_array_equal(other[0].state_dict()[name], w)


def test_the_learning_rate_may_change_at_any_time(gpu):
    def slower(rule):
        def look(epoch, k, steps, loss):
            rule.lr *= 0.9

        return look

    results = []
    for kind in (LayerGraphSteps, Readable):
        net = Sequential(*cnn(), seed=1, dtype="float64", device="cuda")
        rule = SGD(net, 0.1, momentum=0.5)
        history = fit(net, CE, rule, *data("CNN", CE), batch_size=BATCH, steps=kind, on_step=slower(rule), epochs=2)
        results.append((net, rule, history))
    agree(*results)


def test_the_readable_step_goes_on_beside_them(gpu):
    """Its buffers, of other sizes, are not those that the graphs write to."""
    results = []
    for kind in (LayerGraphSteps, Readable):
        x, t = data("LSTM", CE)
        net = Sequential(*NETWORKS["LSTM"][0](), seed=1, dtype="float64", device="cuda")
        rule = Adam(net, 0.01)
        steps = kind(net, CE, rule, x, t, BATCH)
        losses = gpu.zeros(12)
        for _ in range(3):
            steps.begin(gpu.arange(len(x)), losses)
            for _ in range(12):
                assert steps.run(1) == 1
                step(net, CE, rule, gpu.asarray(x[:5]), gpu.asarray(t[:5]))
        results.append((net, rule, losses.get()))
    np.testing.assert_allclose(results[0][2], results[1][2])


def test_a_loss_that_is_no_number_is_found_at_the_end_of_the_epoch(gpu):
    with pytest.raises(NonFiniteError, match="the loss became"):
        trained("CNN", "plain", MSELoss("sum"), schedule=lambda epoch: 1e200)


def test_what_cannot_be_recorded_says_why(gpu):
    class Mine(Linear):
        pass

    def why(layers, loss=CE, optimiser=lambda net: SGD(net, 0.1), shape=(1, 10, 10), batch_size=4):
        net = Sequential(*layers, device="cuda")
        training = Training(net, loss, optimiser(net), np.zeros((8, *shape)), np.zeros(8, int), batch_size=batch_size)
        assert type(training.steps) is Steps
        return training.how

    def hooked(net):
        optimiser = SGD(net, 0.1)
        optimiser.hooks.append(lambda o: None)
        return optimiser

    assert why([Flatten(), Dropout(), Linear(100, 3)]) == "one at a time (Dropout() cannot be recorded)"
    assert "Mine(100, 3) cannot be recorded" in why([Flatten(), Mine(100, 3)])
    assert "a hook that cannot be recorded" in why([Flatten(), Linear(100, 3)], optimiser=hooked)
    assert "LSTM(5, 900) is too large" in why([LSTM(5, 900), Linear(900, 3)], shape=(4, 5))
    assert "the products of 1 examples are too large" in why([Conv2d(1, 1000, 50)], shape=(1, 100, 100), batch_size=1)


def test_what_the_gpu_does_not_record_is_launched_one_by_one(gpu, monkeypatch):
    """A rule of recording that nobody thought of costs launches, not the training."""

    def refused(self, *_):
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(LayerGraphSteps, "_record", refused)
    with pytest.warns(ScratchnetWarning, match="does not record the steps of this network .operation not permitted"):
        refused_one = trained("CNN")
    agree(refused_one, trained("CNN", steps=Readable))


def test_launches(stub_gpu):
    """One for ten steps, whose graphs launch what the layers launch."""
    net = Sequential(*cnn(), seed=1, dtype="float64", device="cuda")
    x, t = data("CNN", CE, 20)
    steps = LayerGraphSteps(net, CE, Adam(net, 0.01), x, t, BATCH)
    losses = stub_gpu.zeros(21)
    order = stub_gpu.arange(len(x))
    for _ in range(2):
        steps.begin(order, losses)
        made = 0
        while made < 21:
            made += steps.run(21 - made)
    steps.begin(order, losses)
    with stub.watch() as seen:
        assert [steps.run(100) for _ in range(3)] == [10, 10, 1]
    assert len(seen.launches) == 3 and all(name.startswith("graph") for name in seen.launches)
    assert seen.waits == seen.transfers == [] and seen.allocations == 0


# ------------------------------------------------------------ planted faults


def the_number_of_the_step_stays(monkeypatch):
    call = RecordedSteps._call
    monkeypatch.setattr(
        RecordedSteps, "_call", lambda self, name, *args: None if name == "advance" else call(self, name, *args)
    )


def the_examples_are_those_of_the_recording(monkeypatch):
    def call(self, name, *args, call=RecordedSteps._call):
        if name == "take":
            args = (*args[:3], self.xp.full(1, self.at), *args[4:])
        call(self, name, *args)

    monkeypatch.setattr(RecordedSteps, "_call", call)


def the_learning_rate_stays(monkeypatch):
    set_rate = RecordedSteps.set_rate
    monkeypatch.setattr(RecordedSteps, "set_rate", lambda self: set_rate(self) if self.rate != self.rate else None)


def adam_does_not_count(monkeypatch):
    launch = RatedSteps._launch

    def uncounted(self, n, size):
        launch(self, n, size)
        self.made -= n

    monkeypatch.setattr(RatedSteps, "_launch", uncounted)


def memory_is_given_away_after_the_recording(monkeypatch):
    record = LayerGraphSteps._record

    def let_go(self, n, size):
        graph = record(self, n, size)
        self.own[size].pool.free_all_blocks()
        return graph

    monkeypatch.setattr(LayerGraphSteps, "_record", let_go)


FAULTS = [
    the_number_of_the_step_stays, the_examples_are_those_of_the_recording, the_learning_rate_stays,
    adam_does_not_count, memory_is_given_away_after_the_recording,
]  # fmt: skip


@pytest.mark.parametrize("plant", FAULTS)
def test_planted_faults_are_found(stub_gpu, monkeypatch, plant):
    expected = trained("LSTM", steps=Readable, batches=24)
    plant(monkeypatch)
    cuda = stub_gpu.cuda.driver.CUDADriverError, stub_gpu.cuda.runtime.CUDARuntimeError
    with pytest.raises((AssertionError, NonFiniteError, *cuda)):
        agree(trained("LSTM", batches=24), expected)


def test_no_memory_is_asked_for_while_a_step_is_recorded(stub_gpu, monkeypatch):
    """Unless the first step gives its arrays back too early."""
    monkeypatch.setattr(Own, "keep", lambda self, size: self.pool.malloc(size))
    with pytest.warns(ScratchnetWarning, match="an allocation while a stream is captured"):
        trained("CNN", "plain")
