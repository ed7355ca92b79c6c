"""The proof itself: twins both ways, what compare finds in wrong networks, planted
faults.
"""

import copy
import os
from functools import partial

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is what networks are compared with")

from parity import compare, compare_training, from_torch, to_torch  # noqa: E402
from parity.faults import equivalent, killed, mutants, plant  # noqa: E402
from parity.mutants import checks_of, functions, main  # noqa: E402
from parity.rounding import DRAWS, UNIT, Rounding, change, moved_results, tolerance  # noqa: E402
from scratchnet import (  # fmt: skip # noqa: E402
    GRU,
    LSTM,
    RNN,
    SGD,
    Adam,
    AvgPool2d,
    BatchNorm1d,
    BatchNorm2d,
    Conv2d,
    ConvTranspose2d,
    CrossEntropyLoss,
    Dropout,
    Flatten,
    Linear,
    LogSoftmax,
    MaxPool2d,
    MedianPool2d,
    MinPool2d,
    MSELoss,
    NLLLoss,
    ReLU,
    Sequential,
    SettingError,
    Sigmoid,
    Softmax,
    Tanh,
    gradcheck,
)
from tests.profiles import quick_every, quick_first  # noqa: E402


def network(dtype: str = "float64") -> Sequential:
    return Sequential(Flatten(), Linear(12, 9), Sigmoid(), Dropout(0.3), Linear(9, 8, bias=False), ReLU(), Linear(8, 4),
                      LogSoftmax(), seed=3, dtype=dtype)  # fmt: skip


def batch(n: int = 7) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.standard_normal((n, 3, 4)), rng.integers(0, 4, n)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_there_and_back(dtype: str) -> None:
    net, (x, _) = network(dtype), batch()
    twin = to_torch(net)
    assert list(twin.state_dict()) == list(net.state_dict())
    y = twin(torch.from_numpy(x.astype(dtype))).detach().numpy()
    np.testing.assert_allclose(net(x), y, rtol=1e-5 if dtype == "float32" else 1e-12)
    back = from_torch(torch.nn.Sequential(twin[:3], torch.nn.Identity(), twin[3:]))
    assert str(back) == str(net) and np.array_equal(back(x), net(x))


