"""How far does data-parallel training scale? Measurements, and a model beyond.

    mpiexec -bind-to core -n 4 python -m benchmarks.scaling measure
        a step and an all-reduce on 1, 2, ... ranks
    python -m benchmarks.scaling draw
        fits the model and draws docs/scaling.png

Letters: p ranks, n examples in the global batch, B bytes of the gradient, L latency of
a message, W bandwidth.

    time of a step   = compute(n/p) + allreduce(B, p)
    compute(m)       = c₀ + c₁ m                  cost of every step and every example
    allreduce(B, p)  = 2 ⌈log₂ p⌉ L + 2 (p − 1)/p · B/W
                       Rabenseifner's reduce-scatter and all-gather

Source: R. Thakur, R. Rabenseifner and W. Gropp, Optimization of collective
communication operations in MPICH (2005).
"""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # one core per rank: before NumPy is imported

import numpy as np

import scratchnet as sn
from scratchnet.runs.ranks import Ranks
from scratchnet.runs.shared import shared

MEASURED = Path(__file__).parent / "results" / "scaling.json"
PLOT = Path(__file__).parent.parent / "docs" / "scaling.png"
SIZES, BATCH = (784, 2000, 2000, 10), 1024
ROUNDS = 21
UNDISTURBED = 0.97  # share of its core that every rank must have had, for a turn to count,
CLOCK = 10e-6  # or this many seconds less, which reading the clocks takes


def mlp(sizes: tuple[int, ...]) -> sn.Sequential:
    layers: list[sn.Layer] = []
    for n_in, n_out in pairwise(sizes):
        layers += [sn.Linear(n_in, n_out), sn.ReLU()]
    return sn.Sequential(*layers[:-1])


# -------------------------------------------------------------- the step with overlap


class Overlapped(sn.SGD):
    """SGD that sends each layer's gradient as soon as it is known.

    Meanwhile backward goes on with the earlier layers.
    """

    def __init__(self, net: sn.Sequential, lr: float, ranks: Ranks) -> None:
        super().__init__(net, lr)
        self.ranks, self.under_way, self.sum_of_all = ranks, [], ranks.sum

    def weight(self, W: Any, delta: Any, a: Any) -> None:
        super().weight(W, delta, a)
        self._send(W)

    def bias(self, b: Any, delta: Any) -> None:
        super().bias(b, delta)
        self._send(b)

    def _send(self, p: Any) -> None:
        self.under_way.append(self.ranks.comm.Iallreduce(self.ranks.MPI.IN_PLACE, p.grad.reshape(-1)))

    def step(self, net: sn.Sequential, loss: sn.CrossEntropyLoss, x: Any, target: Any, share: float) -> None:
        self.begin()
        y, caches = net.forward(x.T, self)
        _, delta = loss.forward(y, target)
        delta *= share
        net.backward(delta, caches, self)
        self.ranks.MPI.Request.Waitall(self.under_way)
        self.under_way.clear()
        self.update()


# ------------------------------------------------------------------------- measuring

BIG = "784-2000-2000-10"


def networks() -> dict[str, tuple[Callable[[], sn.Sequential], int, tuple[tuple[int, ...], Callable[..., np.ndarray]]]]:
    """The networks to measure.

    For each: how to make it, the global batch, the shape of an example and the targets.
    """
    from scratchnet.studies import cifar10, flights, mnist, waveforms

    def labels(rng: np.random.Generator, m: int) -> np.ndarray:
        return rng.integers(0, 10, m)

    def values(rng: np.random.Generator, m: int) -> np.ndarray:
        return rng.random((m, 1), np.float32)

    o = {module: module.PRESETS["default"] for module in (mnist, cifar10, flights, waveforms)}
    return {
        BIG: (lambda: mlp(SIZES), BATCH, ((784,), labels)),
        "mnist": (lambda: mnist.network(o[mnist]), o[mnist].batch_size, ((784,), labels)),
        "cifar10": (lambda: cifar10.network(o[cifar10]), o[cifar10].batch_size, ((3, 32, 32), labels)),
        "waveforms": (lambda: waveforms.height_network(o[waveforms]), o[waveforms].batch_size, ((104,), values)),
        "flights": (lambda: flights.network(o[flights]), 119, ((12, 1), values)),
    }


