"""Recurrence beyond what every layer must satisfy (tests/cases.py).

Long sequences, carried states, masks, memory.
"""

import itertools
import tracemalloc

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is what the layers are compared with")

import scratchnet as sn  # noqa: E402
from parity.twins import to_torch  # noqa: E402
from scratchnet.engine.layers.recurrent import Recurrent  # noqa: E402
from scratchnet.engine.learner import Learner  # noqa: E402
from scratchnet.engine.losses import MSELoss  # noqa: E402
from tests.profiles import quick_every  # noqa: E402

KINDS = ("RNN", "LSTM", "GRU")
rng = np.random.default_rng(7)


def network(kind: str, output: str = "last", layers: int = 2, dtype: str = "float64") -> sn.Sequential:
    return sn.Sequential(
        getattr(sn, kind)(3, 5, num_layers=layers, output=output), sn.Linear(5, 2), seed=4, dtype=dtype
    )


@pytest.mark.parametrize("T", [1, 2, 3, 12, 50])
@pytest.mark.parametrize("N", [1, 4])
@pytest.mark.parametrize("output", ["last", "sequence"])
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_through_time_are_those_of_pytorch(kind, output, N, T):
    net = network(kind, output)
    x = rng.standard_normal((N, T, 3))
    t = rng.standard_normal((N, T, 2) if output == "sequence" else (N, 2))
    value, grads = net.gradients(x, t, MSELoss())
    twin = to_torch(net)
    loss = torch.nn.functional.mse_loss(twin(torch.from_numpy(x)), torch.from_numpy(t))
    loss.backward()
    assert abs(value - loss.item()) <= 1e-12
    for (name, g), p in zip(grads.items(), twin.parameters(), strict=True):
        scale = max(float(p.grad.norm()), 1e-6)
        assert np.linalg.norm(g - p.grad.numpy()) <= 1e-12 * scale, name


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_of_fifty_steps_agree_with_central_differences(kind):
    net = network(kind, layers=1)
    x, t = rng.standard_normal((2, 50, 3)), rng.standard_normal((2, 2))
    _, grads = net.gradients(x, t, MSELoss())
    for name, g in grads.items():
        direction = rng.standard_normal(g.shape)
        p, costs = net.params[name].value, []
        for h in (1e-6, -2e-6):
            p += h * direction
            costs.append(MSELoss()(net(x), t)[0])
        p += 1e-6 * direction
        slope = (costs[0] - costs[1]) / 2e-6
        assert slope == pytest.approx((g * direction).sum(), rel=1e-6, abs=1e-9), name


# ----------------------------------------------------------------------- carried states


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cut", [1, 4, 6])
def test_two_pieces_with_a_carried_state_are_the_whole_sequence(kind, cut):
    net = network(kind, "sequence")
    x = rng.standard_normal((3, 7, 3))
    whole = net(x)
    first, state = sn.run_with_state(net, x[:, :cut])
    second, _ = sn.run_with_state(net, x[:, cut:], state)
    assert np.abs(np.concatenate([first, second], 1) - whole).max() <= 1e-14


@pytest.mark.parametrize("kind", KINDS)
def test_initial_and_final_state_are_those_of_pytorch(kind):
    layer = getattr(sn, kind)(3, 5, num_layers=2, output="sequence")
    net = sn.Sequential(layer, seed=1, dtype="float64")
    x = rng.standard_normal((4, 6, 3))
    begin = [tuple(rng.standard_normal((5, 4)) for _ in range(layer.states)) for _ in range(2)]
    y, (end,) = sn.run_with_state(net, x, [begin])
    module = to_torch(net)[0]
    theirs = [torch.from_numpy(np.stack([s[j].T for s in begin])) for j in range(layer.states)]
    y_torch, end_torch = _torch_run(module, x, theirs)
    assert np.abs(y - y_torch).max() <= 1e-14
    for j in range(layer.states):
        assert np.abs(np.stack([s[j].T for s in end]) - end_torch[j]).max() <= 1e-14


