"""A safetensors file that notices damage: named arrays, and a JSON value about them.

    8 bytes   the length of the header, little-endian
    header    JSON: {"__metadata__": {"sha256": seal, "scratchnet": about},
                     name: {dtype, shape, data_offsets}, ...}
    data      the arrays, one after another

`about` holds the SHA-256 of every array. The seal is the SHA-256 of the length and the
header, with 64 zeros in place of the seal itself: together they cover every byte. The
seal comes first, so a damaged header is refused before it is parsed, and every size is
checked against the size of the file before anything is allocated.

The safetensors library can read these files, but does not write or check them here:
version 0.8.0 writes wrong values for arrays that are not C-contiguous, accepts a name
that occurs twice, and has no checksum.
"""

import contextlib
import json
import math
import os
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np

from scratchnet.errors import CheckpointError
from scratchnet.files.atomic import atomic_write
from scratchnet.files.reading import open_regular

DTYPES: dict[Any, np.dtype[Any]] = {"F32": np.dtype("<f4"), "F64": np.dtype("<f8")}
NAMES = {dtype: name for name, dtype in DTYPES.items()}
HEADER_LIMIT = 8 * 2**20  # bytes; parsing may take twenty times as much memory
START, ZEROS = b'{"__metadata__":{"sha256":"', b"0" * 64


