"""A grid search: every combination of some settings, each cross-validated, over all cores or a cluster."""

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
from dataclasses import replace
from multiprocessing import get_context, parent_process
from typing import Any, NamedTuple, TypeVar

from scratchnet.cli import parse
from scratchnet.errors import NonFiniteError, ScratchnetError, SettingError
from scratchnet.runs.options import MAY_CHANGE, CommonOptions

T = TypeVar("T")
R = TypeVar("R")

LIVES = 3  # pools of processes that a search may wear out


#: Options that a search cannot choose by accuracy: they change no result, or name a recipe of several settings
FIXED = (MAY_CHANGE - {"epochs"}) | {"preset", "search"}


def parse_grid(text: str, options: CommonOptions, prog: str) -> list[tuple[dict[str, str], CommonOptions]]:
    """All combinations in a text such as "hidden=50,100,200 lr=0.1,0.01", each with the options that it makes.

    A value of several layers is written 64x32. Raises SettingError for a text, an option or a value that cannot be.
    """
    values: dict[str, list[str]] = {}
    for part in text.split():
        name, equals, choices = part.partition("=")
        if not equals or not name or not all(choices.split(",")):
            raise SettingError(f"--search '{part}': write NAME=VALUE,VALUE, such as 'hidden=50,100,200 lr=0.1,0.01'")
        name = name.replace("-", "_")
        if name in FIXED:
            raise SettingError(f"--search {name}: give it to the whole search, as an option of its own, or not at all")
        if name in values:
            raise SettingError(f"--search names {name} twice")
        values[name] = choices.split(",")
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
    """One combination: the settings, its cross-validated accuracy, its time; or NaN, and in `problem` why."""

    settings: dict[str, str]
    accuracy: float
    std: float
    seconds: float
    problem: str = ""


class Job(NamedTuple):
    """A combination to be tried, in words that travel to another process."""

    study: str
    settings: dict[str, str]
    options: CommonOptions


def try_one(job: Job) -> Found:
    """Cross-validate one combination. If it cannot be done the others can, so that is a result too."""
    study = sys.modules[type(job.options).__module__]  # every study's options stand beside its `crossvalidate`
    start, accuracy, std, problem = time.perf_counter(), math.nan, math.nan, ""
    try:
        result = study.crossvalidate(job.study, job.options)
        accuracy, std = result.accuracy, result.std
    except NonFiniteError:
        problem = "diverged"
    except (ScratchnetError, MemoryError) as e:
        problem = " ".join(str(e).split()) or type(e).__name__
    return Found(job.settings, accuracy, std, time.perf_counter() - start, problem)


def map_jobs(function: Callable[[T], R], jobs: Sequence[T], scheduler: str = "") -> Iterator[R]:
    """function(job) of all jobs, in their order: the one place where the work is handed out.

    Over all cores of this machine, or by the Dask scheduler at that address. The jobs of a process that is killed are
    done again. Raises SettingError.
    """
    if scheduler:
        from scratchnet.runs.cluster import map_on_cluster

        yield from map_on_cluster(function, jobs, scheduler)
        return
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    done = 0
    for _ in range(LIVES):
        # spawn: a forked child would inherit BLAS threads that do not exist in it
        with ProcessPoolExecutor(min(cores, len(jobs)), get_context("spawn"), initializer=end_with_parent) as pool:
            try:
                for result in pool.map(function, jobs[done:]):
                    yield result
                    done += 1
                return
            except BrokenProcessPool:
                pass
    raise SettingError(f"{LIVES} times a process of the search was killed: is there enough memory for {cores} at once?")


def end_with_parent() -> None:
    """Let this process end with the one that it works for, however that ends, and end at Ctrl-C without a word."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    parent = parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def search(
    study: str, options: CommonOptions, grid: Iterable[tuple[dict[str, str], CommonOptions]],
    say: Callable[[list[Found]], Any] = lambda found: None, scheduler: str = "",
) -> list[Found]:  # fmt: skip
    """Cross-validate every combination of a grid, one BLAS thread each; best first, those that failed last.

    `say` is called after each with all that are done, in the order of the grid.
    """
    jobs = [Job(study, settings, replace(made, threads="1", search="", scheduler="")) for settings, made in grid]  # type: ignore[call-arg]
    results: list[Found] = []
    for found in map_jobs(try_one, jobs, scheduler):
        results.append(found)
        say(results)
    return best_first(results)


def best_first(results: Sequence[Found]) -> list[Found]:
    """By accuracy, of equals those whose folds differ less, then as in the grid; what failed is last."""
    return sorted(results, key=lambda f: (-math.inf, 0) if f.problem else (f.accuracy, -f.std), reverse=True)


def as_csv(results: Sequence[Found]) -> str:
    """One line per combination, as they come."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*results[0].settings, "cv_accuracy", "cv_std", "seconds", "problem"])
    writer.writerows([*f.settings.values(), f.accuracy, f.std, round(f.seconds, 3), f.problem] for f in results)
    return text.getvalue()