@pytest.mark.parametrize(
    ("module", "message"),
    [(torch.nn.GELU(), "module '1', GELU.*no counterpart"), (torch.nn.Flatten(0), "start_dim=0 has no counterpart"),
     (torch.nn.Conv2d(2, 2, 3, groups=2), "groups=2"), (torch.nn.LSTM(2, 3), "batch_first=False"),
     (torch.nn.BatchNorm1d(2, momentum=None), "module '1', BatchNorm1d.*momentum=None")],
    ids=str,
)  # fmt: skip
def test_what_has_no_counterpart_is_named(module, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        from_torch(torch.nn.Sequential(torch.nn.Linear(2, 2), module))


@pytest.mark.parametrize("kind", [torch.nn.Softmax, torch.nn.LogSoftmax])
@pytest.mark.parametrize(
    ("before", "shape"),
    [
        ([torch.nn.Conv2d(2, 3, 2)], (4, 2, 5, 6)),
        ([torch.nn.Conv2d(2, 3, 2), torch.nn.ReLU(), torch.nn.Dropout()], (4, 2, 5, 6)),
        ([torch.nn.MaxPool2d(2)], (4, 2, 6, 6)),
        ([torch.nn.RNN(3, 5, batch_first=True), torch.nn.Linear(5, 4)], (4, 7, 3)),
        ([torch.nn.Conv2d(2, 3, 2), torch.nn.Flatten()], (4, 2, 5, 6)),
        ([torch.nn.Linear(5, 3), torch.nn.ReLU()], (4, 5)),
    ],
    ids=lambda v: "-".join(type(m).__name__ for m in v) if isinstance(v, list) else None,
)
def test_the_axis_of_softmax_is_right_or_refused(kind, before: list, shape: tuple) -> None:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    for dim in (1, -1, 2):
        module = torch.nn.Sequential(*before, kind(dim=dim)).eval()
        vectors = isinstance(before[-1], torch.nn.Flatten) or len(shape) == 2
        if dim == 2 or (dim == 1 and not vectors):
            with pytest.raises(SettingError, match=f"dim={dim}"):
                from_torch(module)
        elif not isinstance(before[0], torch.nn.RNN):  # whose output is a pair in PyTorch
            with torch.no_grad():
                np.testing.assert_allclose(from_torch(module)(x.numpy()), module(x).numpy(), rtol=1e-5, atol=1e-6)


def test_a_module_that_stands_there_twice() -> None:
    """Without weights it is two layers; with weights they would be shared."""
    linear, relu = torch.nn.Linear(3, 3), torch.nn.ReLU()
    net = from_torch(torch.nn.Sequential(linear, relu, torch.nn.Linear(3, 2), relu))
    assert str(net) == "Sequential(Linear(3, 3), ReLU(), Linear(3, 2), ReLU())"
    with pytest.raises(SettingError, match=r"module '2', Linear.*stands there twice: shared weights"):
        from_torch(torch.nn.Sequential(linear, relu, linear))


ODD = {
    "one wide, one example": (Sequential(Linear(1, 1, bias=False), dtype="float64"), (1, 1), MSELoss()),
    "three classes of one feature": (Sequential(Linear(1, 3)), (1, 1), CrossEntropyLoss()),
    "softmax and one-hot": (Sequential(Linear(4, 5), Softmax(), dtype="float64"), (5, 4), MSELoss("sum")),
    "dropout": (
        Sequential(Linear(4, 5), Dropout(0.0), Dropout(0.9), Linear(5, 2), dtype="float64"),
        (6, 4),
        CrossEntropyLoss(),
    ),
    "normalised first": (Sequential(BatchNorm1d(4), Linear(4, 2), dtype="float64"), (6, 4), CrossEntropyLoss()),
    "images": (
        Sequential(
            Conv2d(2, 3, (3, 2), stride=(2, 1), padding=(1, 2), dilation=(1, 2), bias=False),
            BatchNorm2d(3),
            Tanh(),
            ConvTranspose2d(3, 2, (2, 3), stride=2, padding=1, output_padding=1),
            AvgPool2d(2, stride=1, padding=1),
            MinPool2d((2, 1)),
            MedianPool2d(2, 1),
            Flatten(),
            Linear(160, 3),
            dtype="float64",
        ),
        (3, 2, 9, 8),
        CrossEntropyLoss(),
    ),
    "one cell": (
        Sequential(Conv2d(1, 1, 1), ReLU(), MaxPool2d(1), Flatten(), Linear(9, 2)),
        (1, 1, 3, 3),
        CrossEntropyLoss(),
    ),
    **{
        f"{kind.__name__} {shape}": (
            Sequential(
                kind(3, 4, num_layers=3, output="sequence"),
                Flatten(),
                Linear(4 * shape[1], 2),
                LogSoftmax(),
                dtype="float64",
            ),
            shape,
            NLLLoss(),
        )
        for kind in (RNN, LSTM, GRU)
        for shape in ((1, 1, 3), (4, 6, 3))
    },
    "every time a class": (
        Sequential(LSTM(2, 3, output="sequence"), Linear(3, 4), dtype="float64"),
        (2, 5, 2),
        CrossEntropyLoss(classes="last"),
    ),
}


@pytest.mark.parametrize("name", quick_every(3, ODD))
def test_odd_networks(name: str) -> None:
    """There and back, compared, trained and checked by differences.

    Any kind of array.
    """
    net, shape, loss = ODD[name]
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal(shape), net.shapes_from(shape[1:])[-1]
    t = (
        rng.integers(0, y[-1], (shape[0], *y[:-1]))
        if loss.takes_labels
        else np.eye(y[-1])[rng.integers(0, y[-1], shape[0])]
    )
    for given in ((x, t), (torch.tensor(x), torch.tensor(t)), (x.tolist(), t.tolist())):
        rows = compare(net, *given, loss)
        assert rows.ok, rows.worst
    back = from_torch(to_torch(net))
    assert all(np.array_equal(a, back.state_dict()[k]) for k, a in net.state_dict().items())
    assert gradcheck(net, x, t, loss).ok
    for optimiser in (SGD, Adam):
        rows = compare_training(
            copy.deepcopy(net), (x, t), lambda net, made=optimiser: made(net, lr=0.01), 3, loss=loss
        )
        assert rows.ok, rows.worst


def test_what_is_no_optimiser_is_named() -> None:
    with pytest.raises(SettingError, match="a function that makes one of a network, not 'SGD'"):
        compare_training(network(), [batch()], "SGD", 3)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_compare_has_every_quantity(dtype: str) -> None:
    rows = compare(network(dtype), *batch(), NLLLoss())
    assert rows.ok, rows.worst
    assert [len(rows.of(what)) for what in ("loss", "value", "delta", "gradient")] == [1, 8, 8, 5]


def test_the_tolerance_of_float32() -> None:
    """(√n + 4) (u + c), where c is the largest of the distances."""
    assert tolerance(1, 0.0) == 5 * UNIT == 5 * 2.0**-24
    assert tolerance(784, 2 * UNIT) == 32 * 3 * UNIT
    assert change([np.array([3.0, 4 + 3e-6]), np.array([3.0, 4 - 4e-6])], np.array([3.0, 4.0])) == pytest.approx(
        4e-6 / 5
    )


def test_passes_with_random_errors_are_drawn_until_the_rule_holds() -> None:
    assert len(moved_results(lambda rounding: rounding, lambda made: len(made) == 3)) == 3
    made = moved_results(lambda rounding: rounding, lambda made: False)
    assert len(made) == DRAWS
    assert moved_results(pytest.fail, lambda made: False, made) is made


def test_every_number_that_is_computed_gets_a_random_error() -> None:
    """Also one computed in place, but not one that is only viewed or copied."""
    a = torch.linspace(1, 2, 100, dtype=torch.float64)
    for compute in (torch.sigmoid, lambda a: a.clone().sigmoid_(), lambda a: torch.ones_like(a).mul_(a)):
        exact = compute(a)
        with Rounding(0):
            moved = compute(a)
        error = ((moved - exact) / exact).abs().max().item()
        assert UNIT / 2 < error < 4 * UNIT
    with Rounding(0):
        assert torch.equal(a[::2].view(5, 10), torch.empty(5, 10, dtype=a.dtype).copy_(a[::2].view(5, 10)))


@pytest.mark.slow
def test_compare_finds_a_relative_error_of_1e_5() -> None:
    """In what a layer hands on and in each gradient, planted one at a time."""
    net = Sequential(Flatten(), Linear(12, 5, bias=False), Sigmoid(), Linear(5, 4), LogSoftmax(), seed=3)
    for k, layer in list(enumerate(net.layers))[1:]:
        forward = layer.forward

        def rough(x, learn=None, forward=forward):
            y, cache = forward(x, learn)
            return y * np.float32(1 + 1e-5), cache

        layer.forward = rough
        rows = compare(net, *batch(), NLLLoss())
        layer.forward = forward
        assert next(row.layer for row in rows.of("value") if not row.ok) == k
    for name in net.params:
        layer = net.layers[int(name.split(".")[0])]
        backward = layer.backward

        def wrong(delta, cache, learn, need_dx=True, name=name, backward=backward):
            dx = backward(delta, cache, learn, need_dx)
            net.params[name].grad[...] *= np.float32(1 + 1e-5)
            return dx

        layer.backward = wrong
        rows = compare(net, *batch(), NLLLoss())
        layer.backward = backward
        assert [row.parameter for row in rows if not row.ok] == [name]
    rows = compare(net, *batch(), NLLLoss())
    assert rows.ok, rows.worst


def test_compare_finds_a_wrong_layer() -> None:
    net = network()
    net.layers[2].backward = lambda delta, a, learn, need_dx=True: delta * a
    rows = compare(net, *batch(), NLLLoss())
    assert not rows.ok and rows.worst.layer in (0, 1)
    assert all(row.ok for row in rows if row.layer is None or row.layer >= 2)


def test_training_of_a_wrong_optimiser_is_found() -> None:
    class Wrong(SGD):
        def _descend(self) -> None:
            super()._descend()
            self.w *= 1 - 1e-7

    rows = compare_training(network(), [batch()], lambda net: Wrong(net, lr=0.1), 3)
    assert len(rows) == 18 and not rows.ok and rows.worst.what == "weight"


@pytest.mark.parametrize("module", quick_first(["equations", "layers.linear", "layers.activation"], 2))
def test_planted_faults_are_found(module: str) -> None:
    """A sample of `python -m parity.mutants`, which plants them everywhere."""
    run = checks_of(module)
    faults = [(f, what, tree) for f in functions(module) for what, tree in mutants(f) if not equivalent(what)]
    assert len(faults) >= 4
    assert [what for f, what, tree in faults if not killed(f, tree, run)] == []


@pytest.mark.timeout(30)
def test_faults_are_planted_beside_threads_of_pytorch() -> None:
    """A new process has none of this one's threads, and must not wait for them."""
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        big = torch.ones(600, 600, dtype=torch.float64)
        torch.mm(big, big)  # starts them
        check = partial(torch.mm, big, big)
        assert os.waitpid(plant(next(iter(functions("equations"))), None, [check]), 0)[1] == 0
    finally:
        torch.set_num_threads(before)


@pytest.mark.nightly
def test_every_planted_fault_is_found() -> None:
    assert main([]) == 0
