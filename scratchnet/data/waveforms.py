"""Radar echoes of a satellite altimeter, simulated over sea and land.

Over the sea the Brown-Hayne model gives them. Letters: N echoes of G gates (samples of
received power, `GATE` apart); t time in gates; tau the epoch, where the leading edge is
half up; swh significant wave height in m; xi2 the square of the antenna's mispointing,
in degrees².

The satellite sends a short pulse straight down. From a flat sea the returned power
would jump up when the pulse touches the surface, and fall slowly while the lit ring
grows out of the antenna's beam. Waves smear the jump, because their crests return the
pulse before their troughs do: the higher they are, the less steep is the leading edge.

Sources: G. Brown, The average impulse response of a rough surface and its applications,
IEEE Transactions on Antennas and Propagation 25 (1977); G. Hayne, Radar altimeter mean
return waveforms from near-normal-incidence ocean surface scattering, ibid. 28 (1980),
here with a Gaussian sea (skewness 0); the form of the equations is that of L. Amarouche
et al., Improving the Jason-1 ground retracking, Marine Geodesy 27 (2004). Shapes over
land: P. Berry et al., Global inland water monitoring from multi-mission altimetry,
Geophysical Research Letters 32 (2005); X. Deng and W. Featherstone, A coastal
retracking system for satellite radar altimeter waveforms, Journal of Geophysical
Research 111 (2006).
"""

import warnings
from math import log, pi, radians, sin
from typing import NamedTuple

import numpy as np
from scipy.special import erf

# An instrument like those of the Jason satellites, Ku band
G = 104  # gates
GATE = 3.125e-9  # s
LIGHT = 299_792_458.0  # m/s
ALTITUDE, EARTH = 1_336_000.0, 6_371_000.0  # m
BEAM = 1.29  # degrees, full width at half power
TRACKED = 31.0  # the gate at which the tracker on board keeps the leading edge
LOOKS = 90  # pulses averaged into one echo; 20 echoes arrive per second
SIGMA_P = 0.513  # width of the pulse, in gates
HEIGHTS = (0.5, 12.0)  # m, the range of wave heights

GAMMA = 2 * sin(radians(BEAM / 2)) ** 2 / log(2)
DECAY = 4 * LIGHT / (GAMMA * ALTITUDE * (1 + ALTITUDE / EARTH)) * GATE  # of the trailing edge, per gate
GATES_PER_METRE = 1 / (2 * LIGHT * GATE)  # what 1 m of wave height adds to the width of the leading edge


def brown_hayne(t: np.ndarray, amplitude: object, tau: object, swh: object, xi2: object = 0.0) -> np.ndarray:
    """The mean echo P(t) of the sea; arguments broadcast.

        P = ½ A exp(−4 ξ²/γ) exp(−v) (1 + erf u)
        u = (t − τ − c σ²)/(√2 σ),  v = c (t − τ − c σ²/2),  σ² = σ_p² + (swh/2c)²

    Times are in gates, the wave height is in m, the mispointing in degrees². In u and
    v, c is the decay of the trailing edge, which mispointing lessens; in σ² it is the
    speed of light in m per gate.
    """
    angle2 = np.asarray(xi2) * (pi / 180) ** 2
    c = DECAY * (1 - 2 * angle2 - 4 * angle2 / GAMMA)  # cos 2ξ − sin² 2ξ/γ, for small ξ
    sigma2 = SIGMA_P**2 + (np.asarray(swh) * GATES_PER_METRE) ** 2
    since = t - np.asarray(tau) - c * sigma2
    u = since / np.sqrt(2 * sigma2)
    v = c * (since + c * sigma2 / 2)
    return 0.5 * np.asarray(amplitude) * np.exp(-4 * angle2 / GAMMA - v) * (1 + erf(u))


class Echoes(NamedTuple):
    """N echoes: power (N, G) float32, in arbitrary units; wave heights (N,) in m.

    The wave height is NaN over land.
    """

    power: np.ndarray
    swh: np.ndarray


def _received(rng: np.random.Generator, mean: np.ndarray, looks: int) -> np.ndarray:
    """What arrives: the receiver adds thermal noise, and speckle multiplies the sum.

    The power of a single pulse's echo has an exponential distribution; the mean of
    `looks` of them has a gamma distribution.
    """
    noise = rng.uniform(0.005, 0.03, (*mean.shape[:-1], 1)) * mean.max(axis=-1, keepdims=True)
    power = (mean + noise) * (rng.standard_gamma(looks, mean.shape) / looks)
    return np.asarray(power, np.float32)


def sea_echoes(rng: np.random.Generator, swh: np.ndarray, looks: int = LOOKS) -> Echoes:
    """Echoes of a sea with these wave heights, of any shape (...,); power is (..., G).

    The tracker is up to two gates off, the antenna points up to about 0.3° astray, and
    the strength varies by half.
    """
    swh = np.asarray(swh, float)
    tau, xi2, amplitude = (x[..., None] for x in (
        TRACKED + rng.uniform(-2, 2, swh.shape),
        rng.normal(0, 0.1, swh.shape) ** 2,
        np.exp(rng.normal(0, 0.4, swh.shape)),
    ))  # fmt: skip
    mean = brown_hayne(np.arange(G), amplitude, tau, swh[..., None], xi2)
    return Echoes(_received(rng, mean, looks), swh)


