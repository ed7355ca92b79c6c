"""A grid search over settings, each combination judged on data it was not trained on.

The studies of small data judge by cross-validation, those with many examples by their
validation set; never by the test. The work is shared out over all cores, or a cluster.
"""

import csv
import io
import itertools
import math
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from multiprocessing import get_context, parent_process
from typing import Any, ClassVar, NamedTuple, TypeVar

from rich.table import Table

from scratchnet.cli import parse
from scratchnet.engine.progress import many
from scratchnet.errors import NonFiniteError, ScratchnetError, SettingError
from scratchnet.files.atomic import atomic_write
from scratchnet.runs.options import MAY_CHANGE, CommonOptions
from scratchnet.runs.run import Run

T = TypeVar("T")
R = TypeVar("R")

MAX_BROKEN_POOLS = 3  # a search gives up when a process was killed so often


#: Options that a search cannot choose by accuracy: they change no result, or stand for
#: several settings at once
NOT_SEARCHABLE = (MAY_CHANGE - {"epochs"}) | {"preset", "search"}


#: How a combination is judged: the function of the study's module, and the names of
#: what it returns
JUDGES = {"crossvalidate": ("cv_accuracy", "cv_std"), "validate": ("valid_accuracy",)}


@dataclass(frozen=True, kw_only=True)
class SearchOptions(CommonOptions):
    """The options of a study whose settings can be searched."""

    search: str = ""
    """Try all settings, as in "hidden=50,100 lr=0.1,0.01", on all cores, and stop."""
    scheduler: str = ""
    """Search on the machines of this Dask scheduler, such as tcp://10.0.0.1:8786."""
    judge: ClassVar[str] = "crossvalidate"

    def check(self) -> None:
        super().check()
        if self.distributed and (self.search or self.scheduler):
            raise SettingError("--search and --scheduler share out the work by themselves: leave out --distributed")


class Judged(NamedTuple):
    """The accuracy of a combination and, if there are folds, its spread over them."""

    accuracy: float
    std: float = math.nan


def parse_grid(text: str, options: CommonOptions, prog: str) -> list[tuple[dict[str, str], CommonOptions]]:
    """All combinations in a text such as "hidden=50,100 lr=0.1,0.01", with options.

    Names may also be separated by commas, and values by semicolons. Several layers are
    written 64x32, or between semicolons 64,32. Raises SettingError for a malformed
    text, an unknown option or an invalid value.
    """
    values: dict[str, list[str]] = {}
    for part in re.split(r"[\s,]+(?=[\w-]+=)", text.strip()) if text.strip() else []:
        name, equals, listed = part.partition("=")
        choices = [choice.strip() for choice in listed.split(";" if ";" in listed else ",")]
        if not equals or not name or not all(choices) or any(re.search(r"\s", choice) for choice in choices):
            raise SettingError(f"--search '{part}': write NAME=VALUE,VALUE, such as 'hidden=50,100,200 lr=0.1,0.01'")
        name = name.replace("-", "_")
        if name in NOT_SEARCHABLE:
            raise SettingError(f"--search {name}: give it to the whole search, as an option of its own, or not at all")
        if name in values:
            raise SettingError(f"--search names {name} twice")
        values[name] = choices
    if not values:
        raise SettingError("--search is empty: write NAME=VALUE,VALUE, such as 'hidden=50,100,200 lr=0.1,0.01'")
    grid = []
    for combination in itertools.product(*values.values()):
        chosen = dict(zip(values, combination, strict=True))
        made = parse(type(options), arguments(chosen), prog, options)
        made.check()
        grid.append((chosen, made))
    return grid


def arguments(settings: dict[str, str]) -> list[str]:
    """A combination as it is written on a command line."""
    layers = {name: value.replace("x", ",") for name, value in settings.items() if re.fullmatch(r"\d+(x\d+)+", value)}
    return [word for name, value in {**settings, **layers}.items() for word in (f"--{name.replace('_', '-')}", value)]


class Found(NamedTuple):
    """The result of one combination.

    Its settings, accuracy, spread over the folds and time; if it failed, the numbers
    are NaN and `problem` says why.
    """

    settings: dict[str, str]
    accuracy: float
    std: float
    seconds: float
    problem: str = ""


class Job(NamedTuple):
    """A combination to try, described so that it can be sent to another process."""

    study: str
    settings: dict[str, str]
    options: SearchOptions


