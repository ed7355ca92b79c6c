"""A trace keeps every number of one pass and changes nothing.

tests/parity/test_trace.py shows that the numbers are PyTorch's.
"""

import copy
from types import ModuleType

import numpy as np
import pytest

import scratchnet as sn
from scratchnet.engine.trace import WIDEST
from tests.cases import CASES, layouts

LOSS = sn.CrossEntropyLoss()


def network(dtype: str = "float64", p: float = 0.4) -> sn.Sequential:
    return sn.Sequential(sn.Linear(4, 6), sn.Sigmoid(), sn.BatchNorm1d(6), sn.Dropout(p), sn.Linear(6, 3), seed=3,
                         dtype=dtype)  # fmt: skip


def batch(dtype: str = "float64") -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.standard_normal((5, 4)).astype(dtype), rng.integers(0, 3, 5)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_it_is_what_gradients_and_the_layers_say(dtype: str) -> None:
    net, (x, t) = network(dtype), batch(dtype)
    trace = net.trace(x, t, LOSS)
    value, gradients = net.gradients(x, t, LOSS)
    assert trace.loss == value and type(trace.loss) is float
    assert list(trace.gradients) == list(gradients)
    for name, g in gradients.items():
        rtol, atol = (1e-5, 1e-7) if dtype == "float32" else (1e-12, 1e-14)
        np.testing.assert_allclose(trace.gradients[name], g, rtol=rtol, atol=atol)
        assert trace.gradients[name].dtype == dtype
    assert np.array_equal(trace.layers[0].input, x) and trace.output is trace.layers[-1].output
    for before, after in zip(trace.layers, trace.layers[1:], strict=False):
        assert after.input is before.output
    np.testing.assert_allclose(trace.layers[-1].delta, LOSS(trace.output, t)[1], rtol=1e-6)
    for part in trace.layers:
        assert part.delta.shape == part.output.shape and part.delta.dtype == part.output.dtype == dtype
        assert part.layer is net.layers[part.index]
    W = trace.layers[0].layer.W.value
    np.testing.assert_allclose(trace.dx, trace.layers[0].delta @ W, rtol=1e-4 if dtype == "float32" else 1e-12)
    sigma = trace.layers[1]
    a = sigma.output
    np.testing.assert_allclose(trace.layers[0].delta, sigma.delta * a * (1 - a), rtol=1e-5)  # BP2


@pytest.mark.parametrize("training", [True, False])
def test_it_changes_nothing(training: bool) -> None:
    net, (x, t) = network(), batch()
    optimiser = sn.Adam(net)
    sn.step(net, LOSS, optimiser, x, t)  # so that there is a gradient to overwrite, and a running mean
    twin, its = copy.deepcopy((net, optimiser))
    kept = x.copy(), t.copy(), net.store.values.copy(), net.store.grads.copy(), net.store.fixed.copy()
    first, second = (net.trace(x, t, LOSS, training=training) for _ in range(2))
    for was, now in zip(kept, (x, t, net.store.values, net.store.grads, net.store.fixed), strict=True):
        assert np.array_equal(was, now)
    assert first.loss == second.loss and np.array_equal(first.dx, second.dx)
    first.layers[0].input[...] = 9
    first.output[...] = 9
    assert np.array_equal(x, kept[0]) and np.array_equal(net.trace(x, t, LOSS, training=training).dx, second.dx)
    losses = [sn.step(n, LOSS, o, x, t) for n, o in ((net, optimiser), (twin, its))]
    assert losses[0] == losses[1] and np.array_equal(net.store.values, twin.store.values)


def test_without_training_the_output_is_that_of_the_network() -> None:
    net, (x, t) = network(), batch()
    trace = net.trace(x, t, LOSS, training=False)
    np.testing.assert_allclose(trace.output, net(x), rtol=1e-12)
    assert np.array_equal(trace.layers[3].output, trace.layers[3].input)
    assert not np.array_equal(net.trace(x, t, LOSS).output, net(x))
    assert net.trace(x[:1], t[:1], LOSS, training=False).output.shape == (1, 3)  # which has no variance


