"""Run by mpiexec: 100 steps on all ranks and in one process; prints the differences.

`optimisers`: every optimiser with every loss, on a network with dropout and on one with
batch normalisation. `studies`: the networks of all studies with their own data, loss,
optimiser, learning rate and batch size, on three batches of examples and two more
examples, so that the last batch of an epoch has fewer examples than there are ranks.
The random numbers of dropout and random crops must not depend on the number of ranks.

Some trainings multiply every rounding error by a factor in every step, wherever it
comes from. The controls show that: one process again, with the examples of every batch
in another order, which changes nothing except the rounding. `step by step` shows that
the ranks have no part in it: every step is compared from the same weights.
"""

import hashlib
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

import scratchnet as sn
from scratchnet.data.digits import load_digits
from scratchnet.engine.optim import Optimiser
from scratchnet.engine.schedules import parse_schedule
from scratchnet.engine.training import order_of
from scratchnet.runs.ranks import Ranks
from scratchnet.runs.run import optimiser_of
from scratchnet.runs.shared import shared

N, STEPS = 230, 100
OPTIMISERS = {
    "sgd": sn.SGD,
    "momentum": lambda net, lr: sn.SGD(net, lr, 0.9, 1e-3),
    "nesterov": lambda net, lr: sn.SGD(net, lr, 0.9, 1e-3, nesterov=True),
    "clipped": lambda net, lr: sn.SGD(net, lr, 0.9, clip_norm=0.1),
    "adam": lambda net, lr: sn.Adam(net, weight_decay=1e-3),
    "adamw": lambda net, lr: sn.AdamW(net),
}
LOSSES = [sn.CrossEntropyLoss(), sn.MSELoss(), sn.MSELoss("sum"), sn.QuadraticCost()]
UNSTABLE = ("adding, RNN", "copy, LSTM")  # rounding grows here, as the controls show
CONTROLS = 3


@dataclass
class Case:
    name: str
    network: Callable[[], sn.Sequential]
    loss: Any
    optimiser: Callable[[sn.Sequential], Optimiser]
    x: Any
    target: np.ndarray
    batches: list[np.ndarray]
    rates: list[float] = field(default_factory=list)  # of every step; none: as the optimiser has it


def optimisers() -> Iterator[Case]:
    rng = np.random.default_rng(0)
    x, labels, values = rng.normal(size=(N, 20)), rng.integers(0, 5, N), rng.normal(size=(N, 5))

    def network(normalised: bool) -> sn.Sequential:
        second = sn.BatchNorm1d(30) if normalised else sn.Dropout(0.3)
        layers = (
            sn.Linear(20, 30, bias=not normalised),
            second,
            sn.ReLU(),
            sn.Linear(30, 12),
            sn.Sigmoid(),
            sn.Linear(12, 5),
        )
        return sn.Sequential(*layers, dtype="float64")

    for name, make in OPTIMISERS.items():
        for loss in LOSSES:
            for normalised in (False, True):
                lr = 0.1 if loss.averages else 0.001  # a sum at 0.1 diverges
                few = (5, 8) if normalised else (1, 4)  # the mean of two examples normalises them to ±1, whatever it is
                sizes = [rng.integers(few[0], 64) if s % 3 else rng.integers(*few) for s in range(STEPS)]
                yield Case(
                    f"{name}, {loss}" + ", BatchNorm1d" * normalised,
                    lambda normalised=normalised: network(normalised),
                    loss,
                    lambda net, make=make, lr=lr: make(net, lr),
                    x,
                    labels if loss.takes_labels else values,
                    [order_of(0, s, N)[:size] for s, size in enumerate(sizes)],
                )


