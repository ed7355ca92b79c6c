"""Faults in the Python lines that are for a GPU, of kinds that a CPU does not mind.

Each is planted in a copy of the package, where the tests named beside it must find it,
on CuPy with the stub.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.gpu, pytest.mark.nightly]
ROOT = Path(__file__).parents[2]
#: what is wrong: (file, the right text, the wrong one; file of the tests, and which)
FAULTS = {
    "dropout's numbers stay on the host": (
        "engine/learner.py",
        "return xp.asarray(numbers.astype(like.dtype).T.reshape(like.shape))",
        "return numbers.astype(like.dtype).T.reshape(like.shape)",
        "cuda/test_training.py",
        "fit_waits",
    ),
    "clipping reads the norm on the host": (
        "engine/optim.py",
        "norm = xp.sqrt(inner(o.g, o.g))",
        "norm = float(xp.sqrt(inner(o.g, o.g)))",
        "cuda/test_training.py",
        "training_steps and clipped",
    ),
    "a step reads its loss": (
        "engine/steps.py",
        "if net.xp is np and not math.isfinite(value)",
        "if not math.isfinite(value)",
        "cuda/test_training.py",
        "training_steps and mse",
    ),
    "indices of the classes made by NumPy": (
        "engine/losses.py",
        "return t, xp.arange(t.shape[0])",
        "return t, __import__('numpy').arange(t.shape[0])",
        "cuda/test_training.py",
        "training_steps and nll",
    ),
    "losses of an epoch on the host": (
        "engine/history.py",
        "self.running = net.xp.full(",
        "self.running = np.full(",
        "cuda/test_training.py",
        "fit_waits",
    ),
    "losses of an epoch without asnumpy": (
        "engine/training.py",
        "losses = to_numpy(history.running)",
        "losses = history.running",
        "cuda/test_training.py",
        "fit_waits",
    ),
    "state_dict without asnumpy": (
        "engine/layers/sequential.py",
        "return {name: to_numpy(p.value).copy()",
        "return {name: p.value.copy()",
        "cuda/test_training.py",
        "models_travel or for_the_host",
    ),
    "checkpoint without asnumpy": (
        "runs/checkpoint_file.py",
        'f"{TRAINING}{name}": to_numpy(a)',
        'f"{TRAINING}{name}": a',
        "cuda/test_training.py",
        "main_command",
    ),
    "accuracy without asnumpy": (
        "engine/metrics.py",
        "parts.append(to_rows(to_numpy(y)))",
        "parts.append(to_rows(y))",
        "cuda/test_training.py",
        "main_command or validation",
    ),
    "predictions without asnumpy": (
        "engine/prediction.py",
        "np.concatenate([to_numpy(net(x[k : k + n])) for k in pieces])",
        "np.concatenate([net(x[k : k + n]) for k in pieces])",
        "cuda/test_training.py",
        "for_the_host",
    ),
    "a strided vector for ger": (
        "backend/products.py",
        "xp.ascontiguousarray(a[:, 0]), C)",
        "a[:, 0], C)",
        "cuda/test_training.py",
        "strided",
    ),
    "labels of 32 bits for a kernel of 64": (
        "engine/kernels/losses_cuda.py",
        "labels = xp.ascontiguousarray(t, dtype=np.int64)",
        "labels = xp.ascontiguousarray(t, dtype=np.int32)",
        "engine/kernels/test_pool_cuda.py",
        "cross_entropy_is_that",
    ),
    "a transposed array for a kernel": (
        "engine/kernels/losses_cuda.py",
        "(K, N), z = z.shape, xp.ascontiguousarray(z)",
        "(K, N), z = z.shape, z",
        "engine/kernels/test_pool_cuda.py",
        "gaps",
    ),
    "the loss of float64 in float32": (
        "engine/kernels/losses_cuda.py",
        "xp.empty_like(z), xp.empty((), z.dtype)",
        "xp.empty_like(z), xp.empty((), np.float32)",
        "engine/kernels/test_pool_cuda.py",
        "cross_entropy_is_that",
    ),
    "weights kept in float64": (
        "backend/arrays.py",
        "return xp.zeros(n, dtype)",
        "return xp.zeros(n, np.float64)",
        "engine/kernels/test_graph_steps.py",
        "float32",
    ),
    "a buffer of a graph is not kept": (
        "engine/kernels/recorded.py",
        "self.losses, self.at = losses, at",
        "self.at = at",
        "engine/kernels/test_graph_steps.py",
        "nobody_waits",
    ),
    "a fraction where a kernel takes a whole number": (
        "engine/kernels/pool_cuda.py",
        "return prod(w.k for w in layer.window)",
        "return float(prod(w.k for w in layer.window))",
        "engine/kernels/test_pool_cuda.py",
        "a_pool",
    ),
    "the rate is read in every step": (
        "engine/kernels/recorded.py",
        "if self.rate != self.optimiser.lr:",
        "if float(self.lr[0]) != self.optimiser.lr:",
        "engine/kernels/test_graph_steps.py",
        "nobody_waits",
    ),
    "an allocation while recording": (
        "engine/kernels/recorded.py",
        "        self.kernels[name]((blocks,), (threads,), args)",
        "        self.kernels[name]((blocks,), (threads,), args)\n        self.xp.zeros(3)",
        "engine/kernels/test_graph_steps.py",
        "fit_on",
    ),
    "a copy to the device in a step": (
        "engine/layers/activation.py",
        "a = xp_of(z).maximum(0, z, out=out)",
        "a = xp_of(z).maximum(xp_of(z).asarray(np.zeros(1)).astype(z.dtype), z, out=out)",
        "cuda/test_training.py",
        "training_steps",
    ),
    "a function that CuPy lacks": (
        "engine/layers/norm.py",
        "xp_of(x).multiply(X, scale, out=Y)",
        "xp_of(x).vecdot(X, scale, out=Y)",
        "cuda/test_training.py",
        "every_layer and BatchNorm",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found(stub_gpu, fault, tmp_path):
    file, right, wrong, tests, chosen = FAULTS[fault]
    for folder in ("scratchnet", "tests", "benchmarks"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__", "results"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    path = tmp_path / "scratchnet" / file
    text = path.read_text(encoding="utf-8")
    assert text.count(right) == 1
    path.write_text(text.replace(right, wrong), encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-x", "-n", "0", "--stub-gpu", f"tests/{tests}", "-k", chosen]
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1, done.stdout[-2000:] + done.stderr[-2000:]  # some fail, and all could be run
    assert "is not defined" not in done.stdout and "SyntaxError" not in done.stdout
