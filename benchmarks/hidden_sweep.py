"""When does a GPU pay off? It depends on the hidden size and the batch.

    python benchmarks/hidden_sweep.py --device all

The MNIST network 784-H-10 is timed against the size H of its hidden layer: sigmoid, no
biases, summed squared error, SGD 0.1, batch 1, 5 epochs of 60,000. Times are sampled
and extrapolated to the 5 epochs, unless `--full` trains them.
"""

import contextlib
import dataclasses
import itertools
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

sys.path.insert(0, str(Path(__file__).parent.parent))  # so that the file can be run directly

from benchmarks import timing
from benchmarks.hidden_report import (
    EPOCHS,
    EXAMPLES,
    PUBLISHED,
    Point,
    book_ratios,
    draw,
    print_tables,
    published_ratio,
    words,
)
from benchmarks.timing import Limits, Spread
from scratchnet.cli import known, parse
from scratchnet.errors import DeviceError, SettingError

ROUNDS = 41
ROWS = "hidden_sweep.rows"  # what is measured so far, in the folder of the results
FAR_BEYOND_CACHES = 1 << 29  # bytes


@dataclass(frozen=True, kw_only=True)
class Options:
    """Time against the size of the hidden layer, on CPU and GPU."""

    device: Literal["cpu", "cuda", "all"] = "all"
    """cuda needs a GPU; all uses whatever there is"""
    engines: tuple[str, ...] = ()
    """names as in the table, in quotes; by default all that the device has"""
    hidden: tuple[int, ...] = (200, 1000, 2000, 5000)
    """sizes of the hidden layer"""
    batch_size: tuple[int, ...] = (1,)
    """examples per step, such as 1 32 128 1024"""
    examples: tuple[int, ...] = ()
    """show the time against these numbers of examples, such as 1000 10000 60000"""
    steps: int = 0
    """steps to time per point; 0 takes as many as fit into half a second"""
    full: bool = False
    """train all 5 epochs instead of extrapolating"""
    threads: tuple[str, ...] = ("1", "all")
    """numbers of CPU threads, one row each"""
    out: Path = timing.RESULTS
    """folder for the JSON and the plot"""


def work_of(hidden: int, batch: int) -> tuple[float, float]:
    """(bytes moved, operations) that a step needs at least.

    Every weight is read and written once, and the products have to be computed.
    """
    weights = (784 + 10) * hidden
    return 2.0 * 4 * weights, 2.0 * batch * (2 * weights + 10 * hidden)


# ------------------------------------------------------- measuring, in a child process


