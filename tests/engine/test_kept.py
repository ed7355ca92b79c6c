"""Compiled code that is kept is found again.

Neither damage nor a full disk ends a training.
"""

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from tests.places import ROOT

pytest.importorskip("numba", reason="numba, of the extra `fast`, is not installed")

TRAINING = """
import sys
import numpy as np
from scratchnet.engine.kernels import adam, kept
limit = sys.argv[1:] and sys.argv[1]
if limit == "disk":  # every write finds the disk full
    import errno, os
    def full(file, data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    os.write = full
g, m, v = (np.full(5, x) for x in (1.0, 2.0, 3.0))
adam.direction(g, m, v, 0.5, 0.5, 0.0)
adam.direction(*(np.full(5, x, "f4") for x in (1.0, 2.0, 3.0)), 0.5, 0.5, 0.0)
np.testing.assert_allclose(g, 2 / np.sqrt(2.5))
print(sum(adam.direction.stats.cache_hits.values()))
"""


def run(folder, *args, **environment):
    """How many of the two functions were found compiled, and the warnings of the
    program.
    """
    env = {**os.environ, "SCRATCHNET_CACHE": str(folder), **environment}
    env.pop("NUMBA_CACHE_DIR", None) if "NUMBA_CACHE_DIR" not in environment else None
    done = subprocess.run([sys.executable, "-c", TRAINING, *args], capture_output=True, text=True, cwd=ROOT, env=env)
    assert done.returncode == 0, done.stderr
    return int(done.stdout), [line for line in done.stderr.splitlines() if "Warning: " in line]


def files(folder):
    return sorted(folder.rglob("*.code"))


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    folder = tmp_path_factory.mktemp("full")
    assert run(folder) == (0, [])
    assert len(files(folder)) == 2
    return folder


@pytest.fixture
def cache(full, tmp_path):
    return shutil.copytree(full, tmp_path / "cache")


@pytest.mark.slow
def test_code_is_found_again_in_a_folder_of_the_users_own(cache):
    assert run(cache) == (2, [])
    for file in files(cache):
        assert file.parent.stat().st_mode & 0o777 == 0o700 or os.name != "posix"


@pytest.mark.slow
def test_the_folder_that_numba_is_told(tmp_path):
    assert run(tmp_path / "ours", NUMBA_CACHE_DIR=str(tmp_path / "numbas")) == (0, [])
    assert len(files(tmp_path / "numbas")) == 2 and not (tmp_path / "ours").exists()


def empty(content):
    return b""


def cut(content):
    return content[: len(content) // 2]


def garbled(content):
    noise = np.random.default_rng(0).integers(0, 256, len(content) - 64, np.uint8).tobytes()
    return content[:64] + noise


def one_bit(content):
    at = len(content) * 2 // 3
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


@pytest.mark.slow
@pytest.mark.parametrize("damage", [one_bit, empty, cut, garbled], ids=lambda damage: damage.__name__)
def test_damaged_code_is_compiled_again_with_one_warning(damage, cache):
    for file in files(cache):
        file.write_bytes(damage(file.read_bytes()))
    hits, warned = run(cache)
    assert hits == 0 and len(warned) == 1 and ".code cannot be used (it is damaged): it is compiled again" in warned[0]
    assert run(cache) == (2, [])


@pytest.mark.slow
def test_code_of_other_sources_is_compiled_again_without_a_word(cache):
    for file in files(cache):
        content = file.read_bytes()
        file.write_bytes(bytes(32) + content[32:])
    assert run(cache) == (0, [])
    assert run(cache) == (2, [])


@pytest.mark.slow
def test_a_full_disk_is_one_warning(tmp_path):
    hits, warned = run(tmp_path, "disk")
    assert hits == 0 and len(warned) == 1 and "compiled code is not kept" in warned[0]
    assert files(tmp_path) == []


@pytest.mark.slow
def test_a_folder_that_cannot_be_made_is_one_warning(tmp_path):
    (tmp_path / "file").touch()
    hits, warned = run(tmp_path / "file")
    assert hits == 0 and len(warned) == 1


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="permissions as POSIX has them")
def test_code_in_a_folder_that_others_can_write_is_not_run(cache):
    (folder,) = {file.parent for file in files(cache)}
    folder.chmod(0o770)
    before = [file.read_bytes() for file in files(cache)]
    hits, warned = run(cache)
    assert hits == 0 and len(warned) == 1 and "others can write to it" in warned[0]
    assert [file.read_bytes() for file in files(cache)] == before


TRAININGS = """
import hashlib
import numpy as np
import scratchnet as sn
from scratchnet.engine.kernels.choosing import kind_on_a_cpu
from scratchnet.engine.kernels.parts import take_compiled_parts
from scratchnet.engine.steps import Steps

N = 160
rng = np.random.default_rng(0)
vectors, images, sequences = (rng.normal(size=(N, *shape)) for shape in [(13,), (1, 28, 28), (12, 5)])
labels, targets = rng.integers(0, 3, N), rng.normal(size=(N, 3))
mlp = lambda: [sn.Linear(13, 8), sn.ReLU(), sn.Linear(8, 3)]
block = lambda: [sn.Conv2d(6, 8, 3), sn.BatchNorm2d(8), sn.ReLU(), sn.MaxPool2d(2)]
cnn = lambda: [sn.Conv2d(1, 6, 5), sn.ReLU(), sn.MaxPool2d(2), *block(), sn.Flatten(), sn.Linear(200, 3)]
lstm = lambda: [sn.LSTM(5, 20, output="last"), sn.Linear(20, 3)]
cases = [
    (mlp, vectors, labels, 32), (cnn, images, labels, 32), (lstm, sequences, targets, 1), (lstm, sequences, targets, 32)
]
for dtype in ("float32", "float64"):
    plain = lambda net: sn.SGD(net, 0.01)
    makers = [plain, lambda net: sn.SGD(net, 0.01, momentum=0.9), lambda net: sn.Adam(net, 0.001)]
    trainings = [(*case, make) for case in cases for make in makers] + [(mlp, vectors, targets, 1, plain)]
    for layers, x, t, batch, make in trainings:
        net = sn.Sequential(*layers(), seed=1, dtype=dtype)
        loss = sn.CrossEntropyLoss() if t is labels else sn.MSELoss()
        all_of_it = net, loss, make(net), x.astype(dtype), t if t is labels else t.astype(dtype), batch
        kind = kind_on_a_cpu(Steps(*all_of_it), threads=1)
        steps = kind(*all_of_it)
        if kind is Steps:
            take_compiled_parts(steps.optimiser)
        steps.begin(np.arange(N), np.zeros(N // batch))
        while steps.optimiser.steps < N // batch:
            steps.run(N // batch - steps.optimiser.steps)
        print(kind.__name__, dtype, batch, hashlib.sha256(net.store.values.tobytes()).hexdigest())
"""


@pytest.mark.slow
def test_code_that_is_found_again_gives_the_same_bits(tmp_path):
    """The program that compiles links functions otherwise than one that reads them."""
    env = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    first, again = (
        subprocess.run([sys.executable, "-c", TRAININGS], capture_output=True, text=True, cwd=ROOT, env=env, check=True)
        for _ in range(2)
    )
    kinds = {line.split()[0] for line in first.stdout.splitlines()}
    assert kinds == {"CompiledBatches", "CompiledSequences", "CompiledSteps", "FusedSteps", "Steps"}
    assert first.stdout.splitlines() == again.stdout.splitlines()
