"""Is scratchnet on all cores ever slower than on one?

    python benchmarks/threads.py

`--threads auto` chooses how many threads it uses. For every workload of peers.py two
processes take turns, one limited to one core and one with all of them, and their
wall-clock time is measured. Whatever disturbs the machine disturbs both, so their ratio
holds where their times do not.

A second table is about calls outside `fit`, where nobody has set a number of threads.
Of two processes with all cores, one has no variable set, and the other
OPENBLAS_NUM_THREADS=1:

    python benchmarks/threads.py --outside
"""

import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))  # so that the file can be run directly

from benchmarks import timing
from benchmarks.timing import Spread
from scratchnet.cli import guard, known, parse

ROUNDS, TURN = 41, 0.1  # turns of each process, and seconds per turn


@dataclass(frozen=True, kw_only=True)
class Options:
    """Time scratchnet's steps and predictions on one core and on all."""

    workloads: tuple[str, ...] = ()
    """names as in peers.py, in quotes; by default all"""
    outside: bool = False
    """make the table of calls outside `fit` instead"""
    rounds: int = ROUNDS
    """number of turns of each process"""
    out: Path = timing.RESULTS
    """folder for the JSON"""


@dataclass(frozen=True)
class Row:
    """Seconds per step of one workload, and the number of threads used out of all."""

    workload: str
    one: Spread
    all: Spread
    ratio: Spread  # all / one, turn by turn
    taken: int


@dataclass(frozen=True)
class Outside:
    """Seconds per call outside `fit`."""

    call: str
    place: str
    batch: int
    hidden: int
    one: Spread  # with OPENBLAS_NUM_THREADS=1
    free: Spread  # with no variable set
    ratio: Spread  # free / one, turn by turn


class Process(timing.Process):
    """A process of this file that makes steps, or calls, when it is told to."""

    def __init__(self, *words: str, env: dict[str, str] | None = None) -> None:
        super().__init__("benchmarks.threads", *words, env=env)
        self.taken = int(self.answer())


def child(workload: str, threads: int) -> None:
    """Says how many threads it takes, and makes steps."""
    timing.use_cores(threads)
    from benchmarks.engines import Missing, build
    from benchmarks.engines.scratchnet_ import network, threads_of
    from benchmarks.workloads import WORKLOADS

    work = WORKLOADS[workload]
    try:
        run = build("scratchnet compiled", work)
    except Missing:
        run = build("scratchnet numpy", work)
    timing.serve(run, str(threads_of(work, network(work, "cpu"))))


CALLS = ("step", "net(x)", "gradients", "gradcheck")
OUTSIDE = ((1, 1000), (16, 500), (4096, 1000))  # batch and hidden units of 784-H-10; gradcheck takes 20-20-10
PLACES = ("script", "thread")


def child_outside(call: str, place: str, batch: int, hidden: int) -> None:
    """Make calls in the first Python thread, or in another one.

    They use the threads that the environment allows.
    """
    import numpy as np

    import scratchnet as sn

    inputs, hidden = (20, 20) if call == "gradcheck" else (784, hidden)
    net = sn.Sequential(sn.Linear(inputs, hidden), sn.Sigmoid(), sn.Linear(hidden, 10))
    x, t = np.random.default_rng(0).random((batch, inputs), np.float32), np.arange(batch) % 10
    loss, optimiser = sn.CrossEntropyLoss(), sn.SGD(net, 0.01)
    calls: dict[str, Callable[[], object]] = {
        "step": lambda: sn.step(net, loss, optimiser, x, t),
        "net(x)": lambda: net(x),
        "gradients": lambda: net.gradients(x, t, loss),
        "gradcheck": lambda: sn.gradcheck(net, x, t, loss, samples=5),
    }
    run = timing.each(calls[call])
    if place == "script":
        timing.serve(run, "0")
    else:
        with ThreadPoolExecutor(1) as pool:
            timing.serve(lambda n: pool.submit(run, n).result(), "0")


