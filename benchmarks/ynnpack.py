"""Hold the products of JAX, which are YNNPACK's, to AVX2.

XLA's option for the instructions does not reach YNNPACK. It looks at the processor
itself, once, and keeps what it found in a variable. Without this file, JAX computes
products with AVX-512 whatever the option says.
"""

import ctypes
import mmap
import os
from pathlib import Path

import jax
import jaxlib
import numpy as np

from benchmarks.isa import AVX2

#: YNNPACK's flags up to those of AVX2 and FMA
UP_TO_AVX2 = 0x7F


def hold_jax() -> None:
    """Hold the products of JAX, if the environment holds its loops."""
    if AVX2["XLA_FLAGS"] in os.environ.get("XLA_FLAGS", "") and (flags := flags_found()) is not None:
        flags.value &= UP_TO_AVX2
        jax.clear_caches()


def report() -> str:
    """What the products of JAX may use, in a word."""
    flags = flags_found()
    if flags is None:
        return "not YNNPACK's"
    return "more than AVX2" if flags.value > UP_TO_AVX2 else "AVX2 at most"


def flags_found() -> ctypes.c_uint64 | None:
    """What YNNPACK found, if JAX has it: a variable of its function of that name."""
    one = np.ones((64, 64), np.float32)
    jax.jit(jax.numpy.dot)(one, one).block_until_ready()  # the first product looks
    for library in Path(jaxlib.__file__).parent.glob("libjax_common.so"):
        address = address_of("_ZZN3ynn24get_supported_arch_flagsEvE5flags", library)
        return None if address is None else ctypes.c_uint64.from_address(address)
    return None


HEADER = np.dtype(
    "u4, u4, u8, u8, u8, u8, u4, u4, u8, u8"  # of a section: f1 its type, f4 where it begins, f5 its size, f6 its names
)
SYMBOL = np.dtype("u4, u1, u1, u2, u8, u8")  # f0 its name, f4 its address
SYMBOLS = 2  # the type of a section


def address_of(symbol: str, library: Path) -> int | None:
    """Where a symbol of a loaded ELF library lies, even one that is not exported."""
    maps = Path("/proc/self/maps").read_text().splitlines()
    begin = next((int(line.partition("-")[0], 16) for line in maps if line.endswith(str(library.resolve()))), None)
    with library.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as elf:
        at, count = int.from_bytes(elf[0x28:0x30], "little"), int.from_bytes(elf[0x3C:0x3E], "little")
        sections = np.frombuffer(elf[at : at + count * HEADER.itemsize], HEADER)
        for section in sections[sections["f1"] == SYMBOLS]:
            names, first, size = sections[section["f6"]], int(section["f4"]), int(section["f5"])
            start = int(names["f4"])
            name = elf.find(f"\0{symbol}\0".encode(), start, start + int(names["f5"])) + 1 - start
            symbols = np.frombuffer(elf[first : first + size], SYMBOL)
            for value in symbols["f4"][symbols["f0"] == name] if name > 0 else ():
                return None if begin is None else begin + int(value)
    return None
