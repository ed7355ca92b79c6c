"""A training step of each network on a GPU, for `gpu_day`.

    python -m benchmarks.gpu_steps --out FOLDER

Every engine is a process of its own, so one that crashes takes no other with it. What
is measured is written to FOLDER/steps.json after every network. Of our own steps, those
that are recorded in CUDA graphs are counted kernel by kernel, by the nodes of the
graph, and every kernel is timed by itself.
"""

import contextlib
import ctypes
import dataclasses
import json
import os
import statistics
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import timing
from scratchnet.cli import parse

FILE = "steps.json"
#: Ours as `fit` makes them; ours in graphs, where `fit` needs one launch for thousands
OURS, IN_GRAPHS = "scratchnet cupy", "scratchnet cupy, in graphs"
ENGINES = (OURS, IN_GRAPHS, "PyTorch CUDA graph", "PyTorch eager cuda", "JAX jit cuda")
NETWORKS = ("zero-to-gans", "fcn2", "cnn", "lstm batch 1", "lstm batch 32")
COUNTERS = {"advance", "rates"}  # kernels that would lead the next step astray if they ran alone
REPEATS = 100  # launches of a kernel that is timed alone


@dataclass(frozen=True, kw_only=True)
class Options:
    """Time a training step of each network on a GPU."""

    out: Path
    """folder for steps.json"""
    hidden: tuple[int, ...] = (200, 5000)
    """sizes of the hidden layer of 784-H-10"""
    small: bool = False
    """only 784-H-10, and few steps: to see that it works"""


# ------------------------------------------------------- one engine, in a child process


def worker(options: dict[str, Any]) -> dict[str, Any]:
    """Measure one engine on every network."""
    from benchmarks.engines import Missing
    from benchmarks.workloads import WORKLOADS, book

    works = {f"784-{h}-10, batch 1": book(h) for h in options["hidden"]}
    works |= {} if options["small"] else {name: WORKLOADS[name] for name in NETWORKS}
    engine, path = options["engine"], Path(options["file"])
    for name, work in works.items():
        why = ""
        try:
            found, kernels = measure(engine, work, 0.002 if options["small"] else 0.05)
        except Missing as e:
            why = str(e)
        except Exception as e:  # whatever it raises, the other networks are measured
            why = f"{type(e).__name__}: {e}".partition("\n")[0][:200]
        if why:
            add(path, missing={engine: {name: why}})
            print(f"{engine:26s} {name:24s} {why}", flush=True)
            continue
        add(
            path,
            device=device_name(),
            steps={name: {engine: found}},
            kernels={name: {engine: kernels}} if kernels else {},
        )
        print(f"{engine:26s} {name:24s} {found['host']['median']:10.1f} µs", flush=True)
    return {}


def add(path: Path, **parts: Any) -> None:
    """Add to the file what has been found."""
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    for key, value in parts.items():
        merge(content, key, value)
    timing.write_json(path, content)


def merge(into: dict[str, Any], key: str, value: Any) -> None:
    if isinstance(value, dict) and isinstance(into.get(key), dict):
        for inner, of_inner in value.items():
            merge(into[key], inner, of_inner)
    else:
        into[key] = value


def measure(engine: str, work: Any, enough: float) -> tuple[dict[str, Any], dict[str, Any]]:
    """(times of a step in µs, what there is to say about its kernels)."""
    from benchmarks.engines import build

    run = in_graphs(work) if engine == IN_GRAPHS else build(engine, work)
    run(3)
    ours = engine in (OURS, IN_GRAPHS)
    events, kept, n = Events() if ours else None, [], 10
    for _ in range(7):
        start = time.perf_counter()
        with events or contextlib.nullcontext():
            run(n)
        wall = time.perf_counter() - start
        kept.append((wall * 1e6 / n, events.microseconds / n if events else 0.0))
        if wall < enough:
            n *= 4
    host, device = (dataclasses.asdict(timing.Spread.of([row[k] for row in kept[2:]])) for k in (0, 1))
    return {"host": host} | ({"events": device} if ours else {}), kernels_of(run) if ours else {}