def _torch_run(module, x, state):
    base = {"RNN": torch.nn.RNN, "LSTM": torch.nn.LSTM, "GRU": torch.nn.GRU}[type(module).__name__]
    y, end = base.forward(module, torch.from_numpy(x), state[0] if len(state) == 1 else tuple(state))
    return y.detach().numpy(), [e.detach().numpy() for e in (end if isinstance(end, tuple) else (end,))]


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_of_the_initial_state(kind):
    """Going back through two pieces, with ∂C/∂(state) in between, is going back through
    all.
    """
    layer: Recurrent = getattr(sn, kind)(3, 5, num_layers=2)
    sn.Sequential(layer, seed=2, dtype="float64")
    x = rng.standard_normal((7, 3, 4))
    delta = rng.standard_normal((5, 4))
    learn = [Learner(), Learner(), Learner()]
    _, cache = layer.forward(x, learn[0])
    whole = layer.backward(delta.copy(), cache, learn[0])
    _, state, first = layer.run(x[:3], learn[1])
    _, _, second = layer.run(x[3:], learn[2], state)
    dx_second, between = layer.run_back(delta.copy(), second, learn[2])
    dx_first, _ = layer.run_back(np.zeros((5, 4)), first, learn[1], state=between)
    assert np.abs(np.concatenate([dx_first, dx_second]) - whole).max() <= 1e-14


def test_truncated_backpropagation_is_pytorchs_with_a_detached_state():
    net = sn.Sequential(sn.LSTM(3, 5, output="sequence"), sn.Linear(5, 2), seed=3, dtype="float64")
    twin = to_torch(net)
    optimiser, theirs = sn.SGD(net, 0.1), torch.optim.SGD(twin.parameters(), 0.1)
    x, t = rng.standard_normal((2, 12, 3)), rng.standard_normal((2, 12, 2))
    state, state_torch = None, None
    for k in range(0, 12, 4):
        piece = slice(k, k + 4)
        value, state = sn.step_with_state(net, MSELoss(), optimiser, x[:, piece], t[:, piece], state)
        h, state_torch = torch.nn.LSTM.forward(twin[0], torch.from_numpy(x[:, piece].copy()), state_torch)
        state_torch = tuple(s.detach() for s in state_torch)
        loss = torch.nn.functional.mse_loss(twin[1](h), torch.from_numpy(t[:, piece].copy()))
        theirs.zero_grad()
        loss.backward()
        theirs.step()
        assert float(value) == pytest.approx(loss.item(), abs=1e-14)
    for ours, p in zip(net.state_dict().values(), twin.parameters(), strict=True):
        assert np.abs(ours - p.detach().numpy()).max() <= 1e-14


@pytest.mark.parametrize("kind", KINDS)
def test_a_carried_state_is_the_users_own(kind):
    """The next step does not write into the state that this one has returned."""
    net = network(kind)
    optimiser = sn.SGD(net, 0.1)
    x, t = rng.standard_normal((2, 4, 3)), rng.standard_normal((2, 2))
    _, state = sn.step_with_state(net, MSELoss(), optimiser, x, t)
    before = [s.copy() for states in state[0] for s in states]
    sn.step_with_state(net, MSELoss(), optimiser, x + 1, t, state)
    assert all(np.array_equal(a, b) for a, b in zip(before, (s for states in state[0] for s in states), strict=True))


@pytest.mark.parametrize("layer", [sn.RNN, sn.LSTM, sn.GRU])
def test_batches_of_other_sizes_and_lengths_in_between(layer):
    """What a learner keeps from step to step suits each batch, as a fresh learner
    shows.
    """
    net = sn.Sequential(layer(2, 5, num_layers=2), sn.Linear(5, 1), seed=0, dtype="float64")
    rng, learn = np.random.default_rng(0), sn.Adam(net)
    for N, T in ((2, 6), (6, 2), (3, 4), (2, 6), (1, 6), (6, 1), (2, 6), (2, 6)):
        x, t = rng.normal(size=(N, T, 2)), rng.normal(size=(N, 1))
        _, expected = net.gradients(x, t, sn.MSELoss())
        _, delta, _, caches = net.cost(x, t, sn.MSELoss(), learn)
        net.backward(delta, caches, learn)
        for name, p in net.params.items():
            np.testing.assert_allclose(p.grad, expected[name], rtol=1e-12, atol=1e-15, err_msg=f"{name}, {N}, {T}")


# ---------------------------------------------------------------------- unequal lengths


