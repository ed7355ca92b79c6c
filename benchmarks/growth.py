"""How the time of a training grows: fitted exponents beside those of theory.

    python benchmarks/growth.py

The time is measured against the hidden size H, the batch, the number of examples N, the
times T of a sequence, and the cores. ln t = ln c + e ln x is fitted by least squares;
theory says e, from the number of operations. What every step or every epoch costs
besides, whatever its size, makes a measured exponent smaller than that of theory; so
does a large product that is faster than a small one. Data that leave a cache make it
larger. It takes about two minutes.
"""

import itertools
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))  # so that the file can be run directly

from benchmarks import timing
from benchmarks.timing import Run
from scratchnet.cli import parse

ROUNDS = 11


@dataclass(frozen=True, kw_only=True)
class Options:
    """Fit how the time of a step grows with the sizes."""

    out: Path = timing.RESULTS
    """folder for the JSON"""


@dataclass(frozen=True)
class Axis:
    """What is varied: a run for each size, and the exponent that theory says."""

    name: str
    what: str
    sizes: tuple[int, ...]
    theory: float
    make: Callable[[int], Run] | None = None  # None: the cores, a process for each number


def step_of(hidden: int, batch: int) -> Run:
    """Steps of 784-H-10, as fit makes them in a long training."""
    from benchmarks.engines import build
    from benchmarks.workloads import book

    return build("scratchnet compiled", book(hidden, batch))


def epoch_of(examples: int) -> Run:
    """Whole epochs of 784-100-10 with `fit`: order, steps, mean of the losses."""
    import numpy as np

    import scratchnet as sn

    rng = np.random.default_rng(0)
    x, labels = rng.random((examples, 784), np.float32), rng.integers(0, 10, examples)
    net = sn.Sequential(sn.Linear(784, 100), sn.ReLU(), sn.Linear(100, 10), seed=0)
    optimiser = sn.SGD(net, lr=0.01)

    def run(n: int) -> None:
        sn.fit(net, sn.CrossEntropyLoss(), optimiser, x, labels, epochs=n, batch_size=32, threads=1)

    return run


def sequence_of(times: int) -> Run:
    """Steps of an LSTM with 100 units on 32 sequences."""
    from benchmarks.engines import build
    from benchmarks.workloads import Workload, lstm

    work = Workload(f"lstm {times}", lstm, (times, 1), "mse", "adam", lr=0.001, batch=32)
    return build("scratchnet compiled", work)


def cores_of(cores: int) -> float:
    """Seconds of a step of 784-2000-10 on 1,024 examples, in a process of its own."""
    answer: dict[str, float] = timing.in_child("benchmarks.growth", {"cores": cores})
    return answer["seconds"]


def axes() -> list[Axis]:
    cores = tuple(2**k for k in range(timing.cores().bit_length()) if 2**k <= timing.cores())
    return [
        Axis("H", "step of 784-H-10, batch 128", (500, 1000, 2000, 4000), 1, lambda H: step_of(H, 128)),
        Axis("H", "step of 784-H-10, batch 1", (1000, 2000, 4000, 8000), 1, lambda H: step_of(H, 1)),
        Axis("batch", "step of 784-1000-10", (64, 128, 256, 512), 1, lambda batch: step_of(1000, batch)),
        Axis("N", "epoch of 784-100-10 with fit, batch 32", (4000, 8000, 16_000, 32_000), 1, epoch_of),
        Axis("T", "step of an LSTM with 100 units, batch 32", (12, 24, 48, 96), 1, sequence_of),
        Axis("cores", "step of 784-2000-10, batch 1,024", cores, -1),
    ]


def worker(options: dict[str, Any]) -> dict[str, Any]:
    """The times of one axis, in turn on one core; or of a step on some cores."""
    timing.use_cores(options.get("cores", 1))
    if "cores" in options:
        from benchmarks.engines import build
        from benchmarks.workloads import relu

        run = build("scratchnet numpy", relu("784-2000-10", (784, 2000, 10), "sgd", 0.1, 1024))
        times = timing.interleave({"step": run}, ROUNDS, 0.3)
        return {"seconds": times["step"].median}
    axis = axes()[options["axis"]]
    assert axis.make is not None
    runs = {str(size): axis.make(size) for size in axis.sizes}
    found = timing.interleave(runs, ROUNDS, clock=timing.clock_for(1))
    return {"seconds": [found[str(size)].median for size in axis.sizes]}


def exponent(sizes: Sequence[int], seconds: Sequence[float]) -> float:
    """e of t = c xᵉ, by least squares of the logarithms."""
    x, t = ([math.log(value) for value in values] for values in (sizes, seconds))
    x0, t0 = sum(x) / len(x), sum(t) / len(t)
    return sum((a - x0) * (b - t0) for a, b in zip(x, t)) / sum((a - x0) ** 2 for a in x)


def main(args: Sequence[str]) -> int:
    options = parse(Options, args, "benchmarks/growth.py")
    rows = []
    print(f"{timing.cpu_name()}: ms, and the exponent e of t = c xᵉ\n")
    print("| x | measured | x: ms | from step to step | e fitted | theory |\n| --- | --- | --- | --- | ---: | ---: |")
    for k, axis in enumerate(axes()):
        if len(axis.sizes) < 2:
            continue
        if axis.make is None:
            turns = [[cores_of(size) for size in axis.sizes] for _ in range(3)]
            seconds = [sorted(of_one)[1] for of_one in zip(*turns, strict=True)]
        else:
            seconds = timing.in_child("benchmarks.growth", {"axis": k})["seconds"]
        e = exponent(axis.sizes, seconds)
        pairs = itertools.pairwise(zip(axis.sizes, seconds, strict=True))
        local = ", ".join(f"{exponent(*zip(*pair, strict=True)):.2f}" for pair in pairs)
        shown = ", ".join(f"{size:,}: {t * 1e3:.3g}" for size, t in zip(axis.sizes, seconds, strict=True))
        print(f"| {axis.name} | {axis.what} | {shown} | {local} | {e:.2f} | {axis.theory:.0f} |", flush=True)
        rows.append({"axis": axis.name, "what": axis.what, "sizes": axis.sizes, "seconds": seconds, "e": e,
                     "theory": axis.theory})  # fmt: skip
    about = {"cpu": timing.cpu_name(), "cores": timing.cores(), "load_average": timing.load(), "rows": rows}
    path = options.out / f"growth-{timing.file_name(timing.cpu_name())}.json"
    print(f"\nload {about['load_average']}; wrote {timing.write_json(path, about)}")
    return 0


if __name__ == "__main__":
    timing.command(main, worker)
