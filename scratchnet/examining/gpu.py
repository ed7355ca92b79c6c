"""The GPU: driver, CuPy and CUDA, and whether a first kernel runs."""

import shutil
import subprocess
from collections.abc import Iterator

from scratchnet.errors import install_command
from scratchnet.examining.findings import BAD, GOOD, NOTE, Line, first_line, version_of

CUPY = ("cupy-cuda12x", "cupy-cuda13x", "cupy-cuda11x", "cupy")


def gpu() -> Iterator[Line]:
    seen = nvidia_smi()
    for name in seen:
        yield Line(GOOD, "GPU", name)
    installed = [f"{name} {version}" for name in CUPY if (version := version_of(name))]
    if len(installed) > 1:
        yield Line(
            BAD, "CuPy", f"{' and '.join(installed)} are in each other's way", "pip uninstall all but one of them"
        )
    elif installed:
        yield Line(GOOD, "CuPy", installed[0])
        yield from cuda_versions()
    if not seen and not installed:
        yield Line(NOTE, "GPU", "no NVIDIA GPU found; everything runs on the CPU (--device cpu)")
        return
    from scratchnet.backend.devices import cuda_problem

    problem = cuda_problem()
    if problem is None:
        yield from device_names()
        yield Line(GOOD, "--device cuda", "works: a first kernel was compiled and run, and cuBLAS found")
    else:
        what, _, mend = problem.partition(": ")
        yield Line(BAD if seen else NOTE, "--device cuda", what, mend)


def nvidia_smi() -> list[str]:
    """Name, memory and driver of each GPU that the driver lists."""
    if shutil.which("nvidia-smi") is None:
        return []
    command = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    return [f"{line}  (name, memory, driver)" for line in done.stdout.splitlines()] if done.returncode == 0 else []


def cuda_versions() -> Iterator[Line]:
    from cupy.cuda import runtime

    for name, ask, mend in (
        ("CUDA runtime", runtime.runtimeGetVersion, f"{install_command('cuda12')} brings the CUDA libraries"),
        ("CUDA driver", runtime.driverGetVersion, "install NVIDIA's driver; nvidia-smi must list the GPU"),
    ):
        try:
            number = ask()
        except Exception as e:  # CuPy has no common exception type for missing libraries and drivers
            yield Line(NOTE, name, f"not usable ({first_line(e)})", mend)
            continue
        if number:
            yield Line(GOOD, name, f"{number // 1000}.{number % 1000 // 10}")
        else:
            yield Line(NOTE, name, "none found", mend)


def device_names() -> Iterator[Line]:
    from cupy.cuda import runtime

    for k in range(runtime.getDeviceCount()):
        about = runtime.getDeviceProperties(k)
        text = f"{about['name'].decode()}, {about['totalGlobalMem'] / 2**30:.0f} GiB, "
        yield Line(GOOD, f"CUDA device {k}", f"{text}compute capability {about['major']}.{about['minor']}")
