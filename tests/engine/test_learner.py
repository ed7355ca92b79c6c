"""The learner: gradients are written, not added; random numbers agree."""

import numpy as np
import pytest

from scratchnet.engine.learner import Learner
from scratchnet.engine.params import Param, Store, constant


def weights(*shape: int) -> Param:
    p = Param("p", shape, constant(0.5))
    Store([p], np.random.default_rng(0), np.dtype("float64"), np)
    return p


def test_gradients_are_written_not_added() -> None:
    rng, learn = np.random.default_rng(0), Learner()
    W, b = weights(3, 2), weights(3)
    delta, a = rng.standard_normal((3, 5)), rng.standard_normal((2, 5))
    for _ in range(2):
        W.grad.fill(np.nan), b.grad.fill(np.nan)
        learn.weight(W, delta, a)
        learn.bias(b, delta)
        np.testing.assert_allclose(W.grad, np.einsum("on,in->oi", delta, a))
        np.testing.assert_allclose(b.grad, delta.sum(1))
    assert (W.value == 0.5).all() and (b.value == 0.5).all()


def test_running_values_are_ignored() -> None:
    p = Param("mean", (2,), constant(1.0), trained=False)
    Store([p], np.random.default_rng(0), np.dtype("float64"), np)
    Learner().running(p, np.zeros(2))
    assert p.value.tolist() == [1.0, 1.0]


def draw(seed: int = 0, steps: int = 0, skip: int = 0, first: int = 0, shape: tuple[int, ...] = (5, 4)) -> np.ndarray:
    learn = Learner(seed)
    learn.steps, learn.first_example = steps, first
    learn.begin()
    for _ in range(skip):
        learn.uniform(np.zeros(shape))
    return learn.uniform(np.zeros(shape))


def test_random_numbers_depend_on_seed_step_and_layer() -> None:
    assert np.array_equal(draw(), draw())
    for other in (draw(seed=1), draw(steps=1), draw(skip=1), draw(first=1)):
        assert not np.isin(draw(), other).all()


def test_begin_starts_the_same_draws_again() -> None:
    learn = Learner(3)
    draws = []
    for _ in range(2):
        learn.begin()
        draws.append([learn.uniform(np.zeros((3, 2))) for _ in range(2)])
    assert np.array_equal(draws[0], draws[1])
    assert not np.array_equal(draws[0][0], draws[0][1])


@pytest.mark.parametrize("shape", [(1, 6), (7, 6), (8, 6), (9, 6), (2, 3, 6), (2, 3, 4, 6)], ids=str)
def test_an_example_draws_the_same_in_any_split_of_the_batch(shape: tuple[int, ...]) -> None:
    whole = draw(shape=shape)
    for cut in (1, 2, 5):
        parts = [draw(shape=(*shape[:-1], cut)), draw(shape=(*shape[:-1], 6 - cut), first=cut)]
        assert np.array_equal(np.concatenate(parts, axis=-1), whole)
    assert len(np.unique(whole)) == whole.size


def test_numbers_are_uniform() -> None:
    u = draw(shape=(100, 1000)).ravel()
    assert u.min() >= 0 and u.max() < 1
    counts = np.histogram(u, 50, (0, 1))[0]
    assert ((counts - 2000) ** 2 / 2000).sum() < 100  # chi-squared of 49 degrees of freedom: 5 standard deviations
    assert abs(np.corrcoef(u[:-1], u[1:])[0, 1]) < 0.02


def test_numbers_have_the_dtype_asked_for() -> None:
    assert Learner().uniform(np.zeros((2, 2), np.float32)).dtype == np.float32
    assert Learner().uniform(np.zeros((2, 0))).shape == (2, 0)


def test_buffers_are_kept_by_key() -> None:
    learn = Learner()
    a = learn.buffer("a", (2, 3), np.dtype("float32"), np)
    assert a.shape == (2, 3) and a.dtype == np.float32
    assert learn.buffer("a", (2, 3), np.dtype("float32"), np) is a
    assert learn.buffer("b", (2, 3), np.dtype("float32"), np) is not a
    assert learn.buffer("a", (3, 2), np.dtype("float32"), np).shape == (3, 2)
    assert learn.buffer("a", (3, 2), np.dtype("float64"), np).dtype == np.float64
