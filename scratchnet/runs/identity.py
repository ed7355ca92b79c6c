"""What makes two sets of data the same: a digest of every part of them."""

import hashlib
from collections.abc import Sequence

import numpy as np


def digests(**parts: np.ndarray | Sequence[str]) -> dict[str, str]:
    """SHA-256 of each part, an array or a list of texts, by its name; spaces stand for underscores.

    An array's dtype and shape count too, its memory layout does not. Give the data as they were read, before any
    arithmetic: the last bit of a logarithm may differ between two processors, and the data are the same all the same.
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
    """The parts that are not what they were."""
    before = then if isinstance(then, dict) else {}
    return [name for name in {**now, **before} if before.get(name) != now.get(name)]
