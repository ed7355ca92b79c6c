"""The ONNX nodes that each kind of layer becomes; NODES is the table of all kinds.

Shapes are PyTorch's, batch first, as everywhere outside the engine; numbers are
float32. Layers that act only in training are left out.

Source: the ONNX operator definitions, https://onnx.ai/onnx/operators/ (opset 21, IR
version 10).
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from scratchnet.backend.arrays import to_numpy
from scratchnet.engine import layers as la
from scratchnet.engine.layers import Layer
from scratchnet.engine.layers.norm import BatchNorm
from scratchnet.engine.layers.recurrent import Recurrent


class Graph:
    """The nodes and arrays of an ONNX graph while it is being built.

    `at` is the name of the value that the next node takes.
    """

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.arrays: dict[str, np.ndarray] = {}
        self.at = "input"
        self.prefix = ""

    def array(self, name: str, values: Any, dtype: type = np.float32) -> str:
        """Store an array in the file; returns its name in the graph."""
        self.arrays[f"{self.prefix}{name}"] = np.ascontiguousarray(np.asarray(to_numpy(values), dtype))
        return f"{self.prefix}{name}"

    def node(self, kind: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        """Add a node that takes `at` and further inputs, and sets the new `at`."""
        from onnx import helper

        names = [f"{self.prefix}{len(self.nodes)}.{kind}{k or ''}" for k in range(outputs)]
        self.nodes.append(helper.make_node(kind, [self.at, *inputs], names, name=names[0], **attributes))
        self.at = names[0]
        return names


def simple(kind: str, **attributes: Any) -> Callable[[Graph, Any], None]:
    """A layer that is one node without arrays."""
    return lambda g, layer: g.node(kind, **attributes)


def nothing(g: Graph, layer: Any) -> None:
    """A layer that acts only in training."""


def linear(g: Graph, layer: la.Linear) -> None:
    """z = a Wᵀ + b, for rows a: (N, in), or (N, T, in)."""
    g.node("MatMul", g.array("weight_transposed", to_numpy(layer.W.value).T))
    if layer.b is not None:
        g.node("Add", g.array("bias", layer.b.value))


def embedding(g: Graph, layer: la.Embedding) -> None:
    """The rows of the weight that the indices name."""
    indices = g.at
    g.at = g.array("weight", layer.W.value)
    g.node("Gather", indices, axis=0)


def _window(layer: Any) -> dict[str, Any]:
    rows, cols = layer.window
    return {"kernel_shape": [rows.k, cols.k], "strides": [rows.s, cols.s], "pads": [rows.p, cols.p, rows.p, cols.p]}


def convolution(g: Graph, layer: la.Conv2d) -> None:
    arrays = [g.array("weight", layer.W.value)] + ([g.array("bias", layer.b.value)] if layer.b is not None else [])
    g.node("Conv", *arrays, **_window(layer), dilations=[w.d for w in layer.window])


def transposed_convolution(g: Graph, layer: la.ConvTranspose2d) -> None:
    """One node if output_padding is smaller than the stride, as runtimes require.

    Otherwise it is smaller than the dilation alone. Then the output is not cropped at
    its end as far as output_padding goes, and it is extended by zeros where no position
    of the window reaches.
    """
    ends = [w.p - more for more, w in zip(layer.more, layer.window, strict=True)]
    within = all(more < w.s for more, w in zip(layer.more, layer.window, strict=True))
    options = _window(layer) | {"dilations": [w.d for w in layer.window]}
    if within:
        arrays = [layer.W, *([layer.b] if layer.b is not None else [])]
        names = [g.array(name, p.value) for name, p in zip(("weight", "bias"), arrays, strict=False)]
        g.node("ConvTranspose", *names, **options, output_padding=list(layer.more))
        return
    options["pads"] = [*options["pads"][:2], *(max(0, end) for end in ends)]
    g.node("ConvTranspose", g.array("weight", layer.W.value), **options)
    if min(ends) < 0:
        g.node("Pad", g.array("pads", [0] * 6 + [max(0, -end) for end in ends], np.int64))
    if layer.b is not None:
        g.node("Add", g.array("bias", to_numpy(layer.b.value)[:, None, None]))


def min_pool(g: Graph, layer: la.MinPool2d) -> None:
    """min x = −max −x."""
    g.node("Neg")
    g.node("MaxPool", **_window(layer))
    g.node("Neg")


def median_pool(g: Graph, layer: la.MedianPool2d) -> None:
    """The lower median of all cells of a window.

    A convolution whose kernels each contain a single 1 puts the cells side by side.
    """
    rows, cols = layer.window
    K = rows.k * cols.k
    taps = g.array("taps", np.eye(K).reshape(K, 1, rows.k, cols.k))
    image = g.at
    g.node("Shape", start=0, end=2)  # (N, C)
    batch_and_channels = g.at
    g.at = image
    # for the convolution, each channel is an image of its own: (N·C, 1, H, W) → (N·C,
    # K, P, Q)
    g.node("Shape", start=2, end=4)
    size = g.at
    g.at = g.array("one_channel", [-1, 1], np.int64)
    g.node("Concat", size, axis=0)
    shape = g.at
    g.at = image
    g.node("Reshape", shape)
    g.node("Conv", taps, kernel_shape=[rows.k, cols.k], strides=[rows.s, cols.s])
    cells = g.at
    g.node("TopK", g.array("half", [(K - 1) // 2 + 1], np.int64), axis=1, largest=0, sorted=1, outputs=2)
    g.node("Gather", g.array("middle", (K - 1) // 2, np.int64), axis=1)  # (N·C, P, Q)
    median = g.at
    g.at = cells
    g.node("Shape", start=2, end=4)
    places = g.at
    g.at = batch_and_channels
    g.node("Concat", places, axis=0)
    shape = g.at
    g.at = median
    g.node("Reshape", shape)


def batch_norm(g: Graph, layer: BatchNorm) -> None:
    names = ("weight", "bias", "running_mean", "running_var")
    arrays = [g.array(name, p.value) for name, p in zip(names, layer.params(), strict=True)]
    g.node("BatchNormalization", *arrays, epsilon=layer.eps)


#: The rows of our gates (in PyTorch's order) in ONNX's order: i, o, f, c for LSTM; z,
#: r, h for GRU
ROWS = {"RNN": [0], "LSTM": [0, 3, 1, 2], "GRU": [1, 0, 2]}


def recurrent(g: Graph, layer: Recurrent) -> None:
    """Time comes first inside, (T, N, I).

    Each layer of the stack is one node, with an axis for its one direction.
    """
    kind, H = type(layer).__name__, layer.hidden_size

    def reordered(p: Any) -> np.ndarray:
        values = to_numpy(p.value)
        return values.reshape(-1, H, *values.shape[1:])[ROWS[kind]].reshape(values.shape)

    more = {"linear_before_reset": 1} if kind == "GRU" else {}
    g.node("Transpose", perm=[1, 0, 2])
    for k, (ih, hh, b_ih, b_hh) in enumerate(layer.weights):
        arrays = [g.array(f"W{k}", reordered(ih)[None]), g.array(f"R{k}", reordered(hh)[None]),
                  g.array(f"B{k}", np.concatenate([reordered(b_ih), reordered(b_hh)])[None])]  # fmt: skip
        every, last, *_ = g.node(kind, *arrays, outputs=3 if kind == "LSTM" else 2, hidden_size=H, **more)
        if k == len(layer.weights) - 1 and layer.output == "last":
            g.at = last
            g.node("Squeeze", g.array(f"axis{k}", [0], np.int64))  # (1, N, H) → (N, H)
        else:
            g.at = every
            # (T, 1, N, H) → (T, N, H)
            g.node("Squeeze", g.array(f"axis{k}", [1], np.int64))
    if layer.output == "sequence":
        g.node("Transpose", perm=[1, 0, 2])


#: The function for each kind of layer
NODES: dict[type[Layer], Callable[[Graph, Any], Any]] = {
    la.Linear: linear,
    la.Embedding: embedding,
    la.Sigmoid: simple("Sigmoid"),
    la.Tanh: simple("Tanh"),
    la.ReLU: simple("Relu"),
    la.Softmax: simple("Softmax", axis=-1),
    la.LogSoftmax: simple("LogSoftmax", axis=-1),
    la.Flatten: simple("Flatten", axis=1),
    la.Dropout: nothing,
    la.CropFlip: nothing,
    la.Conv2d: convolution,
    la.ConvTranspose2d: transposed_convolution,
    la.MaxPool2d: lambda g, layer: g.node("MaxPool", **_window(layer)),
    la.MinPool2d: min_pool,
    la.MedianPool2d: median_pool,
    la.AvgPool2d: lambda g, layer: g.node("AveragePool", **_window(layer), count_include_pad=1),
    la.BatchNorm1d: batch_norm,
    la.BatchNorm2d: batch_norm,
    la.RNN: recurrent,
    la.LSTM: recurrent,
    la.GRU: recurrent,
}
