"""Devices: whether the GPU can be used, and the array module of a device."""

from types import ModuleType

import numpy as np

from scratchnet.errors import DeviceError, SettingError, install_command


def cuda_problem() -> str | None:
    """Why the GPU cannot be used, and how to mend it, or None if it can be used."""
    try:
        import cupy
    except ImportError as e:
        return f"CuPy is not installed ({e}): {install_command('cuda12')}, or cuda13 for a newer driver"
    if not cupy.cuda.is_available():
        return "CuPy is installed but finds no GPU with a working driver: nvidia-smi should list one"
    try:
        x = cupy.zeros((2, 2)) + 1  # compiles and runs one kernel
        cupy.dot(x, x)  # finds and starts cuBLAS, which a product of single numbers does not
    except Exception as e:  # whatever is raised here, the GPU is not usable
        why = " ".join([type(e).__name__, *str(e).splitlines()[:1]])
        return f"a first computation fails ({why}): install CuPy with its [ctk] extra"
    return None


def resolve_device(device: str) -> str:
    """`cpu` or `cuda` for the option `cpu`, `cuda` or `auto`.

    Raises DeviceError if `cuda` cannot be used: it never falls back silently.
    """
    if not isinstance(device, str) or device not in ("cpu", "cuda", "auto"):
        raise SettingError(f"device {' '.join(repr(device).split())[:60]} is not known: choose cpu, cuda or auto")
    if device == "cpu":
        return "cpu"
    problem = cuda_problem()
    if problem is None:
        return "cuda"
    if device == "cuda":
        raise DeviceError(f"device 'cuda' cannot be used: {problem}")
    return "cpu"


def module_of(device: str) -> ModuleType:
    """The array module of `cpu` or `cuda`."""
    if resolve_device(device) == "cpu":
        return np
    import cupy

    return cupy
