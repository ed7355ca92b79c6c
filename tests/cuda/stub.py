"""CuPy itself on a machine without a GPU.

`install` puts driver.cpp in the place of the CUDA driver, and of the CUDA runtime that
is compiled into CuPy. Device memory is then memory of the host. NVRTC compiles every
kernel as for a GPU of compute capability 9.0; what runs is the same text, as g++
compiles it (on_cpu.h). So CuPy's own code for shapes, types, overlap, streams and the
recording of graphs is what is tested.

It cannot show times, the order of memory accesses, rounding on a GPU (-ftz, contracted
products), or what CuPy brings compiled: Thrust, for which NumPy sorts here, and CUB,
without which CuPy reduces by kernels that it writes itself.
"""

import contextlib
import ctypes
import os
import re
import subprocess
import sys
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import metadata, util
from pathlib import Path
from typing import Any

from tests.cuda import compiling

_libraries: list[ctypes.CDLL] = []  # the driver, cuBLAS
_EVENT = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_char_p)


@dataclass
class Seen:
    """What CuPy asked of the driver."""

    launches: list[str] = field(default_factory=list)  # by the host: kernels, products, graphs
    nodes: list[str] = field(default_factory=list)  # what the graphs launched
    waits: list[str] = field(default_factory=list)  # with the line that waited
    transfers: list[str] = field(default_factory=list)  # from the host, likewise
    allocations: int = 0

    @property
    def reads(self) -> list[str]:
        """Those of the waits that copy to the host."""
        return [line for line in self.waits if line.startswith("memcpy")]


@contextlib.contextmanager
def watch() -> Iterator[Seen]:
    """See what is asked of the driver within a block; of a real one nothing is seen."""
    seen = Seen()
    if not is_installed():
        yield seen
        return

    def event(kind: bytes, what: bytes) -> None:
        name = what.decode()
        match kind.decode():
            case "launch":
                seen.launches.append(name)
            case "node":
                seen.nodes.append(name)
            case "graph":
                seen.launches.append(f"graph of {name}")
            case "wait":
                seen.waits.append(f"{name} in {_line()}")
            case "transfer":
                seen.transfers.append(f"{name} in {_line()}")
            case "allocate":
                seen.allocations += 1

    callback = _EVENT(event)
    _libraries[0].stub_watch(callback)
    try:
        yield seen
    finally:
        _libraries[0].stub_watch(_EVENT())


def _line() -> str:
    """The line of scratchnet, or of a test, that is being run."""
    here = [f for f in traceback.extract_stack() if f.filename != __file__ and "cupy" not in Path(f.filename).parts]
    return f"{Path(here[-1].filename).name}:{here[-1].lineno}: {here[-1].line}"


@contextlib.contextmanager
def order(number: int) -> Iterator[None]:
    """Another order of threads and blocks within a block of Python.

    −1 is backwards; any other number but 0 draws whose turn it is.
    """
    _libraries[0].stub_order(number)
    try:
        yield
    finally:
        _libraries[0].stub_order(0)


def plant(gpu: Any, monkeypatch: Any, text: str, right: str, wrong: str, *runners: Any) -> None:
    """Give these modules the kernels of text.cu with a fault: `wrong` for `right`."""
    from scratchnet.engine.kernels.nvrtc import text_of  # not before CuPy has its driver

    whole = text_of(text)
    assert right in whole
    module = gpu.RawModule(code=whole.replace(right, wrong), options=("-DREAL=double",))
    for runner in runners:
        monkeypatch.setattr(runner, "kernel", lambda xp, of, name, dtype: module.get_function(name))


def problem() -> str | None:
    """Why there can be no stub, or None."""
    if not sys.platform.startswith("linux") or os.uname().machine != "x86_64":
        return "the stub GPU is for Linux on x86-64"
    for module in ("cupy", "nvidia.cuda_runtime", "nvidia.cuda_nvcc"):
        try:
            found = util.find_spec(module)
        except ModuleNotFoundError:
            found = None
        if found is None:
            return f"{module} is not installed, which the stub GPU is made for: pip install -e '.[gpu-test]'"
    return compiling.problem()


def _folder(module: str) -> Path:
    spec = util.find_spec(module)
    assert spec is not None
    return Path(next(iter(spec.submodule_search_locations or [])))


def is_installed() -> bool:
    return bool(_libraries)


def install() -> None:
    """Put the stub in place; before CuPy is imported."""
    replace_driver()
    prepare()


def replace_driver() -> None:
    """What comes before CuPy is imported."""
    why = problem()
    assert why is None, why
    assert "cupy" not in sys.modules, "CuPy has been imported already"
    os.environ["CUPY_ACCELERATORS"] = ""  # CUB
    os.environ["CUPY_CACHE_DIR"] = str(compiling.cache() / "cupy")
    cuda = [f"-I{_folder(f'nvidia.{part}') / 'include'}" for part in ("cuda_runtime", "cuda_nvcc")]
    compiling.runner()
    soname = "-Wl,-soname,libcuda.so.1"
    path = compiling.build("libcuda.so.1", *cuda, compiling.HERE / "driver.cpp", "-O2", "-shared", soname)
    # A library that is loaded already serves whoever asks for one of its name.
    driver = ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)
    _libraries.extend([driver, ctypes.CDLL(str(_cublas(path)), mode=ctypes.RTLD_GLOBAL)])
    backends = _folder("cupy_backends")
    _replace_runtime(driver, next(backends.glob("cuda/api/runtime.*.so")))