@pytest.mark.parametrize("kind", KINDS)
def test_masked_sequences_end_where_they_end(kind):
    """The same outputs, losses and gradients as for each sequence alone, for any
    padding.
    """
    net = network(kind)
    lengths = [6, 1, 4]
    x, t = rng.standard_normal((3, 6, 3)), rng.standard_normal((3, 2))
    mask = np.arange(6) < np.array(lengths)[:, None]
    y, _ = sn.run_with_state(net, x, mask=mask)
    alone = np.concatenate([net(x[k : k + 1, :T]) for k, T in enumerate(lengths)])
    assert np.abs(y - alone).max() <= 1e-14
    expected = {name: np.zeros(p.shape) for name, p in net.params.items()}
    for k, T in enumerate(lengths):
        _, grads = net.gradients(x[k : k + 1, :T], t[k : k + 1], MSELoss())
        for name, g in grads.items():
            expected[name] += g / 3
    w = {name: p.value.copy() for name, p in net.params.items()}
    sn.step_with_state(net, MSELoss(), sn.SGD(net, 1.0), x, t, mask=mask)
    for name, p in net.params.items():
        assert np.abs(w[name] - p.value - expected[name]).max() <= 1e-14, name


@pytest.mark.parametrize("kind", KINDS)
def test_masked_sequences_are_pytorchs_packed_ones(kind):
    net = sn.Sequential(getattr(sn, kind)(3, 5, num_layers=2), seed=5, dtype="float64")
    lengths = [2, 6, 5]
    x = rng.standard_normal((3, 6, 3))
    y, _ = sn.run_with_state(net, x, mask=np.arange(6) < np.array(lengths)[:, None])
    packed = torch.nn.utils.rnn.pack_padded_sequence(torch.from_numpy(x), lengths, True, enforce_sorted=False)
    base = {"RNN": torch.nn.RNN, "LSTM": torch.nn.LSTM, "GRU": torch.nn.GRU}[kind]
    _, end = base.forward(to_torch(net)[0], packed)
    last = (end[0] if isinstance(end, tuple) else end)[-1]
    assert np.abs(y - last.detach().numpy()).max() <= 1e-14


def packed(net, x, lengths, v):
    """(y, dx, gradients) of a PyTorch layer for packed sequences: 0 after the end."""
    module = to_torch(net)[0]
    base = {"RNN": torch.nn.RNN, "LSTM": torch.nn.LSTM, "GRU": torch.nn.GRU}[type(module).__name__]
    rows = torch.from_numpy(x.copy()).requires_grad_()
    y, _ = base.forward(
        module, torch.nn.utils.rnn.pack_padded_sequence(rows, lengths, batch_first=True, enforce_sorted=False)
    )
    y, _ = torch.nn.utils.rnn.pad_packed_sequence(y, batch_first=True, total_length=x.shape[1])
    y.backward(torch.from_numpy(v.copy()))
    return y.detach().numpy(), rows.grad.numpy(), [p.grad.numpy() for p in module.parameters()]


SPREADING = list(
    itertools.product(
        KINDS,
        (np.nan, np.inf, -np.inf),
        ("first", "middle", "last", "after the end"),
        ("x", "delta", "x and delta", "weights"),
    )
)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("kind", "bad", "t", "place"), quick_every(5, SPREADING))
def test_nan_and_infinity_spread_as_in_packed_sequences_of_pytorch(kind, bad, t, place, dtype):
    """One special number at one time of one sequence.

    What stands after the end of a sequence is never read.
    """
    net = sn.Sequential(getattr(sn, kind)(3, 5, num_layers=2, output="sequence"), seed=5, dtype=dtype)
    (layer,), learn, lengths = net.layers, Learner(), [4, 7, 5]
    draw = np.random.default_rng(0)
    x, v = draw.standard_normal((3, 7, 3)).astype(dtype), draw.standard_normal((3, 7, 5)).astype(dtype)
    mask = np.arange(7) < np.array(lengths)[:, None]
    v[~mask] = 0
    at = {"first": 0, "middle": 2, "last": 3, "after the end": 5}[t]
    if "x" in place:
        x[0, at, 1] = bad
    if "delta" in place and at < lengths[0]:
        v[0, at, 2] = bad
    if place == "weights":
        net.layers[0].weights[t != "middle"][at % 2].value[at % 5, -1] = bad
    with np.errstate(all="ignore"):
        y, _, cache = layer.run(np.moveaxis(x, 0, -1), learn, None, mask.T)
        y = y.copy()
        dx, _ = layer.run_back(np.moveaxis(v, 0, -1), cache, learn)
        expected, expected_dx, grads = packed(net, x, lengths, v)
    y, dx = (np.moveaxis(a, -1, 0) for a in (y, dx))
    tolerance = {"rtol": 1e-4 if dtype == "float32" else 1e-10, "atol": 1e-5 if dtype == "float32" else 1e-12}
    np.testing.assert_allclose(y[mask], expected[mask], **tolerance)
    np.testing.assert_allclose(dx, expected_dx, **tolerance)
    for (name, p), g in zip(net.params.items(), grads, strict=True):
        np.testing.assert_allclose(p.grad, g, err_msg=name, **tolerance)