def measure(workload: str, cores: int, rounds: int) -> Row:
    processes = [Process("--child", workload, str(n)) for n in (1, cores)]
    one, every, ratio = in_turn(processes, rounds)
    return Row(workload, one, every, ratio, processes[1].taken)


def measure_outside(call: str, place: str, batch: int, hidden: int, rounds: int) -> Outside:
    free = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    words = ("--outside-child", call, place, str(batch), str(hidden))
    processes = [Process(*words, env={**free, "OPENBLAS_NUM_THREADS": "1"}), Process(*words, env=free)]
    return Outside(call, place, batch, hidden, *in_turn(processes, rounds))


def in_turn(processes: list[Process], rounds: int) -> tuple[Spread, Spread, Spread]:
    """Seconds per step of both, and second / first, turn by turn."""
    for _ in range(2):  # compilation, first touch of memory, clock
        steps = max(1, round(TURN / min(process(3) for process in processes)))
    turns = [[process(steps) for process in processes] for _ in range(rounds)]
    for process in processes:
        process.end()
    first, second = zip(*turns, strict=True)
    return Spread.of(first), Spread.of(second), Spread.of([b / a for a, b in turns])


def table_outside(rounds: int) -> list[Outside]:
    print(
        "| call outside `fit` | where | batch | µs with OPENBLAS_NUM_THREADS=1 | with nothing set | ratio (quartiles) |"
    )
    print("| --- | --- | ---: | ---: | ---: | ---: |")
    rows = []
    for call in CALLS:
        for batch, hidden in OUTSIDE[:1] if call == "gradcheck" else OUTSIDE:
            for place in PLACES:
                row = measure_outside(call, place, batch, hidden, rounds)
                rows.append(row)
                ratio = f"{row.ratio.median:.2f} ({row.ratio.low:.2f} to {row.ratio.high:.2f})"
                times = f"{row.one.median * 1e6:,.0f} | {row.free.median * 1e6:,.0f}"
                print(f"| {call} | {place} | {batch} | {times} | {ratio} |", flush=True)
    return rows


def main(args: Sequence[str]) -> int:
    options = parse(Options, args, "benchmarks/threads.py")
    from benchmarks.workloads import WORKLOADS

    names = [known(name, list(WORKLOADS), "workload") for name in options.workloads] or list(WORKLOADS)
    cores, device, rows = timing.cores(), timing.cpu_name(), list[Row]()
    if options.outside:
        outside = table_outside(options.rounds)
        path = options.out / f"threads-outside-{timing.file_name(device)}.json"
        content = {"device": device, "cores": cores, "rows": [asdict(row) for row in outside]}
        print(f"wrote {timing.write_json(path, content)}")
        return 0
    print(f"{device}: µs per step on one core and on {cores}\n")
    print(f"| workload | one core | {cores} cores | ratio (quartiles) | threads taken |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for name in names:
        row = measure(name, cores, options.rounds)
        rows.append(row)
        ratio = f"{row.ratio.median:.2f} ({row.ratio.low:.2f} to {row.ratio.high:.2f})"
        print(
            f"| {name} | {row.one.median * 1e6:,.1f} | {row.all.median * 1e6:,.1f} | {ratio} | {row.taken} |",
            flush=True,
        )
    slower = [row.workload for row in rows if row.ratio.low > 1.05]
    print(f"\nslower on {cores} cores by more than 5 % in three turns of four: {', '.join(slower) or 'none'}")
    path = options.out / f"threads-{timing.file_name(device)}.json"
    content = {"device": device, "cores": cores, "rows": [asdict(row) for row in rows]}
    print(f"wrote {timing.write_json(path, content)}")
    return 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2], int(sys.argv[3]))
    elif sys.argv[1:2] == ["--outside-child"]:
        child_outside(*sys.argv[2:4], *map(int, sys.argv[4:]))
    else:
        guard(main)