def write_tensors(path: str | os.PathLike[str], arrays: Mapping[str, np.ndarray], about: dict[str, Any]) -> None:
    """Write arrays and the JSON value `about` to `path`, atomically.

    The arrays are float32 or float64, in any memory layout.

    Raises CheckpointError if `about` cannot be
    JSON or is too large, and OSError if the file cannot be written.
    """
    flat: dict[str, np.ndarray] = {}
    # float64 first, so that all arrays are aligned
    for name in sorted(arrays, key=lambda name: -arrays[name].itemsize):
        a = np.ascontiguousarray(arrays[name])
        if a.dtype not in NAMES:
            raise CheckpointError(f"{path}: array {name!r} is {a.dtype}; only float32 and float64 can be written")
        flat[name] = a.reshape(-1).view(np.uint8)
    entries, end = {}, 0
    for name, data in flat.items():
        a = arrays[name]
        entries[name] = {"dtype": NAMES[a.dtype], "shape": list(a.shape), "data_offsets": [end, end + data.size]}
        end += data.size
    digests = {name: sha256(data.data).hexdigest() for name, data in flat.items()}
    try:
        text = json.dumps({**about, "sha256": digests}, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as e:
        raise CheckpointError(f"{path}: what is saved with the network must be plain JSON: {e}") from None
    header = json.dumps({"__metadata__": {"sha256": ZEROS.decode(), "scratchnet": text}, **entries},
                        separators=(",", ":")).encode()  # fmt: skip
    header += b" " * (-len(header) % 8)
    if len(header) > HEADER_LIMIT:
        raise CheckpointError(f"{path}: {len(header):,} bytes are to be saved with the network besides its weights; "
                              f"there is room for {HEADER_LIMIT:,}")  # fmt: skip
    length = len(header).to_bytes(8, "little")
    seal = sha256(length + header).hexdigest().encode()
    header = START + seal + header[len(START) + 64 :]
    atomic_write(path, [length, header, *(data.data for data in flat.values())])


class Entry(NamedTuple):
    """One array in the file; `start` and `end` count bytes within the data."""

    dtype: np.dtype
    shape: tuple[int, ...]
    start: int
    end: int
    sha256: str


class TensorFile:
    """A file written by `write_tensors`, open for reading.

    Opening it checks everything but the arrays, and `read` checks an array. Raises
    CheckpointError, with the file and the place.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        try:
            self.file = open_regular(self.path)
        except FileNotFoundError:
            raise CheckpointError(f"{path}: there is no such file") from None
        except OSError as e:
            raise CheckpointError(f"{path}: cannot be read ({e.strerror})") from None
        try:
            self._read_header()
        except BaseException:
            self.file.close()
            raise

    def __enter__(self) -> "TensorFile":
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None) -> None:
        self.file.close()

    def read(self, name: str) -> np.ndarray:
        """A new array, after its SHA-256 has been checked."""
        entry = self.entries[name]
        place = f"array {name!r}, bytes {self.data + entry.start:,} to {self.data + entry.end:,}"
        try:
            a = np.empty(entry.shape, entry.dtype)
        except (MemoryError, ValueError) as e:
            raise self.error(f"{place}: there is not enough memory for shape {entry.shape} ({e})") from None
        content = a.reshape(-1).view(np.uint8).data
        with self._reading():
            self.file.seek(self.data + entry.start)
            n = self.file.readinto(content)
        if n < len(content) or sha256(content).hexdigest() != entry.sha256:
            raise self.error(f"{place}: damaged, the SHA-256 is not the recorded one")
        return a

    def error(self, text: str) -> CheckpointError:
        return CheckpointError(f"{self.path}: {text}")

    # ------------------------------------------------------------ the header

    def _read_header(self) -> None:
        size = os.fstat(self.file.fileno()).st_size
        prefix = self._exactly(8)
        length = int.from_bytes(prefix, "little")
        if length > min(size - 8, HEADER_LIMIT):
            raise self.error(f"bytes 0 to 8: not a model of scratchnet, or cut short: a header of {length:,} bytes in "
                             f"a file of {size:,} (the most is {HEADER_LIMIT:,})")  # fmt: skip
        header = self._exactly(length)
        place = f"header, bytes 8 to {8 + length:,}"
        if not header.startswith(START):
            raise self.error(f"{place}: not a model of scratchnet: its seal is missing (of other safetensors files, "
                             "the arrays can be given to net.load_state_dict)")  # fmt: skip
        seal = header[len(START) : len(START) + 64]
        blank = START + ZEROS + header[len(START) + 64 :]
        if sha256(prefix + blank).hexdigest().encode() != seal:
            raise self.error(f"{place}: damaged, the SHA-256 is not the recorded one")
        self.data = 8 + length
        self._parse(header, size - self.data)

    def _parse(self, header: bytes, size: int) -> None:
        """Set `about` and `entries` from a header, for `size` bytes of data."""
        try:
            self._take(header, size)
        except CheckpointError:
            raise
        except (ValueError, KeyError, TypeError, RecursionError, MemoryError) as e:
            place = f"header, bytes 8 to {8 + len(header):,}"
            raise self.error(f"{place}: malformed ({type(e).__name__}: {short(e)})") from None

    def _take(self, header: bytes, size: int) -> None:
        top = parse_json(header.decode())
        metadata = top.pop("__metadata__")
        self.about: dict[str, Any] = parse_json(metadata["scratchnet"])
        digests = dict(self.about.pop("sha256"))
        self.entries: dict[str, Entry] = {}
        end = 0
        for name, entry in sorted(top.items(), key=lambda item: item[1]["data_offsets"]):
            dtype, shape, (start, stop) = DTYPES[entry["dtype"]], entry["shape"], entry["data_offsets"]
            if not all(type(n) is int and 0 <= n < 2**48 for n in (*shape, start, stop)) or len(shape) > 8:
                raise ValueError(f"array {short(name)} has sizes that cannot be")
            if start != end or stop - start != math.prod(shape) * dtype.itemsize:
                raise ValueError(f"array {short(name)} of shape {tuple(shape)} cannot lie at {start:,} to {stop:,}")
            self.entries[name] = Entry(dtype, tuple(shape), start, stop, digests.pop(name))
            end = stop
        if end != size:
            raise self.error(f"{size:,} bytes of data, but the arrays take {end:,}: cut short, or something was added")
        if digests:
            raise ValueError(f"a SHA-256 for {short(next(iter(digests)))}, which is not there")

    # ------------------------------------------------------------ bytes

    def _exactly(self, n: int) -> bytes:
        with self._reading():
            content = self.file.read(n)
        if len(content) < n:
            raise self.error(f"cut short: {len(content):,} bytes where {n:,} are needed")
        return content

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except OSError as e:
            raise self.error(f"cannot be read ({e.strerror})") from None


def parse_json(text: str) -> dict[str, Any]:
    """A JSON object.

    Raises ValueError for names that occur twice, and for NaN and infinities, which are
    not JSON.
    """

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(pairs)
        if len(result) < len(pairs):
            raise ValueError("a name occurs twice")
        return result

    def refuse(constant: str) -> Any:
        raise ValueError(f"{constant} is not a number of JSON")

    value = json.loads(text, object_pairs_hook=once, parse_constant=refuse)
    if not isinstance(value, dict):
        raise ValueError(f"a JSON object is wanted, not {short(value)}")
    return value


def short(value: object) -> str:
    """Text that we have not written, fit for one line of a message."""
    text = ascii(str(value))[1:-1] if isinstance(value, Exception) else ascii(value)
    return text if len(text) <= 100 else text[:100] + "..."