def in_graphs(work: Any) -> Any:
    """Our steps as they are where `on_step` wants to see many of them."""
    import scratchnet as sn
    from benchmarks.engines import Missing
    from benchmarks.engines.scratchnet_ import LOSSES, ManySteps, network, optimiser_of
    from scratchnet.engine.kernels import GraphSteps, supported

    net = network(work, "cuda")
    loss, optimiser = LOSSES[work.loss], optimiser_of(work, net)
    why = supported(net, loss, optimiser, work.batch)
    if why is not None:
        raise Missing(f"not recorded step by step: {why}")
    assert isinstance(net, sn.Sequential)
    return ManySteps(GraphSteps, net, loss, optimiser, work)


class Events:
    """The time between two CUDA events, around a block."""

    def __init__(self) -> None:
        import cupy

        self.cuda = cupy.cuda
        self.begin, self.end, self.microseconds = cupy.cuda.Event(), cupy.cuda.Event(), 0.0

    def __enter__(self) -> None:
        self.begin.record()

    def __exit__(self, *_: object) -> None:
        self.end.record()
        self.end.synchronize()
        self.microseconds = self.cuda.get_elapsed_time(self.begin, self.end) * 1e3


def device_name() -> str:
    try:
        import cupy

        return cupy.cuda.runtime.getDeviceProperties(0)["name"].decode()
    except ImportError:
        import torch

        return torch.cuda.get_device_name()


# ------------------------------------------------------------------------- our kernels


def kernels_of(run: Any) -> dict[str, Any]:
    """How the steps are launched: in what, how many kernels, and the time of each."""
    many = getattr(run, "many", None)
    if many is None:
        return {"how": "each kernel by itself"}
    from scratchnet.engine.kernels.persistent_steps import STEPS_IN_A_LAUNCH, PersistentSteps

    found: dict[str, Any] = {"how": many.how}
    if isinstance(many, PersistentSteps):
        return found | {"kernels of a step": 1 / STEPS_IN_A_LAUNCH, "steps in a launch": STEPS_IN_A_LAUNCH}
    try:
        (steps, _), graph = max(many.graphs.items(), key=lambda item: item[0])
        found |= {"kernels of a step": nodes_of(graph) / steps, "steps in a launch": steps}
        found["times"] = times_of(many)
    except Exception as e:  # the times of whole steps are there all the same
        found["how"] += f"; {type(e).__name__}: {e}".partition("\n")[0][:200]
    return found


def nodes_of(graph: Any) -> int:
    """The number of nodes of a CUDA graph, as the driver counts them."""
    driver = ctypes.CDLL("nvcuda.dll" if os.name == "nt" else "libcuda.so.1")
    n = ctypes.c_size_t()
    code = driver.cuGraphGetNodes(ctypes.c_void_p(graph.graph), None, ctypes.byref(n))
    if code:
        raise RuntimeError(f"cuGraphGetNodes fails with code {code}")
    return n.value


def times_of(many: Any) -> dict[str, float]:
    """Microseconds of every kernel of a step, each alone many times in a graph."""
    calls: list[tuple[Any, ...]] = []
    many.optimiser.lr = 0.0
    many.set_rate()
    many._call = lambda *call: calls.append(call)
    many._launch(1, many.batch_size)
    del many._call
    found: dict[str, float] = {}
    events = Events()
    for name, blocks, threads, *args in calls:
        if name in COUNTERS:
            continue
        stream = many.xp.cuda.Stream(non_blocking=True)
        with stream:
            stream.begin_capture()
            for _ in range(REPEATS):
                many._call(name, blocks, threads, *args)
            graph = stream.end_capture()
        kept = []
        for _ in range(4):
            with events:
                graph.launch()
            kept.append(events.microseconds / REPEATS)
        found[f"{name}, {blocks} × {threads}"] = statistics.median(kept[1:])
    return found


# ------------------------------------------------------------------------- the command


def main(args: Sequence[str]) -> int:
    options = parse(Options, args, "python -m benchmarks.gpu_steps")
    path = options.out.absolute() / FILE
    path.unlink(missing_ok=True)
    add(path, environment=timing.environment())
    for engine in ENGINES:
        asked = {"engine": engine, "file": str(path), "hidden": options.hidden, "small": options.small}
        try:
            timing.in_child("benchmarks.gpu_steps", asked)
        except subprocess.CalledProcessError as e:
            add(path, missing={engine: {"": f"its process ended with code {e.returncode}"}})
            print(f"{engine}: its process ended with code {e.returncode}", flush=True)
    print(f"wrote {path}")
    return 0 if "steps" in json.loads(path.read_text(encoding="utf-8")) else 1


if __name__ == "__main__":
    timing.command(main, worker)
