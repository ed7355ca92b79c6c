"""Convolutions beyond the table of cases.

Adjoints, work in parts, training in place, errors, odd sizes.
"""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is what the layers are compared with")

from parity.twins import to_torch  # noqa: E402
from scratchnet import SGD, Adam, Conv2d, ConvTranspose2d, CrossEntropyLoss, Flatten, Linear, Sequential, step  # noqa: E402
from scratchnet.engine.layers import conv  # noqa: E402
from scratchnet.engine.layers.window import Window, taps  # noqa: E402
from scratchnet.engine.learner import Learner  # noqa: E402
from scratchnet.errors import SettingError, ShapeError  # noqa: E402
from tests.checks import close, cotangent, run, torch_run  # noqa: E402


def images(*shape: int, dtype: str = "float64", seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


@pytest.mark.parametrize("options", [
    {}, {"stride": 2}, {"stride": (1, 3), "padding": (2, 0)}, {"dilation": 2, "padding": 1},
    {"stride": 3, "dilation": 2},
])  # fmt: skip
def test_the_two_layers_are_adjoint(options: dict) -> None:
    """⟨conv(x), v⟩ = ⟨x, convᵀ(v)⟩ for the same weights, even if the stride leaves rows
    over.
    """
    there = Sequential(Conv2d(3, 2, (2, 3), bias=False, **options), dtype="float64")
    x = images(4, 3, 8, 9)
    y = there(x)
    size = there.layers[0].output_shape((3, 8, 9))
    plain = ConvTranspose2d(2, 3, (2, 3), bias=False, **options)
    rest = tuple(n - m for n, m in zip((8, 9), plain.output_shape(size)[1:], strict=True))
    back = Sequential(ConvTranspose2d(2, 3, (2, 3), bias=False, output_padding=rest, **options), dtype="float64")
    back.load_state_dict(there.state_dict())
    v = images(*y.shape, seed=1)
    assert back(v).shape == x.shape
    np.testing.assert_allclose((y * v).sum(), (x * back(v)).sum(), rtol=1e-12)


@pytest.mark.parametrize("layer", [
    Conv2d(2, 3, (3, 2), stride=(2, 1), padding=1), Conv2d(2, 3, 3, dilation=2), Conv2d(2, 3, 1),
    ConvTranspose2d(2, 3, 3, stride=2, padding=1, output_padding=1), ConvTranspose2d(2, 3, 2),
], ids=str)  # fmt: skip
@pytest.mark.parametrize("limit", [1, 20_000])
def test_work_in_parts_is_the_same(layer, limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the unrolled image exceeds the limit, some rows at a time give the same."""

    def results() -> list[np.ndarray]:
        net = Sequential(type(layer)(**layer.options()), dtype="float64")
        x = images(2, 9, 8, 7)
        y, dx, grads = run(net, x)
        optimiser = SGD(net, 0.1, momentum=0.9)
        net.layers[0].backward(cotangent(y), net.layers[0].forward(x, optimiser)[1], optimiser)
        optimiser.update()
        return [y, dx, *grads.values(), net(images(7, 2, 9, 8)), *net.state_dict().values()]

    whole = results()
    monkeypatch.setattr(conv, "LIMIT", limit)
    monkeypatch.setattr(conv, "LIMIT_AT_INFERENCE", limit)
    for a, b in zip(results(), whole, strict=True):
        close(a, b, 1e-13, "in parts")


def test_memory_of_the_unrolled_image_is_stated_and_bounded() -> None:
    layer = Conv2d(1, 6, 4)
    assert layer.unrolled_bytes((1, 28, 28), 64) == 16 * 25 * 25 * 64 * 4
    net = Sequential(layer)
    learn = Learner()
    layer.forward(images(1, 28, 28, 64, dtype="float32"), learn)
    assert learn._buffers[id(layer), "unroll"].nbytes == layer.unrolled_bytes((1, 28, 28), 64)
    wide = ConvTranspose2d(3, 5, 3, stride=2)
    Sequential(wide)
    learn = Learner()
    y, cache = wide.forward(images(3, 6, 6, 2, dtype="float32"), learn)
    wide.backward(np.ones_like(y), cache, learn)
    assert learn._buffers[id(wide), "unroll"].nbytes == wide.unrolled_bytes((3, 6, 6), 2)
    assert conv.LIMIT == 2**30  # bytes: the 1 GiB of the documentation
    assert net.size == 6 * 16 + 6


@pytest.mark.parametrize("make", [
    lambda net: SGD(net, 0.05), lambda net: SGD(net, 0.05, momentum=0.9, weight_decay=0.01),
    lambda net: SGD(net, 0.05, momentum=0.9, nesterov=True), lambda net: SGD(net, 0.05, clip_norm=0.1),
    lambda net: Adam(net, 0.01),
])  # fmt: skip
@pytest.mark.parametrize("batch", [1, 5])
def test_training_in_place_is_pytorchs(make, batch: int) -> None:
    """A convolution's weight is updated through its matrix view: 20 steps against
    PyTorch.
    """
    from parity import compare_training

    net = Sequential(Conv2d(2, 3, 3, padding=1), ConvTranspose2d(3, 2, 2, stride=2), Flatten(), Linear(200, 4),
                     dtype="float64")  # fmt: skip
    data = images(20, 2, 5, 5), np.random.default_rng(1).integers(0, 4, 20)
    rows = compare_training(net, data, make(net), steps=20, batch_size=batch)
    assert rows.ok, rows.worst


def test_a_step_reuses_its_large_arrays() -> None:
    net = Sequential(Conv2d(1, 2, 3), Flatten(), Linear(32, 2))
    optimiser, loss = SGD(net, 0.1), CrossEntropyLoss()
    x, t = images(3, 1, 6, 6, dtype="float32"), np.array([0, 1, 0])
    step(net, loss, optimiser, x, t)
    kept = {key: id(a) for key, a in optimiser._buffers.items()}
    step(net, loss, optimiser, x, t)
    assert kept and kept == {key: id(a) for key, a in optimiser._buffers.items()}


def test_initial_values_follow_pytorchs_bounds() -> None:
    """U(±1/√fan_in), where ConvTranspose2d counts its *out* channels."""
    for layer, bound in ((Conv2d(16, 40, 3), (16 * 9) ** -0.5), (ConvTranspose2d(16, 40, 3), (40 * 9) ** -0.5)):
        net = Sequential(layer)
        for name, value in net.state_dict().items():
            limit = np.abs(to_torch(net).state_dict()[name].numpy()).max()
            assert 0.9 * bound < limit <= bound * (1 + 1e-6) or (name == "0.bias" and limit <= bound)
            assert np.abs(value).max() == limit


def test_rows_that_no_window_reaches_get_gradient_zero() -> None:
    net = Sequential(Conv2d(1, 1, 2, stride=2), dtype="float64")
    _, dx, _ = run(net, images(1, 5, 5, 2))
    assert (dx[:, 4] == 0).all() and (dx[:, :, 4] == 0).all() and (dx[:, :4, :4] != 0).all()


def test_every_layer_takes_an_empty_batch() -> None:
    net = Sequential(Conv2d(1, 2, 3, padding=1), ConvTranspose2d(2, 1, 2), dtype="float64")
    assert net(np.zeros((0, 1, 4, 5))).shape == (0, 1, 5, 6)


def test_taps_against_their_definition() -> None:
    """Tap i at position o meets cell o·s − p + i·d, for every size and from later
    positions.
    """
    for k, s, p, d, size, first in np.ndindex(4, 3, 3, 3, 7, 3):
        window = Window(k + 1, s + 1, p, d + 1)
        places = max(0, window.places(size + 1) - first)
        for i, (at, cells) in enumerate(taps(window, size + 1, places, first)):
            met = {o: (o + first) * window.s - p + i * window.d for o in range(places)}
            inside = {o: c for o, c in met.items() if 0 <= c <= size}
            assert dict(zip(range(places)[at], range(size + 1)[cells], strict=True)) == inside


@pytest.mark.parametrize(("layer", "shape", "message"), [
    (lambda: Conv2d(1, 6, 4), (1, 3, 28),
     r"Conv2d\(1, 6, 4\) is given \(N, 1, 3, 28\), so its output would be \(N, 6, 0, 25\): "
     r"height = floor\(\(3 \+ 2·0 − 1·\(4 − 1\) − 1\) / 1\) \+ 1 = 0"),
    (lambda: Conv2d(3, 6, 5, dilation=2, padding=1), (3, 9, 6),
     r"width = floor\(\(6 \+ 2·1 − 2·\(5 − 1\) − 1\) / 1\) \+ 1 = 0"),
    (lambda: Conv2d(3, 6, 5), (1, 28, 28),
     r"Conv2d\(3, 6, 5\) takes \(N, 3, height, width\), but is given \(N, 1, 28, 28\)"),
    (lambda: Conv2d(3, 6, 5), (784,), r"takes \(N, 3, height, width\), but is given \(N, 784\)"),
    (lambda: ConvTranspose2d(1, 1, 2, padding=1), (1, 1, 4),
     r"output would be \(N, 1, 0, 3\): height = \(1 − 1\)·1 − 2·1 \+ 1·\(2 − 1\) \+ 0 \+ 1 = 0"),
])  # fmt: skip
def test_what_does_not_fit_is_one_clear_line(layer, shape: tuple[int, ...], message: str) -> None:
    net = Sequential(layer())
    with pytest.raises(ShapeError, match="layer 0: .*" + message) as e:
        net(np.zeros((2, *shape), np.float32))
    assert "\n" not in str(e.value)


@pytest.mark.parametrize(("make", "message"), [
    (lambda: ConvTranspose2d(1, 1, 2, stride=2, output_padding=2),
     "output_padding must be smaller than stride or dilation, but 2"),
    (lambda: Conv2d(1, 1, 0), "kernel_size must be a whole number from 1, or two of them"),
    (lambda: Conv2d(1, 1, 3, stride=0), "stride must be"),
    (lambda: Conv2d(1, 1, 3, padding=-1), "padding must be a whole number from 0"),
    (lambda: Conv2d(1, 1, 3, dilation=(1, 2, 3)), "dilation must be"),
    (lambda: Conv2d(1, 1, 2.0), "kernel_size must be"),
    (lambda: Conv2d(0, 1, 2), "in_channels must be"),
])  # fmt: skip
def test_settings_are_checked(make, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        make()


def test_output_padding_may_reach_the_dilation() -> None:
    """Smaller than stride *or* dilation suffices, as in PyTorch."""
    net = Sequential(ConvTranspose2d(2, 3, 3, dilation=3, output_padding=2), dtype="float64")
    x = images(2, 4, 5, 3)
    y, dx, grads = run(net, x)
    for a, b in zip((y, dx, *grads.values()), torch_run(net, x, cotangent(y)), strict=True):
        close(a, b, 1e-12, "against PyTorch")


def test_options_survive_a_model_file(tmp_path) -> None:
    from scratchnet import load

    net = Sequential(
        Conv2d(1, 2, (2, 3), padding=(0, 1)), ConvTranspose2d(2, 1, 2, stride=(2, 1), output_padding=(1, 0))
    )
    net.save(tmp_path / "net.safetensors")
    again = load(tmp_path / "net.safetensors")
    assert str(again) == str(net)
    x = images(2, 1, 5, 5, dtype="float32")
    assert np.array_equal(net(x), again(x))


@pytest.mark.parametrize("columns", [4095, 4096, 5000, 8192])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("small", [0, 1_000_000])
def test_products_in_slices_are_products(columns: int, dtype: str, small: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The long products of a convolution are made in slices, with a remainder at the
    end.
    """
    from scratchnet.backend import products
    from scratchnet.backend.products import dot, dot_transposed, row_sums

    monkeypatch.setattr(products, "small_products", lambda: small)
    W, cols, delta = (images(*shape, dtype=dtype) for shape in ((6, 16), (16, columns), (6, columns)))
    tolerance = {"float32": 1e-5, "float64": 1e-12}[dtype]
    for out in (None, np.full((6, columns), np.nan, dtype)):
        close(dot(W, cols, out=out), W @ cols, tolerance, "W · cols")
    close(dot(W.T, delta), W.T @ delta, tolerance, "Wᵀ · delta")
    for out in (None, np.full((6, 16), np.nan, dtype)):
        close(dot_transposed(delta, cols, out=out), delta @ cols.T, tolerance, "delta · colsᵀ")
    close(row_sums(delta), delta.astype(float).sum(axis=1), tolerance, "row sums")
    turned = np.asfortranarray(cols)
    close(dot(W, turned), W @ cols, tolerance, "other memory order")
    close(dot_transposed(delta, turned), delta @ cols.T, tolerance, "other memory order")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_weight_of_nan_meets_the_padding_too(dtype: str) -> None:
    """0 · NaN is NaN, as in PyTorch's own convolution.

    oneDNN's, which PyTorch uses in float32, leaves these products out.
    """
    net = Sequential(Conv2d(1, 1, 3, padding=1), dtype=dtype)
    net.params["0.weight"].value[0, 0, 0, 0] = np.nan  # meets the padding in the first row and column
    y = net(np.ones((1, 1, 4, 4)))
    assert np.isnan(y).all()
    theirs = to_torch(net)(torch.ones(1, 1, 4, 4, dtype=getattr(torch, dtype))).detach().numpy()
    assert np.isnan(theirs)[0, 0, 1:, 1:].all()
    if dtype == "float64":
        assert np.isnan(theirs).all()