def land_echoes(rng: np.random.Generator, n: int, looks: int = LOOKS) -> Echoes:
    """n echoes of land, of four kinds in equal shares.

    They are specular (still water, ice, roofs), several peaks, several surfaces at
    different heights, and a slope that returns the pulse for a long time.
    """
    t = np.arange(G)
    kinds = [_specular, _peaks, _surfaces, _slope]
    mean = np.stack([kinds[k % 4](rng, t) for k in range(n)]) if n else np.empty((0, G))
    mean *= np.exp(rng.normal(0, 0.8, (n, 1))) / mean.max(axis=1, keepdims=True)
    return Echoes(_received(rng, mean, looks), np.full(n, np.nan))


def _peak(t: np.ndarray, at: float, width: float, tail: float) -> np.ndarray:
    """A flash: it rises like a Gaussian and falls more slowly."""
    return np.where(t < at, np.exp(-0.5 * ((t - at) / width) ** 2), np.exp(-np.maximum(t - at, 0) / tail))


def _specular(rng: np.random.Generator, t: np.ndarray) -> np.ndarray:
    floor = rng.uniform(0, 0.1) * brown_hayne(t, 1, rng.uniform(10, 50), rng.uniform(2, 30))
    return _peak(t, rng.uniform(10, 80), rng.uniform(0.5, 2), rng.uniform(0.5, 5)) + floor


def _peaks(rng: np.random.Generator, t: np.ndarray) -> np.ndarray:
    floor = rng.uniform(0, 0.4) * brown_hayne(t, 1, rng.uniform(5, 50), rng.uniform(2, 40))
    parts = [rng.uniform(0.3, 1) * _peak(t, rng.uniform(5, 98), rng.uniform(0.7, 4), rng.uniform(1, 8))
             for _ in range(rng.integers(2, 7))]  # fmt: skip
    return np.sum(parts, axis=0) + floor


def _surfaces(rng: np.random.Generator, t: np.ndarray) -> np.ndarray:
    parts = [rng.uniform(0.3, 1) * brown_hayne(t, 1, at, rng.uniform(0, 15), rng.uniform(0, 0.3))
             for at in rng.uniform(3, 90, rng.integers(2, 5))]  # fmt: skip
    bumps = 1 + rng.uniform(0.2, 0.6) * np.sin(2 * pi * t / rng.uniform(8, 40) + rng.uniform(0, 2 * pi))
    return np.sum(parts, axis=0) * bumps


def _slope(rng: np.random.Generator, t: np.ndarray) -> np.ndarray:
    up = 0.5 * (1 + erf((t - rng.uniform(15, 60)) / rng.uniform(12, 30)))
    return up * np.exp(-np.maximum(t - rng.uniform(30, 80), 0) / rng.uniform(10, 60)) + 0.01


def passes(rng: np.random.Generator, n: int, steps: int, looks: int = LOOKS) -> Echoes:
    """n passes of `steps` echoes over the sea: power (n, steps, G), heights (n, steps).

    The wave height is a random sum of waves along the track, 60 to 600 echoes (17 to
    170 km) long, within HEIGHTS.
    """
    at = np.arange(steps)[None, :, None]
    length = np.exp(rng.uniform(np.log(60), np.log(600), (n, 1, 6)))
    weight = rng.normal(0, 1, (n, 1, 6)) * np.sqrt(length / 600)
    walk = (weight * np.sin(2 * pi * at / length + rng.uniform(0, 2 * pi, (n, 1, 6)))).sum(axis=2)
    low, high = HEIGHTS
    swh = low + (high - low) / (1 + np.exp(-(rng.normal(-0.3, 1.2, (n, 1)) + walk)))
    return sea_echoes(rng, swh, looks)


def as_input(power: np.ndarray) -> np.ndarray:
    """What a network sees: the logarithm of an echo over its mean.

    This removes the strength and makes speckle equally large everywhere.
    """
    return np.log(power / power.mean(axis=-1, keepdims=True) + np.float32(1e-3)).astype(np.float32)


def fit_model(power: np.ndarray, weighted: bool = False) -> tuple[float, float]:
    """(wave height in m, epoch in gates) of one echo (G,), by least squares.

    `curve_fit` fits the model to the echo. Amplitude, epoch, wave height and
    mispointing are free; the thermal noise is the mean of the first gates. `weighted`
    fits a second time, with errors in proportion to the power, as speckle makes them.
    The result is NaN if the fit fails.
    """
    from scipy.optimize import OptimizeWarning, curve_fit

    t = np.arange(G, dtype=float)
    power = power.astype(float)
    floor = power[:8].mean()
    top = np.sort(power)[-20:].mean() - floor
    start = (top, float(np.argmax(power > floor + top / 2)), 4.0, 0.0)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", OptimizeWarning)
        try:
            found, _ = curve_fit(brown_hayne, t, power - floor, start)
            if weighted:
                error = np.maximum(brown_hayne(t, *found), 0) + floor
                found, _ = curve_fit(brown_hayne, t, power - floor, found, error)
        except RuntimeError:  # it did not converge
            return float("nan"), float("nan")
    return abs(float(found[2])), float(found[1])
