"""A network as one safetensors file that describes itself.

The weights stand under PyTorch's names, so `safetensors.torch.load_file` reads them; architecture, dtype and what else
travels with the network (`net.info`: preprocessing, class names, vocabulary, training summary) are JSON in the header.
"""

import os
from collections.abc import Iterable
from types import ModuleType
from typing import Any

import numpy as np

from scratchnet import layers
from scratchnet.backend import Array
from scratchnet.errors import CheckpointError, DeviceError, ScratchnetError, SettingError
from scratchnet.layers.base import Layer
from scratchnet.layers.sequential import Sequential
from scratchnet.tensorfile import TensorFile, short, write_tensors

FORMAT = 1
#: What a file may ask for: these layers, and nothing else by name
LAYERS = {
    name: kind
    for name, kind in vars(layers).items()
    if isinstance(kind, type) and issubclass(kind, Layer) and kind is not Layer
}
#: Arrays of this prefix belong to an unfinished training (see resume.py), not to the network
TRAINING = "training."


def describe(net: Sequential) -> dict[str, Any]:
    """All of a network but its parameters, as JSON."""
    return {
        "format": FORMAT,
        "layers": [{"type": type(layer).__name__, **layer.options()} for layer in net.layers],
        "dtype": str(net.dtype),
        "seed": net.seed,
        "info": net.info,
    }


def save(net: Sequential, path: str | os.PathLike[str]) -> None:
    """Write `net` to `path`, atomically. Raises CheckpointError for a `net.info` that is not JSON, and OSError."""
    write_tensors(path, net.state_dict(), describe(net))


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


def check_names(wanted: Iterable[str], given: Iterable[str], where: str = "") -> None:
    """Raise CheckpointError, naming them, for entries that are missing or that nobody asked for."""
    wanted, given = list(wanted), list(given)
    missing, unexpected = set(wanted) - set(given), set(given) - set(wanted)
    if missing or unexpected:
        parts = [
            f"{what} {', '.join(short(name) for name in names[:20])}{', ...' * (len(names) > 20)}"
            for what, names in (
                ("missing", [name for name in wanted if name in missing]),
                ("unexpected", [name for name in given if name in unexpected]),
            )
            if names
        ]
        raise CheckpointError(f"{where}the parameters do not belong to this network: {'; '.join(parts)}")


def as_parameter(name: str, value: Any, shape: tuple[int, ...], xp: ModuleType) -> Array:
    """`value` as an array for the parameter `name` of this shape; raises CheckpointError if it cannot be one."""
    try:
        array = value if type(value) is xp.ndarray else xp.asarray(value)
    except (ValueError, TypeError, RuntimeError) as e:
        raise CheckpointError(f"parameter {name} cannot be made an array: {short(e)}") from None
    if array.dtype.kind != "f":
        raise CheckpointError(f"parameter {name} is given as {array.dtype}, but floating-point numbers are needed")
    if array.shape != shape:
        raise CheckpointError(f"parameter {name} has shape {shape}, but is given {array.shape}")
    return array


def _reader(file: TensorFile, name: str) -> Any:
    return lambda rng, shape: file.read(name)


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
