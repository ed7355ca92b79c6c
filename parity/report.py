"""All networks of all studies in both precisions.

There is a row for every quantity, with its worst number and where that is.
"""

import dataclasses
import importlib
import pkgutil
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import scratchnet.studies
from parity.compare import compare
from parity.rows import Comparison
from parity.training import compare_training
from scratchnet import (
    GRU,
    LSTM,
    RNN,
    SGD,
    Adam,
    AdamW,
    AvgPool2d,
    BatchNorm1d,
    BatchNorm2d,
    Conv2d,
    ConvTranspose2d,
    CropFlip,
    CrossEntropyLoss,
    Dropout,
    Embedding,
    Flatten,
    Linear,
    LogSoftmax,
    MaxPool2d,
    MedianPool2d,
    MinPool2d,
    MSELoss,
    NLLLoss,
    ReLU,
    Sequential,  # fmt: skip,
    SettingError,
    Sigmoid,
    Softmax,
    Tanh,
)
from scratchnet.engine.losses import Loss
from scratchnet.engine.optim import Optimiser

Network = tuple[Sequential, tuple[int, ...], Loss]  # with the shape of one example

STEPS = 100  # of every training in float64
SHORT = 5  # in float32: after many steps, one of the libraries rounds a ReLU or a maximum to the other side
BATCH = 16
# with a learning rate for SGD, which is smaller if C is a sum
OPTIMISERS: dict[str, Callable[[Sequential, float], Optimiser]] = {
    "SGD": lambda net, lr: SGD(net, lr, momentum=0.9, nesterov=True, weight_decay=1e-4),
    "Adam": lambda net, lr: Adam(net, lr=0.001, clip_norm=1.0),
    "AdamW": lambda net, lr: AdamW(net, lr=0.001),
}


@dataclasses.dataclass(frozen=True)
class Line:
    """One row of the table: the worst comparison of one kind for one network.

    See parity/README.md.
    """

    network: str
    dtype: str
    device: str
    what: str
    compared: int  # number of arrays
    error: float
    tolerance: float
    torch_error: float
    absolute: float
    relative: float
    norm_relative: float
    where: str
    layer: int | None
    parameter: str
    index: tuple[int, ...]
    step: int | None
    ours: float
    theirs: float
    ok: bool


def own_networks() -> dict[str, Network]:
    """Networks beyond those of the studies.

    Every activation, with and without bias, one layer and several, one unit wide.
    """
    return {
        "activations": (Sequential(Flatten(), Linear(24, 20), Tanh(), Linear(20, 18, bias=False), ReLU(),
                                   Linear(18, 16), Sigmoid(), Linear(16, 12), Softmax(), Linear(12, 10), LogSoftmax(),
                                   dtype="float64"), (2, 3, 4), NLLLoss()),
        "dropout": (Sequential(Linear(30, 40), ReLU(), Dropout(0.5), Linear(40, 40), Dropout(0.2), Tanh(),
                               Linear(40, 10), dtype="float64"), (30,), CrossEntropyLoss()),
        # no bias before a normalisation: its gradient is 0, so only rounding would be
        # compared
        "images": (Sequential(CropFlip(1), Conv2d(2, 4, 3, stride=(1, 2), padding=1, bias=False), BatchNorm2d(4),
                              Tanh(), MinPool2d(2, stride=1), ConvTranspose2d(4, 3, 3, stride=2, output_padding=1),
                              ReLU(), AvgPool2d(2), Conv2d(3, 6, 2, dilation=2, bias=False),
                              MaxPool2d(3, stride=2, padding=1), Flatten(), Linear(36, 8, bias=False), BatchNorm1d(8),
                              Sigmoid(), Linear(8, 10), dtype="float64"), (2, 8, 12), CrossEntropyLoss()),
        "median": (Sequential(MedianPool2d((2, 3)), Flatten(), Linear(8, 10), dtype="float64"), (1, 8, 6),
                   CrossEntropyLoss()),
        "embedding": (Sequential(Embedding(20, 6, padding_idx=0), LSTM(6, 8), Linear(8, 10), dtype="float64"), (7,),
                      CrossEntropyLoss()),
        "narrow": (Sequential(Linear(1, 1), Tanh(), Linear(1, 1), dtype="float64"), (1,), MSELoss()),
        **{f"recurrent-{T}": (Sequential(RNN(3, 16, num_layers=2, output="sequence"),
                                         LSTM(16, 12, output="sequence"), Linear(12, 8), GRU(8, 16), Linear(16, 10),
                                         dtype="float64"), (T, 3), CrossEntropyLoss())
           for T in (1, 2, 3, 12, 50)},
    }  # fmt: skip


