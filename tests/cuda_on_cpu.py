"""The text of CUDA kernels compiled with g++ and run on the CPU: see cuda_on_cpu.h."""

import ctypes
import functools
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

HEADER = Path(__file__).with_name("cuda_on_cpu.h")


@functools.cache
def _compile(code: str, options: tuple[str, ...]) -> ctypes.CDLL:
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("g++ is not installed, which the kernels are compiled with for the CPU")
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "kernels.so"
        # -Bsymbolic: else a call of `advance` goes to the function in glibc
        flags = ["-std=c++17", "-O1", "-U_FORTIFY_SOURCE", "-fPIC", "-shared", "-Wl,-Bsymbolic"]
        flags += ["-Wall", "-Wno-unused-function", "-Werror"]
        flags += options
        command = [compiler, "-x", "c++", *flags, "-include", str(HEADER), "-", "-o", str(library)]
        done = subprocess.run(command, input=code, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return ctypes.CDLL(str(library))


class Emulation:
    """The kernels of a text, for arguments that are addresses and whole numbers."""

    def __init__(self, code: str, options: tuple[str, ...] = ()) -> None:
        self.library = _compile(code, options)
        signatures = re.findall(r"__global__ void (\w+)\((.*?)\)", code, re.DOTALL)
        self.parameters = {name: inside.count(",") + 1 for name, inside in signatures}

    def launch(self, name: str, blocks: int, threads: int, args: list[int], backwards: bool = False) -> None:
        wanted = self.parameters[name]  # more or fewer would be read from whatever lies in memory
        assert len(args) == wanted, f"{name} takes {wanted} arguments, but is given {len(args)}"
        twenty = (ctypes.c_longlong * 20)(*args)
        kernel = ctypes.cast(getattr(self.library, name), ctypes.c_void_p)
        disagree = self.library.launch(
            kernel, ctypes.c_longlong(blocks), ctypes.c_longlong(threads), twenty, int(backwards)
        )
        assert disagree == 0, f"{name}: the threads of a block do not all come to the same __syncthreads"
