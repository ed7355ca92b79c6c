"""PyTorch: eager, compiled, and on a GPU as a captured CUDA graph."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

import scratchnet as sn
from benchmarks.engines import Missing, Trainer
from benchmarks.timing import cores
from benchmarks.workloads import Workload
from scratchnet.engine.layers import Layer


class LastOfLSTM(nn.LSTM):
    """The output of the last time step only."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x)[0][:, -1]


def module_of(layer: Layer) -> nn.Module:
    """The layer of the same name with the same options."""
    try:
        if isinstance(layer, sn.LSTM):
            return LastOfLSTM(layer.input_size, layer.hidden_size, batch_first=True)
        options = {"dim": 1} if isinstance(layer, sn.LogSoftmax) else layer.options()
        options.pop("init", None)  # its weights are set to ours
        return getattr(nn, type(layer).__name__)(**options)
    except (AttributeError, TypeError) as e:
        raise Missing(f"no translation of {layer}: {e}") from None


def network(layers: Sequence[Layer]) -> nn.Module:
    return nn.Sequential(*map(module_of, layers))


def loss_of(work: Workload) -> nn.Module:
    return {
        "sse": lambda: nn.MSELoss(reduction="sum"),
        "mse": nn.MSELoss,
        "cross-entropy": nn.CrossEntropyLoss,
        "nll": nn.NLLLoss,
    }[work.loss]()


def _prepare(work: Workload, device: str) -> tuple[nn.Module, list[tuple[torch.Tensor, torch.Tensor]]]:
    if device == "cuda" and not torch.cuda.is_available():
        raise Missing("PyTorch finds no GPU")
    torch.set_num_threads(cores())
    net = network(work.layers())
    # so that all engines start with the same weights
    start = sn.Sequential(*work.layers(), seed=work.seed).state_dict()
    net.load_state_dict({name: torch.from_numpy(w) for name, w in start.items()})
    net = net.to(device)
    return net, [(torch.from_numpy(x).to(device), torch.from_numpy(t).to(device)) for x, t in work.batches()]


def _weights(net: nn.Module) -> list[np.ndarray]:
    return [w.detach().cpu().numpy() for w in net.parameters()]


def _finish(device: str) -> Callable[[], object]:
    return torch.cuda.synchronize if device == "cuda" else lambda: None


def _optimiser(work: Workload, net: nn.Module, **options: Any) -> torch.optim.Optimizer:
    if work.optimiser == "adam":
        return torch.optim.Adam(net.parameters(), lr=work.lr, **options)
    return torch.optim.SGD(net.parameters(), lr=work.lr, momentum=work.momentum)


def train(work: Workload, device: str, compiled: bool = False) -> Trainer:
    """Eager, as tutorials write it.

    With `compiled`, forward and loss go through torch.compile.
    """
    net, batches = _prepare(work, device)
    if work.optimiser is None:
        net.eval()
        predict = torch.inference_mode()(torch.compile(net) if compiled else net)
        return Trainer(batches, lambda x, t: predict(x), _finish(device))
    criterion, optimiser = loss_of(work), _optimiser(work, net)

    def forward(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return criterion(net(x), t)

    cost = torch.compile(forward) if compiled else forward

    def step(x: torch.Tensor, t: torch.Tensor) -> None:
        optimiser.zero_grad()
        cost(x, t).backward()
        optimiser.step()

    return Trainer(batches, step, _finish(device), lambda: _weights(net))


def train_compiled(work: Workload, device: str) -> Trainer:
    run = train(work, device, compiled=True)
    try:
        run(1)
    except Exception as e:  # whatever it raises (no compiler, or an unsuitable one), it does not take part
        raise Missing(f"torch.compile fails: {str(e).splitlines()[0]}") from None
    return run


def train_graph(work: Workload, device: str) -> Trainer:
    """The whole step, captured once as a CUDA graph and then replayed.

    Each batch is copied into the graph's fixed input.
    """
    net, batches = _prepare(work, device)
    criterion = loss_of(work)
    optimiser = _optimiser(work, net, capturable=True)
    x0, t0 = (part.clone() for part in batches[0])

    def step() -> None:
        optimiser.zero_grad(set_to_none=True)
        criterion(net(x0), t0).backward()
        optimiser.step()

    side = torch.cuda.Stream()  # PyTorch wants a few steps on another stream before it captures
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    optimiser.zero_grad(set_to_none=True)
    with torch.cuda.graph(graph):
        criterion(net(x0), t0).backward()
        optimiser.step()

    def replay(x: torch.Tensor, t: torch.Tensor) -> None:
        x0.copy_(x)
        t0.copy_(t)
        graph.replay()

    return Trainer(batches, replay, torch.cuda.synchronize, lambda: _weights(net))
