"""`python -m scratchnet.export MODEL FILE`: the ending of FILE says the format."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from scratchnet.cli import guard, parse, printable
from scratchnet.engine.layers import Sequential
from scratchnet.errors import ScratchnetError, SettingError
from scratchnet.files.atomic import atomic_write
from scratchnet.models.foreign import save_hdf5, save_npy, save_npz
from scratchnet.models.network import load
from scratchnet.models.onnx import OPSET, TOLERANCE, Dims, difference, example_shape, sizes_of, to_onnx


@dataclass(frozen=True)
class Options:
    """Write a trained network in the format that the file's ending names.

    .onnx: the whole network, for other runtimes; its outputs are compared with ours.

    .safetensors: the weights under PyTorch's names, which PyTorch reads with
    safetensors.torch.load_file, and the architecture.

    .h5: the weights as HDF5, one data set each.

    .npz, or a folder (a name without an ending): the weights as NumPy's arrays, in one
    file or in one .npy file each.
    """

    model: tyro.conf.Positional[Path]
    """A run, such as runs/mnist-default, or its model.safetensors."""
    file: tyro.conf.Positional[Path]
    """The file or folder to write, such as model.onnx."""
    shape: str | None = None
    """For .onnx, the shape of one example, such as 1,28,28 or T,7, if the model does
    not say it; a name stands for any size.
    """


#: What writes the weights, by the ending of the file; "" is a folder
WEIGHTS: dict[str, Callable[[Sequential, Path], None]] = {
    ".safetensors": lambda net, path: net.save(path),
    ".h5": save_hdf5,
    ".npz": save_npz,
    "": save_npy,
}
THERE_IS = ".onnx, .safetensors, .h5, .npz, or a folder of .npy files (a name without an ending)"
#: Why an ending is refused that a user may well expect
INSTEAD = {
    **dict.fromkeys(
        (".pt", ".pth", ".pkl", ".pickle"),
        "a pickle can run any code when it is read; PyTorch reads .safetensors with safetensors.torch.load_file",
    ),
    ".npy": "such a file holds one array: name a folder for them, or an .npz file",
    ".hdf5": "HDF5 files are called .h5 here",
}


def main(args: Sequence[str]) -> int:
    options = parse(Options, args, "python -m scratchnet.export")
    path, ending = options.file, "" if options.file.is_dir() else options.file.suffix
    if ending != ".onnx" and ending not in WEIGHTS:
        why = f"; {INSTEAD[ending]}" if ending in INSTEAD else ""
        raise SettingError(f"{path}: the ending {ending} names no format that there is{why}. There is {THERE_IS}")
    if ending == ".onnx":
        return write_onnx(load(options.model), path, options.shape)
    if options.shape is not None:
        raise SettingError("--shape has no effect on files of weights: it belongs to .onnx")
    net = load(options.model)
    WEIGHTS[ending](net, path)
    files = sorted(path.glob("*.npy")) if path.is_dir() else [path]
    arrays = ", ".join(f"{name} {p.shape}" for name, p in net.params.items())
    size = sum(file.stat().st_size for file in files)
    print(printable(f"{path}{'/' * path.is_dir()}: {size:,} bytes; {net.dtype}: {arrays}"))
    return 0


def write_onnx(net: Sequential, path: Path, given_shape: str | None) -> int:
    """The whole network, checked against the engine where onnxruntime is installed."""
    shape: Dims | None = None
    if given_shape is not None:
        parts = [part.strip() for part in given_shape.split(",")]
        if not all(part.isidentifier() or re.fullmatch(r"0*[1-9][0-9]{0,8}", part) for part in parts):
            raise SettingError(f"--shape must be sizes or names, such as 1,28,28 or T,7, not {given_shape}")
        shape = tuple(int(part) if part.isdigit() else part for part in parts)
    shape = example_shape(net) if shape is None else shape
    content = to_onnx(net, shape).SerializeToString()
    most = difference(content, net, sizes_of(shape))
    if most is not None and not most <= TOLERANCE:
        raise ScratchnetError(f"{path} is not written: onnxruntime's outputs differ by {most:.1e}")
    atomic_write(path, content)
    run = (
        "not run, because onnxruntime is missing"
        if most is None
        else f"run in onnxruntime: within {most:.1e} of the engine"
    )
    given = ", ".join(map(str, shape))
    kind = "int64" if net.layers[0].takes_indices else "float32"
    print(f"{path}: {len(content):,} bytes, opset {OPSET}; input (N, {given}) {kind}; {run}")
    return 0


if __name__ == "__main__":
    guard(main)
