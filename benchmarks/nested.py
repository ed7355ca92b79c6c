"""How good are wheat and iris if the settings, too, are chosen without the test fold?

    python -m benchmarks.nested wheat iris --seeds 5

Settings that were chosen by cross-validation flatter the cross-validation that chose
them. In a nested one, each outer fold is judged by a network whose settings were
chosen, out of a grid, by an inner cross-validation on the other folds alone.

Source: S. Varma and R. Simon, Bias in error estimation when using cross-validation for
model selection (2006).
"""

import argparse
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # one core per fold: before NumPy is imported

import numpy as np

from scratchnet.cli import guard
from scratchnet.data import Table
from scratchnet.engine.crossvalidation import Standardiser, stratified_folds
from scratchnet.engine.fit import fit
from scratchnet.engine.metrics import accuracy
from scratchnet.engine.prediction import outputs
from scratchnet.engine.schedules import parse_schedule
from scratchnet.runs.run import optimiser_of
from scratchnet.runs.search import arguments, map_jobs, parse_grid
from scratchnet.studies import tables
from scratchnet.studies.small import network

#: The grid for every preset. `scratch` is a published recipe, so only its length is
#: free.
GRIDS = {"default": "hidden=16,32x16 weight-decay=0,0.003 dropout=0,0.2", "scratch": "epochs=50,100,200"}


class Job(NamedTuple):
    """One outer fold (from 0) of a table."""

    study: str
    options: tables.Options
    grid: str
    fold: int


class Judged(NamedTuple):
    """The settings chosen by inner cross-validation, and accuracy on the outer fold."""

    settings: dict[str, str]
    accuracy: float


def judge(job: Job) -> Judged:
    """Choose and train on all folds but one, and judge on that one."""
    o, table = job.options, tables.load_table(job.study, job.options)
    fold = stratified_folds(table.labels, o.folds, o.seed)[job.fold]
    rest = np.setdiff1d(np.arange(len(table.labels)), fold)
    inner = table._replace(values=table.values[rest], labels=table.labels[rest])
    grid: list[tuple[dict[str, str], tables.Options]] = parse_grid(job.grid, o, "nested")  # type: ignore[assignment]
    settings, chosen = max(
        grid,
        key=lambda tried: tables.crossvalidate(job.study, tried[1], table=inner).accuracy,
    )
    return Judged(settings, trained_and_judged(chosen, inner, table.values[fold], table.labels[fold]))


def trained_and_judged(o: tables.Options, train: Table, x: np.ndarray, labels: np.ndarray) -> float:
    """The accuracy on (x, labels) of a network trained on all of a table."""
    F, K = len(train.features), len(train.classes)
    net, loss, standardise = network(tables.layers_of(F, K, o), o), tables.loss_of(o), Standardiser(train.values)
    target = train.labels if loss.takes_labels else np.eye(K)[train.labels]
    fit(net, loss, optimiser_of(net, o), standardise(train.values), target, epochs=o.epochs, batch_size=o.batch_size,
        schedule=parse_schedule(o.schedule, o.lr, o.epochs), seed=o.seed, threads=o.threads)  # fmt: skip
    return accuracy(outputs(net, standardise(x)), labels)


def nested(
    study: str, options: tables.Options, grid: str, seeds: int, mapped: Callable[..., Any] = map_jobs
) -> Iterator[tuple[int, list[Judged]]]:
    """(seed, its outer folds) for every seed."""
    for seed in range(seeds):
        o = replace(options, seed=seed, threads="1")
        yield seed, list(mapped(judge, [Job(study, o, grid, fold) for fold in range(o.folds)]))


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("study", nargs="+", choices=["wheat", "iris"])
    parser.add_argument("--preset", choices=list(GRIDS), help="both, if left out")
    parser.add_argument("--seeds", type=int, default=5, help="how often, each time with other folds")
    parser.add_argument("--data-dir", default=None)
    args = parser.parse_args(argv)
    for study in args.study:
        for preset in [args.preset] if args.preset else GRIDS:
            options = replace(tables.PRESETS[preset], data_dir=args.data_dir)
            nests, plain = [], []
            for seed, folds in nested(study, options, GRIDS[preset], args.seeds):
                nests.append(np.mean([fold.accuracy for fold in folds]))
                plain.append(tables.crossvalidate(study, replace(options, seed=seed, threads="1")).accuracy)
                chosen = "; ".join(" ".join(arguments(fold.settings)) for fold in folds)
                print(f"  seed {seed}: nested {nests[-1]:.2%}, as preset {plain[-1]:.2%}, chosen {chosen}", flush=True)
            print(f"{study}, {preset}: nested {np.mean(nests):.2%} ({min(nests):.2%} to {max(nests):.2%}), as preset "
                  f"{np.mean(plain):.2%}, {args.seeds} seeds; chosen among {GRIDS[preset]}", flush=True)  # fmt: skip
    return 0


if __name__ == "__main__":
    guard(main)