def test_arrays_in_any_memory_order_and_lists() -> None:
    net, (x, t) = network(p=0.0), batch()
    dx = net.trace(x, t, LOSS).dx
    for order, a in layouts(x):
        np.testing.assert_allclose(net.trace(a, t, LOSS).dx, dx, rtol=1e-11, err_msg=order)
    np.testing.assert_allclose(net.trace(x.tolist(), t.tolist(), LOSS).dx, dx, rtol=1e-11)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_layer_can_be_traced(case) -> None:
    net, x = case.net(), case.x()
    rows = np.moveaxis(x, -1, 0)
    t = np.zeros((len(rows), *net.shapes_from(rows.shape[1:])[-1]))
    trace = net.trace(rows, t, sn.MSELoss())
    _, gradients = net.gradients(rows, t, sn.MSELoss())
    assert {name: g.shape for name, g in trace.gradients.items()} == {name: g.shape for name, g in gradients.items()}
    for name, g in gradients.items():
        # a product of arrays in another memory order may be summed in another order
        np.testing.assert_allclose(trace.gradients[name], g, rtol=1e-12, atol=1e-14, err_msg=name)
    assert trace.dx.shape == rows.shape and np.isfinite(trace.dx).all()


def test_names_of_gradients() -> None:
    """Within a layer the short name is the key.

    The full one, the whole trace's key, works too.
    """
    part = network().trace(*batch(), LOSS).layers[4]
    assert list(part.gradients) == ["weight", "bias"] and part.name == "4 Linear(6, 3)"
    assert part.gradients["4.weight"] is part.gradients["weight"] and "4.bias" in part.gradients
    assert "0.bias" not in part.gradients and part.gradients.get("running_mean") is None


def test_the_tables_are_readable() -> None:
    net = sn.Sequential(sn.LSTM(4, 6, num_layers=2, output="sequence"), sn.LSTM(6, 5), sn.Linear(5, 3))
    rng = np.random.default_rng(0)
    trace = net.trace(rng.normal(size=(5, 7, 4)), rng.integers(0, 3, 5), LOSS)
    lines = repr(trace).splitlines()
    assert lines[0].startswith("loss 1.") and lines[0].endswith(", 5 examples") and len(lines) == 8
    assert max(map(len, lines)) <= 80 and lines[5].startswith("0 LSTM(4, 6, num_layers=2...")
    delta = trace.layers[1].delta
    assert (
        f"{np.sqrt((delta.astype(float) ** 2).mean()):.4g}" in lines[6]
        and len("0 LSTM(4, 6, num_layers=2...") == WIDEST
    )
    html = trace._repr_html_()
    assert html.count("<tr>") == 5 and "<th>rms(delta)</th>" in html and "&#x27;" not in repr(trace)
    assert (
        repr(trace.layers[2]).splitlines()[2].startswith("2 Linear(5, 3)") and "<td>" in trace.layers[2]._repr_html_()
    )


@pytest.mark.parametrize(
    "layer",
    [sn.Conv2d(2, 3, (3, 2), stride=(2, 1), padding=(1, 2), dilation=(1, 2)), sn.Conv2d(1, 2, 1, bias=False),
     sn.ConvTranspose2d(3, 2, (2, 3), stride=2, padding=1, output_padding=1),
     sn.ConvTranspose2d(2, 2, 3, stride=(1, 3), dilation=(2, 1), bias=False)],
    ids=str,
)  # fmt: skip
def test_the_window_of_every_cell_makes_it(layer) -> None:
    net = sn.Sequential(layer, sn.Flatten(), dtype="float64")
    x = np.random.default_rng(1).normal(size=(2, layer.in_channels, 6, 5))
    part = net.trace(x, np.zeros((2, *net.shapes_from(x.shape[1:])[-1])), sn.MSELoss()).layers[0]
    for n, c, row, column in np.ndindex(part.output.shape):
        window = part.window(c, row, column, n)
        assert abs(window.sum - part.output[n, c, row, column]) < 1e-14
        for i, j in np.ndindex(window.input.shape[1:]):
            r, k = window.rows[i], window.columns[j]
            assert np.array_equal(window.input[:, i, j], x[n, :, r, k] if r >= 0 and k >= 0 else [0] * x.shape[1])


