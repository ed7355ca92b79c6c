"""The texts of the kernels, as NVRTC and ptxas compile them for GPUs that are not here.

With the options that CuPy itself gives. CuPy has to be installed, but needs no driver.
"""

import io
import re
import subprocess
import uuid
from importlib import util
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest

import scratchnet.engine.kernels
from scratchnet.engine.kernels.nvrtc import TEXTS, options_of, text_of
from scratchnet.engine.kernels.persistent_steps import MOST_INPUTS, MOST_ROWS, REGISTERS, WARPS, registers
from tests.profiles import quick_first

ARCHITECTURES = quick_first(["90", "75", "80", "100"], 1)
FILE = 65_536  # registers of a multiprocessor
IN_DOUBLE = {"rates"}  # on purpose, once for many steps


class Build(NamedTuple):
    """One text with the constants that it is compiled with."""

    name: str
    dtype: str
    constants: dict[str, int] = {}  # noqa: RUF012  (a tuple's default, which nobody changes)

    def __str__(self) -> str:
        return "-".join([self.name, self.dtype, *(f"{v}" for v in self.constants.values())])


def persistent(dtype: str, rows: int, I: int) -> Build:
    sizes = {"INPUTS": I, "OUTPUTS": 10, "ROWS": rows, "WARPS": WARPS, "HIDDEN": 2, "OUTPUT": 1}
    return Build("persistent", dtype, sizes)


def builds() -> list[Build]:
    """Every text for both types, and one launch of 784-H-10 with few and many rows."""
    found = [Build(name, dtype) for name in sorted(TEXTS.keys() - {"persistent"}) for dtype in ("float32", "float64")]
    rows = {"float32": (1, 3, 5), "float64": (1, 2)}
    return [*found, *(persistent(dtype, r, 784) for dtype, some in rows.items() for r in some)]


def test_every_file_is_part_of_a_text() -> None:
    files = {path.stem for path in Path(scratchnet.engine.kernels.__file__).parent.glob("*.cu")}
    assert files == {"common", *TEXTS, *(part for parts in TEXTS.values() for part in parts)}


@pytest.fixture(scope="module")
def compiler() -> ModuleType:
    pytest.importorskip("cupy", reason="CuPy is not installed")
    from cupy.cuda import compiler

    return compiler


#: What CuPy adds to the options of a RawModule (test_these_are_the_options_of_cupy)
ADDED = ("--std=c++17", "-ftz=true", "--device-as-default-execution-space")


def compiled(compiler: ModuleType, build: Build, architecture: str, as_text: bool = False) -> tuple[bytes, str]:
    """(object, what NVRTC says) of a build; PTX if `as_text`."""
    said = io.StringIO()
    kind, method = ("compute", "ptx") if as_text else ("sm", "cubin")
    options = (*options_of(build.dtype, **build.constants), *ADDED, f"-arch={kind}_{architecture}")
    made, _ = compiler._NVRTCProgram(text_of(build.name), "kernel.cu", method=method).compile(options, said)
    return made, said.getvalue()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("build", builds(), ids=str)
def test_nvrtc_has_nothing_to_say(compiler: ModuleType, build: Build, architecture: str) -> None:
    made, said = compiled(compiler, build, architecture)
    assert made[:4] == b"\x7fELF" and said.strip() == ""


def ptxas() -> Path:
    try:
        found = util.find_spec("nvidia.cuda_nvcc")
    except ModuleNotFoundError:
        found = None
    if found is None:
        pytest.skip("ptxas is not installed: pip install -e '.[gpu-test]'")
    return Path(next(iter(found.submodule_search_locations or []))) / "bin" / "ptxas"


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("build", builds(), ids=str)
def test_nothing_is_spilled_and_every_block_fits(
    compiler: ModuleType, build: Build, architecture: str, tmp_path: Path
) -> None:
    made, _ = compiled(compiler, build, architecture, as_text=True)
    text = made.decode().rstrip("\0")
    for name, body in re.findall(r"\.entry (\w+)\((.*?)^}", text, re.DOTALL | re.MULTILINE):
        if build.dtype == "float32" and name not in IN_DOUBLE:
            assert not re.search(r"\b(add|sub|mul|fma|div)\.(rn\.)?f64", body), f"{name}: double arithmetic"
    (tmp_path / "kernel.ptx").write_text(text)
    command = [str(ptxas()), f"-arch=sm_{architecture}", "-v", "--warn-on-spills", "kernel.ptx", "-o", "kernel.cubin"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    kernels = set(re.findall(r"\.entry (\w+)\(", text))
    bounds = dict(re.findall(r"\.entry (\w+)\([^)]*\)\s*\.maxntid (\d+)", text))
    seen = set()
    for part in done.stderr.split("Compiling entry function")[1:]:
        name = part.split("'")[1]
        seen.add(name)
        assert " 0 bytes spill stores, 0 bytes spill loads" in part, f"{name}: {part}"
        used = int(re.findall(r"Used (\d+) registers", part)[0])
        threads = int(bounds.get(name, 1024))
        assert -(-used // 8) * 8 * threads <= FILE, f"{name}: {used} registers, {threads} threads"
        shared = re.search(r"(\d+) bytes smem", part)
        assert shared is None or int(shared[1]) <= 49_152
        print(f"sm_{architecture} {build}: {name} {used} registers, {shared[1] if shared else 0} bytes shared")
    assert seen == kernels


@pytest.mark.slow
@pytest.mark.parametrize("rows", range(1, MOST_ROWS + 1))
@pytest.mark.parametrize("itemsize", [4, 8])
def test_nothing_is_spilled_at_the_limit(compiler: ModuleType, itemsize: int, rows: int, tmp_path: Path) -> None:
    """With the most columns that `REGISTERS` lets through; it is meant for sm_90."""
    I = max(I for I in range(32, MOST_INPUTS + 1, 32) if registers(rows, I, itemsize) <= REGISTERS[itemsize])
    build = persistent({4: "float32", 8: "float64"}[itemsize], rows, I)
    test_nothing_is_spilled_and_every_block_fits(compiler, build, "90", tmp_path)


@pytest.mark.gpu
def test_these_are_the_options_of_cupy(stub_gpu: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    from cupy.cuda import compiler

    seen, compile_ = [], compiler._NVRTCProgram.compile

    def look(program: Any, options: tuple[str, ...] = (), *rest: Any) -> Any:
        seen.append((program.src, {option for option in options if not option.startswith(("-I", "--pch"))}))
        return compile_(program, options, *rest)

    monkeypatch.setattr(compiler._NVRTCProgram, "compile", look)
    text = text_of("step") + f"// {uuid.uuid4()}"  # which is in no cache
    stub_gpu.RawModule(code=text, options=options_of("float32")).compile()
    assert seen[-1][1] == {*options_of("float32"), *ADDED, "-arch=sm_90"} and text in seen[-1][0]
