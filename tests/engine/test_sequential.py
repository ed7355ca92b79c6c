"""The network: PyTorch's shapes outside, unchanged arguments, errors that name the
layer.
"""

import copy
import pickle
import threading
from typing import Any

import numpy as np
import pytest

from scratchnet import (
    LSTM,
    SGD,
    Adam,
    AdamW,
    BatchNorm1d,
    CrossEntropyLoss,
    Dropout,
    Flatten,
    Linear,
    LogSoftmax,
    MSELoss,
    NLLLoss,
    ReLU,
    Sequential,
    SettingError,  # fmt: skip
    ShapeError,
    Sigmoid,
    Softmax,
    Tanh,
    fit,
    step,
)
from scratchnet.engine.columns import to_columns, to_rows
from scratchnet.engine.learner import Learner
from tests.cases import layouts


def network(dtype: str = "float64", p: float = 0.0) -> Sequential:
    return Sequential(Flatten(), Linear(12, 9), Sigmoid(), Dropout(p), Linear(9, 8), ReLU(), Linear(8, 6, bias=False),
                      Tanh(), Linear(6, 4), LogSoftmax(), seed=3, dtype=dtype)  # fmt: skip


def batch(n: int = 5, dtype: str = "float64") -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.standard_normal((n, 3, 2, 2)).astype(dtype), rng.integers(0, 4, n)


@pytest.mark.parametrize("shape", [(5, 3), (5, 2, 3), (5, 2, 3, 4), (1, 3), (1, 2, 2, 2)], ids=str)
def test_the_door(shape: tuple[int, ...]) -> None:
    x = np.arange(np.prod(shape)).reshape(shape)
    columns = to_columns(x)
    assert columns.shape == (*shape[1:], shape[0])
    assert np.array_equal(columns[..., 0], x[0]) and np.array_equal(to_rows(columns), x)


