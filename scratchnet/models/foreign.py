"""Weights in other formats: a folder of .npy files, and HDF5.

Both are read as strictly as our own files. Anything missing, left over, misshapen or
not a finite floating-point number is a CheckpointError that names it, and then nothing
has been changed. Neither format can carry code: no pickle is ever read.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from scratchnet.backend.arrays import to_numpy
from scratchnet.engine.layers.sequential import Sequential
from scratchnet.engine.params import check_values
from scratchnet.errors import CheckpointError, SettingError, install_command
from scratchnet.files.atomic import SUFFIX, atomic_file
from scratchnet.files.reading import open_regular
from scratchnet.models import hdf5_reader

PIECE = 16 * 2**20  # bytes in memory at a time
PATIENCE = 30.0  # seconds without a word from the reader of an HDF5 file


# ------------------------------------------------------------------ .npy


def save_npy(net: Sequential, folder: str | os.PathLike[str]) -> None:
    """Write the parameters of `net` into a folder, one .npy file each.

    They are called 0.weight.npy and so on. The folder is made, or is empty, or holds
    such files, which are replaced. `load_npy` and `numpy.load` read them.
    Only the parameters are written: the architecture and `net.info` are in the files of
    `net.save`. Raises SettingError if the folder holds anything else, and OSError if it
    cannot be written; then nothing has changed.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise SettingError(f"{folder}: a file has this name already: name a folder for the .npy files")
    names = [f"{name}.npy" for name in net.params]
    others = sorted(path.name for path in folder.glob("*") if path.name not in names)
    if others:
        raise SettingError(f"{folder}: holds other things, such as {others[0]}: name a new or an empty folder")
    beside = None
    try:  # first all files, then their names: a full disk leaves the folder as it was
        beside = Path(tempfile.mkdtemp(prefix=".", suffix=SUFFIX, dir=folder.absolute().parent))
        for name, p in net.params.items():
            np.save(beside / f"{name}.npy", to_numpy(p.value), allow_pickle=False)
        folder.mkdir(exist_ok=True)
        for name in names:
            os.replace(beside / name, folder / name)
    except OSError as e:
        raise OSError(e.errno, e.strerror, str(folder)) from None
    finally:
        if beside is not None:
            shutil.rmtree(beside, ignore_errors=True)


def save_npz(net: Sequential, path: str | os.PathLike[str]) -> None:
    """Write the parameters of `net` into one .npz file, under their names.

    `numpy.load` reads it. Raises OSError if it cannot be written.
    """
    arrays: dict[str, Any] = {name: to_numpy(p.value) for name, p in net.params.items()}
    with atomic_file(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **arrays)


