"""The reading half of `load_hdf5`, run as a program of its own.

One flipped bit can make the HDF5 library crash, or loop for ever, deaf to Ctrl-C. Here
that harms nothing else: `load_hdf5` notices, and refuses the file. Nothing of
scratchnet is imported, so that the program starts quickly.

In:   one line of JSON,
      {"path", "shapes": {name: shape}, "dtype", "piece": bytes in memory at a time}
Out:  an empty line for every piece that has been checked; then one line of JSON,
      {"error": text}, or {} if the whole file is right; then the data, in `dtype`,
      in the pieces that `pieces` gives
"""

import json
import math
import sys
from collections.abc import Iterator
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import h5py


def pieces(shape: tuple[int, ...], itemsize: int, size: int) -> Iterator[slice]:
    """Slices along the first axis, for pieces of about `size` bytes."""
    n = max(1, size // max(1, math.prod(shape[1:]) * itemsize))
    for k in range(0, shape[0], n):
        yield slice(k, min(k + n, shape[0]))


def check_names(wanted: Any, given: Any) -> None:
    """Raise ValueError, naming them, for missing or unexpected entries."""
    for what, names in (("missing", [name for name in wanted if name not in given]),
                        ("unexpected", [name for name in given if name not in wanted])):  # fmt: skip
        if names:
            some = ", ".join(map(ascii, names[:20])) + ", ..." * (len(names) > 20)
            raise ValueError(f"the parameters do not belong to this network: {what} {some}")


def check(file: "h5py.File", name: str, shape: tuple[int, ...], dtype: np.dtype, size: int, sealed: bool) -> None:
    """Raise ValueError unless this file itself has a whole data set for `name`.

    All of it is read once before any of it is passed on, so that nothing is changed if
    it is damaged.
    """
    import h5py

    link = file.get(name, getlink=True)
    # not a link into another file
    data = file[name] if isinstance(link, h5py.HardLink) else None
    if not isinstance(data, h5py.Dataset) or data.is_virtual or data.external:
        raise ValueError(f"{name} is not a data set of this file")
    if data.dtype.kind != "f":
        raise ValueError(f"parameter {name} is given as {data.dtype}, but floating-point numbers are needed")
    if data.shape != shape:
        raise ValueError(f"parameter {name} has shape {shape}, but is given {data.shape}")
    total = math.prod(shape) * data.dtype.itemsize
    if data.chunks and math.prod(data.chunks) * data.dtype.itemsize > max(size, total):
        raise ValueError(f"parameter {name} is stored in pieces of {data.chunks}, larger than itself")
    digest = sha256()
    for rows in pieces(shape, data.dtype.itemsize, size):
        piece = np.ascontiguousarray(data[rows], data.dtype.newbyteorder("="))
        digest.update(piece.data)
        if not np.isfinite(piece).all():
            raise ValueError(f"parameter {name} holds NaN or infinite values")
        if float(np.abs(piece).max(initial=0)) > float(np.finfo(dtype).max):
            raise ValueError(f"parameter {name} holds values that {dtype} cannot: give the network dtype='float64'")
        print(flush=True)
    if sealed and data.attrs.get("sha256") != digest.hexdigest():
        raise ValueError(f"parameter {name} is damaged, its SHA-256 is not the recorded one")


def main() -> None:
    import h5py

    asked = json.loads(sys.stdin.readline())
    shapes = {name: tuple(shape) for name, shape in asked["shapes"].items()}
    dtype, size = np.dtype(asked["dtype"]), asked["piece"]
    # no locks: our files never change once they have their name
    with h5py.File(asked["path"], "r", locking=False) as file:
        check_names(shapes, file)
        # if one is sealed, all must be
        sealed = any("sha256" in file[name].attrs for name in shapes)
        for name, shape in shapes.items():
            check(file, name, shape, dtype, size, sealed)
        print("{}", flush=True)
        for name, shape in shapes.items():
            for rows in pieces(shape, dtype.itemsize, size):
                sys.stdout.buffer.write(np.ascontiguousarray(file[name][rows], dtype).data)
                sys.stdout.buffer.flush()


if __name__ == "__main__":
    try:
        main()
    except ValueError as e:
        print(json.dumps({"error": str(e)}), flush=True)
    except Exception as e:  # h5py raises six kinds for damaged files
        reason = f"not an HDF5 file that can be read ({str(e).partition(chr(10))[0]})"
        print(json.dumps({"error": reason}), flush=True)
