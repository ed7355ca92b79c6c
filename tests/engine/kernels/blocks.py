"""Kernels whose blocks run, and wait for each other, at the same time: see blocks.cpp.

Each text is compiled with g++ and run as a program of its own, which may then hang or
be stopped by ThreadSanitizer.
"""

import functools
import itertools
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

HERE = Path(__file__).parent
FLAGS = [
    "-std=c++17",
    "-O1",
    "-Wall",
    "-Wno-unknown-pragmas",
    "-Wno-unused-function",
    "-Werror",
    "-U_FORTIFY_SOURCE",
    "-pthread",
]
SANITIZER = ["-fsanitize=thread", "-g"]


def gpp() -> str:
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("g++ is not installed, which compiles the kernels for the CPU")
    return compiler


@functools.cache
def need_sanitizer() -> None:
    """Skip where ThreadSanitizer is missing, or does not start on this machine."""
    compiler = gpp()
    with tempfile.TemporaryDirectory() as folder:
        program = f"{folder}/program"
        command = [compiler, *SANITIZER, "-x", "c++", "-", "-o", program]
        built = subprocess.run(command, input="int main() {}", text=True, capture_output=True)
        if built.returncode or subprocess.run([program], capture_output=True).returncode:
            pytest.skip("ThreadSanitizer does not work here")


def build(*arguments: str) -> None:
    """Call g++; raises ValueError if it refuses the text."""
    done = subprocess.run([gpp(), *FLAGS, f"-I{HERE}", *arguments], capture_output=True, text=True, timeout=120)
    if done.returncode:
        raise ValueError(done.stderr)


_kept = tempfile.TemporaryDirectory()


@functools.cache
def surroundings() -> Path:
    """blocks.cpp, compiled once for all kernels."""
    compiled = Path(_kept.name) / "blocks.o"
    build("-c", str(HERE / "blocks.cpp"), "-o", str(compiled))
    return compiled


def shared(number: int, kind: str, name: str, sizes: str) -> str:
    """A declaration of shared memory, as a reference into the block's own."""
    of = f"shared_{number}"
    return (
        f"typedef {kind} {of}{sizes}; static_assert({number} < ROOMS && sizeof({of}) <= ROOM);"
        f"{of} &{name} = *({of} *)(shared_memory + {number} * ROOM);"
    )


class Blocks:
    """One kernel of a text, for arguments that are arrays and whole numbers."""

    def __init__(self, text: str, name: str, options: tuple[str, ...], folder: Path, sanitizer: bool = False) -> None:
        self.folder = folder
        if sanitizer:
            need_sanitizer()
        # every block has shared memory of its own
        count = itertools.count()
        text = re.sub(
            r"__shared__ (\w+) (\w+)((?:\[[^\]]+\])*);", lambda found: shared(next(count), *found.groups()), text
        )
        text += f'\nextern "C" {{\nvoid *kernel = (void *){name};\n}}\n'
        source, self.program = folder / "kernel.cpp", folder / "kernel"
        source.write_text('#include "blocks.h"\n#line 1\n' + text, encoding="utf-8")
        sanitizers = SANITIZER * sanitizer
        compiled = folder / "kernel.o"
        build(*options, *sanitizers, "-c", str(source), "-o", str(compiled))
        build(*sanitizers, str(compiled), str(surroundings()), "-o", str(self.program))

    def __call__(
        self, blocks: int, threads: int, args: list[Any], pointer: tuple[int, int] = (-1, -1), seed: int = 0,
        running: int | None = None, seconds: float = 120,
    ) -> None:  # fmt: skip
        """Launch; the arrays among `args` are changed in place.

        Argument number `pointer[0]`, if not −1, becomes the address of `pointer[1]`.
        Only the first `running` blocks run, by default all. Raises AssertionError for a
        race, a hang, and threads that wait in different places.
        """
        given = [blocks if running is None else running, blocks, threads, seed, len(args)]
        parts = [np.array(given, np.int64).tobytes()]
        for a in args:
            if isinstance(a, np.ndarray):
                parts.append(np.int64(a.nbytes).tobytes() + a.tobytes())
            else:
                parts.append(np.array([-1, a], np.int64).tobytes())
        before, after = self.folder / "before", self.folder / "after"
        before.write_bytes(b"".join([*parts, np.array(pointer, np.int64).tobytes()]))
        try:
            done = subprocess.run([self.program, before, after], capture_output=True, text=True, timeout=seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError("the kernel hangs") from None
        assert done.returncode == 0, done.stderr[:3000] or f"the kernel ends with {done.returncode}"
        content, at = after.read_bytes(), 0
        for a in args:
            if isinstance(a, np.ndarray):
                a[...] = np.frombuffer(content, a.dtype, a.size, at).reshape(a.shape)
                at += a.nbytes