def load_npy(net: Sequential, folder: str | os.PathLike[str]) -> None:
    """Set all parameters of `net` from a folder with one .npy file for each.

    The files are named after the parameters (0.weight.npy), or in any way (wih.npy,
    b1.npy) if only one assignment fits their shapes. In that case a weight may also be
    (in, out), as in x @ W, and is then transposed, and a bias may be a row or a column.
    Raises CheckpointError, before anything is changed, if they do not fit or hold NaN
    or infinities.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: there is no such folder")
    arrays = {path.stem: _open_npy(path) for path in sorted(folder.glob("*.npy"))}
    if set(arrays) != set(net.params) and len(arrays) == len(net.params) and not set(arrays) & set(net.params):
        arrays = _assigned(net, arrays, folder)
    try:
        for name, a in arrays.items():
            if name in net.params and a.dtype.kind == "f":
                check_values(name, a, net.dtype)
        net.load_state_dict(arrays)
    except CheckpointError as e:
        raise CheckpointError(f"{folder}: {e}") from None


def _open_npy(path: Path) -> np.ndarray:
    """The array in a file, not read yet: only what fits a parameter will be."""
    try:
        open_regular(path).close()
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError as e:
        raise CheckpointError(f"{path}: cannot be read ({e.strerror or e})") from None
    except Exception as e:  # NumPy raises many kinds for damaged headers
        raise CheckpointError(f"{path}: not an array that can be read ({e})") from None
    if not isinstance(array, np.memmap) or array.offset + array.nbytes != path.stat().st_size:
        raise CheckpointError(f"{path}: the size of the file is not that of its array")
    return array


def _assigned(net: Sequential, arrays: dict[str, np.ndarray], folder: Path) -> dict[str, np.ndarray]:
    """The arrays, under the names of the parameters whose shapes they have.

    Raises CheckpointError if that is not clear.
    """
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
    """`a` in this shape, if only a transposition or axes of length 1 are in the way."""
    if a.shape == shape:
        return a
    if len(shape) == 2 and a.shape == shape[::-1]:
        return a.T
    if len(shape) == 1 and a.shape in ((1, *shape), (*shape, 1)):
        return a.reshape(shape)
    return None


# ------------------------------------------------------------------ HDF5


def save_hdf5(net: Sequential, path: str | os.PathLike[str]) -> None:
    """Write the parameters of `net` to an HDF5 file, one data set for each.

    At most 16 MB are in memory at a time. Only the parameters are written: architecture
    and `net.info` are in the files of `net.save`. Raises SettingError if h5py is
    missing, OSError if the file cannot be written.
    """
    h5py = _h5py()
    with atomic_file(path) as temporary, h5py.File(temporary, "w", locking=False) as file:
        for name, p in net.params.items():
            data, digest = file.create_dataset(name, p.shape, str(net.dtype)), sha256()
            for rows in hdf5_reader.pieces(p.shape, net.dtype.itemsize, PIECE):
                piece = np.ascontiguousarray(to_numpy(p.value[rows]))
                data[rows] = piece
                digest.update(piece.data)
            data.attrs["sha256"] = digest.hexdigest()


def load_hdf5(net: Sequential, path: str | os.PathLike[str]) -> None:
    """Set all parameters of `net` from an HDF5 file with a data set for each.

    At most 16 MB are in memory at a time. Another process reads the file, because a
    damaged one can crash the HDF5 library, or hang it for ever. Raises CheckpointError,
    before anything is changed, for a damaged file, for data sets that do not fit, and
    if nothing comes for PATIENCE seconds; SettingError if h5py is missing.
    """
    _h5py()
    try:
        open_regular(path).close()
    except FileNotFoundError:
        raise CheckpointError(f"{path}: there is no such file") from None
    except OSError as e:
        raise CheckpointError(f"{path}: cannot be read ({e.strerror})") from None
    asked = {
        "path": os.path.abspath(path), "shapes": {name: p.shape for name, p in net.params.items()},
        "dtype": str(net.dtype), "piece": PIECE,
    }  # fmt: skip
    with _Reader(path, asked) as reader:
        for p in net.params.values():
            for rows in hdf5_reader.pieces(p.shape, net.dtype.itemsize, PIECE):
                p.value[rows] = net.xp.asarray(reader.array(p.value[rows].shape, net.dtype))


class _Reader:
    """The process that reads an HDF5 file (hdf5_reader.py).

    Entering it waits until the file is known to be whole.
    """

    def __init__(self, path: str | os.PathLike[str], asked: dict[str, Any]) -> None:
        self.path, self.asked, self.silent = path, asked, False

    def __enter__(self) -> "_Reader":
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        self.process = subprocess.Popen(
            [sys.executable, hdf5_reader.__file__], env=environment,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            self._begin()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()  # closes the pipes, and waits

    def _begin(self) -> None:
        assert self.process.stdin is not None and self.process.stdout is not None
        # it has ended already; reading will tell
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps(self.asked).encode() + b"\n")
            self.process.stdin.flush()
        line = b"\n"
        while line == b"\n":
            with self._patience():
                line = self.process.stdout.readline()
        if not line:
            raise self._broken()
        said = json.loads(line)
        if "error" in said:
            raise CheckpointError(f"{self.path}: {said['error']}")

    def array(self, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """The next piece of the data."""
        assert self.process.stdout is not None
        a = np.empty(shape, dtype)
        with self._patience():
            n = self.process.stdout.readinto(a.reshape(-1).view(np.uint8).data)  # type: ignore[attr-defined]
        if n < a.nbytes:
            raise self._broken()
        return a

    @contextlib.contextmanager
    def _patience(self) -> Iterator[None]:
        """End the process if the block takes longer than PATIENCE."""

        def end() -> None:
            self.silent = True
            self.process.kill()

        timer = threading.Timer(PATIENCE, end)
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _broken(self) -> CheckpointError:
        what = f"nothing could be read for {PATIENCE:g} seconds" if self.silent else "the HDF5 library crashed on it"
        return CheckpointError(f"{self.path}: damaged: {what}")


def _h5py() -> Any:
    try:
        import h5py
    except ImportError:
        raise SettingError(f"HDF5 files need the package h5py: {install_command('hdf5')}") from None
    return h5py
