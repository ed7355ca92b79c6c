"""A network as one safetensors file that describes itself.

The weights stand under PyTorch's names, so `safetensors.torch.load_file` reads them; the architecture, dtype and
what else travels with the network are JSON in the file's metadata.
"""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from scratchnet import layers
from scratchnet.errors import CheckpointError, ScratchnetError
from scratchnet.layers.sequential import Sequential

FORMAT = 1


def save(net: Sequential, path: str | os.PathLike[str]) -> None:
    """Write `net` to `path`, through a temporary file beside it, so that no half-written file is ever seen."""
    from safetensors.numpy import save as to_bytes

    about = {
        "format": FORMAT,
        "layers": [{"type": type(layer).__name__, **layer.options()} for layer in net.layers],
        "dtype": str(net.dtype),
        "seed": net.seed,
        "info": net.info,
    }
    # safetensors 0.8.0 writes wrong values for arrays that are not C-contiguous
    arrays = {name: np.ascontiguousarray(a) for name, a in net.state_dict().items()}
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(to_bytes(arrays, {"scratchnet": json.dumps(about)}))
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def load(path: str | os.PathLike[str], device: str = "cpu") -> Sequential:
    """The network in a file written by `net.save`. Raises CheckpointError if the file is missing or damaged."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            about: dict[str, Any] = json.loads((file.metadata() or {})["scratchnet"])
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if about["format"] != FORMAT:
            raise CheckpointError(f"{path}: format {about['format']} is not known to this version")
        specs = [dict(spec) for spec in about["layers"]]
        net = Sequential(
            *(getattr(layers, spec.pop("type"))(**spec) for spec in specs),
            seed=about["seed"], dtype=about["dtype"], device=device,
        )  # fmt: skip
        net.load_state_dict(arrays)
        net.info = about["info"]
    except FileNotFoundError:
        raise CheckpointError(f"{path}: there is no such file") from None
    except (SafetensorError, OSError, KeyError, ValueError, TypeError, AttributeError, ScratchnetError) as e:
        raise CheckpointError(f"{path}: not a model of scratchnet, or damaged ({type(e).__name__}: {e})") from e
    return net