def try_one(job: Job) -> Found:
    """Judge one combination. A failure is a result too: others may succeed."""
    judge = getattr(sys.modules[type(job.options).__module__], job.options.judge)  # beside the options
    start, accuracy, std, problem = time.perf_counter(), math.nan, math.nan, ""
    try:
        result = judge(job.study, job.options)
        accuracy, std = result.accuracy, result.std
    except NonFiniteError:
        problem = "diverged"
    except (ScratchnetError, MemoryError) as e:
        problem = " ".join(str(e).split()) or type(e).__name__
    return Found(job.settings, accuracy, std, time.perf_counter() - start, problem)


def map_jobs(function: Callable[[T], R], jobs: Sequence[T], scheduler: str = "") -> Iterator[R]:
    """function(job) for all jobs, in order: the one place where work is handed out.

    It goes to all cores of this machine, or to the Dask scheduler at that address. The
    jobs of a process that is killed are done again. Raises SettingError.
    """
    if scheduler:
        from scratchnet.runs.cluster import map_on_cluster

        yield from map_on_cluster(function, jobs, scheduler)
        return
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    done = 0
    for _ in range(MAX_BROKEN_POOLS):
        # spawn: a forked child would inherit BLAS threads that do not exist in it
        with ProcessPoolExecutor(min(cores, len(jobs)), get_context("spawn"), initializer=end_with_parent) as pool:
            try:
                for result in pool.map(function, jobs[done:]):
                    yield result
                    done += 1
                return
            except BrokenProcessPool:
                pass
    raise SettingError(
        f"a process of the search was killed {MAX_BROKEN_POOLS} times: is there enough memory for {cores} at once?"
    )


def end_with_parent() -> None:
    """Let this process end when its parent does, and end silently at Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    parent = parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def search(
    study: str, grid: Iterable[tuple[dict[str, str], SearchOptions]],
    say: Callable[[list[Found]], Any] = lambda found: None, scheduler: str = "",
) -> list[Found]:  # fmt: skip
    """Judge every combination of a grid, with one BLAS thread each.

    Returns the best first and those that failed last. After each combination, `say` is
    called with all results so far, in the order of the grid.
    """
    jobs = [Job(study, settings, replace(made, threads="1", search="", scheduler="")) for settings, made in grid]
    results: list[Found] = []
    for found in map_jobs(try_one, jobs, scheduler):
        results.append(found)
        say(results)
    return best_first(results)


def best_first(results: Sequence[Found]) -> list[Found]:
    """Sort by accuracy, then by the smaller spread of the folds, then as in the grid.

    Combinations that failed come last.
    """

    def goodness(f: Found) -> tuple[float, float]:
        return (-math.inf, 0.0) if f.problem else (f.accuracy, 0.0 if math.isnan(f.std) else -f.std)

    return sorted(results, key=goodness, reverse=True)


def as_csv(results: Sequence[Found], figures: Sequence[str] = JUDGES["crossvalidate"]) -> str:
    """One line per combination, in the given order."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*results[0].settings, *figures, "seconds", "problem"])
    for f in results:
        writer.writerow([*f.settings.values(), *(f.accuracy, f.std)[: len(figures)], round(f.seconds, 3), f.problem])
    return text.getvalue()


def run_search(study: str, o: SearchOptions, dataset: str, how: str) -> int:
    """Judge all combinations of --search; print and write the ranking.

    `how` says by what they are judged. Returns the exit code.
    """
    grid: list[Any] = parse_grid(o.search, o, f"python -m scratchnet.train {study}")
    figures = JUDGES[o.judge]
    with Run(study, o, dataset) as run:
        run.say(f"{many(len(grid), 'combination')}, each {how}")

        def tell(found: list[Found]) -> None:
            # saved after each, so that nothing is lost
            atomic_write(run.out / "search.csv", as_csv(best_first(found), figures).encode())
            run.say(f"  {_words(found[-1])}: {found[-1].problem or f'{found[-1].accuracy:.2%}'}")

        results = search(study, grid, tell, o.scheduler)
        columns = [*results[0].settings, *(name.replace("_", " ") for name in figures), "seconds"]
        table = Table(*columns, title="best first", title_justify="left")
        for column in table.columns:
            column.justify = "right"
        for found in results:
            shown = ("failed", "") if found.problem else (f"{found.accuracy:.2%}", f"{found.std:.2%}")
            table.add_row(*found.settings.values(), *shown[: len(figures)], f"{found.seconds:.1f}")
        run.console.print(table)
        run.say(f"written to {run.out}/: search.csv")
        if results[0].problem:
            raise SettingError(f"--search: no combination could be trained; the first: {results[0].problem}")
        run.say(f"to train with the best, put {' '.join(arguments(results[0].settings))} in the place of --search")
        return 0


def _words(found: Found) -> str:
    return " ".join(f"{name}={value}" for name, value in found.settings.items())
