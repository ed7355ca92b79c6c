"""Embedding: indices in, rows out; what it refuses; and that it trains as PyTorch's."""

import numpy as np
import pytest

import scratchnet as sn
from scratchnet.backend.products import add_rows
from scratchnet.engine.metrics import evaluate

torch = pytest.importorskip("torch", reason="PyTorch is what the layers are compared with")

from parity.training import compare_training  # noqa: E402
from parity.twins import from_torch  # noqa: E402


def network(padding_idx=None, dtype="float64"):
    return sn.Sequential(sn.Embedding(9, 4, padding_idx=padding_idx), sn.LSTM(4, 5), sn.Linear(5, 3), dtype=dtype)


def batches(n, number=6):
    rng = np.random.default_rng(3)
    return [(rng.integers(0, 9, (n, 6)), rng.integers(0, 3, n)) for _ in range(number)]


@pytest.mark.parametrize("padding_idx", [None, 0, -2])
@pytest.mark.parametrize("make", [
    lambda net: sn.SGD(net, 0.3),
    lambda net: sn.SGD(net, 0.1, momentum=0.9, weight_decay=0.01),
    lambda net: sn.Adam(net, 0.01, clip_norm=0.1),
    lambda net: sn.AdamW(net, 0.01),
])  # fmt: skip
@pytest.mark.parametrize("n", [1, 5])
def test_training_is_pytorchs(n, make, padding_idx):
    net = network(padding_idx)
    rows = compare_training(net, batches(n), make, 12)
    assert rows.ok, rows.worst
    if padding_idx is not None:
        assert not net.state_dict()["0.weight"][padding_idx].any()


def test_outputs_for_any_number_of_axes():
    net = sn.Sequential(sn.Embedding(5, 3), dtype="float64")
    W = net.state_dict()["0.weight"]
    for shape in ((4,), (4, 2), (4, 2, 3), (4, 0)):
        x = np.arange(np.prod(shape)).reshape(shape) % 5
        np.testing.assert_array_equal(net(x), W[x])
    assert net(np.zeros((0, 4), int)).shape == (0, 4, 3)
    np.testing.assert_array_equal(net([[0, 4]]), W[[[0, 4]]])


@pytest.mark.parametrize("kind", [np.int8, np.uint16, np.int32, np.int64, ">i4", np.float32, float])
def test_whole_numbers_of_any_type(kind):
    net, x = network(), np.array([[0, 8, 3]])
    np.testing.assert_array_equal(net(x.astype(kind)), net(x))
    np.testing.assert_array_equal(net(torch.tensor(x)), net(x))


@pytest.mark.parametrize("x, message", [
    ([[0, 9]], r"holds the index 9, at \[0, 1\] of the batch, but there are only those from 0 to 8"),
    ([[1, 2], [-1, 2]], r"holds the index -1, at \[1, 0\]"),
    ([[0.5, 1]], r"must be whole numbers, which stand for rows, but holds 0.5"),
    ([[np.nan, 1]], r"must be whole numbers, which stand for rows, but holds nan"),
    ([[1e30, 1]], r"must be whole numbers, which stand for rows, but holds 1e\+30"),
    ([[True, False]], r"not True and False"),
    ([["a", "b"]], r"must be an array of numbers, not text"),
])  # fmt: skip
def test_what_is_no_index_is_refused_everywhere(x, message):
    net, loss, t = network(), sn.CrossEntropyLoss(), np.zeros(len(x), int)
    before = net.state_dict()
    for use in (
        lambda: net(x),
        lambda: net.gradients(x, t, loss),
        lambda: sn.step(net, loss, sn.SGD(net, 0.1), x, t),
        lambda: sn.fit(net, loss, sn.Adam(net), x, t),
        lambda: evaluate(net, loss, np.array(x), t),
        lambda: sn.gradcheck(net, x, t, loss),
    ):
        with pytest.raises(sn.DataError, match=message):
            use()
    assert all(np.array_equal(before[name], a) for name, a in net.state_dict().items())


def test_fit_looks_at_all_indices_before_it_begins():
    x = np.zeros((50, 2), int)
    x[49, 1] = 9
    net = network()
    before = net.state_dict()["0.weight"]
    with pytest.raises(sn.DataError, match=r"index 9, at \[49, 1\]"):
        sn.fit(net, sn.CrossEntropyLoss(), sn.SGD(net, 0.1), x, np.zeros(50, int), batch_size=1)
    np.testing.assert_array_equal(net.state_dict()["0.weight"], before)


def test_options_and_places_that_cannot_be():
    with pytest.raises(sn.SettingError, match="padding_idx must be a whole number from -3 to 2, not 3"):
        sn.Embedding(3, 2, padding_idx=3)
    with pytest.raises(sn.SettingError, match="num_embeddings must be a whole number from 1"):
        sn.Embedding(0, 2)
    with pytest.raises(sn.SettingError, match=r"layer 1, Embedding\(4, 3\), takes indices: it must be the first"):
        sn.Sequential(sn.Linear(2, 3), sn.Embedding(4, 3))
    with pytest.raises(sn.ShapeError, match=r"layer 1: LSTM\(4, 2\) takes sequences"):
        sn.Sequential(sn.Embedding(4, 3), sn.LSTM(4, 2))
    with pytest.raises(sn.ShapeError, match='CrossEntropyLoss\\(classes="last"\\)'):
        net = sn.Sequential(sn.Embedding(4, 3), sn.Linear(3, 2))
        sn.fit(net, sn.CrossEntropyLoss(), sn.SGD(net, 0.1), np.zeros((2, 5), int), np.zeros((2, 5), int))


def test_a_row_that_is_held_is_no_mistake():
    net = network(padding_idx=0)
    x = np.array([[0, 0, 3, 4], [0, 1, 8, 8]])
    assert sn.gradcheck(net, x, [0, 2], sn.CrossEntropyLoss()).ok
    assert sn.gradcheck(net, x, [0, 2], sn.CrossEntropyLoss(), samples=5).ok
    _, gradients = net.gradients(x, [0, 2], sn.CrossEntropyLoss())
    assert not gradients["0.weight"][0].any() and gradients["0.weight"][8].any()
    assert not gradients["0.weight"][[2, 5, 6, 7]].any(), "of what does not occur it is 0"


def test_saved_and_loaded(tmp_path):
    net, x = network(padding_idx=-1, dtype="float32"), np.arange(6).reshape(2, 3)
    net.save(tmp_path / "m.safetensors")
    again = sn.load(tmp_path / "m.safetensors")
    assert again.layers[0].padding_idx == 8
    np.testing.assert_array_equal(again(x), net(x))


def test_from_pytorch():
    theirs = torch.nn.Sequential(torch.nn.Embedding(7, 3, padding_idx=2), torch.nn.Linear(3, 2)).double()
    ours, x = from_torch(theirs), np.arange(7)[:, None]
    np.testing.assert_allclose(ours(x), theirs(torch.tensor(x)).detach().numpy(), rtol=1e-12)
    with pytest.raises(sn.SettingError, match=r"max_norm=1\.0 has no counterpart"):
        from_torch(torch.nn.Embedding(7, 3, max_norm=1.0))


@pytest.mark.parametrize("M", [0, 1, 50])
def test_sums_of_rows(M):
    rng = np.random.default_rng(M)
    C, index, rows = rng.normal(size=(6, 3)), rng.integers(0, 6, M), rng.normal(size=(M, 3))
    expected = C.copy()
    np.add.at(expected, index, rows)
    add_rows(C, index, rows)
    np.testing.assert_allclose(C, expected, rtol=1e-13)
