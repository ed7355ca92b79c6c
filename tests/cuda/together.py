"""Kernels whose blocks run, and wait for each other, at the same time.

The text is compiled as it is for the stub GPU, and run by the same on_cpu.cpp; but as a
program of its own, which may then hang, or be stopped by ThreadSanitizer.
"""

import functools
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.cuda import compiling

SANITIZER = ["-fsanitize=thread", "-g"]


@functools.cache
def need_sanitizer() -> None:
    """Skip where ThreadSanitizer is missing, or does not start on this machine."""
    try:
        program = compiling.build("sanitized", *SANITIZER, text="int main() {}")
    except ValueError:
        pytest.skip("g++ has no ThreadSanitizer here")
    if subprocess.run([program], capture_output=True).returncode:
        pytest.skip("ThreadSanitizer does not start on this machine")


class Together:
    """One kernel of a text, for arguments that are arrays and whole numbers."""

    def __init__(self, text: str, name: str, options: tuple[str, ...], folder: Path, sanitizer: bool = False) -> None:
        why = compiling.problem()
        if why is not None:
            pytest.skip(why)
        if sanitizer:
            need_sanitizer()
        self.folder, sanitizers = folder, SANITIZER * sanitizer
        text = compiling.for_the_cpu(text) + f'extern "C" const on_cpu::Kernel *const kernel = &kernel_{name};\n'
        header = ["-include", compiling.HERE / "on_cpu.h", f"-I{compiling.HERE}"]
        compiled = compiling.build("kernel.o", *compiling.STRICT, *options, *sanitizers, *header, "-c", text=text)
        others = [compiling.build(f"{of}.o", "-O2", "-c", compiling.HERE / f"{of}.cpp") for of in ("on_cpu", "program")]
        self.program = compiling.build("program", *sanitizers, "-pthread", compiled, *others)

    def __call__(
        self, blocks: int, threads: int, args: list[Any], pointer: tuple[int, int] = (-1, -1), seed: int = 0,
        running: int | None = None, seconds: float = 120,
    ) -> None:  # fmt: skip
        """Launch; the arrays among `args` are changed in place.

        Argument number `pointer[0]`, if not −1, becomes the address of `pointer[1]`,
        which, as the last, need not be an argument of the kernel itself.
        Only the first `running` blocks run, by default all. The seed draws whose turn
        it is. Raises AssertionError for a race, a hang, and threads that wait in
        different places.
        """
        given = [blocks if running is None else running, blocks, threads, seed + 1, len(args)]
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
