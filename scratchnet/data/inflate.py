"""gzip, read strictly and piece by piece.

There must be one member, which is checked to its last byte, and a reader never gets
more than it asks for.
"""

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from scratchnet.errors import DataError

CHUNK = 1 << 18
RATIO = 1032  # deflate cannot shrink data by a larger factor
MAGIC = b"\x1f\x8b"


def inflate(path: Path, file: BinaryIO) -> Iterator[bytes]:
    """The decompressed content in pieces of at most CHUNK bytes.

    zlib compares checksum and length at the end. Raises DataError, with the byte offset
    in the file, if the data are truncated or damaged, or if anything follows the first
    gzip member (the standard library would silently append a second one).
    """
    stream = zlib.decompressobj(wbits=31)
    while not stream.eof:
        data = stream.unconsumed_tail or file.read(CHUNK)
        at = file.tell() - len(data)
        if not data:
            raise DataError(f"{path}, byte {at}: the compressed data end early; the file is truncated")
        try:
            yield stream.decompress(data, CHUNK)
        except zlib.error as error:
            raise DataError(f"{path}, near byte {at}: the compressed data are damaged ({error})") from error
    left = len(stream.unused_data) + len(file.read(1))
    if left:
        raise DataError(f"{path}, byte {file.tell() - left}: bytes follow the end of the compressed data")
