"""How the tests start several ranks."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.places import PATIENCE, ROOT

MPIEXEC = shutil.which("mpiexec", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
# A waiting rank of MPICH keeps its core busy. With more ranks than cores, those that
# have work wait for it, and three ranks on two cores take minutes: so let it sleep
# instead.
WAIT_ASLEEP = {"MPIR_CVAR_ENABLE_HEAVY_YIELD": "1", "MPIR_CVAR_POLLS_BEFORE_YIELD": "10"}
ENVIRONMENT = {**os.environ, **WAIT_ASLEEP, "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


def mpiexec(ranks, *args, cwd=None, timeout=PATIENCE, **environment):
    """`ranks` processes of one Python command, to their end."""
    return several([ranks, *args], cwd=cwd, timeout=timeout, **environment)


def several(*commands, cwd=None, timeout=PATIENCE, **environment):
    """Run Python commands (how many processes, argument, ...) as the ranks of one MPI
    world.

    If the first argument is a dictionary, it holds environment variables for that
    command alone.
    """
    words = [MPIEXEC]
    for ranks, *rest in commands:
        own = rest.pop(0) if isinstance(rest[0], dict) else {}
        words += [":"] if len(words) > 1 else []
        words += ["-n", ranks, *(word for item in own.items() for word in ("-env", *item)), sys.executable, *rest]
    return subprocess.run(
        list(map(str, words)), capture_output=True, text=True, timeout=timeout, env={**ENVIRONMENT, **environment},
        cwd=cwd,
    )  # fmt: skip
