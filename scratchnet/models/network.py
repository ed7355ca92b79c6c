"""A network as one safetensors file that describes itself.

The weights have PyTorch's names, so `safetensors.torch.load_file` can read them. The
architecture, the dtype and what else is saved with the network (`net.info`:
preprocessing, class names, vocabulary, training summary) are JSON in the header.
"""

import math
import os
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from scratchnet.engine import layers
from scratchnet.engine.layers.base import Layer, shape_text
from scratchnet.engine.layers.conv import Convolution
from scratchnet.engine.layers.pool import Pool
from scratchnet.engine.layers.recurrent import Recurrent
from scratchnet.engine.layers.sequential import Sequential
from scratchnet.engine.params import check_names, check_values
from scratchnet.engine.saving import FORMAT
from scratchnet.errors import CheckpointError, DeviceError, ScratchnetError, SettingError
from scratchnet.files.tensorfile import TensorFile, short

#: The layers that a file may name, besides those in OWN; it can name nothing else
LAYERS = {
    name: kind
    for name, kind in vars(layers).items()
    if isinstance(kind, type) and issubclass(kind, Layer) and kind is not Layer
}
#: Layers that the user has registered
OWN: dict[str, type[Layer]] = {}
OwnLayer = TypeVar("OwnLayer", bound=Layer)
#: Bytes that one layer of a model from a file may work with, where a command runs it;
#: see `check_work`
MOST_BYTES = 2**30
#: The file of the trained network in the folder of a run
MODEL = "model.safetensors"
#: Arrays with this prefix belong to an unfinished training (runs/checkpoint_file.py),
#: not to the network
TRAINING = "training."


def register(kind: type[OwnLayer]) -> type[OwnLayer]:
    """A class decorator for a layer of your own, so that files with it can be loaded.

    >>> @sn.register
    ... @dataclass(eq=False)
    ... class Swish(Layer): ...

    The class is found by its name, so its module must be imported before the file is
    loaded. Raises SettingError for anything but a class of layers, and for the name of
    a layer of this package.
    """
    if not (isinstance(kind, type) and issubclass(kind, Layer)):
        raise SettingError(f"register takes a class of layers, such as class Swish(Layer), not {kind!r}")
    if kind.__name__ in LAYERS:
        raise SettingError(f"there is a {kind.__name__} in scratchnet already: give your layer another name")
    OWN[kind.__name__] = kind
    return kind


def load(path: str | os.PathLike[str], device: str = "cpu") -> Sequential:
    """The network in a file written by `net.save`, or in the folder of a finished run.

    Raises CheckpointError for any other file, and for a folder without a model.
    """
    with TensorFile(model_file(path)) as file:
        return read_network(file, device)


def model_file(path: str | os.PathLike[str]) -> Path:
    """The file of a model that is named by its file, or by the folder of its run.

    Raises CheckpointError for a folder without a model.
    """
    path = Path(path)
    if not path.is_dir():
        return path
    if not (path / MODEL).exists():
        raise CheckpointError(f"{path}: this is not a file but a folder, and not that of a finished run: no {MODEL}")
    return path / MODEL


def read_network(file: TensorFile, device: str = "cpu") -> Sequential:
    """The network in an open file.

    Nothing is allocated before the file's arrays are known to be the ones it needs.
    """
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
    own = {p: p.init for p in params.values()}
    for name, p in params.items():
        p.init = _reader(file, name)  # its initial value is what the file holds
    try:
        net = Sequential(*parts, seed=_field(file, "seed", int), dtype=dtype, device=device)
    except (CheckpointError, DeviceError):
        raise
    except (ScratchnetError, ValueError, TypeError, OverflowError, MemoryError) as e:
        raise file.error(f"these layers do not form a network: {short(e)}") from e
    for p, init in own.items():
        p.init = init  # a copy of these layers must not read the closed file again
    net.info = _field(file, "info", dict)
    return net


def check_work(net: Sequential, shape: tuple[int, ...], examples: int = 1) -> None:
    """Raise CheckpointError if a layer would need more than MOST_BYTES at once.

    A file of a kilobyte can describe an output of any size, because a padding or a
    stride is just a number.
    """
    shapes = net.shapes_from(shape)
    for i, (layer, before, after) in enumerate(zip(net.layers, shapes, shapes[1:], strict=False)):
        cells = max(math.prod(before), math.prod(after))
        if isinstance(layer, Convolution):
            cells = max(cells, layer.unrolled_bytes(before, 1, itemsize=1))
        elif isinstance(layer, Pool):
            cells = max(cells, math.prod(after) * math.prod(w.k for w in layer.window))
        elif isinstance(layer, Recurrent):
            cells = max(cells, before[0] * max(p.shape[0] for p in layer.params()))
        size = cells * examples * net.dtype.itemsize
        if size > MOST_BYTES:
            raise CheckpointError(
                f"layer {i}, {layer}, would need {-(-size // 2**30):,} GiB for {examples} of {shape_text(shape)}; "
                f"a model may ask for {MOST_BYTES // 2**30} GiB"
            )


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
        raise file.error(f"{name} is missing or of the wrong type: {short(value)}")
    return value


def _layer(file: TensorFile, i: int, spec: Any) -> Layer:
    """Layer number i from its entry, {"type": name, option: value, ...}."""
    kind = spec.get("type") if isinstance(spec, dict) else None
    known = LAYERS | OWN
    if not isinstance(kind, str) or kind not in known:
        raise file.error(
            f"layer {i} is of a type that does not exist: {short(kind)} (a layer of your own must be imported "
            "before it is loaded, with @sn.register above its class)"
        )
    options: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in spec.items()}
    del options["type"]
    try:
        # each of them has arrays of its own
        if options.get("num_layers", 0) > len(file.entries):
            raise SettingError("num_layers is more than there are arrays")
        return known[kind](**options)
    except (ScratchnetError, TypeError, ValueError, OverflowError, AttributeError) as e:
        raise file.error(f"layer {i}, {kind}, cannot have these options: {short(e)}") from None
