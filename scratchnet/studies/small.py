"""What the studies of small data share: cross-validation and how it is reported."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from scratchnet.engine.crossvalidation import CrossValidation, Prepare, crossval
from scratchnet.engine.layers import Dropout, Layer, Linear, Sequential
from scratchnet.engine.losses import Loss
from scratchnet.engine.optim import Optimiser
from scratchnet.engine.progress import number
from scratchnet.engine.schedules import parse_schedule
from scratchnet.runs.options import CommonOptions, need, sizes
from scratchnet.runs.run import Run, optimiser_of
from scratchnet.runs.search import SearchOptions, map_jobs


@dataclass(frozen=True, kw_only=True)
class SmallOptions(SearchOptions):
    hidden: str
    """Sizes of the hidden layers, such as 32,16."""
    dropout: float = 0.0
    """Share of the hidden neurons that each training step leaves out."""
    folds: int = 5
    """Parts for cross-validation; networks trained on the others judge each part."""
    scheduler: str = ""
    """Address of a Dask scheduler to distribute the work: tcp://10.0.0.1:8786."""

    def check(self) -> None:
        super().check()
        need(0 <= self.dropout < 1, "--dropout", "from 0 to below 1", self.dropout)
        need(self.folds >= 2, "--folds", "a number from 2", self.folds)
        sizes(self.hidden)


def hidden_layers(n_in: int, n_out: int, activation: type[Layer], o: SmallOptions) -> list[Layer]:
    """Linear, activation and dropout for each hidden layer, and a final Linear."""
    layers: list[Layer] = []
    for size in sizes(o.hidden):
        layers += [Linear(n_in, size), activation()]
        if o.dropout:
            layers.append(Dropout(o.dropout))
        n_in = size
    return [*layers, Linear(n_in, n_out)]


def network(layers: Sequence[Layer], o: CommonOptions) -> Sequential:
    return Sequential(*layers, seed=o.seed, dtype=o.dtype, device=o.device)


def cross_validate(
    layers: Any,
    loss: Loss,
    x: Any,
    labels: np.ndarray,
    prepare: Prepare,
    o: SmallOptions,
    run: Run | None = None,
    standardise_target: bool = False,
) -> CrossValidation:
    """k-fold cross-validation with these options.

    `layers(x)` gives the layers of a network for prepared examples x. With a `run`,
    every fold is reported and the result goes into its metrics.
    """

    def build(x: Any, seed: int) -> tuple[Sequential, Loss, Optimiser]:
        net = network(layers(x), o)
        return net, loss, optimiser_of(net, o)

    def tell(row: dict[str, float]) -> None:
        if run:
            good = f"accuracy {row['accuracy']:.2%}" if "accuracy" in row else f"RMSE {number(row['rmse'])}"
            run.say(
                f"  fold {int(row['fold'])}/{o.folds}  trained on {int(row['train_examples'])}, judged on "
                f"{int(row['valid_examples'])}: {good}, loss {row['valid_loss']:.4f}"
            )

    mapped = partial(map_jobs, scheduler=o.scheduler) if o.scheduler else map
    if run:
        run.say(f"{o.folds}-fold cross-validation of {len(labels)} examples")
    result = crossval(build, x, labels, folds=o.folds, seed=o.seed, prepare=prepare, epochs=o.epochs,
                      batch_size=o.batch_size, schedule=parse_schedule(o.schedule, o.lr, o.epochs), threads=o.threads,
                      on_fold=tell, mapped=mapped, standardise_target=standardise_target)  # fmt: skip
    if run and "rmse" in result.folds[0]:
        found = [row["rmse"] for row in result.folds]
        spread, alone = float(np.std(found, ddof=1)), float(np.std(labels))
        run.say(
            f"  mean RMSE {number(result.rmse)}, standard deviation over the folds {number(spread)}\n"
            f"  always predicting the mean: RMSE {number(alone)}\n"
        )
        run.metrics |= {"folds": o.folds, "cv_rmse": result.rmse, "cv_folds": found}
    elif run:
        run.say(f"  mean {result.accuracy:.2%}, standard deviation over the folds {result.std:.2%}\n")
        run.metrics |= {
            "folds": o.folds,
            "cv_accuracy": result.accuracy,
            "cv_std": result.std,
            "cv_folds": [row["accuracy"] for row in result.folds],
        }
    return result
