"""A grid search over settings, each combination cross-validated.

The work is spread over all cores, or over a cluster.
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
from dataclasses import replace
from multiprocessing import get_context, parent_process
from typing import Any, NamedTuple, TypeVar

from scratchnet.cli import parse
from scratchnet.errors import NonFiniteError, ScratchnetError, SettingError
from scratchnet.runs.options import MAY_CHANGE, CommonOptions

T = TypeVar("T")
R = TypeVar("R")

MAX_BROKEN_POOLS = 3  # a search gives up when a process was killed so often


#: Options that a search cannot choose by accuracy: they change no result, or stand for
#: several settings at once
NOT_SEARCHABLE = (MAY_CHANGE - {"epochs"}) | {"preset", "search"}


def parse_grid(text: str, options: CommonOptions, prog: str) -> list[tuple[dict[str, str], CommonOptions]]:
    """All combinations in a text such as "hidden=50,100 lr=0.1,0.01", with options.

    Several layers are written 64x32. Raises SettingError for a malformed text, an
    unknown option or an invalid value.
    """
    values: dict[str, list[str]] = {}
    for part in text.split():
        name, equals, choices = part.partition("=")
        if not equals or not name or not all(choices.split(",")):
            raise SettingError(f"--search '{part}': write NAME=VALUE,VALUE, such as 'hidden=50,100,200 lr=0.1,0.01'")
        name = name.replace("-", "_")
        if name in NOT_SEARCHABLE:
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
    """The result of one combination.

    Its settings, cross-validated accuracy and time; if it failed, the numbers are NaN
    and `problem` says why.
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
    options: CommonOptions


def try_one(job: Job) -> Found:
    """Cross-validate one combination. A failure is a result too: others may succeed."""
    study = sys.modules[type(job.options).__module__]  # every study defines its options beside its `crossvalidate`
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
        f"{MAX_BROKEN_POOLS} times a process of the search was killed: is there enough memory for {cores} at once?"
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
    study: str, options: CommonOptions, grid: Iterable[tuple[dict[str, str], CommonOptions]],
    say: Callable[[list[Found]], Any] = lambda found: None, scheduler: str = "",
) -> list[Found]:  # fmt: skip
    """Cross-validate every combination of a grid, with one BLAS thread each.

    Returns the best first and those that failed last. After each combination, `say` is
    called with all results so far, in the order of the grid.
    """
    jobs = [Job(study, settings, replace(made, threads="1", search="", scheduler="")) for settings, made in grid]  # type: ignore[call-arg]
    results: list[Found] = []
    for found in map_jobs(try_one, jobs, scheduler):
        results.append(found)
        say(results)
    return best_first(results)


def best_first(results: Sequence[Found]) -> list[Found]:
    """Sort by accuracy, then by the smaller spread of the folds, then as in the grid.

    Combinations that failed come last.
    """
    return sorted(results, key=lambda f: (-math.inf, 0) if f.problem else (f.accuracy, -f.std), reverse=True)


def as_csv(results: Sequence[Found]) -> str:
    """One line per combination, in the given order."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*results[0].settings, "cv_accuracy", "cv_std", "seconds", "problem"])
    writer.writerows([*f.settings.values(), f.accuracy, f.std, round(f.seconds, 3), f.problem] for f in results)
    return text.getvalue()
