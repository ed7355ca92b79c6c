"""Simulated radar echoes: the physics, the statistics of noise, least squares."""

import numpy as np
import pytest

from scratchnet.data.waveforms import (
    DECAY,
    GATES_PER_METRE,
    HEIGHTS,
    SIGMA_P,
    G,
    as_input,
    brown_hayne,
    fit_model,
    land_echoes,
    passes,
    sea_echoes,
)

T = np.linspace(0, 103, 10_301)


def test_a_flat_sea_is_a_step_that_decays():
    """For wave height 0, far from the edge: A exp(−c (t − τ)) behind it, nothing before
    it.
    """
    p = brown_hayne(T, 2.0, 31.0, 0.0)
    assert p[T < 28].max() < 1e-7
    late = T > 34
    np.testing.assert_allclose(p[late], 2 * np.exp(-DECAY * (T[late] - 31 - DECAY * SIGMA_P**2 / 2)), rtol=1e-6)


@pytest.mark.parametrize("swh", [0.5, 2.0, 6.0, 12.0])
def test_the_edge_is_a_gaussian_of_the_width_of_the_waves(swh):
    """Without the decay, P is the integral of a Gaussian.

    Its mean is τ + cσ² and its variance σ_p² + (swh/2c)².
    """
    p = brown_hayne(T, 1.0, 50.0, swh) * np.exp(DECAY * T)
    slope = np.gradient(p, T)
    slope /= slope.sum()
    sigma2 = SIGMA_P**2 + (swh * GATES_PER_METRE) ** 2
    mean = (T * slope).sum()
    assert mean == pytest.approx(50 + DECAY * sigma2, abs=1e-3)
    assert ((T - mean) ** 2 * slope).sum() == pytest.approx(sigma2, rel=1e-3)


def test_the_model_is_a_convolution_of_its_three_parts():
    """Brown: flat-surface response, pulse and sea heights, convolved numerically."""
    dt, swh = 0.01, 4.0
    t = np.arange(-120, 120, dt)
    flat = np.where(t >= 0, np.exp(-DECAY * t), 0)
    gauss = lambda s: np.exp(-0.5 * (t / s) ** 2) / (s * np.sqrt(2 * np.pi))  # noqa: E731
    edge = np.convolve(gauss(SIGMA_P), gauss(swh * GATES_PER_METRE), "same") * dt
    echo = np.convolve(flat, edge, "same") * dt
    inside = (t > -40) & (t < 60)
    np.testing.assert_allclose(brown_hayne(t, 1.0, 0.0, swh)[inside], echo[inside], atol=6e-3)


def test_mispointing_takes_power_and_flattens_the_trailing_edge():
    straight, astray = (brown_hayne(T, 1.0, 31.0, 2.0, xi2) for xi2 in (0.0, 0.09))
    assert astray.max() < straight.max()
    assert astray[-1] / astray.max() > straight[-1] / straight.max()


def test_speckle_and_noise_have_the_statistics_of_many_looks():
    rng = np.random.default_rng(0)
    for looks in (20, 90):
        flat = np.concatenate([sea_echoes(rng, np.full(2000, 2.0), looks).power[:, :20]])  # thermal noise alone
        relative = flat / flat.mean(axis=1, keepdims=True)
        assert relative.var() == pytest.approx(1 / looks * 19 / 20, rel=0.03)


def test_shapes_types_and_seeds():
    for make in (lambda rng: sea_echoes(rng, np.array([1.0, 5.0])), lambda rng: land_echoes(rng, 5)):
        a, b, c = (make(np.random.default_rng(seed)) for seed in (1, 1, 2))
        assert a.power.dtype == np.float32 and a.power.shape == (len(a.swh), G)
        assert (a.power == b.power).all() and (a.power != c.power).any()
        assert (a.power > 0).all() and np.isfinite(as_input(a.power)).all()
    assert np.isnan(land_echoes(np.random.default_rng(0), 3).swh).all()
    assert land_echoes(np.random.default_rng(0), 0).power.shape == (0, G)


def test_passes_are_smooth_and_within_the_heights():
    p = passes(np.random.default_rng(0), 30, 200)
    assert p.power.shape == (30, 200, G) and p.swh.shape == (30, 200)
    assert HEIGHTS[0] <= p.swh.min() and p.swh.max() <= HEIGHTS[1]
    assert abs(np.diff(p.swh, axis=1)).max() < 0.6 < np.ptp(p.swh, axis=1).mean()


def test_input_does_not_know_the_strength():
    power = sea_echoes(np.random.default_rng(0), np.array([3.0])).power
    np.testing.assert_allclose(as_input(power * 7), as_input(power), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("swh", [1.0, 4.0, 10.0])
def test_least_squares_finds_what_was_put_in(swh, weighted):
    clean = brown_hayne(np.arange(G), 3.0, 30.4, swh, 0.01) + 0.02
    found, tau = fit_model(clean, weighted)
    assert found == pytest.approx(swh, abs=0.02) and tau == pytest.approx(30.4, abs=0.02)


def test_least_squares_on_what_is_no_echo_gives_a_number_or_nan():
    for power in (np.zeros(G), np.ones(G), np.random.default_rng(0).random(G), np.eye(1, G, 5)[0]):
        swh, tau = fit_model(power)
        assert isinstance(swh, float) and isinstance(tau, float)
