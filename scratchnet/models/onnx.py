"""A network as an ONNX model, compared with the engine.

`onnx_nodes.py` says which nodes each kind of layer becomes.
"""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from scratchnet.backend.arrays import to_numpy
from scratchnet.engine import layers as la
from scratchnet.engine.layers import Sequential
from scratchnet.engine.layers.recurrent import Recurrent
from scratchnet.errors import CheckpointError, SettingError, ShapeError, install_command
from scratchnet.files.tensorfile import short
from scratchnet.models.network import check_work
from scratchnet.models.onnx_nodes import NODES, Graph

OPSET, IR = 21, 10  # what every current runtime understands
TOLERANCE = 1e-5
EXAMPLES = 8  # examples that are run in both, to compare
Dims = tuple[int | str, ...]  # of one example; a name stands for any size


def example_shape(net: Sequential) -> Dims:
    """The shape of one example that a network takes; sizes that vary have names.

    Raises SettingError if the network does not say.
    """
    given = net.info.get("input")
    if isinstance(given, dict) and isinstance(given.get("shape"), list):
        shape = tuple(given["shape"])
        if not all(n > 0 if type(n) is int else isinstance(n, str) and n.isidentifier() for n in shape):
            raise CheckpointError(f"the model's input has a shape that cannot be: {short(given['shape'])}")
        return shape
    for layer in net.layers:
        if layer.takes_indices:
            return ("T",)
        if isinstance(layer, Recurrent):
            return ("T", layer.input_size)
        if isinstance(layer, (la.Conv2d, la.ConvTranspose2d)):
            return (layer.in_channels, "H", "W")
        known = layer.input_shape()
        if known is not None:
            return known
        if not isinstance(layer, (la.Sigmoid, la.Tanh, la.ReLU, la.Softmax, la.LogSoftmax, la.Dropout)):
            break
    raise SettingError(
        "the network does not say what it takes: give --shape, the shape of one example, such as 1,28,28"
    )


def sizes_of(shape: Dims, size: int = 32) -> tuple[int, ...]:
    """The shape, with a size in place of every name."""
    return tuple(n if isinstance(n, int) else size for n in shape)


def to_onnx(net: Sequential, shape: Dims | None = None) -> Any:
    """The network as an ONNX model (onnx.ModelProto), checked by onnx.

    `shape` is that of one example. Raises SettingError if onnx is missing, if a layer
    has no counterpart, or if the shape is not known; ShapeError.
    """
    try:
        import onnx
        from onnx import TensorProto, checker, helper, numpy_helper
    except ImportError:
        raise SettingError(f"export needs the package onnx: {install_command('onnx')}") from None
    shape = example_shape(net) if shape is None else shape
    check_work(net, sizes_of(shape), EXAMPLES)
    small, large = (net.shapes_from(sizes_of(shape, n))[-1] for n in (32, 64))
    out = [n if n == m else f"output{k}" for k, (n, m) in enumerate(zip(small, large, strict=True))]
    g = Graph()
    for i, layer in enumerate(net.layers):
        if type(layer) not in NODES:
            raise SettingError(f"layer {i}, {layer}, has no counterpart in ONNX here")
        g.prefix = f"{i}."
        NODES[type(layer)](g, layer)
    g.node("Identity")
    g.nodes[-1].output[0] = "output"
    kind = TensorProto.INT64 if net.layers[0].takes_indices else TensorProto.FLOAT
    inputs = [helper.make_tensor_value_info("input", kind, ["N", *shape])]
    outputs = [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["N", *out])]
    arrays = [numpy_helper.from_array(a, name) for name, a in g.arrays.items()]
    graph = helper.make_graph(g.nodes, "scratchnet", inputs, outputs, arrays)
    model = helper.make_model(graph, producer_name="scratchnet", ir_version=IR,
                              opset_imports=[helper.make_opsetid("", OPSET)])  # fmt: skip
    if net.info:
        helper.set_model_props(model, {"scratchnet": json.dumps(net.info)})
    try:
        checker.check_model(model, full_check=True)
    except (checker.ValidationError, onnx.shape_inference.InferenceError, ValueError) as e:
        raise SettingError(f"onnx does not accept this network: {str(e).strip().splitlines()[0]}") from e
    return model


def drawn_inputs(net: Sequential, shape: Sequence[int]) -> np.ndarray:
    """Random examples: normal numbers in float32, or indices for an Embedding."""
    rng, first = np.random.default_rng(0), net.layers[0]
    if isinstance(first, la.Embedding):
        return rng.integers(0, first.num_embeddings, shape)
    return rng.normal(size=shape).astype(np.float32)


def difference(content: bytes, net: Sequential, shape: Sequence[int], examples: int = EXAMPLES) -> float | None:
    """The largest difference between the outputs of onnxruntime and of the engine.

    In float32, on random inputs, relative to the largest output. None if onnxruntime is
    not installed.
    """
    try:
        import onnxruntime
    except ImportError:
        return None
    x = drawn_inputs(net, (examples, *shape))
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 3, 1
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    (theirs,) = session.run(None, {"input": x})
    ours = to_numpy(net(x))
    if theirs.shape != ours.shape:
        raise ShapeError(f"onnxruntime gives {theirs.shape}, the engine {ours.shape}")
    return float(np.abs(theirs - ours).max(initial=0) / max(1.0, float(np.abs(ours).max(initial=0))))
