"""This engine: on NumPy or CuPy, by the device."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from threadpoolctl import ThreadpoolController

import scratchnet as sn
from benchmarks.engines import Missing, Trainer
from benchmarks.timing import cores
from benchmarks.workloads import Workload
from scratchnet.backend import add_product, choose_threads, dot
from scratchnet.errors import DeviceError
from scratchnet.kernels import CompiledSteps, GraphSteps, Steps, compiled_steps, supported
from scratchnet.losses import Loss
from scratchnet.optim import Optimiser
from scratchnet.training import work_of

LOSSES: dict[str, Loss] = {
    "sse": sn.MSELoss(reduction="sum"),
    "mse": sn.MSELoss(),
    "cross-entropy": sn.CrossEntropyLoss(),
    "nll": sn.NLLLoss(),
}


def optimiser_of(work: Workload, net: sn.Sequential) -> Optimiser:
    return sn.Adam(net, lr=work.lr) if work.optimiser == "adam" else sn.SGD(net, lr=work.lr, momentum=work.momentum)


def train(work: Workload, device: str) -> "Trainer | ManySteps":
    try:
        net = sn.Sequential(*work.layers(), seed=work.seed, device=device)
    except DeviceError as e:
        raise Missing(str(e)) from None
    batches = [(sparse(x) if work.sparse else net.xp.asarray(x), net.xp.asarray(t)) for x, t in work.batches()]
    threads = Threads(choose_threads("auto", work_of(net, work.batches()[0][0], work.batch)))

    def finish() -> None:
        threads.restore()
        if device == "cuda":
            net.xp.cuda.get_current_stream().synchronize()

    if work.optimiser is None:
        return Trainer(batches, lambda x, t: net(x), finish, begin=threads.limit)
    loss, optimiser = LOSSES[work.loss], optimiser_of(work, net)
    if device == "cuda" and work.batch == 1:
        return ManySteps(GraphSteps, net, loss, optimiser, batches, finish)

    def step(x: Any, t: Any) -> None:
        sn.step(net, loss, optimiser, x, t)

    return Trainer(batches, step, finish, lambda: list(net.state_dict().values()), threads.limit)


def train_compiled(work: Workload, device: str) -> "ManySteps":
    """The steps that `scratchnet.fit` compiles: one example each, of fully connected layers."""
    if not compiled_steps.installed():
        raise Missing("numba is not installed")
    net = sn.Sequential(*work.layers(), seed=work.seed)
    if work.optimiser is None:
        raise Missing("it is for training")
    loss, optimiser = LOSSES[work.loss], optimiser_of(work, net)
    why = supported(net, loss, optimiser, work.batch)
    if why:
        raise Missing(why)
    return ManySteps(CompiledSteps, net, loss, optimiser, work.batches(), lambda: None)


ROUNDS = 125  # times that `ManySteps` has the batches one after another


class ManySteps:
    """A Trainer whose steps, of one example, are made as `scratchnet.fit` makes them: a hundred at a time."""

    def __init__(self, kind: type[Steps], net: sn.Sequential, loss: Loss, optimiser: Optimiser, batches: list,
                 finish: Callable[[], None]) -> None:  # fmt: skip
        x, t = (net.xp.concatenate([batch[k] for batch in batches] * ROUNDS) for k in (0, 1))
        self.many, self.net, self.finish = kind(net, loss, optimiser, x, t), net, finish
        self.order = net.xp.arange(len(x))
        self.losses = net.xp.empty(len(x), net.dtype)
        lr, optimiser.lr = optimiser.lr, 0.0  # what is compiled or recorded is so here, and no weight changes
        self(100)
        self(111)
        optimiser.lr = lr

    def __call__(self, n: int) -> None:
        while n > 0:
            self.many.begin(self.order, self.losses)
            part = min(n, len(self.order))
            n -= part
            while part > 0:
                part -= self.many.run(min(part, 100))
        self.finish()

    def weights(self) -> list[np.ndarray]:
        return list(self.net.state_dict().values())


class Threads:
    """The engine's own choice of BLAS threads, as `scratchnet.fit` makes it once around its loop."""

    def __init__(self, threads: int) -> None:
        self.threads, self.controller, self.limits = threads, ThreadpoolController(), None

    def limit(self) -> None:
        if cores() > 1:
            self.limits = self.controller.limit(limits=self.threads, user_api="blas")

    def restore(self) -> None:
        if self.limits is not None:
            self.limits.restore_original_limits()


def sparse(x: np.ndarray) -> Any:
    from scipy.sparse import csr_array

    return csr_array(x)


def products(work: Workload, device: str) -> Trainer:
    """The matrix products of a step and nothing else, each as this engine makes it."""
    rng = np.random.default_rng(0)

    def matrix(*shape: int) -> np.ndarray:
        return rng.random(shape, dtype=np.float32)

    calls = []
    for k, (out, inner, n, times) in enumerate(work.products()):
        W, G, a, delta = matrix(out, inner), matrix(out, inner), matrix(n, inner), matrix(out, n)
        a = a.T if k == 0 and len(work.shape) == 1 else np.ascontiguousarray(a.T)  # the user's rows, turned
        calls += [partial(dot, W, a)] * times
        if work.optimiser is None:
            continue
        if k > 0:
            calls += [partial(dot, W.T, delta)] * times
        A, D = np.tile(a, times), np.tile(delta, times)
        add = work.optimiser == "sgd"  # Adam needs the gradient itself
        calls.append(partial(add_product, W, D, a if times == 1 else A, 1e-9) if add else partial(dot, D, A.T, G))

    def step(x: Any, t: Any) -> None:
        for call in calls:
            call()

    return Trainer([(None, None)], step)
