"""Run by mpiexec: on the last rank, one thing after another is not as it should be.

Prints what each rank was told. The comparison after each of them shows that all ranks
are still in step.
"""

import json
import sys
from dataclasses import replace

import numpy as np

import scratchnet as sn
from scratchnet.errors import RanksError
from scratchnet.runs.agreement import of_options, of_program
from scratchnet.runs.ranks import Ranks
from scratchnet.runs.shared import shared
from scratchnet.studies.tables import PRESETS

OPTIONS = {"lr": 0.5, "seed": 7, "epochs": 3, "batch_size": 5, "hidden": "9,9", "dtype": "float64", "momentum": 0.5,
           "optimizer": "sgd", "schedule": "exponential:0.9", "folds": 4}  # fmt: skip
SETTINGS = {"epochs": 2, "batch_size": 30, "seed": 5, "schedule": sn.Constant(0.2), "shuffle": False}
ALLOWED = {"threads": "2", "data_dir": "elsewhere", "out": "elsewhere", "plots": False}


def options(ranks, odd):
    usual = PRESETS["default"]
    mine = replace(usual, **{odd: {**OPTIONS, **ALLOWED}[odd]}) if ranks.rank == ranks.size - 1 else usual
    ranks.compare(of_options("iris", mine), "advice")


def program(ranks, odd):
    mine = of_program()
    ranks.compare(mine | {odd: "0.0.0"} if ranks.rank == ranks.size - 1 else mine, "advice")


def training(ranks, odd):
    """The arguments of `fit`, of which the last rank has one that is odd."""
    wrong = odd if ranks.rank == ranks.size - 1 else ""
    n = 50 if wrong == "examples" else 60
    rng = np.random.default_rng(0)
    x, t = rng.normal(size=(n, 4)).astype("f4"), rng.integers(0, 3, n)
    if wrong == "data":
        x[-1, -1] += 1
    if wrong == "targets":
        t[0] = (t[0] + 1) % 3
    hidden, dtype = 6 if wrong == "hidden" else 5, "float64" if wrong == "dtype" else "float32"
    layers = [sn.Linear(4, hidden), sn.Tanh(), sn.Linear(hidden, 3)]
    net = sn.Sequential(*layers, dtype=dtype)
    optimiser = sn.SGD(net, 0.1, 0.5 if wrong == "momentum" else 0.9)
    if wrong == "velocity":
        optimiser.v[0] = 1
    if wrong == "initial weights":
        net.load_state_dict({name: value + (name == "0.bias") for name, value in net.state_dict().items()})
    settings = {"epochs": 1, "batch_size": 20, "seed": 0, "schedule": sn.Constant(0.1), "shuffle": True}
    if wrong in SETTINGS:
        settings[wrong] = SETTINGS[wrong]
    sn.fit(net, sn.CrossEntropyLoss(), optimiser, x, t, steps=shared(ranks), **settings)


CASES = {
    options: [*OPTIONS, *ALLOWED],
    program: ["Python", "NumPy", "scratchnet"],
    training: ["", *SETTINGS, "momentum", "hidden", "dtype", "examples", "data", "targets", "initial weights",
               "velocity"],
}  # fmt: skip


def main():
    ranks, told = Ranks(), {}
    for kind, names in CASES.items():
        for name in names:
            try:
                kind(ranks, name)
                told[f"{kind.__name__}: {name}"] = ""
            except RanksError as e:
                told[f"{kind.__name__}: {name}"] = str(e)
    everywhere = ranks.comm.gather(told)
    if ranks.rank == 0:
        json.dump(everywhere, sys.stdout)


if __name__ == "__main__":
    main()
