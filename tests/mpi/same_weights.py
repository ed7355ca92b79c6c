"""Run by mpiexec: every optimiser for 100 steps on all ranks and, beside it, in one process; prints the differences.

Batches of 1 to 64 examples, so that some have fewer examples than there are ranks, and dropout, whose masks must not
depend on the number of ranks.
"""

import hashlib
import json
import sys

import numpy as np

import scratchnet as sn
from scratchnet.distributed import Ranks
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


def main():
    rng = np.random.default_rng(0)
    x, labels, values = rng.normal(size=(N, 20)), rng.integers(0, 5, N), rng.normal(size=(N, 5))
    rows = []
    with Ranks() as ranks:
        for name, make in OPTIMISERS.items():
            for loss in LOSSES:
                target = labels if loss.takes_labels else values
                alone, together = network(), network()
                lr = 0.1 if loss.averages else 0.001  # a sum at 0.1 diverges, and then rounding grows without bound
                one, many = make(alone, lr), make(together, lr)
                worst_loss, same_bits = 0.0, True
                for s in range(STEPS):
                    batch = order_of(0, s, N)[: rng.integers(1, 64) if s % 3 else rng.integers(1, 4)]
                    a = float(sn.step(alone, loss, one, x[batch], target[batch]))
                    b = ranks.step(together, loss, many, x, target, batch)
                    worst_loss = max(worst_loss, abs(a - b) / max(1.0, abs(a)))
                    bits = hashlib.sha256(together.store.values.tobytes()).hexdigest()
                    same_bits &= len(set(ranks.comm.allgather(bits))) == 1
                difference = np.abs(alone.store.values - together.store.values).max()
                rows.append([name, str(loss), float(difference), worst_loss, same_bits, bits])
        if ranks.rank == 0:
            json.dump(rows, sys.stdout)


if __name__ == "__main__":
    main()