def prepare() -> None:
    """What comes after it."""
    import cupy

    _compile_with_gpp()
    cupy.cuda.set_allocator(None)  # every array has its own memory, with a guard
    cupy.cuda.thrust.sort = _sort
    _refuse_functions_of_numpy(cupy.ndarray)


def _refuse_functions_of_numpy(array: Any) -> None:
    """CuPy answers NumPy's functions, such as `np.concatenate`, with its own arrays.

    One that is meant for the host then goes on as one, unseen. So the stub is stricter.
    (Ufuncs are answered: CuPy's own operators come the same way.)
    """

    def refuse(self: Any, function: Any, *_: Any) -> Any:
        raise TypeError(f"numpy.{function.__name__} is given an array of the device: use the function of its module")

    array.__array_function__ = refuse


def _symbols(path: Path, *options: str) -> list[tuple[int, str, str]]:
    """(address, kind, name) of a library's symbols."""
    done = subprocess.run(["nm", *options, str(path)], capture_output=True, text=True, check=True)
    lines = (line.split() for line in done.stdout.splitlines())
    return [(int(line[0], 16) if len(line) == 3 else 0, line[-2], line[-1].partition("@")[0]) for line in lines]


def _cublas(driver: Path) -> Path:
    """The stub of cuBLAS, with every function that CuPy's module wants to be there."""
    text = (compiling.HERE / "cublas.cpp").read_text()
    wanted = {name for path in _folder("cupy_backends").glob("cuda/libs/cublas.*.so")
              for _, kind, name in _symbols(path, "-D") if kind == "U" and name.startswith("cublas")}  # fmt: skip
    given = set(re.findall(r"EXPORT int (cublas\w+)\(", text)) | {
        f"cublas{T}{f}_v2" for T in "SD" for f in ("gemm", "ger")
    }
    text += "".join(f"EXPORT int {name}() {{ return NOT_SUPPORTED; }}\n" for name in sorted(wanted - given))
    script = compiling.cache() / "cublas.map"
    script.write_text("libcublas.so.12 { global: *; };\n")
    name = "libcublas.so.12"
    return compiling.build(
        name, f"-I{compiling.HERE}", "-shared", f"-Wl,-soname,{name},--version-script={script}", text=text
    )


def _replace_runtime(driver: ctypes.CDLL, path: Path) -> None:
    """Write a jump to the stub at the beginning of every function of the runtime."""
    ctypes.CDLL(str(path))
    base = next(
        int(line.partition("-")[0], 16)
        for line in Path("/proc/self/maps").read_text().splitlines()
        if line.endswith(str(path.resolve())) and line.split()[2] == "00000000"
    )
    libc = ctypes.CDLL(None)
    for address, kind, name in _symbols(path):
        if kind not in "tT" or not re.fullmatch(r"cuda[A-Z]\w*", name):
            continue
        ours = getattr(driver, "stub_" + re.sub(r"_pt[sd][zs]$", "", name), driver.stub_unknown)
        target = ctypes.cast(ours, ctypes.c_void_p).value
        assert target is not None
        at = base + address
        changed = libc.mprotect(ctypes.c_void_p(at & ~4095), ctypes.c_size_t(8192), 7)
        assert changed == 0, "the code of CuPy's runtime cannot be changed"
        code = b"\x48\xb8" + target.to_bytes(8, "little") + b"\xff\xe0"  # mov rax, target; jmp rax
        ctypes.memmove(at, code, len(code))


def _sort(dtype: Any, address: int, _: int, shape: tuple[int, ...]) -> None:
    """Sort along the last axis, as Thrust does."""
    import numpy as np

    size = np.dtype(dtype).itemsize * int(np.prod(shape))
    values = np.frombuffer((ctypes.c_char * size).from_address(address), dtype).reshape(shape)
    values.sort(axis=-1)


def _compile_with_gpp() -> None:
    """NVRTC compiles what CuPy gives it, and g++ makes what is run."""
    from cupy.cuda import compiler

    nvrtc = compiler._compile_using_nvrtc_no_warning
    # the folder of this file is first: it has some headers for g++ in CuPy's place
    include = [compiling.HERE, _folder("cupy") / "_core/include", _folder("nvidia.cuda_runtime") / "include"]
    flags = ["-DON_CPU_CUPY", "-w", "-fpermissive", "-fvisibility=hidden", *[f"-I{path}" for path in include]]
    flags.append(f"-DCUPY={metadata.version('cupy-cuda12x')}")  # what is kept is of this version
    header = compiling.build("on_cpu.h.gch", *flags, "-x", "c++-header", compiling.HERE / "on_cpu.h").with_suffix("")

    def compile(source: str, options: tuple[str, ...] = (), *rest: Any, **named: Any) -> tuple[bytes, Any]:
        _, mapping = nvrtc(source, options, *rest, **named)
        define = "".join(f"#define {o[2:].replace('=', ' ', 1)}\n" for o in options if o.startswith("-D"))
        text = define + compiling.for_the_cpu(source)
        library = compiling.build("kernel.so", *flags, "-shared", "-include", header, text=text)
        return f"ON_CPU:{library}\0".encode(), mapping

    compiler._compile_using_nvrtc_no_warning = compile
