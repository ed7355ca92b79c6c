"""exp as arithmetic against NumPy's, in float32 and float64."""

import numpy as np
import pytest

pytest.importorskip("numba")

from scratchnet.engine.kernels.exponential import exponential
from scratchnet.engine.kernels.step import activate, compiled
from scratchnet.engine.kernels.steps import SIGMOID


@compiled
def exponentials(x, y):  # type: ignore[no-untyped-def]
    for i in range(x.size):
        y[i] = exponential(x[i])


def test_exp_is_that_of_numpy() -> None:
    for dtype, places in ((np.float32, 1.1), (np.float64, 1.1)):
        x = np.concatenate([np.linspace(-86.8, 88.7, 100_001), np.linspace(-1, 1, 10_001)]).astype(dtype)
        y = np.empty_like(x)
        exponentials(x, y)
        exact = np.exp(x.astype(np.longdouble))
        assert np.max(np.abs(y - exact) / np.spacing(exact.astype(dtype))) < places


def test_exp_of_what_is_no_ordinary_number() -> None:
    x = np.array([np.nan, np.inf, 89, -np.inf, -1000, 0], np.float32)
    y = np.empty_like(x)
    exponentials(x, y)
    assert np.isnan(y[0])
    assert (y[1:3] == np.inf).all()
    assert (y[3:5] >= 0).all() and (y[3:5] < 3e-38).all()
    assert y[5] == 1


def test_the_sigmoid_of_compiled_steps() -> None:
    for dtype, rtol in ((np.float32, 3e-7), (np.float64, 1e-15)):
        x = np.linspace(-80, 80, 1001).astype(dtype)
        z = x.copy()
        activate(z, SIGMOID)
        np.testing.assert_allclose(z, 1 / (1 + np.exp(-x.astype(np.longdouble))).astype(dtype), rtol)
