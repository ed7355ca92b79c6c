"""g++ builds: the stub of the driver, and the text of CUDA kernels for the CPU.

What was built is kept in a folder of the system's temporary files, by what it was made
of. The next run, and the other processes of this one, find it there.
"""

import ctypes
import functools
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
RUNNER = "libon_cpu.so"
#: -ffp-contract=off: the results do not depend on what g++ makes one operation of
FLAGS = ["-std=c++17", "-O1", "-fPIC", "-U_FORTIFY_SOURCE", "-ffp-contract=off"]
STRICT = ["-Wall", "-Werror", "-Wno-unknown-pragmas"]
NAMES = re.compile(r'extern\s+"C"\s+__global__\s+void\s+(?:__launch_bounds__\s*\([^)]*\)\s*)?(\w+)')
BARRIERS = re.compile(r"__sync(threads|warp)|__shfl|__nanosleep")
SHARED = re.compile(
    r"(extern\s+)?__shared__\s+(?:__align__\(\d+\)\s+)?([\w:<>]+(?:\s+[\w:<>]+)*?)\s+(\w+)\s*((?:\[[^\]]*\]\s*)*);"
)


def problem() -> str | None:
    """Why kernels cannot be compiled for the CPU, or None."""
    return None if shutil.which("g++") else "g++ is not installed, which the kernels are compiled with for the CPU"


def for_the_cpu(text: str) -> str:
    """The text with shared memory that belongs to a block, and its kernels named."""
    count = 0

    def shared(found: re.Match[str]) -> str:
        nonlocal count
        outside, kind, name, sizes = found.groups()
        if outside:
            return f"{kind} *{name} = static_cast<{kind} *>(on_cpu::dynamic_shared_memory());"
        count += 1
        of = f"shared_{name}_{count}"
        return f"typedef {kind} {of}{sizes.strip()}; {of} &{name} = on_cpu::Shared<{count}, {of}>::get();"

    changed = SHARED.sub(shared, text)
    assert "__shared__" not in changed, "a declaration of shared memory that compiling.py cannot read"
    names = NAMES.findall(text)
    assert names, "no kernel in the text"
    # a thread that has returned cannot come to a barrier; CuPy's own kernels rely on
    # GPUs that do not wait for it
    barriers = 0 if not BARRIERS.search(text) else 2 if "#include <cupy/" in text else 1
    ends = [f"ON_CPU_KERNEL({name})" for name in names]
    ends.append(f'extern "C" {{ __attribute__((visibility("default"))) int barriers = {barriers}; }}')
    return "\n".join([changed, *ends, ""])


@functools.cache
def cache() -> Path:
    """The folder of what was built from the present files of this folder."""
    files = sorted(p for p in HERE.rglob("*") if p.suffix in {".h", ".cpp", ".cuh"} or p == Path(__file__))
    told = b"".join(p.read_bytes() for p in files)
    user = os.getuid() if hasattr(os, "getuid") else 0
    folder = Path(tempfile.gettempdir()) / f"scratchnet-on-cpu-{user}" / hashlib.sha256(told).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def build(name: str, *arguments: str | Path, text: str | None = None) -> Path:
    """What g++ makes with these arguments, and with `text` as its input; called `name`.

    Raises ValueError if it refuses.
    """
    key = repr(([str(a) for a in arguments], text)).encode()
    out = cache() / hashlib.sha256(key).hexdigest()[:24] / name
    if not out.exists():
        out.parent.mkdir(exist_ok=True)
        new = out.with_name(f"{name}.{os.getpid()}")
        command = ["g++", *FLAGS, *map(str, arguments), *(["-x", "c++", "-"] if text is not None else []), "-o", new]
        done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=300)
        if done.returncode:
            raise ValueError(f"g++ does not compile {name}:\n{done.stderr[:4000]}")
        new.rename(out)  # whole, or not there at all
    return out


@functools.cache
def runner() -> ctypes.CDLL:
    """on_cpu.cpp, which all kernels call; one for the whole process."""
    arguments = ["-O2", "-shared", f"-Wl,-soname,{RUNNER}", "-pthread", HERE / "on_cpu.cpp"]
    library = ctypes.CDLL(str(build(RUNNER, *arguments)), mode=ctypes.RTLD_GLOBAL)
    library.on_cpu_launch.restype = ctypes.c_char_p
    library.on_cpu_launch.argtypes = [*[ctypes.c_void_p] * 3, ctypes.c_int, ctypes.c_long]
    return library
