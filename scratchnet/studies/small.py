"""What the studies of small data share: cross-validation and the search."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from rich.table import Table

from scratchnet.engine.crossvalidation import CrossValidation, Prepare, crossval
from scratchnet.engine.layers import Dropout, Layer, Linear, Sequential
from scratchnet.engine.losses import Loss
from scratchnet.engine.metrics import confusion
from scratchnet.engine.optim import Optimiser
from scratchnet.engine.schedules import parse_schedule
from scratchnet.errors import SettingError
from scratchnet.files.atomic import atomic_write
from scratchnet.runs.options import CommonOptions, need, sizes
from scratchnet.runs.run import Run, optimiser_of
from scratchnet.runs.search import Found, arguments, as_csv, best_first, map_jobs, parse_grid, search


@dataclass(frozen=True, kw_only=True)
class SmallOptions(CommonOptions):
    hidden: str
    """Sizes of the hidden layers, such as 32,16."""
    dropout: float = 0.0
    """Share of the hidden neurons that each training step leaves out."""
    folds: int = 5
    """Number of parts for cross-validation.

    Each part is judged by a network trained on the others.
    """
    search: str = ""
    """Try all combinations of settings, such as "hidden=50,100,200 lr=0.1,0.01", by
    cross-validation on all cores, and then stop.
    """
    scheduler: str = ""
    """Cross-validate and search on the machines of this Dask scheduler, such as
    tcp://10.0.0.1:8786.
    """

    def check(self) -> None:
        super().check()
        need(0 <= self.dropout < 1, "--dropout", "from 0 to below 1", self.dropout)
        need(self.folds >= 2, "--folds", "a number from 2", self.folds)
        sizes(self.hidden)
        if self.distributed and (self.search or self.scheduler):
            raise SettingError("--search and --scheduler share out the work by themselves: leave out --distributed")


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
    layers: Any, loss: Loss, x: Any, labels: np.ndarray, prepare: Prepare, o: SmallOptions, run: Run | None = None
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
            run.say(
                f"  fold {int(row['fold'])}/{o.folds}  trained on {int(row['train_examples'])}, judged on "
                f"{int(row['valid_examples'])}: accuracy {row['accuracy']:.2%}, loss {row['valid_loss']:.4f}"
            )

    mapped = partial(map_jobs, scheduler=o.scheduler) if o.scheduler else map
    if run:
        run.say(f"{o.folds}-fold cross-validation of {len(labels)} examples")
    result = crossval(build, x, labels, folds=o.folds, seed=o.seed, prepare=prepare, epochs=o.epochs,
                      batch_size=o.batch_size, schedule=parse_schedule(o.schedule, o.lr, o.epochs), threads=o.threads,
                      on_fold=tell, mapped=mapped)  # fmt: skip
    if run:
        run.say(f"  mean {result.accuracy:.2%}, standard deviation over the folds {result.std:.2%}\n")
        run.metrics |= {
            "folds": o.folds,
            "cv_accuracy": result.accuracy,
            "cv_std": result.std,
            "cv_folds": [row["accuracy"] for row in result.folds],
        }
    return result


def say_confusion(run: Run, predicted: np.ndarray, labels: np.ndarray, names: Sequence[str], title: str) -> np.ndarray:
    """Print how often each class was taken for each other one; returns the table."""
    counts = confusion(predicted, labels, len(names))
    table = Table("is \\ taken for", *names, "recognised", title=title, title_justify="left")
    for column in table.columns[1:]:
        column.justify = "right"
    for k, name in enumerate(names):
        table.add_row(name, *map(str, counts[k]), f"{counts[k, k] / max(1, counts[k].sum()):.1%}")
    run.console.print(table)
    return counts


def run_search(study: str, o: SmallOptions, dataset: str) -> int:
    """Cross-validate all combinations of --search; print and write the ranking."""
    prog = f"python -m scratchnet.train {study}"
    grid = parse_grid(o.search, o, prog)
    with Run(study, o, dataset) as run:
        run.say(f"{len(grid)} combinations, each by {o.folds}-fold cross-validation")

        def tell(found: list[Found]) -> None:
            # saved after each, so that nothing is lost
            atomic_write(run.out / "search.csv", as_csv(best_first(found)).encode())
            run.say(f"  {_words(found[-1])}: {found[-1].problem or f'{found[-1].accuracy:.2%}'}")

        results = search(study, o, grid, tell, o.scheduler)
        table = Table(
            *results[0].settings, "cv accuracy", "cv std", "seconds", title="best first", title_justify="left"
        )
        for column in table.columns:
            column.justify = "right"
        for found in results:
            figures = ("failed", "") if found.problem else (f"{found.accuracy:.2%}", f"{found.std:.2%}")
            table.add_row(*found.settings.values(), *figures, f"{found.seconds:.1f}")
        run.console.print(table)
        run.say(f"written to {run.out}/: search.csv")
        if results[0].problem:
            raise SettingError(f"--search: no combination could be trained; the first: {results[0].problem}")
        run.say(f"to train with the best, put {' '.join(arguments(results[0].settings))} in the place of --search")
        return 0


def _words(found: Found) -> str:
    return " ".join(f"{name}={value}" for name, value in found.settings.items())
