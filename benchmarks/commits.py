"""Is this commit slower than an older one? Both in turn, in every workload of peers.py.

    python benchmarks/commits.py OLD

OLD is a commit, a tag or a branch. It is checked out into a temporary folder, and each
side runs its own benchmarks' code: the NumPy step and the compiled step on one core, in
processes that take turns. A row gives the new time divided by the old one; below 1 the
new commit is faster. Two processes of the same code differ by some per cent, because
their memory lies elsewhere, so every row is taken from several pairs of processes.
"""

import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

sys.path.insert(0, str(Path(__file__).parent.parent))  # so that the file can be run directly

import tyro

from benchmarks import timing
from benchmarks.isa import environment
from benchmarks.peers import OURS
from scratchnet.cli import guard, known, parse
from scratchnet.errors import SettingError

HERE = Path(__file__).parent.parent
SIDE = Path(__file__).parent / "one_side.py"


@dataclass(frozen=True)
class Options:
    """Time an old commit's steps and this tree's in turn, on one core."""

    old: Annotated[str, tyro.conf.Positional]
    """commit, tag or branch to compare with"""
    workloads: tuple[str, ...] = ()
    """names as in peers.py, in quotes; by default all"""
    engines: tuple[str, ...] = OURS
    """names as in peers.py, in quotes"""
    pairs: int = 3
    """pairs of processes for each row"""
    isa: Literal["native", "avx2"] = "native"
    """avx2: no library may use AVX-512, even if the processor has it"""
    out: Path = timing.RESULTS
    """folder for the JSON"""


@dataclass(frozen=True)
class Row:
    """One workload with one engine: new time / old time of every pair."""

    workload: str
    engine: str
    ratios: list[float]
    seconds: list[float]  # per step of the new commit

    def cells(self) -> str:
        ratio, step = statistics.median(self.ratios), statistics.median(self.seconds)
        spread = f"{min(self.ratios):.3f} to {max(self.ratios):.3f}"
        return f"| {self.workload} | {self.engine} | {step * 1e6:,.1f} | {ratio:.3f} | {spread} |"


@contextmanager
def checked_out(commit: str) -> Iterator[Path]:
    """A folder with this commit. Raises SettingError if there is none of that name."""
    git = ["git", "-C", str(HERE), "worktree"]
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "old"
        made = subprocess.run([*git, "add", "--detach", str(tree), commit], capture_output=True, text=True, check=False)
        if made.returncode:
            raise SettingError(f"{commit} cannot be checked out: {made.stderr.strip().splitlines()[-1]}")
        try:
            yield tree
        finally:
            subprocess.run([*git, "remove", "--force", str(tree)], check=True)


def measure(workload: str, engine: str, trees: dict[str, Path], pairs: int, env: dict[str, str]) -> Row | None:
    """A row, or None if one side has no such workload or engine."""
    ratios, seconds = [], []
    for k in range(pairs):
        core = next(map(str, timing.idle_cores(1)), "")
        processes = {
            name: timing.Process(SIDE, engine, workload, core, env=env | {"PYTHONPATH": str(tree)})
            for name, tree in trees.items()
        }
        try:
            if any(process.answer() != "ready\n" for process in processes.values()):
                return None
            turns = dict(list(processes.items())[:: 1 - 2 * (k % 2)])  # another one first in every pair
            times = timing.interleave(turns, enough=4.0)
        finally:
            for process in processes.values():
                process.end()
        ratios.append(times["new"].median / times["old"].median)
        seconds.append(times["new"].median)
    return Row(workload, engine, ratios, seconds)


def main(args: Sequence[str]) -> int:
    options = parse(Options, args, "benchmarks/commits.py")
    env = environment(options.isa) | dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), "1")
    from benchmarks.workloads import WORKLOADS

    workloads = [known(name, list(WORKLOADS), "workload") for name in options.workloads] or list(WORKLOADS)
    engines, rows = [known(name, list(OURS), "engine") for name in options.engines], list[Row]()
    with checked_out(options.old) as tree:
        print("| workload | step | new µs | new / old | of the pairs |\n| --- | --- | ---: | ---: | --- |")
        for workload in workloads:
            for engine in engines:
                row = measure(workload, engine, {"old": tree, "new": HERE}, options.pairs, env)
                if row is not None:
                    rows.append(row)
                    print(row.cells(), flush=True)
    about = {"old": options.old, "isa": options.isa, "cpu": timing.cpu_name(), "load_average": timing.load()}
    held = "" if options.isa == "native" else f"-{options.isa}"
    path = options.out / f"commits-{timing.file_name(timing.cpu_name())}{held}.json"
    print(f"\nload {about['load_average']}; wrote ", end="")
    print(timing.write_json(path, {**about, "rows": [asdict(row) for row in rows]}))
    return 0


if __name__ == "__main__":
    guard(main)
