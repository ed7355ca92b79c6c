"""A network as one safetensors file that describes itself.

The weights stand under PyTorch's names, so `safetensors.torch.load_file` reads them; architecture, dtype and what else
travels with the network (`net.info`: preprocessing, class names, vocabulary, training summary) are JSON in the header.
"""

import os
from typing import Any

import numpy as np

from scratchnet.engine import layers
from scratchnet.engine.layers.base import Layer
from scratchnet.engine.layers.sequential import FORMAT, Sequential
from scratchnet.engine.params import check_names, check_values
from scratchnet.errors import CheckpointError, DeviceError, ScratchnetError, SettingError
from scratchnet.files.tensorfile import TensorFile, short

#: What a file may ask for: these layers, and nothing else by name
LAYERS = {
    name: kind
    for name, kind in vars(layers).items()
    if isinstance(kind, type) and issubclass(kind, Layer) and kind is not Layer
}
#: Arrays of this prefix belong to an unfinished training (see runs/checkpoints.py), not to the network
TRAINING = "training."


def load(path: str | os.PathLike[str], device: str = "cpu") -> Sequential:
    """The network in a file written by `net.save`. Raises CheckpointError for any other file."""
    with TensorFile(path) as file:
        return read_network(file, device)


def read_network(file: TensorFile, device: str = "cpu") -> Sequential:
    """The network in an open file. Nothing is allocated before the arrays there are known to be those it needs."""
    about = file.about
    if about.get("format") != FORMAT:
        raise file.error(f"format {short(about.get('format'))} is not known to this version of scratchnet")
    parts = [_layer(file, i, spec) for i, spec in enumerate(_field(file, "layers", list))]
    dtype = _field(file, "dtype", str)
    if dtype not in ("float32", "float64"):
        raise file.error(f"dtype {short(dtype)} is neither float32 nor float64")
    params = {f"{i}.{p.name}": p for i, layer in enumerate(parts) for p in layer.params()}
    arrays = {name: entry for name, entry in file.entries.items() if not name.startswith(TRAINING)}
    check_names(params, arrays, f"{file.path}: ")
    for name, p in params.items():
        if arrays[name].shape != p.shape:
            raise file.error(f"array {name} has shape {arrays[name].shape}, but the network needs {p.shape}")
        if arrays[name].dtype != np.dtype(dtype):
            raise file.error(f"array {name} is {arrays[name].dtype}, but the network is {dtype}")
        p.init = _reader(file, name)  # its initial value is what the file holds
    try:
        net = Sequential(*parts, seed=_field(file, "seed", int), dtype=dtype, device=device)
    except (CheckpointError, DeviceError):
        raise
    except (ScratchnetError, ValueError, TypeError, OverflowError, MemoryError) as e:
        raise file.error(f"these layers are no network: {short(e)}") from e
    net.info = _field(file, "info", dict)
    return net


def _reader(file: TensorFile, name: str) -> Any:
    def read(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        a = file.read(name)
        try:
            check_values(name, a, a.dtype)
        except CheckpointError as e:
            raise file.error(str(e)) from None
        return a

    return read


def _field(file: TensorFile, name: str, kind: type) -> Any:
    value = file.about.get(name)
    if type(value) is not kind:
        raise file.error(f"{name} is missing, or not as it should be: {short(value)}")
    return value


def _layer(file: TensorFile, i: int, spec: Any) -> Layer:
    """Layer number i from its entry, {"type": name, option: value, ...}."""
    kind = spec.get("type") if isinstance(spec, dict) else None
    if not isinstance(kind, str) or kind not in LAYERS:
        raise file.error(f"layer {i} is of a type that there is not: {short(kind)}")
    options: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in spec.items()}
    del options["type"]
    try:
        if options.get("num_layers", 0) > len(file.entries):  # every one has arrays of its own
            raise SettingError("num_layers is more than there are arrays")
        return LAYERS[kind](**options)
    except (ScratchnetError, TypeError, ValueError, OverflowError, AttributeError) as e:
        raise file.error(f"layer {i}, {kind}, cannot have these options: {short(e)}") from None