def study_networks() -> dict[str, Network]:
    """The `networks()` of every module of scratchnet.studies that has them.

    They are named study/preset.
    """
    found: dict[str, Network] = {}
    for module in pkgutil.iter_modules(scratchnet.studies.__path__):
        study = importlib.import_module(f"scratchnet.studies.{module.name}")
        if hasattr(study, "networks"):
            found |= {f"{module.name}/{preset}": network for preset, network in study.networks().items()}
    return found


def all_networks() -> dict[str, Network]:
    return study_networks() | {f"parity/{name}": network for name, network in own_networks().items()}


def rebuilt(net: Sequential, dtype: str, device: str) -> Sequential:
    """The same network, fresh, in another precision or on another device.

    It has the same initial weights.
    """
    return Sequential(
        *(type(layer)(**layer.options()) for layer in net.layers), seed=net.seed, dtype=dtype, device=device
    )


def batch_of(net: Sequential, shape: tuple[int, ...], loss: Loss, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Random examples, with targets that suit the loss.

    They are rounded to float32, so that both precisions see the same.
    """
    rng = np.random.default_rng(seed)
    first = net.layers[0]
    if isinstance(first, Embedding):
        x = rng.integers(0, first.num_embeddings, (n, *shape))
    else:
        x = rng.standard_normal((n, *shape)).astype(np.float32)
    y = net.shapes_from(shape)[-1]
    if loss.takes_labels:
        return x, rng.integers(0, y[-1], (n, *y[:-1]))
    return x, rng.random((n, *y)).astype(np.float32)


def lines(networks: dict[str, Network], dtypes: tuple[str, ...], device: str, steps: int) -> Iterator[Line]:
    """Compare one batch, and a training with every optimiser, for all networks."""
    for k, (name, (given, shape, loss)) in enumerate(networks.items()):
        for dtype in dtypes:
            net = rebuilt(given, dtype, device)
            rows = compare(net, *batch_of(net, shape, loss, BATCH, 0), loss)
            yield _line(name, net, "value", Comparison([*rows.of("loss"), *rows.of("value")]))
            for what in ("delta", "gradient"):
                yield _line(name, net, what, rows.of(what))
            # SGD updates in place, the others from the gradient vector: each network
            # takes one of these in turn, in float64
            others = list(OPTIMISERS)[1:]
            for optimiser in ("SGD", others[k % len(others)]) if dtype == "float64" else ("SGD",):
                # a normalisation over 2 examples amplifies rounding without bound
                normalised = any(type(layer).__name__.startswith("BatchNorm") for layer in net.layers)
                rate = 0.02 if loss.averages else 0.0002
                number = steps if dtype == "float64" else min(steps, SHORT)
                net = rebuilt(given, dtype, device)
                data = [batch_of(net, shape, loss, BATCH if normalised or j % 2 else 2, j)
                        for j in range(min(number, 10))]  # fmt: skip
                rows = compare_training(net, data, OPTIMISERS[optimiser](net, rate), number, loss=loss)
                yield _line(name, net, f"{number} steps {optimiser}", rows)


def _line(name: str, net: Sequential, what: str, rows: Comparison) -> Line:
    row = rows.worst
    values: dict[str, Any] = {f: getattr(row, f) for f in ("error", "tolerance", "torch_error", "absolute", "relative",
                              "norm_relative", "layer", "parameter", "index", "step", "ours", "theirs")}  # fmt: skip
    return Line(network=name, dtype=str(net.dtype), device=net.device, what=what, compared=len(rows), where=row.where,
                ok=rows.ok, **values)  # fmt: skip


def choose(networks: dict[str, Network], pattern: str | None) -> dict[str, Network]:
    """The networks with `pattern` in their name. Raises SettingError without any."""
    chosen = {name: network for name, network in networks.items() if pattern is None or pattern in name}
    if not chosen:
        raise SettingError(f"there is no network '{pattern}': there are {', '.join(networks)}")
    return chosen
