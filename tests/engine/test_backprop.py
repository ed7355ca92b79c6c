"""The plain first file: backpropagation of one example, against central differences."""

import doctest
from itertools import pairwise

import numpy as np
import pytest

from scratchnet.engine import backprop


def test_its_example_learns_exclusive_or():
    found = doctest.testmod(backprop)
    assert found.attempted > 0 and found.failed == 0


@pytest.mark.parametrize("cost", backprop.COSTS)
@pytest.mark.parametrize("activation", backprop.ACTIVATIONS)
def test_gradients_agree_with_central_differences(activation, cost):
    rng = np.random.default_rng(0)
    sizes, names = (3, 5, 4, 2), [activation, "tanh", activation]
    weights = [rng.normal(size=(o, i)) for i, o in pairwise(sizes)]
    biases = [rng.normal(size=(o, 1)) for o in sizes[1:]]
    x, t = rng.normal(size=(3, 1)), np.array([[0.0], [1.0]])
    _, nabla_W, nabla_b = backprop.backprop((weights, biases, names), x, t, cost)
    for p, g in zip(weights + biases, nabla_W + nabla_b):
        assert g.shape == p.shape
        for k in np.ndindex(p.shape):
            values = []
            for h in (1e-6, -2e-6):
                p[k] += h
                values.append(backprop.backprop((weights, biases, names), x, t, cost)[0])
            p[k] += 1e-6
            assert (values[0] - values[1]) / 2e-6 == pytest.approx(g[k], rel=1e-6, abs=1e-9)


def test_a_step_goes_downhill_in_place():
    W, b = np.array([[0.5, -1.0]]), np.array([[0.25]])
    arguments = ([W], [b], ["identity"]), np.array([[2.0], [1.0]]), np.array([[1.0]]), "quadratic"
    assert backprop.step(*arguments, eta=0.1) == 0.5 * 0.75**2  # W x + b = 0.25
    np.testing.assert_allclose(W, [[0.5 + 0.1 * 0.75 * 2, -1 + 0.1 * 0.75]])
    np.testing.assert_allclose(b, [[0.25 + 0.1 * 0.75]])
    assert backprop.step(*arguments, eta=0.1) < 0.5 * 0.75**2


def test_large_logits_have_a_finite_cost_and_gradient():
    x = np.array([[1.0]])
    network = [np.array([[1000.0], [0.0]])], [np.zeros((2, 1))], ["identity"]
    C, nabla_W, _ = backprop.backprop(network, x, np.array([[0.0], [1.0]]), "cross entropy")
    assert C == 1000.0
    np.testing.assert_array_equal(nabla_W[0], [[1.0], [-1.0]])