def study(name: str, network: Callable[[], sn.Sequential], loss: Any, o: Any, x: Any, target: Any) -> Case:
    """A case with a study's options: three whole batches and a last one of two
    examples.
    """
    n = min(3 * o.batch_size + 2, x.shape[0])
    per_epoch = -(-n // o.batch_size)
    epochs, ours = o.epochs or 4, -(-STEPS // per_epoch)
    rate = parse_schedule(o.schedule, o.lr, epochs)
    batches = [order_of(o.seed, e, n)[k : k + o.batch_size] for e in range(ours) for k in range(0, n, o.batch_size)]
    rates = [float(rate(s // per_epoch * epochs // ours)) for s in range(STEPS)]
    return Case(name, network, loss, lambda net: optimiser_of(net, o), x[:n], target[:n], batches[:STEPS], rates)


def studies() -> Iterator[Case]:
    from scratchnet.data.flights import FIRST_YEAR, load_flights
    from scratchnet.engine.crossvalidation import Standardiser, take
    from scratchnet.studies import bags, chars, cifar10, flights, memory, mnist, small, tables, tweets, waveforms
    from scratchnet.studies.mnist_images import inputs, targets
    from scratchnet.studies.mnist_networks import RECIPES

    def options(module: Any) -> list[tuple[str, Any]]:
        return [(preset, replace(o, dtype="float64")) for preset, o in module.PRESETS.items()]

    rng = np.random.default_rng(0)
    digits = load_digits(0, 1_000, 1)
    for preset, o in options(mnist):
        recipe = RECIPES[preset]
        x, t = inputs(digits.train_images, recipe, o.dtype), targets(digits.train_labels, recipe, o.dtype)
        yield study(f"mnist, {preset}", lambda o=o: mnist.network(o), recipe.loss(), o, x, t)
    labels = rng.integers(0, 10, 200)
    pictures = rng.integers(0, 128, (10, 3, 32, 32))[labels] + rng.integers(0, 128, (200, 3, 32, 32))
    for preset, o in options(cifar10):
        x = cifar10.prepare(pictures, o.dtype)
        yield study(f"cifar10, {preset}", lambda p=preset: cifar10.networks()[p][0], cifar10.loss_of(preset), o, x,
                    labels)  # fmt: skip
    for preset, o in options(tables):
        table, loss = tables.load_table("iris", o), tables.loss_of(o)
        order = rng.permutation(len(table.labels))
        x, t = Standardiser(table.values)(table.values)[order], table.labels[order]
        yield study(f"iris, {preset}", lambda o=o: tables.network(tables.layers_of(4, 3, o), o), loss, o, x,
                    t if loss.takes_labels else np.eye(3)[t])  # fmt: skip
    for preset, o in options(tweets):
        _, data = tweets.load(o)
        order, loss = rng.permutation(len(data.labels)), tweets.loss_of(o)
        words = take(tweets.words_of(data, o), order)
        vocabulary, t = bags.Vocabulary(words), data.labels[order]
        V = len(vocabulary.word_dict)
        yield study(f"tweets, {preset}", lambda o=o, V=V: small.network(bags.layers_of(V, 2, o), o), loss, o,
                    vocabulary(words), t if loss.takes_labels else np.eye(2)[t])  # fmt: skip
    [(_, o)] = options(waveforms)
    power, labels = waveforms.mixed(rng, 1_000)
    order, echoes = rng.permutation(1_000), waveforms.sea(rng, 1_000)
    yield study("waveforms, classifier", lambda o=o: waveforms.classifier(o), sn.CrossEntropyLoss(), o,
                waveforms.as_input(power[order]), labels[order])  # fmt: skip
    yield study("waveforms, height", lambda o=o: waveforms.height_network(o), sn.MSELoss(), o,
                waveforms.as_input(echoes.power), waveforms.to_target(echoes.swh))  # fmt: skip
    along = waveforms.passes(rng, 50, waveforms.STEPS).swh
    seen = waveforms.to_target(along + rng.normal(0, 0.25, along.shape))
    o = replace(o, lr=o.tracker_lr, batch_size=o.batch_size // 8, clip_norm=1.0)
    yield study("waveforms, tracker", lambda o=o: waveforms.tracker(o), sn.MSELoss(), o, seen,
                waveforms.to_target(along))  # fmt: skip
    for preset, o in options(flights):
        _, x, t = flights.prepare(load_flights(), flights.YEAR * (o.year - FIRST_YEAR), o)
        yield study(f"flights, {preset}", lambda o=o: flights.network(o), sn.MSELoss(), o, x, t)
    [(_, o)] = options(memory)
    for task, length in memory.LENGTHS.items():
        x, t = memory.TASKS[task](100, length, rng)
        for layer in memory.LAYERS:
            yield study(f"{task}, {layer}", lambda task=task, layer=layer, o=o: memory.network(task, layer, o),
                        memory.loss_of(task), o, x, t)  # fmt: skip
    o = dict(options(chars))["default"]
    text = np.cumsum(rng.integers(0, 3, (100, o.length + 1)), axis=1) % 10
    yield study("chars", lambda: chars.networks()["default"][0], sn.CrossEntropyLoss(classes="last"), o,
                np.eye(10)[text[:, :-1]], text[:, 1:])  # fmt: skip


class Training:
    """A network with its optimiser."""

    def __init__(self, case: Case) -> None:
        self.net = case.network()
        self.optimiser = case.optimiser(self.net)

    def state(self) -> np.ndarray:
        return np.concatenate([self.net.store.values, self.net.store.fixed, *self.optimiser.state().values()])

    def far_from(self, other: "Training") -> float:
        """The largest difference of a weight or a running statistic."""
        pairs = zip(self.net.params.values(), other.net.params.values(), strict=True)
        return float(max(np.abs(p.value - q.value).max() for p, q in pairs))

    def become(self, other: "Training") -> None:
        self.net.load_state_dict(other.net.state_dict())
        for name, a in other.optimiser.state().items():
            self.optimiser.state()[name][...] = a
        self.optimiser.steps = other.optimiser.steps


class InAnotherOrder(Training):
    """Trained on the examples of every batch in another order, with their random
    numbers.
    """

    def __init__(self, case: Case, seed: int) -> None:
        super().__init__(case)
        self.rng, self.order, draw = np.random.default_rng(seed), np.arange(0), self.optimiser.uniform
        self.optimiser.uniform = lambda like: draw(like)[..., self.order]

    def of(self, batch: np.ndarray) -> np.ndarray:
        self.order = self.rng.permutation(len(batch))
        return batch[self.order]


def shared_step(ranks: Ranks, net: Any, loss: Any, optimiser: Any, x: Any, target: Any, batch: Any) -> float:
    """One step of all ranks on the examples `batch` of x and target."""
    steps, losses = shared(ranks)(net, loss, optimiser, x, target, len(batch)), np.zeros(1)
    steps.begin(batch, losses)
    steps.run(1)
    return float(losses[0])


def run(case: Case, ranks: Ranks) -> dict[str, Any]:
    unstable = case.name in UNSTABLE
    alone, together, fresh = Training(case), Training(case), Training(case)
    controls = [InAnotherOrder(case, seed) for seed in range(CONTROLS * unstable)]
    worst_loss = worst_step = 0.0
    same_bits = True
    for s, batch in enumerate(case.batches):
        for one in (alone, together, fresh, *controls):
            one.optimiser.lr = case.rates[s] if case.rates else one.optimiser.lr
        if unstable:
            fresh.become(alone)
            shared_step(ranks, fresh.net, case.loss, fresh.optimiser, case.x, case.target, batch)
        for control in controls:
            other = control.of(batch)
            sn.step(control.net, case.loss, control.optimiser, case.x[other], case.target[other])
        a = float(sn.step(alone.net, case.loss, alone.optimiser, case.x[batch], case.target[batch]))
        b = shared_step(ranks, together.net, case.loss, together.optimiser, case.x, case.target, batch)
        worst_loss = max(worst_loss, abs(a - b) / max(1.0, abs(a)))
        worst_step = max(worst_step, fresh.far_from(alone)) if unstable else 0.0
        bits = hashlib.sha256(together.state().tobytes()).hexdigest()
        same_bits &= len(set(ranks.comm.allgather(bits))) == 1
    return {"name": case.name, "unstable": unstable, "difference": together.far_from(alone), "loss": worst_loss,
            "control": max((c.far_from(alone) for c in controls), default=0.0), "step by step": worst_step,
            "moved": alone.far_from(Training(case)), "same bits": same_bits, "bits": bits}  # fmt: skip


def main() -> None:
    what, wanted = sys.argv[1], sys.argv[2:]  # names of cases; none: all
    cases = {"optimisers": optimisers, "studies": studies}[what]()
    with Ranks() as ranks:
        rows = [run(case, ranks) for case in cases if not wanted or case.name in wanted]
        if ranks.rank == 0:
            json.dump(rows, sys.stdout)


if __name__ == "__main__":
    main()
