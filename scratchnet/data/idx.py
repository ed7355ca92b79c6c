"""The IDX format of MNIST, read strictly: a file must match its header exactly.

Layout (LeCun, Cortes, Burges, "The MNIST database"): two zero bytes, a type code (8:
unsigned byte), the number of dimensions, each dimension as a big-endian 32-bit integer,
then the values in row-major order.
"""

import math
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from scratchnet.data.inflate import CHUNK, MAGIC, RATIO, inflate
from scratchnet.errors import DataError
from scratchnet.files.reading import open_regular

LARGEST = 1 << 26  # bytes of values; MNIST's training images, the largest file we know of, have 47 million


def read_idx(path: str | Path, shape: tuple[int | None, ...]) -> np.ndarray:
    """The array of unsigned bytes in an IDX file, gzip-compressed or plain.

    The first bytes tell which it is. `shape` is the expected shape, with None for any
    length: (None, 28, 28) for images, (None,) for labels. The header is compared with
    it, and with the size of the file, before anything is allocated; decompression stops
    at the announced size. Raises DataError, with the file and the byte offset, if
    anything is wrong: type, dimensions, length, checksum, or bytes left over.
    """
    path = Path(path)
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            compressed = file.read(2) == MAGIC
            file.seek(0)
            chunks = inflate(path, file) if compressed else iter(lambda: file.read(CHUNK), b"")
            return _read(path, chunks, shape, size * RATIO if compressed else size)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error


def _read(path: Path, chunks: Iterator[bytes], shape: tuple[int | None, ...], most: int) -> np.ndarray:
    start = 4 + 4 * len(shape)
    head = b""
    for chunk in chunks:
        head += chunk
        if len(head) >= start:
            break
    dims = _header(path, head, shape)
    total = math.prod(dims)
    if total > LARGEST or start + total > most:
        raise DataError(f"{path}, byte 4: the header announces {dims}, more than a file of this size can hold")
    values = np.empty(total, np.uint8)
    filled = 0
    for chunk in _rest(head[start:], chunks):
        if filled + len(chunk) > total:
            raise DataError(
                f"{path}, byte {start + total}: data go on after the {dims} values that the header announces"
            )
        values[filled : filled + len(chunk)] = np.frombuffer(chunk, np.uint8)
        filled += len(chunk)
    if filled < total:
        raise DataError(f"{path}, byte {start + filled}: ends early, {total - filled} of {total} values are missing")
    return values.reshape(dims)


def _header(path: Path, head: bytes, shape: tuple[int | None, ...]) -> tuple[int, ...]:
    if len(head) < 4:
        raise DataError(f"{path}, byte {len(head)}: ends within the first 4 bytes; not an IDX file")
    if head[:3] != b"\0\0\x08":
        raise DataError(f"{path}, byte 0: starts with {head[:4].hex(' ')}; an IDX file of bytes starts with 00 00 08")
    if head[3] != len(shape):
        raise DataError(f"{path}, byte 3: {head[3]} dimensions instead of {len(shape)}; are images and labels swapped?")
    if len(head) < 4 + 4 * len(shape):
        raise DataError(f"{path}, byte {len(head)}: ends within the header")
    dims = tuple(int.from_bytes(head[at : at + 4], "big") for at in range(4, 4 + 4 * len(shape), 4))
    for i, (found, wanted) in enumerate(zip(dims, shape, strict=True)):
        if wanted is not None and found != wanted:
            raise DataError(f"{path}, byte {4 + 4 * i}: shape {dims}, expected {_text(shape)}")
    return dims


def _text(shape: tuple[int | None, ...]) -> str:
    return "(" + ", ".join("any" if n is None else str(n) for n in shape) + ")"


def _rest(first: bytes, chunks: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from chunks
