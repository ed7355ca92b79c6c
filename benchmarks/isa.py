"""Which instructions the engines' libraries may use, and which they report."""

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

#: What keeps each library from AVX-512. NumPy also needs the names that it was built
#: for.
AVX2 = {
    "OPENBLAS_CORETYPE": "Haswell",  # the kernels of NumPy's and SciPy's products
    "XLA_FLAGS": "--xla_cpu_max_isa=AVX2",  # the loops of JAX; for its products see ynnpack.py
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",  # the products of PyTorch
    "ONEDNN_MAX_CPU_ISA": "AVX2",  # the convolutions of PyTorch
    "ATEN_CPU_CAPABILITY": "avx2",  # the loops of PyTorch
    "NUMBA_CPU_NAME": "haswell",
    "NUMBA_CPU_FEATURES": "",  # else Numba adds all that this processor has to those of a Haswell
}


def environment(isa: str) -> dict[str, str]:
    """The variables that hold a process's libraries to `isa`, native or avx2."""
    if isa == "native":
        return dict(os.environ)
    from numpy._core._multiarray_umath import __cpu_dispatch__

    wide = " ".join(name for name in __cpu_dispatch__ if name.startswith("AVX512") or name == "X86_V4")
    # PyTorch would run code from its cache that it compiled for other instructions
    own = {"TORCHINDUCTOR_CACHE_DIR": str(Path(tempfile.gettempdir()) / f"torchinductor-{isa}-{os.getuid()}")}
    return os.environ | AVX2 | own | {"NPY_DISABLE_CPU_FEATURES": wide}


def reports() -> dict[str, str]:
    """What the loaded libraries of this process report, each in its own words."""
    from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__
    from threadpoolctl import threadpool_info

    found = {"NumPy's loops": " ".join(name for name in __cpu_dispatch__ if __cpu_features__[name]) or "baseline"}
    for library in threadpool_info():
        if library["user_api"] == "blas":
            folder = next((part for part in library["filepath"].split(os.sep) if part.endswith(".libs")), "")
            name = f"{library['internal_api']} {library['version']} of {folder.removesuffix('.libs') or 'the system'}"
            found[name] = str(library.get("architecture"))
    modules: dict[str, Any] = dict(sys.modules)
    if "numba" in modules:
        import llvmlite.binding as llvm

        found["Numba's processor"] = modules["numba"].config.CPU_NAME or llvm.get_host_cpu_name()
    if "torch" in modules:
        found["PyTorch's loops"] = modules["torch"].backends.cpu.get_cpu_capability()
        found["MKL and oneDNN of PyTorch"] = " ".join(
            os.environ.get(name, "not held") for name in ("MKL_ENABLE_INSTRUCTIONS", "ONEDNN_MAX_CPU_ISA")
        )
    if "jax" in modules:
        found["XLA_FLAGS of JAX"] = os.environ.get("XLA_FLAGS") or "not held"
        from benchmarks import ynnpack

        found["JAX's products"] = ynnpack.report()
    return found