def worker(options: dict[str, Any]) -> dict[str, Any]:
    """Measure all engines and points with one number of threads.

    This runs in a process of its own, limited to that many cores.
    """
    timing.use_cores(options["threads"])
    from benchmarks.engines import ENGINES, Missing, build
    from benchmarks.workloads import book

    answer: dict[str, Any] = {"points": [], "missing": {}, "environment": timing.environment(), "device": ""}
    missing = answer["missing"]
    amounts = options["examples"] or [EXAMPLES]
    for hidden, batch, examples in itertools.product(options["hidden"], options["batch_size"], amounts):
        runs = {}
        for name in options["engines"]:
            try:
                runs[name] = build(name, book(hidden, batch, examples if options["examples"] else 0))
                runs[name](1)
            except Missing as e:
                missing[name] = str(e)
            except Exception as e:  # whatever one of them raises, the others are measured
                runs.pop(name, None)
                missing[name] = f"at H = {hidden}, batch {batch}: {type(e).__name__}: {e}".partition("\n")[0][:200]
        count = -(-EPOCHS * examples // batch) if options["full"] else options["steps"]
        steps = dict.fromkeys(runs, count) if count else None
        devices = {ENGINES[name][2] for name in runs}
        probes = {f"{d} {k}": run for d in devices for k, run in limits_of(d, hidden).items()}
        clock = timing.clock_for(options["threads"], "cuda" if "cuda" in devices else "cpu")
        times = timing.interleave(runs | probes, ROUNDS, steps=steps, threads=options["threads"], clock=clock)
        for name in runs:
            device = ENGINES[name][2]
            own = {key.removeprefix(f"{device} "): t for key, t in times.items() if key in probes and device in key}
            floor = Limits.of(own, size_of(device, hidden)).floor(*work_of(hidden, batch)) if own else 0.0
            point = Point(name, device, options["threads"], hidden, batch, times[name], floor, examples)
            answer["points"].append(point)
            what = f"H={hidden:<5d} batch {batch:<5d}" + f" {examples:7,d} examples" * bool(options["examples"])
            print(f"  {name:20s} {what} {times[name].median * 1e6:10.1f} µs a step", flush=True)
        answer["device"] = device_name(answer["points"])
        if "rows" in options:  # for whoever reports if this process does not come to its end
            of_this = [p for p in answer["points"] if (p.hidden, p.batch, p.examples) == (hidden, batch, examples)]
            with open(options["rows"], "a", encoding="utf-8") as file:
                print(json.dumps({**answer, "points": [dataclasses.asdict(p) for p in of_this]}), file=file)
    return answer


def measured(asked: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The answers of `worker` in a child process.

    If an engine takes the process down with it, those sizes that were not measured are
    measured once more, by every engine in a process of its own.
    """
    rows = Path(asked["rows"])
    before = len(kept(rows))  # with other numbers of threads
    try:
        yield timing.in_child("benchmarks.hidden_sweep", asked)
    except subprocess.CalledProcessError as e:
        print(f"the process ended with code {e.returncode}: now one engine at a time", flush=True)
        answers = kept(rows)[before:]
        yield from answers
        done = {p["hidden"] for answer in answers for p in answer["points"]}
        left = [h for h in asked["hidden"] if h not in done]
        for name in asked["engines"] if left else ():
            try:
                yield timing.in_child("benchmarks.hidden_sweep", asked | {"engines": [name], "hidden": left})
            except subprocess.CalledProcessError as e:
                yield {"points": [], "missing": {name: f"its process ended with code {e.returncode}"}}


def kept(rows: Path) -> list[dict[str, Any]]:
    """The answers so far, one a line; the last line may be half written."""
    answers = []
    for line in rows.read_text(encoding="utf-8").splitlines() if rows.exists() else ():
        with contextlib.suppress(ValueError):
            answers.append(json.loads(line))
    return answers


def limits_of(device: str, hidden: int) -> dict[str, timing.Run]:
    """Runs that measure the limits of a device for weights of this size.

    A GPU's limits are measured with CuPy or not at all.
    """
    if device == "cpu":
        import numpy

        return timing.limit_runs(numpy, size_of(device, hidden))
    from scratchnet.backend.devices import cuda_problem

    if cuda_problem() is not None:
        return {}
    import cupy

    return timing.limit_runs(cupy, size_of(device, hidden), cupy.cuda.get_current_stream().synchronize)


def size_of(device: str, hidden: int) -> int:
    """Bytes of the vector that bandwidth is measured with.

    On a CPU those of the weights, which may stay in its cache. On a GPU a pass over so
    few takes as long as its launch; so there it is a vector far larger than any cache,
    if a quarter of the free memory is enough for it.
    """
    if device == "cpu":
        return 4 * 784 * hidden
    import cupy

    free, _ = cupy.cuda.runtime.memGetInfo()
    return min(FAR_BEYOND_CACHES, free // 4 // 4 * 4)


# ----------------------------------------------------------------------- the command


def main(args: Sequence[str]) -> int:
    options = parse(Options, args, "benchmarks/hidden_sweep.py")
    from benchmarks.engines import ENGINES

    for name in ("hidden", "batch_size", "examples"):
        if name == "examples" and not options.examples:
            continue
        if not getattr(options, name) or min(getattr(options, name)) < 1:
            raise SettingError(f"--{name.replace('_', '-')} must be whole numbers from 1")
    if options.steps < 0:
        raise SettingError("--steps must be a number from 0")
    if options.device == "cuda":
        need_gpu()
    there = [name for name, (_, _, device) in ENGINES.items() if options.device in ("all", device)]
    engines = [
        known(name, there, "engine" + f" on {options.device}" * (options.device != "all")) for name in options.engines
    ] or [name for name in ENGINES if name not in ("PyTorch compile", "scikit-learn", "products alone")]
    if options.device != "all":
        engines = [name for name in engines if ENGINES[name][2] == options.device]
    if not engines:
        raise SettingError(f"none of the engines runs on {options.device}")
    threads = sorted({timing.thread_count(t) for t in options.threads})

    points: list[Point] = []
    missing: dict[str, str] = {}
    environments = []
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / ROWS).unlink(missing_ok=True)
    for n in threads:
        print(f"{n} CPU thread{'s' * (n > 1)}", flush=True)
        rows = str(options.out.absolute() / ROWS)
        asked = {**dataclasses.asdict(options), "threads": n, "engines": engines, "out": "", "rows": rows}
        for answer in measured(asked):
            points += points_of(answer)
            missing |= answer["missing"]
            environments += [answer["environment"]] if "environment" in answer else []
        engines = [name for name in engines if ENGINES[name][2] == "cpu"] or engines
    for name, why in missing.items():
        print(f"not here: {name}: {why}")
    if not points:
        raise DeviceError("no engine could run")
    report(points, missing, environments, options)
    (options.out / ROWS).unlink(missing_ok=True)
    return 0


def points_of(answer: dict[str, Any]) -> list[Point]:
    return [Point(**{**p, "step": Spread(**p["step"])}) for p in answer["points"]]


def report_rows(options: Options) -> None:
    """`report`, from what a sweep that was stopped has left, if anything."""
    path = options.out / ROWS
    answers = kept(path)
    points = [point for answer in answers for point in points_of(answer)]
    if points:
        missing = {name: why for answer in answers for name, why in answer["missing"].items()}
        device = max((answer["device"] for answer in answers), key=len)  # with the name of the GPU
        report(points, missing, [answers[-1]["environment"]], options, device)
    path.unlink(missing_ok=True)


def report(
    points: list[Point], missing: dict[str, str], environments: list[dict[str, Any]], options: Options,
    device: str = "",
) -> None:  # fmt: skip
    """Write the table, words, JSON and plot."""
    if options.examples:
        from benchmarks import by_examples

        by_examples.report(points, missing, environments, device_name(points), options.full, options.out)
        return
    print_tables(points, options.full)
    said = words(points)
    print("\n".join(said))
    device = device or device_name(points)
    stem = f"hidden_sweep-{timing.file_name(device)}"
    content = {
        "device": device,
        "sampled": not options.full,
        "points": [{**dataclasses.asdict(p), "seconds_for_5_epochs": p.study} for p in points],
        "missing": missing,
        "published": PUBLISHED,
        "crossover": said,
        "book_against_pytorch": {"published": published_ratio(), "measured": book_ratios(points)},
        "environment": environments,
    }
    print("wrote", timing.write_json(options.out / f"{stem}.json", content))
    draw(points, device, options.full, options.out / f"{stem}.png")
    print("wrote", options.out / f"{stem}.png")


def need_gpu() -> None:
    """Raise DeviceError if neither CuPy nor PyTorch can use a GPU."""
    from scratchnet.backend.devices import cuda_problem

    problem = cuda_problem()
    if problem:
        try:
            import torch

            if torch.cuda.is_available():
                return
        except ImportError:
            pass
        raise DeviceError(f"--device cuda needs a GPU: {problem}")


def device_name(points: list[Point]) -> str:
    """The GPU's name if one was measured, and the processor's."""
    names = [timing.cpu_name()]
    if any(p.device == "cuda" for p in points):
        try:
            import cupy

            names.insert(0, cupy.cuda.runtime.getDeviceProperties(0)["name"].decode())
        except ImportError:
            import torch

            names.insert(0, torch.cuda.get_device_name())
    return " and ".join(names)


if __name__ == "__main__":
    timing.command(main, worker)
