"""The walks of an LSTM and a GRU through time on a GPU, with one kernel for each time.

CuPy would launch a product and some ten passes for each. recurrent.cu has the kernels;
letters as there.
"""

from typing import Any

import numpy as np

from scratchnet.backend.arrays import Array, xp_of
from scratchnet.engine.kernels.nvrtc import kernel
from scratchnet.engine.layers.base import buffer
from scratchnet.engine.layers.recurrent import Arrays, Recurrent
from scratchnet.engine.learner import Learner

#: Multiplications at one time, above which cuBLAS and single passes are better; an
#: estimate
MOST_MULTIPLICATIONS = 1 << 23
SEQUENCES, THREADS = 32, 256  # of a block


def takes(layer: Recurrent, a: Array) -> bool:
    """Whether these arrays are on a GPU, and small enough."""
    return xp_of(a) is not np and layer.blocks * layer.hidden_size * a[0].size <= MOST_MULTIPLICATIONS


def are_small(layer: Recurrent, N: int) -> bool:
    """Whether `takes` is true of every layer of the stack, for N sequences on a GPU."""
    H, I = layer.hidden_size, max(layer.input_size, layer.hidden_size * (layer.num_layers > 1))
    return layer.blocks * H * (H + I + 1) * N <= MOST_MULTIPLICATIONS


def forward(
    layer: Recurrent, k: int, name: str, a: Array, kept: Arrays, ended: Array | None
) -> None:  # fmt: skip
    """Every time of layer k by a kernel, which writes h_t to a, the rest to `kept`."""
    T, I, H, N = len(a) - 1, a.shape[1] - layer.hidden_size - 1, layer.hidden_size, a.shape[2]
    weights = [p.value for p in layer.weights[k]]
    for t in range(T):
        launch(name, H, N, *weights, a, *kept, pointer(ended), t, H, I, N)


def lstm(
    layer: Recurrent, k: int, a: Array, state: Arrays, ended: Array | None, learn: Learner | None
) -> tuple[Arrays, Arrays]:
    """`LSTM.walk`: the final state, and (cells, tanh_c) as in lstm.py."""
    T, H, N = len(a) - 1, layer.hidden_size, a.shape[2]
    cells = buffer(layer, f"cells{k}", (T + 1, 5, H, N), a, learn)
    tanh_c = buffer(layer, f"tanh c{k}", (T, H, N), a, learn)
    cells[0, 0] = state[1]
    forward(layer, k, "lstm", a, (cells, tanh_c), ended)
    return (a[T, :H].copy(), cells[T, 0].copy()), (cells, tanh_c)


def lstm_back(
    layer: Recurrent, k: int, above: Array | None, grads: Arrays, kept: Arrays, ended: Array | None, learn: Learner
) -> tuple[Array, Arrays]:
    """`LSTM.walk_back`."""
    (cells, tanh_c), (T, H, N) = kept, kept[1].shape
    dh, dc = (pointer(grad) for grad in grads)
    delta = buffer(layer, "delta", (T, 4 * H, N), cells, learn)
    carried = buffer(layer, "carried", (H, N), cells, learn)
    args = layer.weights[k][1].value, cells, tanh_c, pointer(above), pointer(ended)
    for t in range(T - 1, -2, -1):
        launch("lstm_back", H, N, *args, t, T, H, N, dh, dc, carried, delta)
    return delta, (dh, dc)


def gru(layer: Recurrent, k: int, a: Array, ended: Array | None, learn: Learner | None) -> tuple[Arrays, Arrays]:
    """`GRU.walk`: the final state, and (gates,) as in gru.py."""
    T, H, N = len(a) - 1, layer.hidden_size, a.shape[2]
    gates = buffer(layer, f"gates{k}", (T, 4, H, N), a, learn)
    forward(layer, k, "gru", a, (gates,), ended)
    return (a[T, :H].copy(),), (gates,)


def gru_back(
    layer: Recurrent, k: int, above: Array | None, dh: Array, a: Array, gates: Array, ended: Array | None,
    learn: Learner,
) -> tuple[Array, Arrays]:  # fmt: skip
    """`GRU.walk_back`."""
    (T, _, H, N), dh = gates.shape, pointer(dh)
    I = a.shape[1] - H - 1
    delta = buffer(layer, "delta", gates.shape, a, learn)
    carried = buffer(layer, "carried", (H, N), a, learn)
    args = layer.weights[k][1].value, a, gates, pointer(above), pointer(ended)
    for t in range(T - 1, -2, -1):
        launch("gru_back", H, N, *args, t, T, H, I, N, dh, carried, delta)
    return delta.reshape(T, 4 * H, N), (dh,)


def pointer(array: Array | None) -> Any:
    """An array for a kernel, or the null pointer."""
    return 0 if array is None else xp_of(array).ascontiguousarray(array)


def launch(name: str, H: int, N: int, *args: Any) -> None:
    W = args[0]
    blocks = H * -(-N // SEQUENCES)
    kernel(xp_of(W), "recurrent", name, str(W.dtype))((blocks,), (THREADS,), args)
