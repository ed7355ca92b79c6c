"""BLAS threads: whose they are, when several are taken, and that products are the same with them."""

import os

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from scratchnet.backend import threads as threads_
from scratchnet.backend.products import add_product
from scratchnet.backend.threads import LARGE, blas_threads, choose_threads, numpys_threads
from scratchnet.errors import SettingError


def now():
    """Threads of each BLAS library, by the folder that it lies in."""
    found = {info["filepath"].split(os.sep)[-2]: info["num_threads"] for info in threadpool_info()
             if info["user_api"] == "blas"}  # fmt: skip
    if not found:
        pytest.skip("threadpoolctl knows none of the BLAS libraries here")
    return found


def test_the_threads_are_numpys_and_what_was_is_restored():
    before = now()
    with blas_threads(3):
        inside = now()
        assert numpys_threads() == 3
        for folder, threads in inside.items():
            assert threads == (1 if "scipy" in folder else 3)
        with blas_threads(1):
            assert set(now().values()) == {1}
        assert now() == inside
    assert now() == before


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_large_product_with_several_threads(dtype, order):
    rng = np.random.default_rng(0)
    delta = np.array(rng.normal(size=(500, 130)), dtype, order=order)
    a = np.array(rng.normal(size=(800, 130)), dtype, order=order)
    assert len(delta) * len(a) * 130 >= LARGE
    C = rng.normal(size=(500, 800)).astype(dtype)
    expected = 0.5 * C.astype("float64") - 0.1 * delta.astype("float64") @ a.astype("float64").T
    for threads in (1, 2):
        out = C.copy()
        with blas_threads(threads):
            add_product(out, delta, a, -0.1, 0.5)
        np.testing.assert_allclose(out, expected, rtol=1e-4 if dtype == "float32" else 1e-11, atol=1e-4)


class Clock:
    """On which products take so many seconds with one thread and with several."""

    def __init__(self, one, several):
        self.one, self.several, self.time = one, several, 0.0

    def perf_counter(self):
        self.time += self.one if numpys_threads() == 1 else self.several
        return self.time


@pytest.mark.parametrize(("several", "chosen"), [(0.3, 4), (0.55, 4), (0.65, 1), (1.0, 1), (20.0, 1)])
def test_auto_takes_them_where_they_are_much_faster(several, chosen, monkeypatch):
    now()
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2, 3}, raising=False)
    monkeypatch.setattr(threads_, "time", Clock(1.0, several))
    before = numpys_threads()
    assert choose_threads("auto", 2 * LARGE) == chosen
    assert choose_threads("auto", 2 * LARGE - 1) == 1
    assert numpys_threads() == before
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {2}, raising=False)
    assert choose_threads("auto", 1e12) == 1


def test_a_number_is_taken_as_it_is():
    assert choose_threads("3", 1.0) == choose_threads(3, 1e12) == 3
    for wrong in ("0", "-1", "many", "1.5"):
        with pytest.raises(SettingError, match=rf"threads '{wrong}': give auto or a number from 1"):
            choose_threads(wrong, 1.0)
