"""How often the host launches something in a training step.

With small batches a step on a GPU takes as long as its launches. So their number is
pinned here: a change that adds some has to say so.
"""

import numpy as np
import pytest

from scratchnet import (
    GRU,
    LSTM,
    SGD,
    Adam,
    Conv2d,
    CrossEntropyLoss,
    Flatten,
    Linear,
    MaxPool2d,
    ReLU,
    Sequential,
    Sigmoid,
    fit,
    step,
)
from tests.cuda import stub

pytestmark = pytest.mark.gpu


def mlp():
    return [Linear(20, 30), Sigmoid(), Linear(30, 10)]


def cnn():
    return [Conv2d(1, 4, 3), ReLU(), MaxPool2d(2), Conv2d(4, 6, 3), ReLU(), MaxPool2d(2), Flatten(), Linear(24, 10)]


def recurrent(kind):
    return lambda: [kind(5, 8), Linear(8, 10)]


def sgd(net):
    return SGD(net, 0.1)


def adam(net):
    return Adam(net, 0.01)


#: layers, shape of an example, optimiser, examples in a batch; launches of a step, and
#: of a step within fit, where as many as possible are recorded in graphs; and what the
#: graphs launch in a step
PINNED = {
    "MLP": (mlp, (20,), sgd, 32, 19, 0.225, 6.2),
    "MLP, Adam": (mlp, (20,), adam, 32, 21, 0.225, 6.2),
    "MLP, batch 1": (mlp, (20,), sgd, 1, 19, 0.15, 0),
    "CNN": (cnn, (1, 14, 14), sgd, 8, 59, 0.225, 64.2),
    "LSTM, 6 times": (recurrent(LSTM), (6, 5), sgd, 8, 39, 0.225, 43.2),
    "GRU, 6 times": (recurrent(GRU), (6, 5), sgd, 8, 37, 0.225, 41.2),
}


@pytest.mark.parametrize("name", PINNED)
def test_launches_of_a_step(stub_gpu, name):
    layers, shape, optimiser, n, of_step, in_fit, in_graphs = PINNED[name]
    rng = np.random.default_rng(0)
    steps = 40
    x = stub_gpu.asarray(rng.normal(size=(steps * n, *shape)).astype(np.float32))
    t = stub_gpu.asarray(rng.integers(0, 10, steps * n))
    net = Sequential(*layers(), seed=0, device="cuda")
    rule, loss = optimiser(net), CrossEntropyLoss()
    for _ in range(2):  # the first step makes buffers
        with stub.watch() as seen:
            step(net, loss, rule, x[:n], t[:n])
    alone = len(seen.launches)
    assert seen.waits == seen.transfers == []

    counts, rule = [], optimiser(net)  # graphs of ten steps begin at multiples of ten
    for epochs in (2, 3):
        with stub.watch() as seen:
            fit(net, loss, rule, x, t, epochs=epochs, batch_size=n, shuffle=False)
        counts.append((len(seen.launches), len(seen.nodes)))
    # those of an epoch, with its own few
    fitted, recorded = ((more - less) / steps for less, more in zip(*counts, strict=True))
    assert (alone, round(fitted, 3), round(recorded, 3)) == (of_step, in_fit, in_graphs)
