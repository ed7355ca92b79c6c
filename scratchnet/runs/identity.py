"""Whether two sets of data are the same, by a digest of every part of them."""

import hashlib
from collections.abc import Sequence

import numpy as np


def digests(**parts: np.ndarray | Sequence[str]) -> dict[str, str]:
    """The SHA-256 digest of each part, which is an array or a list of texts.

    An array's dtype and shape count, its memory layout does not. Underscores in the
    names become spaces. Give the data as they were read, before any arithmetic: two
    processors may compute a logarithm with different last bits from the same data.
    """
    return {name.replace("_", " "): _digest(part) for name, part in parts.items()}


def _digest(part: np.ndarray | Sequence[str]) -> str:
    if isinstance(part, np.ndarray):
        kind = part.dtype.newbyteorder("<")
        found = hashlib.sha256(f"{kind.str} {part.shape}".encode())
        found.update(np.ascontiguousarray(part, kind).data)
    else:
        found = hashlib.sha256()
        for text in part:
            content = text.encode("utf-8", "surrogatepass")
            found.update(len(content).to_bytes(8, "little") + content)
    return found.hexdigest()


def changed(then: object, now: dict[str, str]) -> list[str]:
    """The names of the parts that have changed."""
    before = then if isinstance(then, dict) else {}
    return [name for name in {**now, **before} if before.get(name) != now.get(name)]
