"""Model files to break: a small network's file taken apart, rebuilt and mutated."""

import json
import random
from hashlib import sha256
from pathlib import Path
from typing import Any

import scratchnet
from scratchnet.files.tensorfile import START, ZEROS


def small_net() -> scratchnet.Sequential:
    """A few of every kind of thing that a file can hold, in about a kilobyte."""
    net = scratchnet.Sequential(
        scratchnet.Linear(3, 4),
        scratchnet.Sigmoid(),
        scratchnet.Dropout(0.3),
        scratchnet.Linear(4, 2, bias=False),
        seed=3,
    )
    net.info |= {"classes": ["α", "b"], "vocabulary": {"word": 1}, "training": {"epochs": 2}}
    return net


def small_file(folder: Path) -> bytes:
    path = folder / "small.safetensors"
    small_net().save(path)
    return path.read_bytes()


def take_apart(content: bytes) -> tuple[dict[str, Any], dict[str, Any], bytes]:
    """(header, about, data) of a model file."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    return header, json.loads(header["__metadata__"]["scratchnet"]), content[8 + length :]


def put_together(header: dict[str, Any], about: dict[str, Any] | str, data: bytes) -> bytes:
    """The file of these parts, correctly sealed: a hostile writer can do that, chance
    cannot.
    """
    text = about if isinstance(about, str) else json.dumps(about)
    header = {
        "__metadata__": {"sha256": "0" * 64, "scratchnet": text},
        **{k: v for k, v in header.items() if k[:2] != "__"},
    }
    return seal(json.dumps(header, separators=(",", ":")).encode(), data)


def seal(header: bytes, data: bytes) -> bytes:
    """A file with this text as its header, sealed."""
    length = len(header).to_bytes(8, "little")
    blank = START + ZEROS + header[len(START) + 64 :]
    return length + START + sha256(length + blank).hexdigest().encode() + header[len(START) + 64 :] + data


NASTY: list[Any] = [
    None,
    True,
    -1,
    0,
    2**31,
    2**63,
    10**400,
    1e308,
    0.5,
    "",
    "Linear",
    "__class__",
    "os.system",
    "\udc80",
    "x" * 1000,
    [],
    {},
    [[]],
    [1],
    [2**40, 2**40],
    [-1],
    ["F32"],
    {"type": "Linear"},
    {"type": "Sequential"},
    {"type": ["Linear"]},
    "F16",
    "F64",
    [0, 10**15],
]


def mutate_tree(value: Any, rng: random.Random) -> Any:
    """A JSON value with one place in it changed, removed, doubled or exchanged."""
    if isinstance(value, dict) and value and rng.random() < 0.8:
        key = rng.choice(list(value))
        kind = rng.random()
        if kind < 0.1:
            return {k: v for k, v in value.items() if k != key}
        if kind < 0.15:
            return {**value, str(rng.choice(NASTY)): value[key]}
        return {**value, key: mutate_tree(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.8:
        k = rng.randrange(len(value))
        kind = rng.random()
        if kind < 0.1:
            return value[:k] + value[k + 1 :]
        if kind < 0.2:
            return [*value[:k], value[k], *value[k:]]
        return [*value[:k], mutate_tree(value[k], rng), *value[k + 1 :]]
    if isinstance(value, int) and rng.random() < 0.5:
        return value + rng.choice([-1, 1, 4, 2**32, -(2**40)])
    return rng.choice(NASTY)


def mutate_bytes(content: bytes, rng: random.Random) -> bytes:
    """Bytes with a few places flipped, overwritten, cut, repeated or moved."""
    out = bytearray(content)
    for _ in range(rng.choice([1, 1, 1, 2, 5])):
        k, n = rng.randrange(len(out) or 1), rng.randrange(1, 40)
        kind = rng.randrange(6)
        if kind == 0 and out:
            out[k] ^= 1 << rng.randrange(8)
        elif kind == 1:
            out[k : k + n] = rng.randbytes(n)
        elif kind == 2:
            del out[k : k + n]
        elif kind == 3:
            out[k:k] = out[k : k + n]
        elif kind == 4:
            del out[k:]
        else:
            out[k:k] = rng.randbytes(n)
    return bytes(out)


def mutant(content: bytes, rng: random.Random) -> bytes:
    """A mutated model file: half by chance, half by someone who knows how to seal it
    again.
    """
    kind = rng.randrange(4)
    if kind < 2:
        return mutate_bytes(content, rng)
    header, about, data = take_apart(content)
    if kind == 2:
        return put_together(header, mutate_tree(about, rng), data)
    header.pop("__metadata__")
    if rng.random() < 0.5:
        return put_together({key: mutate_tree(v, rng) for key, v in header.items()}, about, data)
    length = int.from_bytes(content[:8], "little")
    return seal(mutate_bytes(content[8 : 8 + length], rng), data)
