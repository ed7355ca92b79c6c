"""The proof itself: twins there and back, what compare finds in a wrong network, and faults that are planted."""

import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is what networks are compared with")

from parity import compare, compare_training, from_torch, to_torch  # noqa: E402
from parity.mutants import checks_of, equivalent, functions, killed, main, mutants  # noqa: E402
from parity.rows import FLOAT32_FLOOR, judged  # noqa: E402
from scratchnet import SGD, Dropout, Flatten, Linear, LogSoftmax, NLLLoss, ReLU, Sequential, SettingError, Sigmoid  # noqa: E402


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
     (torch.nn.Conv2d(2, 2, 3, groups=2), "groups=2"), (torch.nn.LSTM(2, 3), "batch_first=False")],
    ids=str,
)  # fmt: skip
def test_what_has_no_counterpart_is_named(module, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        from_torch(torch.nn.Sequential(torch.nn.Linear(2, 2), module))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_compare_has_every_quantity(dtype: str) -> None:
    rows = compare(network(dtype), *batch(), NLLLoss())
    assert rows.ok, rows.worst
    assert [len(rows.of(what)) for what in ("loss", "value", "delta", "gradient")] == [1, 8, 8, 5]


def test_float32_is_judged_by_several_roundings_of_each_array_by_itself() -> None:
    rows = compare(network("float32"), *batch(), NLLLoss())
    row = rows.of("gradient")[0]
    same = [dataclasses.replace(row, error=ours, torch_error=theirs) for ours, theirs in ((3e-6, 0.0), (4e-6, 1e-6))]
    both = judged(row, same)
    assert both.error == pytest.approx(12.5**0.5 * 1e-6) and both.torch_error == pytest.approx(0.5**0.5 * 1e-6)
    assert both.tolerance == 2 * both.torch_error and not both.ok
    assert judged(row, [dataclasses.replace(row, error=0.0, torch_error=0.0)]).tolerance == FLOAT32_FLOOR
    assert not judged(row, [dataclasses.replace(row, error=np.nan, torch_error=1.0)]).ok


def test_compare_finds_rounding_that_is_three_times_too_large() -> None:
    net = network("float32")
    layer, rng = net.layers[1], np.random.default_rng(0)
    forward = layer.forward

    def rough(x, learn=None):
        y, cache = forward(x, learn)
        return y * (1 + 1e-6 * rng.standard_normal(y.shape).astype(np.float32)), cache

    layer.forward = rough
    rows = compare(net, *batch(), NLLLoss())
    assert not rows.ok and any(not row.ok and row.layer == 1 and row.what == "value" for row in rows)


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


@pytest.mark.parametrize("module", ["equations", "layers.linear", "layers.activation"])
def test_planted_faults_are_found(module: str) -> None:
    """A sample of `python -m parity.mutants`, which plants them everywhere."""
    run = checks_of(module)
    faults = [(f, what, tree) for f in functions(module) for what, tree in mutants(f) if not equivalent(what)]
    assert len(faults) >= 4
    assert [what for f, what, tree in faults if not killed(f, tree, run)] == []


@pytest.mark.nightly
def test_every_planted_fault_is_found() -> None:
    assert main([]) == 0