@pytest.mark.parametrize("n", [1, 2, 64])
def test_one_example_at_a_time_gives_the_same(n: int) -> None:
    """The gradient of the mean is the mean of the gradients.

    Examples do not interact.
    """
    net, (x, t) = network(), batch(n)
    value, gradients = net.gradients(x, t, NLLLoss())
    single = [net.gradients(x[k : k + 1], t[k : k + 1], NLLLoss()) for k in range(n)]
    np.testing.assert_allclose(value, np.mean([v for v, _ in single]), rtol=1e-13)
    for name, g in gradients.items():
        np.testing.assert_allclose(g, np.mean([each[name] for _, each in single], axis=0), rtol=1e-10, atol=1e-15)
    np.testing.assert_allclose(net(x), np.concatenate([net(x[k : k + 1]) for k in range(n)]), rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gradients_changes_nothing_and_keeps_the_dtype(dtype: str) -> None:
    net, (x, t) = network(dtype, p=0.4), batch(dtype=dtype)
    values, kept = net.store.values.copy(), x.copy()
    first, second = (net.gradients(x, t, NLLLoss()) for _ in range(2))
    assert np.array_equal(net.store.values, values) and np.array_equal(x, kept)
    assert first[0] == second[0] and all(np.array_equal(g, second[1][name]) for name, g in first[1].items())
    assert all(g.dtype == dtype and not np.shares_memory(g, net.store.grads) for g in first[1].values())
    assert net(x).dtype == dtype and net(x.astype("float64")).dtype == dtype and net((x * 9).astype(int)).dtype == dtype


def test_input_in_any_memory_order() -> None:
    net, (x, t) = network(), batch()
    y, (value, gradients) = net(x), net.gradients(x, t, NLLLoss())
    for order, a in layouts(x):
        kept = a.copy()
        np.testing.assert_allclose(net(a), y, rtol=1e-13, err_msg=order)
        other, g = net.gradients(a, t, NLLLoss())
        np.testing.assert_allclose(other, value, rtol=1e-13)
        for name in g:
            np.testing.assert_allclose(g[name], gradients[name], rtol=1e-10, atol=1e-15)
        assert np.array_equal(a, kept)


@pytest.mark.parametrize(
    "first", [Sigmoid(), Tanh(), ReLU(), Softmax(), LogSoftmax(), Dropout(0.5), Flatten()], ids=str
)
def test_the_users_array_is_never_written(first) -> None:
    net = Sequential(first, Flatten(), Tanh(), dtype="float64")
    x = np.random.default_rng(0).standard_normal((4, 3))
    kept = x.copy()
    net(x)
    net.gradients(x, np.zeros((4, 3)), MSELoss())
    assert np.array_equal(x, kept)


@pytest.mark.parametrize(
    ("layers", "allowed"),
    [((Linear(2, 2), Sigmoid()), [False, True]), ((Sigmoid(), Tanh()), [False, False]),
     ((Linear(2, 2), Flatten(), ReLU()), [False, False, True]), ((Flatten(), ReLU()), [False, False]),
     ((Linear(2, 2), Sigmoid(), Flatten(), Tanh()), [False, True, False, False]),
     ((Linear(2, 2), Dropout(0.5), Tanh()), [False, False, True])],
)  # fmt: skip
def test_who_may_write_in_place(layers, allowed: list[bool]) -> None:
    """Only into an array that nobody else holds.

    Neither the user's, nor one in the cache of the previous layer.
    """
    assert [in_place for _, _, in_place in Sequential(*layers)._passes] == allowed


def test_in_place_networks_agree_with_ones_that_copy() -> None:
    net, copying = network(p=0.3), network(p=0.3)
    copying._passes = [(i, layer, False) for i, layer in enumerate(copying.layers)]
    x, t = batch()
    assert np.array_equal(net(x), copying(x))
    ours, theirs = net.gradients(x, t, NLLLoss()), copying.gradients(x, t, NLLLoss())
    assert ours[0] == theirs[0] and all(np.array_equal(g, theirs[1][name]) for name, g in ours[1].items())


def test_an_activation_may_be_shared_and_leaves_the_users_array_alone() -> None:
    """What may be overwritten is decided by each network, not kept on the layer."""
    relu = ReLU()
    first = Sequential(relu, Linear(2, 2), dtype="float64")
    Sequential(Linear(2, 2), relu, dtype="float64")
    x = np.array([[-1.0, 2.0], [3.0, -4.0]])
    kept, t = x.copy(), np.array([0, 1])
    first(x)
    first.gradients(x, t, CrossEntropyLoss())
    fit(first, CrossEntropyLoss(), SGD(first, 0.1), x, t, valid=(x, t))
    assert np.array_equal(x, kept)


def test_copies_and_pickles_of_a_network_and_its_optimiser_stay_a_pair() -> None:
    x, t = batch()
    for make in (Adam, lambda net: SGD(net, 0.1, momentum=0.9, clip_norm=1.0)):
        net = network()
        optimiser = make(net)
        step(net, NLLLoss(), optimiser, x, t)
        copies = [copy.deepcopy((net, optimiser)), pickle.loads(pickle.dumps((net, optimiser)))]
        step(net, NLLLoss(), optimiser, x, t)
        for twin, its_optimiser in copies:
            step(twin, NLLLoss(), its_optimiser, x, t)
            assert its_optimiser.steps == optimiser.steps == 2
            for name, a in net.state_dict().items():
                assert np.array_equal(a, twin.state_dict()[name])
            assert not np.shares_memory(twin.store.values, net.store.values)


def halve(optimiser: Any) -> None:
    """A hook of the user's own."""
    optimiser.g *= 0.5


@pytest.mark.parametrize("again", [copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))])
@pytest.mark.parametrize("make", [lambda n: SGD(n, 0.1, momentum=0.9, nesterov=True), Adam, AdamW])
def test_a_training_goes_on_from_copies_of_its_network_optimiser_and_history(again: Any, make: Any) -> None:
    """The three are copied in the middle of an epoch, and both trainings end alike."""
    x, t = batch(20)
    net = Sequential(Flatten(), Linear(12, 8), BatchNorm1d(8), ReLU(), Dropout(0.3), Linear(8, 4), seed=1)
    optimiser = make(net)
    optimiser.hooks.append(halve)

    def stop(epoch: int, k: int, *_: Any) -> None:
        if (epoch, k) == (1, 2):
            raise KeyboardInterrupt

    loss = CrossEntropyLoss()
    with pytest.raises(KeyboardInterrupt) as stopped:
        fit(net, loss, optimiser, x, t, epochs=4, batch_size=4, on_step=stop, valid=(x, t))
    history = stopped.value.history
    twin, its, its_history, its_loss = again((net, optimiser, history, loss))
    assert its.net is twin and its_history == history and its_loss == loss
    for n, o, h, criterion in ((net, optimiser, history, loss), (twin, its, its_history, its_loss)):
        fit(n, criterion, o, x, t, epochs=4, batch_size=4, history=h, valid=(x, t))
    assert np.array_equal(net.store.values, twin.store.values) and np.array_equal(net.store.fixed, twin.store.fixed)
    assert its_history.step_losses == history.step_losses and len(history.epochs) == 4


def test_two_forwards_then_two_backwards() -> None:
    net = network()
    loss, learn, passes = NLLLoss(), Learner(), []
    for n in (5, 3):
        x, t = batch(n)
        y, caches = net.forward(to_columns(x), learn)
        passes.append((loss.forward(y, t)[1], caches, net.gradients(x, t, loss)[1]))
    for delta, caches, expected in reversed(passes):
        net.backward(delta, caches, learn)
        for name, p in net.params.items():
            np.testing.assert_allclose(p.grad, expected[name], rtol=1e-12, atol=1e-16)