class Some(Ranks):
    """The first p of all ranks."""

    def __init__(self, everyone: Ranks, p: int) -> None:
        super().__init__()
        self.wanted, self.member = p, everyone.rank < p
        self.comm = everyone.comm.Split(0 if self.member else 1)
        self.rank, self.size = self.comm.Get_rank(), self.comm.Get_size()


def measure() -> None:
    """Interleaved measurements: medians over rounds.

    In every round each number of ranks has its turn while the others wait. A rank that
    waits for a message polls, so whatever it did not get of its core, another process
    had. A turn in which some rank had less than UNDISTURBED of its core does not count.
    """
    rng = np.random.default_rng(0)
    x, t = rng.random((BATCH, SIZES[0]), np.float32), rng.integers(0, SIZES[-1], BATCH)
    times: dict[str, list[float]] = {}
    turns: dict[str, int] = {}
    with Ranks() as everyone:
        groups = [Some(everyone, p) for p in range(1, everyone.size + 1)]
        jobs = [(name, group, job) for group in groups for name, job in jobs_of(group, x, t)]
        for k in range(ROUNDS + 1):
            for name, group, job in jobs:
                wait(everyone)
                if group.member:
                    group.comm.Barrier()
                    start, own = time.perf_counter(), time.process_time()
                    job()
                    group.comm.Barrier()
                    seconds, own = time.perf_counter() - start, time.process_time() - own
                    share = group.comm.allreduce(own / seconds, group.MPI.MIN)
                    if k:  # the first round warms up
                        key = f"{name}, {group.wanted}"
                        turns[key] = turns.get(key, 0) + 1
                        if share >= UNDISTURBED or (1 - share) * seconds < CLOCK:
                            times.setdefault(key, []).append(seconds)
                wait(everyone)
        if everyone.rank == 0:
            medians = {name: float(np.median(ts)) for name, ts in times.items()}
            counted = {name: len(times.get(name, [])) for name in turns}
            about = {"cores": os.cpu_count(), "load": os.getloadavg()[0], "rounds": ROUNDS, "counted": counted,
                     "seconds": medians}  # fmt: skip
            MEASURED.parent.mkdir(exist_ok=True)
            MEASURED.write_text(json.dumps(about, indent=1) + "\n")
            for name, n in counted.items():
                took = f"{medians[name] * 1000:9.3f} ms" if n else "        -"
                print(f"{name:<40} {took}   {n} of {turns[name]} turns undisturbed")


def wait(ranks: Ranks) -> None:
    """A barrier that leaves the core to others, unlike MPI's own, which polls."""
    request = ranks.comm.Ibarrier()
    while not request.Test():
        time.sleep(0.001)


def one_step(ranks: Ranks, net: sn.Sequential, loss: Any, optimiser: Any, x: Any, t: Any, batch: Any) -> Any:
    """A function that makes one step of all ranks on `batch` of x and t."""
    steps, losses = shared(ranks)(net, loss, optimiser, x, t, len(batch)), np.zeros(1)

    def make() -> None:
        steps.begin(batch, losses)
        steps.run(1)

    return make


