"""How many seconds of training does each engine need to 97, 98 and 99 % on MNIST?

    python benchmarks/sprint.py

The recipe is that of `python -m scratchnet.train mnist --preset sprint`. All engines
start with the same weights and see the same batches at the same learning rates, in
turn, each in a process of its own on the same core. The clock counts the processor time
of the training alone: after every part of an epoch it stands still, and the network
answers the 10,000 test images.
"""

import copy
import dataclasses
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

sys.path.insert(0, str(Path(__file__).parent.parent))  # so that the file can be run as it is

from benchmarks import timing
from benchmarks.isa import environment
from scratchnet.cli import known, parse

ENGINES = ("scratchnet", "PyTorch", "JAX")
TARGETS = (97, 98, 99)  # % of the test images
PARTS = 8  # of an epoch, after each of which the network is tested


@dataclass(frozen=True, kw_only=True)
class Options:
    """Seconds of training to 97, 98 and 99 % of the test images, engine by engine."""

    engines: tuple[str, ...] = ()
    """scratchnet, PyTorch, JAX; none means all"""
    seeds: tuple[int, ...] = (0,)
    """a training with each; several, such as 0 1 2 3 4, give a mean"""
    isa: Literal["native", "avx2"] = "native"
    """avx2: no library may use AVX-512, even if the processor has it"""
    data_dir: str = ""
    """folder of the MNIST files, as that of the study"""
    out: Path = timing.RESULTS
    """folder for the JSON, the table and the picture"""


@dataclass(frozen=True)
class Curve:
    """One training: seconds of training and % of the test images, after each part."""

    engine: str
    seed: int
    seconds: list[float]
    accuracy: list[float]

    def until(self, percent: float) -> float | None:
        """Seconds after which it first had so many %."""
        reached = (s for s, a in zip(self.seconds, self.accuracy, strict=True) if a >= percent)
        return next(reached, None)


# ------------------------------------------------------------------ engines, in a child

Step = Callable[[Any, Any, float], object]  # a batch, its labels, the learning rate
Predict = Callable[[Any], Any]


def ours(net: Any, examples: Any, labels: Any) -> tuple[Step, Predict]:
    """The steps that `fit` makes in a long training."""
    import scratchnet as sn
    from scratchnet.engine import compiling
    from scratchnet.engine.kernels.fused_steps import joined
    from scratchnet.engine.kernels.parts import take_compiled_parts

    def ready(net: Any) -> tuple[Any, Any]:
        optimiser = sn.Adam(net)
        if not compiling.installed():
            return net, optimiser
        take_compiled_parts(optimiser)
        return joined(net), optimiser

    loss = sn.CrossEntropyLoss()
    twin, optimiser = ready(copy.deepcopy(net))
    sn.step(twin, loss, optimiser, examples[0], labels[: len(examples[0])])  # compiled before the clock begins
    trained, optimiser = ready(net)

    def step(x: Any, t: Any, lr: float) -> None:
        optimiser.lr = lr
        sn.step(trained, loss, optimiser, x, t)

    return step, net


def pytorch(net: Any, examples: Any, labels: Any) -> tuple[Step, Predict]:
    import torch

    from benchmarks.engines.pytorch import network

    twin = network(net.layers)
    counters = {name: value for name, value in twin.state_dict().items() if "num_batches" in name}
    twin.load_state_dict({name: torch.from_numpy(w) for name, w in net.state_dict().items()} | counters)
    criterion, optimiser = torch.nn.CrossEntropyLoss(), torch.optim.Adam(twin.parameters())

    def step(x: Any, t: Any, lr: float) -> None:
        for group in optimiser.param_groups:
            group["lr"] = lr
        twin.train()
        optimiser.zero_grad()
        criterion(twin(torch.from_numpy(x)), torch.from_numpy(t)).backward()
        optimiser.step()

    def predict(x: Any) -> Any:
        twin.eval()
        with torch.inference_mode():
            return twin(torch.from_numpy(x)).numpy()

    return step, predict


