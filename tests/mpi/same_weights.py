"""Run by mpiexec: 100 steps on all ranks and, beside it, in one process; prints the differences.

`optimisers`: every optimiser with every loss. `studies`: the network of every preset of every study with its own loss
and optimiser. Some batches have fewer examples than there are ranks, most do not divide evenly, and the random numbers
of dropout and of random crops must not depend on the number of ranks.
"""

import hashlib
import importlib
import json
import sys
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import scipy.sparse

import scratchnet as sn
from scratchnet.distributed import Ranks
from scratchnet.metrics import outputs
from scratchnet.studies.run import optimiser_of
from scratchnet.training import order_of

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
STUDIES = ("mnist", "cifar10", "tables", "tweets", "waveforms", "flights", "memory", "chars")


def network():
    return sn.Sequential(
        sn.Linear(20, 30),
        sn.ReLU(),
        sn.Dropout(0.3),
        sn.Linear(30, 12),
        sn.Sigmoid(),
        sn.Linear(12, 5),
        dtype="float64",
    )


def optimisers() -> Iterator[tuple]:
    """(name, two equal networks, loss, their optimisers, examples, targets, sizes of the batches)."""
    rng = np.random.default_rng(0)
    x, labels, values = rng.normal(size=(N, 20)), rng.integers(0, 5, N), rng.normal(size=(N, 5))
    for name, make in OPTIMISERS.items():
        for loss in LOSSES:
            lr = 0.1 if loss.averages else 0.001  # a sum at 0.1 diverges, and then rounding grows without bound
            nets = network(), network()
            sizes = [rng.integers(1, 64) if s % 3 else rng.integers(1, 4) for s in range(STEPS)]
            yield (
                f"{name}, {loss}",
                nets,
                loss,
                [make(n, lr) for n in nets],
                x,
                labels if loss.takes_labels else values,
                sizes,
            )


def studies() -> Iterator[tuple]:
    """The same of every preset of every study."""
    rng = np.random.default_rng(0)
    for study in STUDIES:
        module = importlib.import_module(f"scratchnet.studies.{study}")
        first, second = module.networks(), module.networks()
        for preset in first:
            net, shape, loss = first[preset]
            nets = net, second[preset][0]
            options = replace(module.PRESETS.get(preset, module.PRESETS["default"]), dtype="float64")
            x = rng.normal(size=(N, *shape))
            if study == "mnist":
                x = x**4 / 12  # many small, few large, as pixels are; a rate of 0.5 is too high for others
            elif study == "memory":
                x = x[:, :10]  # an RNN over 50 steps makes 0.1 of one changed last bit, in one process too
            elif study == "tweets":
                x = scipy.sparse.csr_array(np.maximum(np.round(x), 0))
            y = outputs(net, x[:2])
            targets = (
                rng.integers(0, y.shape[-1], (N, *y.shape[1:-1]))
                if loss.takes_labels
                else rng.random((N, *y.shape[1:]))
            )
            most = 10 if len(shape) == 3 else 40
            sizes = [rng.integers(4, most) if s % 3 != 2 else rng.integers(2, 4) for s in range(STEPS)]
            yield f"{study}, {preset}", nets, loss, [optimiser_of(n, options) for n in nets], x, targets, sizes


def main():
    rows = []
    with Ranks() as ranks:
        cases = {"optimisers": optimisers, "studies": studies}[sys.argv[1]]
        for name, (alone, together), loss, (one, many), x, target, sizes in cases():
            worst_loss, same_bits = 0.0, True
            for s, size in enumerate(sizes):
                batch = order_of(0, s, N)[:size]
                a = float(sn.step(alone, loss, one, x[batch], target[batch]))
                b = ranks.step(together, loss, many, x, target, batch)
                worst_loss = max(worst_loss, abs(a - b) / max(1.0, abs(a)))
                state = np.concatenate([together.store.values, together.store.fixed, *many.state().values()])
                bits = hashlib.sha256(state.tobytes()).hexdigest()
                same_bits &= len(set(ranks.comm.allgather(bits))) == 1
            difference = max(np.abs(p.value - together.params[k].value).max() for k, p in alone.params.items())
            rows.append([name, float(difference), worst_loss, same_bits, bits])
        if ranks.rank == 0:
            json.dump(rows, sys.stdout)


if __name__ == "__main__":
    main()
