"""Wave heights of echoes by a network and by the classical way, a least-squares fit."""

import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
from rich.table import Table

from scratchnet.data.waveforms import HEIGHTS, Echoes, fit_model
from scratchnet.runs.run import Run

ROUNDS = 9  # of timing, in each of which all methods have a turn


class Judged(NamedTuple):
    """The result of one method: its estimates (N,) in m, and seconds per echo."""

    name: str
    swh: np.ndarray
    seconds: float


def judge(heights: Callable[[np.ndarray], np.ndarray], echoes: Echoes) -> list[Judged]:
    """The network and least squares, plain and weighted, on the same echoes.

    `heights` is the network: wave heights in m (N,) of the power of echoes (N, G).

    The times are medians of ROUNDS. All methods take turns in every round, so a busy
    moment of the machine affects all of them and not only one.
    """
    n = len(echoes.swh)
    fits = {False: np.empty(n), True: np.empty(n)}

    def batch(part: np.ndarray) -> int:
        heights(echoes.power)
        return n

    def single(part: np.ndarray) -> int:
        for i in part:
            heights(echoes.power[i : i + 1])
        return len(part)

    def least_squares(weighted: bool, part: np.ndarray) -> int:
        for i in part:
            fits[weighted][i] = fit_model(echoes.power[i], weighted)[0]
        return len(part)

    ways: list[Callable[[np.ndarray], int]] = [
        batch,
        single,
        partial(least_squares, False),
        partial(least_squares, True),
    ]
    seconds = np.array([[timed(way, part) for way in ways] for part in np.array_split(np.arange(n), min(ROUNDS, n))])
    swh = heights(echoes.power)
    names = "network", "network, singly", "least squares", "least squares, weighted"
    found = (swh, swh, fits[False], fits[True])
    return [Judged(*row) for row in zip(names, found, np.median(seconds, axis=0).tolist(), strict=True)]


def timed(way: Callable[[np.ndarray], int], part: np.ndarray) -> float:
    """Seconds per echo of a method, which returns how many echoes it judged."""
    start = time.perf_counter()
    n = way(part)
    return (time.perf_counter() - start) / n


def rmse(estimate: np.ndarray, truth: np.ndarray) -> float:
    """Root of the mean squared error; fits that failed (NaN) are left out."""
    return float(np.sqrt(np.nanmean((estimate - truth) ** 2)))


def tell_heights(run: Run, ways: list[Judged], truth: np.ndarray) -> None:
    """Print the comparison and put its figures into metrics.json."""
    title = f"wave height of {len(truth):,} echoes of the test, {HEIGHTS[0]} to {HEIGHTS[1]} m"
    table = Table("", "bias (m)", "RMSE (m)", "failed", "µs per echo", "speed", title=title, title_justify="left")
    for column in table.columns[1:]:
        column.justify = "right"
    run.metrics["wave_height"] = {}  # by method
    network, singly, fit = ways[:3]
    run.metrics |= {"rmse_m": rmse(network.swh, truth), "least_squares_rmse_m": rmse(fit.swh, truth)}
    run.metrics["times_as_fast_as_least_squares"] = fit.seconds / network.seconds
    run.metrics["times_as_fast_for_a_single_echo"] = fit.seconds / singly.seconds
    for way in ways:
        failed = int(np.isnan(way.swh).sum())
        bias, error = float(np.nanmean(way.swh - truth)), rmse(way.swh, truth)
        table.add_row(way.name, f"{bias:+.3f}", f"{error:.3f}", str(failed), f"{way.seconds * 1e6:,.1f}",
                      f"{fit.seconds / way.seconds:,.1f} x")  # fmt: skip
        run.metrics["wave_height"][way.name] = {
            "bias_m": bias, "rmse_m": error, "failed": failed, "us_per_echo": way.seconds * 1e6,
        }  # fmt: skip
    run.console.print(table)
