"""This engine: on NumPy or CuPy, by the device."""

from typing import Any

import scratchnet as sn
from benchmarks.engines import Missing, Trainer
from benchmarks.workloads import Workload
from scratchnet.errors import DeviceError
from scratchnet.losses import Loss
from scratchnet.optim import Optimiser

LOSSES: dict[str, Loss] = {
    "sse": sn.MSELoss(reduction="sum"),
    "mse": sn.MSELoss(),
    "cross-entropy": sn.CrossEntropyLoss(),
    "nll": sn.NLLLoss(),
}


def optimiser_of(work: Workload, net: sn.Sequential) -> Optimiser:
    return sn.Adam(net, lr=work.lr) if work.optimiser == "adam" else sn.SGD(net, lr=work.lr, momentum=work.momentum)


def train(work: Workload, device: str) -> Trainer:
    try:
        net = sn.Sequential(*work.layers(), seed=work.seed, device=device)
    except DeviceError as e:
        raise Missing(str(e)) from None
    batches = [(net.xp.asarray(x), net.xp.asarray(t)) for x, t in work.batches()]

    def finish() -> None:
        if device == "cuda":
            net.xp.cuda.get_current_stream().synchronize()

    if work.optimiser is None:
        return Trainer(batches, lambda x, t: net(x), finish)
    loss, optimiser = LOSSES[work.loss], optimiser_of(work, net)

    def step(x: Any, t: Any) -> None:
        sn.step(net, loss, optimiser, x, t)

    return Trainer(batches, step, finish, lambda: list(net.state_dict().values()))
