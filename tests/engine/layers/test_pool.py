"""Pools beyond the table of cases: ties, NaN, cells that no window reaches, errors."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is what the layers are compared with")

from parity.twins import to_torch  # noqa: E402
from scratchnet import AvgPool2d, MaxPool2d, MedianPool2d, MinPool2d, Sequential  # noqa: E402
from scratchnet.errors import SettingError, ShapeError  # noqa: E402
from tests.checks import run  # noqa: E402

POOLS = (MaxPool2d, MinPool2d, MedianPool2d, AvgPool2d)


def gradient(layer, x: np.ndarray) -> np.ndarray:
    """∂C/∂x for C = Σ y, of one image (H, W)."""
    net = Sequential(layer, dtype="float64")
    columns = x.astype(float)[None, :, :, None]
    y, _ = net.layers[0].forward(columns, None)
    return run(net, columns, np.ones_like(y))[1][0, :, :, 0]


@pytest.mark.parametrize("pool", [MaxPool2d, MinPool2d, MedianPool2d])
def test_the_first_of_equal_cells_gets_the_gradient(pool) -> None:
    assert gradient(pool(2), np.zeros((4, 4))).tolist() == [[1, 0, 1, 0], [0, 0, 0, 0]] * 2
    assert gradient(pool(3), np.array([[5, 1, 5], [1, 3, 3], [5, 3, 1]])).sum() == 1


def test_the_median_is_the_lower_of_two_middle_ones() -> None:
    net = Sequential(MedianPool2d(2), dtype="float64")
    assert net(np.array([4.0, 1, 3, 2]).reshape(1, 1, 2, 2)).item() == 2.0
    assert gradient(MedianPool2d(2), np.array([[4, 1], [2, 2]])).tolist() == [[0, 0], [1, 0]]


@pytest.mark.parametrize("pool", POOLS)
def test_cells_that_no_window_reaches_get_gradient_zero(pool) -> None:
    dx = gradient(pool(2), np.arange(25.0).reshape(5, 5))
    assert (dx[4] == 0).all() and (dx[:, 4] == 0).all() and dx.sum() == 4
    dx = gradient(pool(1, stride=2), np.arange(16.0).reshape(4, 4))
    assert dx.tolist() == [[1, 0, 1, 0], [0, 0, 0, 0]] * 2


def test_overlapping_windows_add_up() -> None:
    x = np.zeros((3, 3))
    x[1, 1] = 1
    assert gradient(MaxPool2d(2, stride=1), x)[1, 1] == 4


def test_the_padding_of_a_maximum_never_wins() -> None:
    """Outside is −∞, so negative images have a negative maximum everywhere; +∞ for a
    minimum.
    """
    x = -1 - np.random.default_rng(0).random((2, 3, 5, 5))
    for pool, sign in ((MaxPool2d, 1), (MinPool2d, -1)):
        y = Sequential(pool(3, stride=2, padding=1), dtype="float64")(sign * x)
        expected = torch.nn.functional.max_pool2d(torch.from_numpy(x), 3, 2, 1).numpy() * sign
        assert np.array_equal(y, expected)


@pytest.mark.parametrize("pool", POOLS)
def test_nan_in_a_window_is_nan_in_its_output(pool) -> None:
    x = np.arange(16.0).reshape(1, 1, 4, 4)
    for i, j in np.ndindex(4, 4):
        bad = x.copy()
        bad[0, 0, i, j] = np.nan
        y = Sequential(pool(2), dtype="float64")(bad)[0, 0]
        assert np.isnan(y[i // 2, j // 2]) and np.isnan(y).sum() == 1


WINDOWS = (
    {"kernel_size": 2},
    {"kernel_size": 2, "stride": 1},
    {"kernel_size": (3, 2), "stride": 3},
    {"kernel_size": 3, "stride": 2, "padding": 1},
    {"kernel_size": 4, "stride": 1, "padding": (2, 1)},
    {"kernel_size": (7, 6), "stride": 2, "padding": 3},
)


CHOICES = [
    (pool, options)
    for pool in (MaxPool2d, MinPool2d, MedianPool2d)
    for options in WINDOWS
    if pool is not MedianPool2d or "padding" not in options
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("pool", "options"), CHOICES, ids=str)
def test_special_numbers_choose_and_get_what_they_do_in_pytorch(pool, options: dict, dtype: str) -> None:
    """Images with few different numbers, special ones among them.

    Value, sign of zero, and where each δ goes.
    """
    rng, bad = np.random.default_rng(0), [np.nan, np.inf, -np.inf]
    for numbers in ([0.0, -0.0, 1.0, -1.0], [1.0, 2.0, np.nan], [*bad, 0.0], [-np.inf], [np.inf], [np.nan], [1.0]):
        net = Sequential(pool(**options), dtype=dtype)
        x = rng.choice(numbers, (2, 6, 7, 5)).astype(dtype)
        shape = net.shapes_from(x.shape[:-1])[-1]
        for delta in (rng.standard_normal((*shape, 5)), rng.choice([*bad, 1.0, 2.0], (*shape, 5))):
            with np.errstate(invalid="ignore"):
                y, dx, _ = run(net, x, delta.astype(dtype))
            rows = torch.from_numpy(np.moveaxis(x, -1, 0).copy()).requires_grad_()
            theirs = to_torch(net)(rows)
            theirs.backward(torch.from_numpy(np.moveaxis(delta.astype(dtype), -1, 0).copy()))
            expected, expected_dx = (np.moveaxis(t.detach().numpy(), 0, -1) for t in (theirs, rows.grad))
            np.testing.assert_array_equal(y, expected)
            np.testing.assert_allclose(dx, expected_dx, rtol=1e-5, atol=1e-5)
            if pool is not MedianPool2d:  # which sorts, and PyTorch has none
                assert (np.signbit(y) == np.signbit(expected))[y == 0].all(), "the sign of zero"


@pytest.mark.parametrize("pool", [MaxPool2d, MinPool2d, AvgPool2d])
@pytest.mark.parametrize(("options", "message"), [
    ({"kernel_size": 2, "padding": 2},
     r"Pool2d\(2, padding=2\): padding may be at most half the kernel, but 2 is more than 2 / 2"),
    ({"kernel_size": (3, 1), "padding": (1, 1)}, "at most half the kernel, but 1 is more than 1 / 2"),
    ({"kernel_size": 0}, "kernel_size must be a whole number from 1"),
    ({"kernel_size": 2, "stride": 0}, "stride must be a whole number from 1"),
])  # fmt: skip
def test_settings_are_checked(pool, options: dict, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        pool(**options)


@pytest.mark.parametrize("pool", POOLS)
def test_what_does_not_fit_is_one_clear_line(pool) -> None:
    net = Sequential(pool(3))
    with pytest.raises(ShapeError, match=r"layer 0: .*Pool2d\(3\) is given \(N, 4, 8, 2\), so its output would be "
                       r"\(N, 4, 2, 0\): width = floor\(\(2 \+ 2·0 − 1·\(3 − 1\) − 1\) / 3\) \+ 1 = 0"):  # fmt: skip
        net(np.zeros((1, 4, 8, 2), np.float32))
    with pytest.raises(ShapeError, match=r"takes images \(N, channels, height, width\), but is given \(N, 784\)"):
        net(np.zeros((1, 784), np.float32))
