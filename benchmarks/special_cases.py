"""What does each special case of the engine's arithmetic save on this processor?

    python benchmarks/special_cases.py

For every workload of peers.py that meets a special case, steps with it and without it
take turns in one process, on one thread. A case that costs something on one kind of
processor, or saves nothing on any, has to go. A processor with AVX-512 can stand in for
one without:

    export NPY_DISABLE_CPU_FEATURES="AVX512F AVX512CD AVX512_SKX AVX512_CLX \
        AVX512_CNL AVX512_ICL AVX512_SPR"
    OPENBLAS_CORETYPE=Haswell python benchmarks/special_cases.py
"""

import contextlib
import importlib
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parent.parent))  # so that the file can be run directly

from benchmarks import timing
from benchmarks.timing import Run, Spread
from scratchnet.cli import guard, parse


@dataclass(frozen=True, kw_only=True)
class Options:
    """Time steps with each special case and without it."""

    cases: tuple[str, ...] = ()
    """names of special cases, in quotes; by default all"""
    rounds: int = 41
    """number of turns for each"""
    out: Path = timing.RESULTS
    """folder for the JSON"""


class Case(NamedTuple):
    """A special case: how to do without it, and the workloads that meet it."""

    module: str
    name: str
    without: Callable[..., Any]
    workloads: tuple[str, ...]


def never(*_: Any) -> bool:
    return False


def plain_zeros(n: int, dtype: Any, xp: Any) -> Any:
    """Zeros that begin where NumPy's large arrays do: 16 bytes into a cache line."""
    return xp.zeros(n + 4, dtype)[4:]


def made_anew(layer: Any, use: str, of: Any, learn: Any, make: Callable[[], Any]) -> Any:
    return make()


def itself(readable: Any) -> Any:
    return readable


def added(C: Any, delta: Any, a: Any, alpha: float = 1.0, beta: float = 1.0) -> None:
    """The update with the gradient built first."""
    from scratchnet.backend.products import axpy, dot_transposed

    product = dot_transposed(delta, a)
    if beta != 1.0:
        C *= beta
    axpy(alpha, product.ravel(), C.ravel())


PRODUCTS = "scratchnet.backend.products"
DENSE = ("zero-to-gans", "two-hidden", "fcn2", "784-2000-10")
CASES = {
    "few rows: product turned": Case(PRODUCTS, "is_faster_turned", never, (*DENSE, "cnn")),
    "many columns: product in slices": Case(PRODUCTS, "is_faster_in_slices", never, ("cnn",)),
    "narrow weights: gradient built first": Case(PRODUCTS, "is_faster_built", never, ("zero-to-gans", "cnn")),
    "one example: update in place": Case("scratchnet.engine.optim", "add_product", added, ("book 200", "book 1000")),
    "batches: update in place": Case(
        "scratchnet.engine.optim", "add_product", added, ("zero-to-gans", "fcn2", "784-2000-10", "tweets")
    ),
    "parameters aligned to the cache": Case(
        "scratchnet.engine.params", "aligned_zeros", plain_zeros, ("book 200", *DENSE, "lstm batch 32")
    ),
    "tuned walk through time": Case(
        "scratchnet.engine.layers.recurrent", "best", itself, ("lstm batch 1", "lstm batch 32")
    ),
    "views kept from step to step": Case(
        "scratchnet.engine.kernels.lstm", "views", made_anew, ("lstm batch 1", "lstm batch 32")
    ),
}


def owner_of(case: Case) -> tuple[Any, str]:
    """The module that has the special case, and its name there."""
    return importlib.import_module(case.module), case.name


@contextlib.contextmanager
def without(case: Case) -> Iterator[None]:
    owner, name = owner_of(case)
    kept = getattr(owner, name)
    setattr(owner, name, case.without)
    try:
        yield
    finally:
        setattr(owner, name, kept)


def runs_of(case: Case, workload: str) -> dict[str, Run]:
    """Steps with the special case and without it, each of a network of its own."""
    from benchmarks.engines import build
    from benchmarks.workloads import WORKLOADS

    work = WORKLOADS[workload]
    usual = build("scratchnet numpy", work)
    with without(case):
        other = build("scratchnet numpy", work)

    def run_without(n: int) -> None:
        with without(case):
            other(n)

    return {"with": usual, "without": run_without}


@dataclass(frozen=True)
class Row:
    """Seconds per step of one workload."""

    case: str
    workload: str
    usual: Spread
    other: Spread


def main(args: Sequence[str]) -> int:
    options = parse(Options, args, "benchmarks/special_cases.py")
    timing.use_cores(1)
    from scratchnet.backend.threads import blas_threads
    from scratchnet.cli import known

    names = [known(name, list(CASES), "special case") for name in options.cases] or list(CASES)
    about, rows = timing.environment(), list[Row]()
    kernels = next((str(lib["architecture"]) for lib in about["blas"] if lib.get("architecture")), "unknown")
    print(f"{timing.cpu_name()}, BLAS for {kernels}: µs per step on one thread\n")
    print("| special case | workload | with | without | without / with |\n| --- | --- | ---: | ---: | ---: |")
    for name in names:
        for workload in CASES[name].workloads:
            with blas_threads(1):
                times = timing.interleave(
                    runs_of(CASES[name], workload), rounds=options.rounds, clock=timing.clock_for(1)
                )
            row = Row(name, workload, times["with"], times["without"])
            rows.append(row)
            us = f"{row.usual.median * 1e6:,.1f} | {row.other.median * 1e6:,.1f}"
            print(f"| {name} | {workload} | {us} | {row.other.median / row.usual.median:.2f} |", flush=True)
    path = options.out / f"special-cases-{timing.file_name(timing.cpu_name())}-{kernels}.json"
    print(f"\nwrote {timing.write_json(path, {**about, 'rows': [asdict(row) for row in rows]})}")
    return 0


if __name__ == "__main__":
    guard(main)
