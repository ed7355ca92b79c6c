"""Runs the judge in a process of its own, which may hang, crash, or end itself."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import scratchnet
from scratchnet.exercises.judging import Verdict

# seconds for the judge itself: imports, differences, PyTorch
PATIENCE = 300


def verdict_on(file: Path, name: str, seconds: float) -> Verdict:
    """What the judge says about a file that is to solve the exercise of this name."""
    path = file.resolve()
    with tempfile.TemporaryDirectory() as folder:
        into = Path(folder) / "verdict.json"
        command = [sys.executable, "-P", "-m", "scratchnet.exercises.child", str(path), name, str(seconds), str(into)]
        child = subprocess.Popen(command, cwd=path.parent, env=_environment(), stdin=subprocess.DEVNULL,
                                 stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True)  # fmt: skip
        try:
            _, said = child.communicate(timeout=PATIENCE + 20 * seconds)
        except subprocess.TimeoutExpired:
            return Verdict(
                "broken", f"{file.name}: the judge was not finished after {PATIENCE} seconds and was stopped"
            )
        finally:
            _end(child)
        with contextlib.suppress(OSError, ValueError, TypeError):
            return Verdict(**json.loads(into.read_text(encoding="utf-8")))
    code = child.returncode
    last = said.decode(errors="replace").strip().rpartition("\n")[2][:200]
    how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
    return Verdict("broken", f"{file.name}: Python ended {how} in the middle of it{': ' * bool(last)}{last}")


def _environment() -> dict[str, str]:
    """One thread for sums this small, and this package, wherever it lies."""
    home = str(Path(scratchnet.__file__).parents[1])
    paths = [home, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def _end(child: subprocess.Popen) -> None:
    """End the process, and those that it started."""
    if child.poll() is None:
        with contextlib.suppress(OSError):
            if os.name == "posix":
                os.killpg(child.pid, signal.SIGKILL)
            else:
                child.kill()
    child.wait()
