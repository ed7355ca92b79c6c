"""A network becomes a model file; `models/network.py` reads it."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scratchnet.errors import SettingError
from scratchnet.files.tensorfile import write_tensors

if TYPE_CHECKING:
    from scratchnet.engine.layers.sequential import Sequential

FORMAT = 1


def describe(net: "Sequential") -> dict[str, Any]:
    """Everything about a network but its parameters, as JSON."""
    return {
        "format": FORMAT,
        "layers": [{"type": type(layer).__name__, **layer.options()} for layer in net.layers],
        "dtype": str(net.dtype),
        "seed": net.seed,
        "info": net.info,
    }


def save(net: "Sequential", path: str | os.PathLike[str]) -> None:
    """Write the network to a .safetensors file, which `scratchnet.load` reads."""
    if Path(path).suffix != ".safetensors":
        raise SettingError(
            f"{path}: net.save writes .safetensors files alone: call it {Path(path).stem or 'model'}.safetensors "
            "(PyTorch reads it with safetensors.torch.load_file); sn.save_hdf5 writes HDF5, sn.save_npy "
            "NumPy's arrays, and python -m scratchnet.export ONNX and all of these"
        )
    write_tensors(path, net.state_dict(), describe(net))