@pytest.mark.parametrize(
    ("layer", "cell", "words"),
    [(0, (2, 0, 0), "channel must be a whole number from 0 to 1, not 2"),
     (0, (0, -1, 0), "row must be a whole number from 0 to 3, not -1"),
     (0, (0, 0, 4), "column must be a whole number from 0 to 3, not 4"),
     (0, (0, 0, 0, 1), "example must be a whole number from 0 to 0, not 1"),
     (1, (0, 0, 0), r"layer 1 Flatten\(\) is not a convolution")],
)  # fmt: skip
def test_a_cell_that_is_not_there(layer, cell, words) -> None:
    net = sn.Sequential(sn.Conv2d(1, 2, 3), sn.Flatten())
    with pytest.raises(sn.SettingError, match=words):
        net.trace(np.ones((1, 1, 6, 6)), [0], LOSS).layers[layer].window(*cell)


def test_the_times_of_an_lstm_follow_its_equations() -> None:
    net = sn.Sequential(sn.LSTM(3, 4), sn.Linear(4, 2), dtype="float64")
    x = np.random.default_rng(1).normal(size=(2, 5, 3))
    part = net.trace(x, [0, 1], LOSS).layers[0]
    W_ih, W_hh, b_ih, b_hh = list(net.state_dict().values())[:4]
    h = c = np.zeros((2, 4))
    assert len(part.times) == 5 and part.stack == [part.times]
    total = 0
    for t, time in enumerate(part.times):
        assert np.array_equal(time.x, x[:, t]) and time["i"] is time.i and "delta_f" in time
        np.testing.assert_allclose(time.h_before, h, atol=1e-14)
        np.testing.assert_allclose(time.c_before, c, atol=1e-14)
        z = x[:, t] @ W_ih.T + b_ih + h @ W_hh.T + b_hh
        i, f, g, o = np.split(z, 4, axis=1)
        i, f, o, g = 1 / (1 + np.exp(-i)), 1 / (1 + np.exp(-f)), 1 / (1 + np.exp(-o)), np.tanh(g)
        c = f * c + i * g
        h = o * np.tanh(c)
        for name, value in {"i": i, "f": f, "g": g, "o": o, "c": c, "h": h}.items():
            np.testing.assert_allclose(time[name], value, atol=1e-14)
        np.testing.assert_allclose(time.delta_f, time.dc * time.c_before * f * (1 - f), atol=1e-14)
        total = total + np.concatenate([time.delta_i, time.delta_f, time.delta_g, time.delta_o], axis=1).sum(0)
    np.testing.assert_allclose(part.gradients["bias_ih_l0"], total, atol=1e-14)
    assert part.layer.output == "last" and np.array_equal(part.times[-1].dh, part.delta)


def test_what_a_layer_does_not_tell_has_no_gradient() -> None:
    class Silent(sn.Linear):
        def backward(self, delta, a, learn, need_dx=True):
            return delta @ np.eye(3)

    net = sn.Sequential(Silent(3, 3), dtype="float64")
    assert dict(net.trace(np.ones((3, 3)), [0, 1, 2], LOSS).layers[0].gradients) == {}


@pytest.mark.gpu
def test_on_the_gpu_the_trace_is_numpys(gpu: ModuleType) -> None:
    x, t = batch("float32")
    traces = [
        sn.Sequential(sn.Linear(4, 6), sn.Sigmoid(), sn.Linear(6, 3), device=device).trace(x, t, LOSS)
        for device in ("cpu", "cuda")
    ]
    assert all(type(part.delta) is np.ndarray for part in traces[1].layers) and type(traces[1].dx) is np.ndarray
    np.testing.assert_allclose(traces[1].dx, traces[0].dx, rtol=1e-5)