# ----------------------------------------------------------------------------- the rest


@pytest.mark.parametrize("kind", KINDS)
def test_memory_grows_linearly_with_time_and_as_is_stated(kind):
    """Doubling T doubles what training keeps.

    The class says how much that is per time step.
    """
    I, H, N = 3, 32, 16
    stated = 2 * (I + H + 1) + {"RNN": 2, "LSTM": 16, "GRU": 15}[kind] * H
    kept = []
    for T in (300, 100, 200, 300):  # the first makes what is made once, such as imports
        net = sn.Sequential(getattr(sn, kind)(I, H), dtype="float64")
        learn, (layer,) = Learner(), net.layers
        x = rng.standard_normal((T, I, N))
        tracemalloc.start()
        y, cache = layer.forward(x, learn)
        layer.backward(np.ones_like(y), cache, learn, False)
        kept.append(tracemalloc.get_traced_memory()[0])
        tracemalloc.stop()
    per_step = np.diff(kept[1:]) / 100 / N / 8
    assert per_step[0] == pytest.approx(per_step[1], rel=0.02)
    assert per_step[0] == pytest.approx(stated, rel=0.03)


def test_the_same_weights_in_float32():
    for kind in KINDS:
        single, double = network(kind, dtype="float32"), network(kind)
        x = rng.standard_normal((4, 20, 3))
        assert single(x).dtype == np.float32
        assert np.abs(single(x) - double(x)).max() < 1e-5


def test_time_distributed_linear_is_linear_at_every_time():
    net = sn.Sequential(sn.Linear(3, 2), seed=1, dtype="float64")
    x = rng.standard_normal((4, 6, 3))
    assert np.abs(net(x) - np.stack([net(x[:, t]) for t in range(6)], 1)).max() <= 1e-15


def test_shapes_that_do_not_fit():
    net = sn.Sequential(sn.LSTM(3, 5), sn.Linear(5, 2))
    for shape in ((4, 3), (4, 6, 2), (4, 0, 3), (4, 2, 6, 3)):
        with pytest.raises(sn.ShapeError, match=r"layer 0: LSTM\(3, 5.*takes sequences \(N, T, 3\) with T from 1"):
            net(np.zeros(shape))
    with pytest.raises(sn.ShapeError, match="layer 1"):
        sn.Sequential(sn.LSTM(3, 5), sn.Linear(6, 2))
    sn.Sequential(sn.Linear(3, 4), sn.LSTM(4, 5, output="sequence"), sn.GRU(5, 2))
    with pytest.raises(sn.SettingError, match="output must be last or sequence, not 'all'"):
        sn.RNN(3, 5, output="all")
    with pytest.raises(sn.SettingError, match="num_layers must be a whole number from 1, not 0"):
        sn.GRU(3, 5, num_layers=0)


def test_mistakes_with_states_and_masks():
    net = network("LSTM")
    x = np.zeros((2, 4, 3))
    with pytest.raises(sn.ShapeError, match="the mask must be"):
        sn.run_with_state(net, x, mask=np.ones((4, 2)))
    _, state = sn.run_with_state(net, x)
    with pytest.raises(sn.ShapeError, match="the state of 3 sequences has shapes"):
        sn.run_with_state(net, np.zeros((3, 4, 3)), state)
    with pytest.raises(sn.SettingError, match="no state to carry"):
        sn.run_with_state(sn.Sequential(sn.Linear(3, 2)), np.zeros((2, 3)))
    with pytest.raises(sn.NonFiniteError, match="already in the input"):
        sn.step_with_state(net, MSELoss(), sn.SGD(net, 0.1), np.full((2, 4, 3), np.nan), np.zeros((2, 2)))