def test_threads_may_share_a_network() -> None:
    net, results = network(), {}
    inputs = {k: batch(n=k + 1)[0] for k in range(8)}
    expected = {k: net(x) for k, x in inputs.items()}

    def work(k: int) -> None:
        results[k] = [net(inputs[k]) for _ in range(50)]

    threads = [threading.Thread(target=work, args=(k,)) for k in inputs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(y, expected[k]) for k, ys in results.items() for y in ys) and len(results) == 8


def test_dropout_acts_in_training_alone_and_is_drawn_from_the_seed() -> None:
    x, t = batch(64)
    net, other = network(p=0.5), network(p=0.5)
    assert np.array_equal(net(x), network(p=0.0)(x))
    assert net.gradients(x, t, NLLLoss())[0] != network(p=0.0).gradients(x, t, NLLLoss())[0]
    other.seed = 4
    assert net.gradients(x, t, NLLLoss())[0] != other.gradients(x, t, NLLLoss())[0]
    layer, ones = Dropout(0.3), np.ones((1000, 100))
    y, _ = layer.forward(ones, Learner())
    assert set(np.unique(y)) == {0.0, 1 / 0.7} and abs((y == 0).mean() - 0.3) < 0.01


# ------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [(Sequential, SettingError, "at least one layer"),
     (lambda: Sequential(Linear(3, 4), Linear(5, 2)), ShapeError, r"layer 1: Linear\(5, 2\) .*\(N, 5\).*\(N, 4\)"),
     (lambda: Sequential(Linear(3, 4), Flatten(), Sigmoid(), Linear(5, 2)), ShapeError, "layer 3"),
     (lambda: Sequential(Linear), SettingError, "layer 0 is .*not a layer object"),
     (lambda: Sequential(Linear(3, 4), dtype="float16"), SettingError, "dtype 'float16' is not known"),
     (lambda: Sequential(Linear(3, 4), seed=-1), SettingError, "seed"),
     (lambda: Sequential(Linear(3, 4), device="gpu"), SettingError, "device 'gpu' is not known"),
     (lambda: Linear(0, 4), SettingError, "Linear: in_features must be a whole number from 1, not 0"),
     (lambda: Linear(3, 2.5), SettingError, "Linear: out_features"), (lambda: Dropout(1.0), SettingError, "Dropout: p"),
     (lambda: Dropout(float("nan")), SettingError, "Dropout: p"),
     (lambda: Sequential(Linear(3, 4))(np.zeros((2, 5))), ShapeError, r"layer 0: .*\(N, 3\).*\(N, 5\)"),
     (lambda: Sequential(Linear(3, 4))(np.zeros(3)), ShapeError, "needs a batch axis first"),
     (lambda: network().gradients(*[batch()[0], np.zeros(5, int)], MSELoss()), ShapeError, "MSELoss: the target")],
)  # fmt: skip
def test_mistakes(make, error, message: str) -> None:
    with pytest.raises(error, match=message):
        make()


def test_summary(capsys: pytest.CaptureFixture[str]) -> None:
    network().summary((3, 2, 2))
    text = capsys.readouterr().out
    assert "(N, 12)" in text and f"{network().size:,}" in text and len(text.splitlines()) == 15


def test_cross_entropy_is_nll_of_log_softmax() -> None:
    x, t = batch()
    net = network()
    logits = Sequential(*(type(la)(**la.options()) for la in net.layers[:-1]), seed=3, dtype="float64")
    ours, theirs = net.gradients(x, t, NLLLoss()), logits.gradients(x, t, CrossEntropyLoss())
    np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-14)
    for name, g in ours[1].items():
        np.testing.assert_allclose(g, theirs[1][name], rtol=1e-11, atol=1e-16)


def test_deepcopy_is_a_network_of_its_own() -> None:
    net = Sequential(Linear(3, 4), ReLU(), Linear(4, 2), seed=5)
    net.info["classes"] = ["a", "b"]
    net.store.values += 0.1
    twin, x = copy.deepcopy(net), np.ones((2, 3), np.float32)
    before = net(x)
    assert str(twin) == str(net) and twin.info == net.info and np.array_equal(twin(x), before)
    twin.store.values *= 2  # the parameters are still views of one vector
    twin.info["classes"].append("c")
    assert not np.array_equal(twin(x), before) and np.array_equal(net(x), before)
    assert net.info["classes"] == ["a", "b"]


def test_flatten_over_time_fits_the_times_of_x() -> None:
    """The features of a flattened sequence are unknown before x, so nothing is refused
    early.
    """
    net = Sequential(LSTM(2, 3, output="sequence"), BatchNorm1d(5), Flatten(), Linear(15, 2))
    assert net(np.zeros((4, 5, 2))).shape == (4, 2)
    with pytest.raises(ShapeError, match="layer 1: BatchNorm1d"):
        net(np.zeros((4, 6, 2)))
    with pytest.raises(ShapeError, match="layer 1: Linear"):
        Sequential(LSTM(2, 3, output="sequence"), Linear(4, 2))
