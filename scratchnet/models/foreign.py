"""Weights in the files of others: a folder of .npy files, as the simplest tutorials write them, and HDF5.

Both are read strictly, as everything: what is missing, left over, misshapen or no floating-point numbers is a
CheckpointError that names it, and then nothing has been changed. Neither can carry code: no pickle is ever read.
"""

import math
import os
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scratchnet.backend.arrays import to_numpy
from scratchnet.engine.layers.sequential import Sequential
from scratchnet.engine.params import Param
from scratchnet.errors import CheckpointError, SettingError, install_command
from scratchnet.files.atomic import atomic_file

if TYPE_CHECKING:
    import h5py

PIECE = 16 * 2**20  # bytes that are in memory at a time


# ------------------------------------------------------------------------------------------ .npy


def load_npy(net: Sequential, folder: str | os.PathLike[str]) -> None:
    """Set all parameters of `net` from a folder with one .npy file for each.

    The files are named as the parameters (0.weight.npy), or anyhow (wih.npy, b1.npy) if only one assignment fits their
    shapes; a weight (in, out), as x @ W has it, is then transposed, and a bias may be a row or a column.
    Raises CheckpointError, before anything is changed, if they do not fit.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: there is no such folder")
    arrays = {path.stem: _open_npy(path) for path in sorted(folder.glob("*.npy"))}
    if set(arrays) != set(net.params) and len(arrays) == len(net.params) and not set(arrays) & set(net.params):
        arrays = _assigned(net, arrays, folder)
    try:
        net.load_state_dict(arrays)
    except CheckpointError as e:
        raise CheckpointError(f"{folder}: {e}") from None


def _open_npy(path: Path) -> np.ndarray:
    """The array in a file, not yet read: only what fits a parameter will be."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as e:  # NumPy raises many kinds for damaged headers
        raise CheckpointError(f"{path}: not an array that can be read ({e})") from None
    if not isinstance(array, np.memmap) or array.offset + array.nbytes != path.stat().st_size:
        raise CheckpointError(f"{path}: the size of the file is not that of its array")
    return array


def _assigned(net: Sequential, arrays: dict[str, np.ndarray], folder: Path) -> dict[str, np.ndarray]:
    """The arrays under the names of the parameters whose shapes they have; CheckpointError if that is not clear."""
    found: dict[str, np.ndarray] = {}
    for name, p in net.params.items():
        fitting = {file: fitted for file, a in arrays.items() if (fitted := _fitted(a, p.shape)) is not None}
        if len(fitting) != 1:
            what = f"{', '.join(f'{file}.npy' for file in fitting)} all fit" if fitting else "no file fits"
            raise CheckpointError(
                f"{folder}: {what} {name} of shape {p.shape}: call that file {name}.npy, and all alike"
            )
        found[name] = next(iter(fitting.values()))
    return found


def _fitted(a: np.ndarray, shape: tuple[int, ...]) -> np.ndarray | None:
    """`a` in this shape, if it is that but for a transposition or axes of length 1."""
    if a.shape == shape:
        return a
    if len(shape) == 2 and a.shape == shape[::-1]:
        return a.T
    if len(shape) == 1 and a.shape in ((1, *shape), (*shape, 1)):
        return a.reshape(shape)
    return None


# ------------------------------------------------------------------------------------------ HDF5


def save_hdf5(net: Sequential, path: str | os.PathLike[str]) -> None:
    """Write the parameters of `net` to an HDF5 file, one data set each, under their names; in pieces of 16 MB.

    Only the parameters: architecture and `net.info` are in the files of `net.save`. Raises SettingError if h5py is
    missing, OSError if the file cannot be written.
    """
    h5py = _h5py()
    with atomic_file(path) as temporary, h5py.File(temporary, "w", locking=False) as file:
        for name, p in net.params.items():
            data, digest = file.create_dataset(name, p.shape, str(net.dtype)), sha256()
            for rows in _pieces(p.shape, net.dtype.itemsize):
                piece = np.ascontiguousarray(to_numpy(p.value[rows]))
                data[rows] = piece
                digest.update(piece.data)
            data.attrs["sha256"] = digest.hexdigest()


def load_hdf5(net: Sequential, path: str | os.PathLike[str]) -> None:
    """Set all parameters of `net` from an HDF5 file with a data set for each, never more than 16 MB of it at a time.

    Raises CheckpointError, before anything is changed, for a damaged file and data sets that do not fit; SettingError
    if h5py is missing.
    """
    from scratchnet.engine.params import as_parameter, check_names

    h5py = _h5py()
    if not Path(path).is_file():
        raise CheckpointError(f"{path}: there is no such file")
    try:
        with h5py.File(path, "r") as file:
            check_names(net.params, file)
            sealed = any("sha256" in file[name].attrs for name in net.params)  # then all must be
            for name, p in net.params.items():
                _check_dataset(file, name, p, sealed)
            for name, p in net.params.items():
                data = file[name]
                for rows in _pieces(p.shape, data.dtype.itemsize):
                    p.value[rows] = as_parameter(name, net.xp.asarray(data[rows]), p.value[rows].shape, net.xp)
    except CheckpointError as e:
        raise CheckpointError(f"{path}: {e}") from None
    except Exception as e:  # h5py raises six kinds for damaged files
        raise CheckpointError(f"{path}: not an HDF5 file that can be read ({str(e).partition(chr(10))[0]})") from None


def _check_dataset(file: "h5py.File", name: str, p: Param, sealed: bool) -> None:
    """Raise CheckpointError unless this is a data set for `p`, in this file itself, and whole."""
    import h5py

    data = file.get(name, getlink=True)
    data = file[name] if isinstance(data, h5py.HardLink) else None  # no links into other files
    if not isinstance(data, h5py.Dataset) or data.is_virtual or data.external:
        raise CheckpointError(f"{name} is not a data set of this file")
    if data.dtype.kind != "f":
        raise CheckpointError(f"parameter {name} is given as {data.dtype}, but floating-point numbers are needed")
    if data.shape != p.shape:
        raise CheckpointError(f"parameter {name} has shape {p.shape}, but is given {data.shape}")
    if data.chunks and math.prod(data.chunks) * data.dtype.itemsize > max(PIECE, p.size * data.dtype.itemsize):
        raise CheckpointError(f"parameter {name} is stored in pieces of {data.chunks}, larger than itself")
    digest = sha256()
    for rows in _pieces(p.shape, data.dtype.itemsize):  # read once before anything is changed, so that all of it can be
        piece = data[rows]
        digest.update(np.ascontiguousarray(piece, piece.dtype.newbyteorder("=")).data)
    if sealed and data.attrs.get("sha256") != digest.hexdigest():
        raise CheckpointError(f"parameter {name} is damaged, its SHA-256 is not the recorded one")


def _h5py() -> Any:
    try:
        import h5py
    except ImportError:
        raise SettingError(f"HDF5 files need the package h5py: {install_command('hdf5')}") from None
    return h5py


def _pieces(shape: tuple[int, ...], itemsize: int) -> Iterator[slice]:
    """Slices along the first axis that cut an array into pieces of about 16 MB."""
    n = max(1, PIECE // max(1, math.prod(shape[1:]) * itemsize))
    for k in range(0, shape[0], n):
        yield slice(k, min(k + n, shape[0]))
