"""A series of numbers becomes windows to learn from, scaled, and forecasts come back.

Letters: n values in the series, T = window, M windows.
"""

from typing import NamedTuple

import numpy as np

from scratchnet.errors import DataError, SettingError


class Scaling(NamedTuple):
    """What the network sees, (v − shift) / scale, and the way back.

    v = x_t passengers, or v = log(x_t / x_{t−1}).
    """

    kind: str
    shift: float
    scale: float

    def values(self, series: np.ndarray) -> np.ndarray:
        """(n,) passengers → (n,) values, or (n − 1,) differences."""
        raw = series if self.kind == "minmax" else np.diff(np.log(series))
        return (raw - self.shift) / self.scale

    def passengers(self, values: np.ndarray, before: np.ndarray) -> np.ndarray:
        """Forecast values → passengers, given those of each preceding month."""
        raw = values * self.scale + self.shift
        return raw if self.kind == "minmax" else before * np.exp(raw)


def fit_scaling(kind: str, series: np.ndarray) -> Scaling:
    """The scaling of a series.

    Either −1..1 between its extremes, or log-differences with mean 0 and deviation 1.
    Raises DataError.
    """
    if kind == "minmax":
        low, high = float(series.min()), float(series.max())
        scaling = Scaling(kind, (high + low) / 2, (high - low) / 2)
    else:
        if series.min() <= 0:
            raise DataError(f"the series has a value of {series.min():g}: --scaling log-differences needs all above 0")
        differences = np.diff(np.log(series))
        scaling = Scaling(kind, float(differences.mean()), float(differences.std()))
    if scaling.scale < 1e-12:
        raise DataError("the series is constant or grows constantly: there is nothing to learn from it")
    return scaling


def check_series(series: np.ndarray, window: int) -> np.ndarray:
    """The series as float64 (n,).

    Raises DataError if windows cannot be cut from it.
    """
    series = np.asarray(series, np.float64)
    if series.ndim != 1:
        raise DataError(f"a series has one axis, not shape {series.shape}: pass one number per month")
    if len(series) == 0:
        raise DataError("the series is empty")
    if not np.isfinite(series).all():
        k = int(np.flatnonzero(~np.isfinite(series))[0])
        raise DataError(f"the series has {series[k]} at position {k}: fill the gap or cut it off")
    if window < 1:
        raise SettingError(f"a window must have a month at least, not {window}")
    if len(series) < window + 2:
        raise SettingError(
            f"a window of {window} months is too long for {len(series)} months: at most {len(series) - 2}"
        )
    return series


def windows(values: np.ndarray, window: int) -> tuple[np.ndarray, np.ndarray]:
    """All windows (M, T, 1) of a series, and the values that follow them (M, 1)."""
    if len(values) <= window:
        raise SettingError(f"a window of {window} is too long for a series of {len(values)} values")
    pieces = np.lib.stride_tricks.sliding_window_view(values, window + 1)
    return pieces[:, :window, None], pieces[:, window:]
