"""This engine: on NumPy or CuPy, by the device."""

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Any

import numpy as np

import scratchnet as sn
from benchmarks.engines import Missing, Trainer
from benchmarks.timing import cores
from benchmarks.workloads import Workload
from scratchnet.backend.products import add_product, dot, dot_transposed
from scratchnet.backend.threads import blas_threads, choose_threads
from scratchnet.engine import compiling
from scratchnet.engine.kernels import compile_parts, kind_of_steps
from scratchnet.engine.losses import Loss
from scratchnet.engine.optim import Optimiser
from scratchnet.engine.steps import Steps
from scratchnet.errors import DeviceError

LOSSES: dict[str, Loss] = {
    "sse": sn.MSELoss(reduction="sum"),
    "mse": sn.MSELoss(),
    "cross-entropy": sn.CrossEntropyLoss(),
    "nll": sn.NLLLoss(),
}

LONG = 10**9  # steps in a training long enough to be worth any preparation
ROUNDS = 125  # how often `ManySteps` goes through the batches


def optimiser_of(work: Workload, net: sn.Sequential) -> Optimiser:
    return sn.Adam(net, lr=work.lr) if work.optimiser == "adam" else sn.SGD(net, lr=work.lr, momentum=work.momentum)


def train(work: Workload, device: str) -> "Trainer | ManySteps":
    """The readable step, `scratchnet.step`.

    On a GPU it is what `scratchnet.fit` does there, where that is something else.
    """
    net = network(work, device)
    if work.optimiser is None:
        return one_by_one(work, net, lambda x, t: net(x))
    loss, optimiser = LOSSES[work.loss], optimiser_of(work, net)
    if device == "cuda" and (many := kind(work, net, loss, optimiser)) is not Steps:
        return ManySteps(many, net, loss, optimiser, work)
    return one_by_one(work, net, lambda x, t: sn.step(net, loss, optimiser, x, t))


def train_compiled(work: Workload, device: str) -> "Trainer | ManySteps":
    """What `scratchnet.fit` does in a long training if Numba is installed."""
    if not compiling.installed():
        raise Missing("numba is not installed")
    if work.optimiser is None:
        raise Missing("it is for training")
    net = network(work, device)
    loss, optimiser = LOSSES[work.loss], optimiser_of(work, net)
    many = kind(work, net, loss, optimiser)
    if many is not Steps:
        return ManySteps(many, net, loss, optimiser, work)
    compile_parts(optimiser, LONG)
    if not isinstance(optimiser, sn.Adam):
        raise Missing("nothing of it is compiled")
    return one_by_one(work, net, lambda x, t: sn.step(net, loss, optimiser, x, t))


def kind(work: Workload, net: sn.Sequential, loss: Loss, optimiser: Optimiser) -> type[Steps]:
    """How `scratchnet.fit` makes the steps of a long training."""
    x, t = work.batches()[0]
    plain = Steps(net, loss, optimiser, sparse(x) if work.sparse else x, t, work.batch)
    return kind_of_steps(plain, LONG, threads_of(work, net))


def network(work: Workload, device: str) -> sn.Sequential:
    try:
        return sn.Sequential(*work.layers(), seed=work.seed, device=device)
    except DeviceError as e:
        raise Missing(str(e)) from None


def threads_of(work: Workload, net: sn.Sequential) -> int:
    """The engine's own choice of BLAS threads."""
    return choose_threads("auto", net.work(work.batches()[0][0]))


def finish(net: sn.Sequential) -> None:
    if net.device == "cuda":
        net.xp.cuda.get_current_stream().synchronize()


def one_by_one(work: Workload, net: sn.Sequential, step: Callable[[Any, Any], object]) -> Trainer:
    """A Trainer of a step, or a prediction, in Python."""
    batches = [(sparse(x) if work.sparse else net.xp.asarray(x), net.xp.asarray(t)) for x, t in work.batches()]
    threads = Threads(threads_of(work, net))

    def end() -> None:
        threads.restore()
        finish(net)

    return Trainer(batches, step, end, lambda: list(net.state_dict().values()), threads.limit)


class ManySteps:
    """A Trainer that makes many steps at a time, as `scratchnet.fit` does."""

    def __init__(self, kind: type[Steps], net: sn.Sequential, loss: Loss, optimiser: Optimiser, work: Workload) -> None:
        batches, rounds = work.batches(), ROUNDS
        if net.device == "cuda" and work.batch > 1:  # more than a graph's hundred steps, in little memory
            rounds = 100 // len(batches) + 1
        repeat = rounds if net.device == "cuda" else 1
        x, t = (net.xp.asarray(np.concatenate([batch[k] for batch in batches] * repeat)) for k in (0, 1))
        self.many, self.net, self.threads = kind(net, loss, optimiser, x, t, work.batch), net, Threads(1)
        self.order = net.xp.asarray(np.tile(np.arange(len(x)), rounds // repeat))
        self.losses, self.place = net.xp.empty(rounds * len(batches), net.dtype), 0
        if net.device == "cuda":  # what is recorded is so here, and no weight changes
            lr, optimiser.lr = optimiser.lr, 0.0
            self(100)
            self(111)
            optimiser.lr, self.place = lr, 0  # the first batch is the first one again

    def __call__(self, n: int) -> None:
        self.threads.limit()
        while n > 0:
            self.many.begin(self.order, self.losses, self.place)
            part = min(n, len(self.losses) - self.place)
            n, self.place = n - part, (self.place + part) % len(self.losses)
            while part > 0:
                part -= self.many.run(part)
        self.threads.restore()
        finish(self.net)

    def weights(self) -> list[np.ndarray]:
        return list(self.net.state_dict().values())


class Threads:
    """The engine's own number of BLAS threads, chosen once as `scratchnet.fit` does."""

    def __init__(self, threads: int) -> None:
        self.threads, self.limits = threads, ExitStack()

    def limit(self) -> None:
        if cores() > 1:
            self.limits.enter_context(blas_threads(self.threads))

    def restore(self) -> None:
        self.limits.close()


def sparse(x: np.ndarray) -> Any:
    from scipy.sparse import csr_array

    return csr_array(x)


def products(work: Workload, device: str) -> Trainer:
    """The bare matrix products of a step, each computed as this engine computes it."""
    rng = np.random.default_rng(0)

    def matrix(*shape: int) -> np.ndarray:
        return rng.random(shape, dtype=np.float32)

    calls = []
    for k, (out, inner, n, times) in enumerate(work.products()):
        W, G, a, delta = matrix(out, inner), matrix(out, inner), matrix(n, inner), matrix(out, n)
        a = a.T if k == 0 and len(work.shape) == 1 else np.ascontiguousarray(a.T)  # the user's rows, transposed
        calls += [partial(dot, W, a)] * times
        if work.optimiser is None:
            continue
        if k > 0:
            calls += [partial(dot, W.T, delta)] * times
        A, D = a if times == 1 else np.tile(a, times), np.tile(delta, times)
        in_place = partial(add_product, W, D, A, 1e-9, 0.9 if work.momentum else 1.0)
        calls.append(in_place if work.optimiser == "sgd" else partial(dot_transposed, D, A, G))

    def step(x: Any, t: Any) -> None:
        for call in calls:
            call()

    threads = Threads(threads_of(work, network(work, "cpu")))
    return Trainer([(None, None)], step, threads.restore, begin=threads.limit)
