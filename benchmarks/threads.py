"""Is scratchnet on all cores ever slower than on one, where `--threads auto` chooses how many it uses?

    python benchmarks/threads.py

For every workload of peers.py two processes run in turn, one kept to one core and one with all of them, and are timed
on the wall. Whatever disturbs the machine disturbs both, so their ratio stands where their times do not.
"""

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter

sys.path.insert(0, str(Path(__file__).parent.parent))  # so that the file can be run as it is

from benchmarks import timing
from benchmarks.timing import Spread
from scratchnet.cli import guard, known, parse

ROUNDS, TURN = 41, 0.1  # turns of each process, and seconds of one


@dataclass(frozen=True, kw_only=True)
class Options:
    """scratchnet's steps and predictions on one core and on all."""

    workloads: tuple[str, ...] = ()
    """names as in peers.py, in quotes; none means all"""
    out: Path = timing.RESULTS
    """folder for the JSON"""


@dataclass(frozen=True)
class Row:
    """Seconds per step of one workload, and how many threads were taken of all."""

    workload: str
    one: Spread
    all: Spread
    ratio: Spread  # all / one, turn by turn
    taken: int


class Process:
    """A process with so many cores that makes steps of a workload when it is told to."""

    def __init__(self, workload: str, threads: int) -> None:
        self.name = f"{workload} {threads}"
        command = [sys.executable, "-m", "benchmarks.threads", "--child", workload, str(threads)]
        self.child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        self.taken = int(self._answer())

    def __call__(self, n: int) -> float:
        """Seconds per step of n steps."""
        assert self.child.stdin is not None
        self.child.stdin.write(f"{n}\n")
        return float(self._answer())

    def _answer(self) -> str:
        assert self.child.stdout is not None
        line = self.child.stdout.readline()
        if not line:
            raise ChildProcessError(f"the process of {self.name} ended")
        return line

    def end(self) -> None:
        self.child.communicate()


def child(workload: str, threads: int) -> None:
    """Says how many threads it takes; then, for each line with a number, makes so many steps and says their time."""
    timing.use_cores(threads)
    from benchmarks.engines import Missing, build
    from benchmarks.engines.scratchnet_ import network, threads_of
    from benchmarks.workloads import WORKLOADS

    work = WORKLOADS[workload]
    try:
        run = build("scratchnet compiled", work)
    except Missing:
        run = build("scratchnet numpy", work)
    print(threads_of(work, network(work, "cpu")), flush=True)
    for line in sys.stdin:
        n = int(line)
        start = perf_counter()
        run(n)
        print((perf_counter() - start) / n, flush=True)


def measure(workload: str, cores: int) -> Row:
    processes = [Process(workload, n) for n in (1, cores)]
    for _ in range(2):  # compilation, first touch of memory, clock
        steps = max(1, round(TURN / min(process(3) for process in processes)))
    turns = [[process(steps) for process in processes] for _ in range(ROUNDS)]
    for process in processes:
        process.end()
    one, every = zip(*turns, strict=True)
    ratio = Spread.of([b / a for a, b in turns])
    return Row(workload, Spread.of(one), Spread.of(every), ratio, processes[1].taken)


def main(args: Sequence[str]) -> int:
    options = parse(Options, args, "benchmarks/threads.py")
    from benchmarks.workloads import WORKLOADS

    names = [known(name, list(WORKLOADS), "workload") for name in options.workloads] or list(WORKLOADS)
    cores, device, rows = timing.cores(), timing.cpu_name(), list[Row]()
    print(f"{device}: µs per step on one core and on {cores}\n")
    print(f"| workload | one core | {cores} cores | ratio (quartiles) | threads taken |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for name in names:
        row = measure(name, cores)
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
    else:
        guard(main)
