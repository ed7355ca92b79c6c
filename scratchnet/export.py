"""`python -m scratchnet.export MODEL model.onnx`: a network for other runtimes."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from scratchnet.cli import guard, parse
from scratchnet.errors import ScratchnetError, SettingError
from scratchnet.files.atomic import atomic_write
from scratchnet.models.network import load
from scratchnet.models.onnx import OPSET, TOLERANCE, Dims, difference, example_shape, sizes_of, to_onnx


@dataclass(frozen=True)
class Options:
    """Write a trained network as an ONNX file, and compare the outputs of the two."""

    model: tyro.conf.Positional[Path]
    """A model file, such as runs/mnist-default/model.safetensors."""
    onnx: tyro.conf.Positional[Path]
    """The file to write, such as model.onnx."""
    shape: str | None = None
    """Shape of one example, such as 1,28,28 or T,7, if the model does not say it; a
    name stands for any size.
    """


def main(args: Sequence[str]) -> int:
    options = parse(Options, args, "python -m scratchnet.export")
    if options.onnx.suffix != ".onnx":
        raise SettingError(f"{options.onnx}: the ending names another format than ONNX, which is what there is: .onnx")
    net = load(options.model)
    shape: Dims | None = None
    if options.shape is not None:
        parts = [part.strip() for part in options.shape.split(",")]
        if not all(part.isidentifier() or re.fullmatch(r"0*[1-9][0-9]{0,8}", part) for part in parts):
            raise SettingError(f"--shape must be sizes or names, such as 1,28,28 or T,7, not {options.shape}")
        shape = tuple(int(part) if part.isdigit() else part for part in parts)
    shape = example_shape(net) if shape is None else shape
    content = to_onnx(net, shape).SerializeToString()
    most = difference(content, net, sizes_of(shape))
    if most is not None and not most <= TOLERANCE:
        raise ScratchnetError(f"{options.onnx} is not written: onnxruntime's outputs differ by {most:.1e}")
    atomic_write(options.onnx, content)
    run = (
        "not run, because onnxruntime is missing"
        if most is None
        else f"run in onnxruntime: within {most:.1e} of the engine"
    )
    given = ", ".join(map(str, shape))
    print(f"{options.onnx}: {len(content):,} bytes, opset {OPSET}; input (N, {given}) float32; {run}")
    return 0


if __name__ == "__main__":
    guard(main)