def jobs_of(group: Some, x: np.ndarray, t: np.ndarray) -> Iterator[tuple[str, Callable[[], Any]]]:
    """(name, function to time) for one number of ranks."""
    loss = sn.CrossEntropyLoss()
    net = mlp(SIZES)
    optimiser = sn.SGD(net, 0.01)
    batch = np.arange(BATCH)
    yield "step", one_step(group, net, loss, optimiser, x, t, batch)
    other = mlp(SIZES)
    early = Overlapped(other, 0.01, group)
    first, last, share = group.share(BATCH)
    yield "step with overlap", lambda: early.step(other, loss, x[first:last], t[first:last], share)
    mute = mlp(SIZES)
    apart = sn.SGD(mute, 0.01, clip_norm=1e9)  # builds the gradient, as a step of several ranks must
    # All ranks at once, each with its share, and no communication: the cost of sharing
    # a machine.
    yield "side by side", lambda: sn.step(mute, loss, apart, x[first:last], t[first:last])
    if group.wanted == 1:
        for name, (make, n, lossy) in networks().items():
            alone = make()
            plain = sn.SGD(alone, 0.01, clip_norm=1e9)  # builds the gradient, as all ranks must
            shape, target = lossy
            rng = np.random.default_rng(0)
            for m in sorted({max(2, n // 16), n // 4, n}):
                xs, ts = rng.random((m, *shape), np.float32), target(rng, m)
                lo = sn.CrossEntropyLoss() if ts.ndim == 1 else sn.MSELoss()
                yield f"compute {name} {m}", lambda a=alone, o=plain, lo=lo, xs=xs, ts=ts: sn.step(a, lo, o, xs, ts)
    if group.wanted > 1:
        for size in (1, 16_384, 262_144, 1_048_576, 4_194_304):
            yield f"allreduce {4 * size}", partial(group.all_reduce, np.ones(size, np.float32))


# ------------------------------------------------------------------------- the model


def allreduce(B: float, p: float, L: float, W: float) -> float:
    return 0.0 if p == 1 else 2 * np.ceil(np.log2(p)) * L + 2 * (p - 1) / p * B / W


def least_squares(rows: list[tuple[float, float, float]]) -> tuple[float, float]:
    """(u, v) ≥ 0 of t = u a + v b, from rows (a, b, t).

    By least squares of the relative errors.
    """
    from scipy.optimize import nnls

    found, _ = nnls(np.array([(a / t, b / t) for a, b, t in rows]), np.ones(len(rows)))
    return float(found[0]), float(found[1])


def fit_model(seconds: dict[str, float]) -> tuple[dict[str, tuple[float, float]], float, float]:
    """({network: (c₀, c₁)}, L, W)."""
    of_network: dict[str, list[tuple[float, float, float]]] = {}
    messages = []
    for name, t in seconds.items():
        what, p = name.rsplit(", ", 1)
        kind, *which = what.split()
        if kind == "compute":
            of_network.setdefault(which[0], []).append((1, int(which[1]), t))
        elif kind == "allreduce":
            n = int(p)
            messages.append((2 * np.ceil(np.log2(n)), 2 * (n - 1) / n * int(which[0]), t))
    L, per_byte = least_squares(messages)
    return {name: least_squares(rows) for name, rows in of_network.items()}, L, 1 / per_byte


# Networks that were not measured here: (name, latency in s, bandwidth in bytes/s), with
# their makers' figures
WIRES = [("10 Gbit/s Ethernet", 20e-6, 1.25e9), ("100 Gbit/s InfiniBand", 2e-6, 12.5e9)]
HUGE = 100_000_000  # parameters


def draw() -> None:
    from scratchnet.plots.style import BLUE, COLOURS, GREY, ORANGE, legend, new_figure, save, style

    seconds = json.loads(MEASURED.read_text())["seconds"]
    compute, L, W = fit_model(seconds)
    nets = {name: (make().size * 4, n, *compute[name]) for name, (make, n, _) in networks().items()}
    B, n, c0, c1 = nets[BIG]
    scale = HUGE * 4 / B
    nets["100 million parameters"] = (HUGE * 4, n, c0 * scale, c1 * scale)
    print(f"here: L = {L * 1e6:.0f} µs, W = {W / 1e9:.2f} GB/s")
    print("network                      bytes    batch     c₀ ms   c₁ µs per example")
    for name, (B, n, c0, c1) in nets.items():
        print(f"{name:<24} {B:>11,} {n:>7} {c0 * 1e3:>9.3f} {c1 * 1e6:>9.2f}")

    def step(name: str, p: float, L: float, W: float) -> float:
        B, n, c0, c1 = nets[name]
        return c0 + c1 * n / p + allreduce(B, p, L, W)

    print(f"\n{BIG}, batch {BATCH}: ms, speed-up")
    print("ranks  step             model            with overlap     compute side by side, without a message")
    most = max(int(name.rsplit(", ", 1)[1]) for name in seconds)
    here = []
    for p in range(1, most + 1):
        measured = (seconds[f"{what}, {p}"] for what in ("step", "step with overlap", "side by side"))
        t, overlapped, apart = measured
        here.append((p, t, step(BIG, p, L, W), overlapped, apart))
    for p, *ts in here:
        told = (f"{t * 1e3:.1f} ({t0 / t:.2f})" for t, t0 in zip(ts, here[0][1:], strict=True))
        print(f"{p:>5}  " + "  ".join(f"{text:<15}" for text in told))

    fig = new_figure(
        "Data-parallel training: how much faster with more ranks",
        "Speed-up of a step at a fixed global batch, one core per rank; time = compute(batch/ranks) + "
        "allreduce(bytes, ranks)",
        13, 5.9,
    )  # fmt: skip
    below = {"loc": "upper left", "bbox_to_anchor": (-0.05, -0.14), "handlelength": 1.6, "columnspacing": 1.2}
    axes = fig.subplots(1, 3)
    ax = style(axes[0], f"Measured: {BIG}, batch {BATCH:,}", "ranks on one machine", "speed-up")
    ranks = [row[0] for row in here]
    ax.plot(ranks, ranks, color=GREY, linestyle=":", label="ideal")
    ax.plot(ranks, [here[0][1] / row[1] for row in here], "o-", color=BLUE, label="measured")
    ax.plot(ranks, [here[0][2] / row[2] for row in here], "s--", color=ORANGE, label="model")
    ax.plot(ranks, [here[0][4] / row[4] for row in here], "^--", color=GREY, label="side by side, no messages")
    ax.set_xticks(ranks)
    legend(ax, **below)
    for ax, (wire, latency, bandwidth) in zip(axes[1:], WIRES, strict=True):
        style(ax, f"Model: {wire}", "ranks, one machine each", "speed-up")
        print(f"\n{wire}: the most that it gains, and with how many ranks")
        every = 2 ** np.arange(0, 10.01, 0.125)
        ax.plot(every, every, color=GREY, linestyle=":", label="ideal")
        for k, (name, (_, n, _, _)) in enumerate(nets.items()):
            possible = [p for p in every if p <= n]
            gains = [step(name, 1, latency, bandwidth) / step(name, p, latency, bandwidth) for p in possible]
            dash = "--" if name.startswith("100") else "-"  # it coincides with that of 784-2000-2000-10
            ax.plot(possible, gains, dash, color=COLOURS[k], linewidth=1.6, label=f"{name}, batch {n:,}")
            best = int(np.argmax(gains))
            worth = [p for p, g in zip(possible, gains, strict=True) if g >= p / 2]
            print(f"{name:<24} {gains[best]:7.1f} at {possible[best]:5.0f}; half of ideal up to {max(worth):5.0f}")
        ax.set_xscale("log", base=2)
        ax.set_yscale("log", base=2)
        ax.set_xticks([1, 4, 16, 64, 256, 1024], ["1", "4", "16", "64", "256", "1,024"])
        ax.set_ylim(0.7, 300)
        ax.set_yticks([1, 4, 16, 64, 256], ["1", "4", "16", "64", "256"])
    legend(axes[1], **below, ncols=3)  # below both models, which have the same lines
    axes[1].get_legend().set_in_layout(False)
    PLOT.parent.mkdir(exist_ok=True)
    save(fig, PLOT)


if __name__ == "__main__":
    {"measure": measure, "draw": draw}[sys.argv[1]]()
