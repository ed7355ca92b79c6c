"""BP1 to BP4, and the engine built of them, against a textbook for one example."""

import itertools

import numpy as np
import pytest

from scratchnet import SGD, Linear, QuadraticCost, ReLU, Sequential, Sigmoid, step
from scratchnet.engine.backprop import Arrays, backprop
from scratchnet.engine.equations import bp1_error, bp2_propagate, bp3_bias, bp4_weight
from tests.profiles import quick_every

RNG = np.random.default_rng(0)


def random(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape)


@pytest.mark.parametrize("n", [1, 2, 17])
def test_each_equation_element_by_element(n: int) -> None:
    W, delta, a = random(3, 4), random(3, n), random(4, n)
    grad_a, sigma_prime = random(3, n), random(3, n)
    expected = np.array([[grad_a[j, k] * sigma_prime[j, k] for k in range(n)] for j in range(3)])
    assert np.array_equal(bp1_error(grad_a.copy(), sigma_prime), expected)
    np.testing.assert_allclose(
        bp2_propagate(W, delta), [[sum(W[j, i] * delta[j, k] for j in range(3)) for k in range(n)] for i in range(4)]
    )
    np.testing.assert_allclose(bp3_bias(delta), [sum(delta[j, k] for k in range(n)) for j in range(3)])
    expected = [[sum(delta[j, k] * a[i, k] for k in range(n)) for i in range(4)] for j in range(3)]
    np.testing.assert_allclose(bp4_weight(delta, a), expected)
    out = np.full((3, 4), np.nan)
    assert bp4_weight(delta, a, out) is out
    np.testing.assert_allclose(out, expected)


@pytest.mark.parametrize("n", [1, 2, 3, 40])
def test_no_product_masks_nan(n: int) -> None:
    """0 · NaN is NaN, also where a side of the product has the size 1."""
    W, delta, nan = np.zeros((n, 1)), np.zeros((n, 2)), np.full((1, 1), np.nan)
    assert np.isnan(bp2_propagate(W, np.full((n, 1), np.nan))).all()
    assert np.isnan(bp2_propagate(W.T, nan)).all() and np.isnan(bp2_propagate(W.T + np.nan, nan * 0)).all()
    assert np.isnan(bp4_weight(W, nan)).all() and np.isnan(bp4_weight(delta, np.full((1, 2), np.nan))).all()
    assert np.isnan(bp3_bias(delta * np.nan)).all() and np.isnan(bp3_bias(nan)).all()


@pytest.mark.parametrize("n", quick_every(3, [250, 256, 300, 400, 500, 709, 1009, 1024, 1600, 2018, 4095, 40000, 4096]))
def test_long_sums_round_as_little_as_pytorchs(n: int) -> None:
    """Float32 over many rows: at most 1.5 times as far off as PyTorch, in whatever
    order.
    """
    torch = pytest.importorskip("torch", reason="PyTorch is what the rounding is compared with")
    delta = random(300, n).astype(np.float32)
    for a in (delta, np.asfortranarray(delta)) if n > 256 else (delta,):
        exact = delta.sum(axis=1, dtype=np.float64)
        ours = np.linalg.norm(bp3_bias(a) - exact)
        theirs = np.linalg.norm(torch.from_numpy(delta.T.copy()).sum(0).numpy() - exact)
        assert ours <= 1.5 * theirs, (ours / theirs, a.flags.c_contiguous)


def test_bp1_overwrites_what_it_is_given() -> None:
    grad_a = random(3, 2)
    assert bp1_error(grad_a, random(3, 2)) is grad_a


def textbook(net: Sequential) -> tuple[Arrays, Arrays]:
    state = net.state_dict()
    return ([state[k] for k in state if k.endswith("weight")], [state[k][:, None] for k in state if k.endswith("bias")])


@pytest.mark.parametrize("sizes", [(1, 1), (3, 1), (5, 4), (7, 6, 5), (784, 30, 10), (6, 5, 4, 3, 2)], ids=str)
@pytest.mark.parametrize("m", [1, 2, 10])
def test_network_is_the_textbook(sizes: tuple[int, ...], m: int) -> None:
    """Gradients, and five in-place SGD steps, within 1e-12 of per-example
    backpropagation.
    """
    layers = [part for a, b in itertools.pairwise(sizes) for part in (Linear(a, b), Sigmoid())]
    net = Sequential(*layers, seed=4, dtype="float64")
    rng = np.random.default_rng(1)
    x, t = rng.random((m, sizes[0])), rng.random((m, sizes[-1]))
    weights, biases = textbook(net)

    def of_the_batch() -> tuple[Arrays, Arrays]:
        """The mean of ∂C/∂W and ∂C/∂b over the examples."""
        network = weights, biases, ["sigmoid"] * len(weights)
        each = [backprop(network, a[:, None], b[:, None], "quadratic")[1:] for a, b in zip(x, t)]
        nabla_W, nabla_b = zip(*each)
        return [sum(g) / m for g in zip(*nabla_W)], [sum(g) / m for g in zip(*nabla_b)]

    nabla_W, nabla_b = of_the_batch()
    _, gradients = net.gradients(x, t, QuadraticCost())
    for k in range(len(weights)):
        for ours, theirs in (
            (gradients[f"{2 * k}.weight"], nabla_W[k]),
            (gradients[f"{2 * k}.bias"], nabla_b[k][:, 0]),
        ):
            assert np.linalg.norm(ours - theirs) <= 1e-12 * np.linalg.norm(theirs)
    optimiser = SGD(net, lr=0.7)
    for _ in range(5):
        step(net, QuadraticCost(), optimiser, x, t)
        nabla_W, nabla_b = of_the_batch()
        weights = [W - 0.7 * g for W, g in zip(weights, nabla_W)]
        biases = [b - 0.7 * g for b, g in zip(biases, nabla_b)]
    for ours, theirs in zip(textbook(net)[0] + textbook(net)[1], weights + biases, strict=True):
        assert np.linalg.norm(ours - theirs) <= 1e-12 * np.linalg.norm(theirs)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(5, 7), (8, 4096), (9, 4097), (3, 120, 100)])
def test_relu_is_the_positive_part(shape, dtype):
    """Also for NaN, infinities and −0, with vectors of any length."""
    z = np.random.default_rng(0).normal(size=shape).astype(dtype)
    z.flat[[0, 5, 11, -1]] = np.nan, -np.inf, -0.0, np.inf
    expected = np.where(z < 0, 0, z).astype(dtype)
    for given in (z, np.asfortranarray(z), np.repeat(z, 2, axis=-1)[..., ::2]):
        before = given.copy()
        a, _ = ReLU().forward(given)
        np.testing.assert_array_equal(a, expected)
        np.testing.assert_array_equal(np.signbit(a), np.signbit(expected))
        np.testing.assert_array_equal(given, before)