def jax_(net: Any, examples: Any, labels: Any) -> tuple[Step, Predict]:
    import jax
    import jax.numpy as jnp
    import numpy as np

    from benchmarks.engines.jax_ import apply_trained

    start: list[dict[str, Any]] = [{} for _ in net.layers]
    for name, value in net.state_dict().items():
        i, _, key = name.partition(".")
        start[int(i)][key] = jnp.array(value)
    running = [{k: v for k, v in p.items() if k.startswith("running")} for p in start]
    w = [{k: v for k, v in p.items() if not k.startswith("running")} for p in start]
    tree = jax.tree_util.tree_map

    def forward(w: Any, running: Any, x: Any, training: bool) -> tuple[Any, list[dict[str, Any]]]:
        after = []
        for layer, p, r in zip(net.layers, w, running, strict=True):
            x, r_after = apply_trained(layer, p, r, x, training)
            after.append(r_after)
        return x, after

    def cost(w: Any, running: Any, x: Any, t: Any) -> tuple[Any, Any]:
        y, after = forward(w, running, x, training=True)
        return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(y), t[:, None], 1)), after

    def jitted(w: Any, running: Any, m: Any, v: Any, n: Any, x: Any, t: Any, lr: Any) -> Any:
        (_, running), g = jax.value_and_grad(cost, has_aux=True)(w, running, x, t)
        n = n + 1
        m = tree(lambda m, g: 0.9 * m + 0.1 * g, m, g)
        v = tree(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
        c1, c2 = 1 - 0.9**n, 1 - 0.999**n
        w = tree(lambda w, m, v: w - lr * (m / c1) / (jnp.sqrt(v / c2) + 1e-8), w, m, v)
        return w, running, m, v, n

    one = jax.jit(jitted, donate_argnums=(0, 1, 2, 3, 4))
    answer = jax.jit(lambda w, running, x: forward(w, running, x, training=False)[0])
    zeros = (tree(jnp.zeros_like, w), tree(jnp.zeros_like, w), jnp.float32(0))
    for size in {len(batch) for batch in examples}:  # compiled before the clock begins, with copies that are given away
        copies = tree(jnp.array, (w, running, *zeros))
        one(*copies, np.zeros((size, *examples[0].shape[1:]), "f4"), np.zeros(size, "i4"), 0.0)
    kept = [(w, running, *zeros)]

    def step(x: Any, t: Any, lr: float) -> None:
        kept[0] = one(*kept[0], x, t.astype(np.int32), lr)
        jax.block_until_ready(kept[0][0])

    return step, lambda x: np.asarray(answer(kept[0][0], kept[0][1], x))


def child(engine: str, seed: int, data_dir: str, *chosen: int) -> None:
    """For each line on its input it trains a part of an epoch, and says how it did."""
    from time import process_time

    timing.keep_to(chosen, 1)
    import numpy as np

    from scratchnet.data.mnist import load_mnist
    from scratchnet.engine.schedules import parse_schedule, rate_of
    from scratchnet.engine.training import order_of
    from scratchnet.studies import mnist
    from scratchnet.studies.mnist_images import inputs, targets
    from scratchnet.studies.mnist_networks import RECIPES

    recipe, options = RECIPES["sprint"], mnist.PRESETS["sprint"]
    images = load_mnist("mnist", data_dir or None)
    order = np.random.default_rng([seed, 1]).permutation(len(images.train_images))[options.valid :]
    x, t = inputs(images.train_images[order], recipe, "float32"), targets(images.train_labels[order], recipe, "float32")
    x_test, t_test = inputs(images.test_images, recipe, "float32"), images.test_labels
    net = mnist.network(dataclasses.replace(options, seed=seed))
    schedule = parse_schedule(options.schedule, options.lr, options.epochs)
    steps = -(-len(x) // options.batch_size)
    sizes = [x[: options.batch_size], x[: len(x) - (steps - 1) * options.batch_size]]
    step, predict = {"scratchnet": ours, "PyTorch": pytorch, "JAX": jax_}[engine](net, sizes, t)
    places = [(epoch, k) for epoch in range(options.epochs) for k in range(steps)]
    spent, done, orders = 0.0, 0, [order_of(seed, epoch, len(x)) for epoch in range(options.epochs)]
    print(json.dumps({"parts": PARTS * options.epochs, "steps": len(places)}), flush=True)
    for line in sys.stdin:
        until = round(len(places) * int(line) / (PARTS * options.epochs))
        start = process_time()
        for epoch, k in places[done:until]:
            batch = orders[epoch][k * options.batch_size : (k + 1) * options.batch_size]
            step(x[batch], t[batch], rate_of(schedule, epoch, k, steps))
        spent, done = spent + process_time() - start, until
        y = np.concatenate([predict(x_test[j : j + 1_000]) for j in range(0, len(x_test), 1_000)])
        print(json.dumps([spent, 100 * float((y.argmax(1) == t_test).mean())]), flush=True)


# ------------------------------------------------------------------ asking and telling


def train(engines: Sequence[str], seed: int, options: Options) -> list[Curve]:
    """One training with each engine, part by part in turn."""
    words = (str(seed), options.data_dir, *map(str, timing.idle_cores(1)))
    env = environment(options.isa)
    children = {name: timing.Process("benchmarks.sprint", "--child", name, *words, env=env) for name in engines}
    ready = {name: json.loads(process.answer()) for name, process in children.items()}
    curves = {name: Curve(name, seed, [], []) for name in engines}
    parts = ready[engines[0]]["parts"]
    for part in range(1, parts + 1):
        for name, process in children.items():
            assert process.child.stdin is not None
            process.child.stdin.write(f"{part}\n")
            seconds, accuracy = json.loads(process.answer())
            curves[name].seconds.append(seconds)
            curves[name].accuracy.append(accuracy)
        now = ", ".join(f"{name} {c.accuracy[-1]:.2f} % after {c.seconds[-1]:.2f} s" for name, c in curves.items())
        print(f"seed {seed}, part {part} of {parts}: {now}", flush=True)
    for process in children.values():
        process.end()
    return list(curves.values())


def table(curves: Sequence[Curve]) -> str:
    """Mean seconds to each target, of the trainings that reach it, and the end."""
    lines = ["| engine | " + " | ".join(f"to {p} %" for p in TARGETS) + " | whole training | test accuracy |"]
    lines.append("| --- |" + " ---: |" * (len(TARGETS) + 2))
    for name in dict.fromkeys(curve.engine for curve in curves):
        mine = [curve for curve in curves if curve.engine == name]
        cells = [name]
        for percent in TARGETS:
            reached = [s for s in (curve.until(percent) for curve in mine) if s is not None]
            few = f" ({len(reached)} of {len(mine)})" if 0 < len(reached) < len(mine) else ""
            cells.append(f"{mean(reached):.2f} s{few}" if reached else "–")
        cells.append(f"{mean([curve.seconds[-1] for curve in mine]):.2f} s")
        cells.append(f"{mean([curve.accuracy[-1] for curve in mine]):.2f} %")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def draw(curves: Sequence[Curve], device: str, path: Path) -> None:
    """% of the test images over the seconds of training, a colour for each engine.

    Several trainings of an engine are thin lines, and their mean a thick one.
    """
    from scratchnet.plots.style import COLOURS, GREY, new_figure, save, style

    fig = new_figure("MNIST against the clock: one recipe in three engines", device, width=8, height=4.2)
    ax = style(fig.subplots(), "test accuracy, %", "seconds of training")
    for percent in TARGETS:
        ax.axhline(percent, color=GREY, lw=0.8, ls=":")
    for k, name in enumerate(dict.fromkeys(curve.engine for curve in curves)):
        mine = [curve for curve in curves if curve.engine == name]
        for curve in mine[: len(mine) * (len(mine) > 1)]:
            ax.plot(curve.seconds, curve.accuracy, color=COLOURS[k], lw=0.7, alpha=0.35)
        seconds, accuracy = ([mean(part) for part in zip(*lists, strict=True)]
                             for lists in ([c.seconds for c in mine], [c.accuracy for c in mine]))  # fmt: skip
        end = f"{name}: {accuracy[-1]:.2f} % after {seconds[-1]:.1f} s"
        ax.plot(seconds, accuracy, color=COLOURS[k], lw=2, marker="o", ms=3.5, label=end)
    ax.set_ylim(95, 99.5)
    ax.set_xlim(left=0)
    ax.legend(frameon=False, loc="lower right")
    save(fig, path)


def main(args: Sequence[str]) -> int:
    options = parse(Options, args, "benchmarks/sprint.py")
    engines = [known(name, list(ENGINES), "engine") for name in options.engines] or list(ENGINES)
    device = timing.cpu_name()
    curves: list[Curve] = []
    load = timing.load()
    for seed in options.seeds or (0,):
        curves += train(engines, seed, options)
    held = "" if options.isa == "native" else f", held to {options.isa.upper()}"
    seeds = ", ".join(map(str, options.seeds))
    about = f"{device}{held}, one core, load {load}, seed{'s' * (len(options.seeds) > 1)} {seeds}"
    text = f"{about}: seconds of training\n\n{table(curves)}\n"
    print(text)
    stem = options.out / f"sprint-{timing.file_name(device)}{'' if options.isa == 'native' else '-avx2'}"
    timing.write_json(Path(f"{stem}.json"), {"about": about, "curves": [asdict(curve) for curve in curves]})
    Path(f"{stem}.md").write_text(text)
    draw(curves, f"{device}{held}, one core", Path(f"{stem}.png"))
    print(f"wrote {stem}.json, .md and .png")
    return 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2], int(sys.argv[3]), sys.argv[4], *map(int, sys.argv[5:]))
    else:
        timing.command(main, lambda _: None)
