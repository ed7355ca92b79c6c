"""The kernel that trains thousands of steps in one launch, run on the CPU.

persistent.py specifies it, and is itself compared with the engine's steps. The blocks
run at the same time and in many orders, under ThreadSanitizer too. Letters: I-H-K the
network, n examples.
"""

import itertools
import shutil
import subprocess
from dataclasses import dataclass, replace

import numpy as np
import pytest

from scratchnet import (
    SGD,
    CrossEntropyLoss,
    Linear,
    MSELoss,
    QuadraticCost,
    ReLU,
    Sequential,
    Sigmoid,
    Tanh,
    step,
)
from scratchnet.engine.backprop import ACTIVATIONS as FUNCTIONS
from scratchnet.engine.backprop import COSTS
from scratchnet.engine.kernels import persistent
from scratchnet.engine.kernels.nvrtc import options_of, text_of
from scratchnet.engine.kernels.persistent_steps import MOST_INPUTS, MOST_ROWS, REGISTERS, WARPS, registers, rows_for
from scratchnet.engine.kernels.steps import ACTIVATIONS, scale_of
from tests.cuda.together import Together
from tests.profiles import quick_first

TEXT = text_of("persistent")
NAMES = list(FUNCTIONS)  # by number
PATIENCE = 1 << 30


def cost_of(loss):
    """C and ∂C/∂y of one example, in the words of persistent.py."""
    if loss.takes_labels:
        C, nabla = COSTS["cross entropy"]
        return lambda y, label: (C(y, np.eye(len(y))[label]), nabla(y, np.eye(len(y))[label]))
    C, nabla = COSTS["quadratic"]
    return lambda y, t: (2 * scale_of(loss, len(y)) * C(y, t), 2 * scale_of(loss, len(y)) * nabla(y, t))


@dataclass(frozen=True)
class Case:
    """A training: network, loss, and how the work is divided."""

    I: int
    H: int
    K: int
    hidden: int = 1
    output: int = 1
    loss: object = MSELoss()
    biases: tuple[bool, bool] = (True, True)
    blocks: int = 3
    warps: int = 1
    steps: int = 50
    dtype: str = "float64"
    lr: float = 0.2

    @property
    def rows(self):
        return max(1, -(-self.H // (self.blocks * self.warps)))

    def data(self, n=20):
        rng = np.random.default_rng([self.I, self.H, self.K])
        x = rng.normal(size=(n, self.I)) / np.sqrt(self.I)
        t = rng.integers(0, self.K, n) if self.loss.takes_labels else rng.random((n, self.K))
        W1, b1 = rng.normal(size=(self.H, self.I)), rng.normal(size=self.H)
        W2, b2 = rng.normal(size=(self.K, self.H)) / np.sqrt(self.H), rng.normal(size=self.K)
        weights = [W1, b1 * self.biases[0], W2, b2 * self.biases[1]]
        return [w.astype(self.dtype) for w in weights], x.astype(self.dtype), t, rng.integers(0, n, self.steps)

    def specified(self):
        """(weights, losses) after the steps, by persistent.py; in float64."""
        weights, x, t, order = self.data()
        weights = [w.astype(np.float64) for w in weights]
        train = persistent.train if all(self.biases) else without_biases(self.biases)
        losses = train(
            weights, [NAMES[self.hidden], NAMES[self.output]], cost_of(self.loss), x, t, order, self.lr, self.blocks
        )
        return weights, losses


def without_biases(biases):
    """`persistent.train` for layers without b: it is 0 and stays 0."""

    def train(weights, names, cost, x, targets, order, lr, blocks):
        losses = []
        for k in order:
            losses += persistent.train(weights, names, cost, x, targets, [k], lr, blocks)
            weights[1] *= biases[0]
            weights[3] *= biases[1]
        return losses

    return train


class Kernel:
    """The kernel for the sizes of a case."""

    def __init__(self, case, folder, sanitizer=False, text=TEXT):
        constants = {"INPUTS": case.I, "OUTPUTS": case.K, "ROWS": case.rows, "WARPS": case.warps}
        options = options_of(case.dtype, **constants, HIDDEN=case.hidden, OUTPUT=case.output)
        self.run = Together(text, "persistent", options, folder, sanitizer)

    def train(self, case, launches=2, seed=0, patience=PATIENCE, **options):
        """(weights, losses, late, at) after the steps of a case, in some launches."""
        (W1, b1, W2, b2), x, t, order = case.data()
        losses, at = np.full(case.steps, np.nan, case.dtype), np.zeros(1, np.int64)
        contributions = np.full((2, case.blocks, 32), np.nan, case.dtype)
        published, late = np.zeros(case.blocks, np.int64), np.zeros(1, np.int64)
        lr, scale, address = (np.array([v], case.dtype) for v in (case.lr, 0, 0))
        address = np.zeros(1, np.int64)
        values, labels = (0, t.astype(np.int64)) if case.loss.takes_labels else (t.astype(case.dtype), 0)
        if not case.loss.takes_labels:
            scale[0] = scale_of(case.loss, case.K)
        edges = np.linspace(0, case.steps, launches + 1).astype(int)
        for begin, end in itertools.pairwise(edges):
            args = [
                W1, b1 if case.biases[0] else 0, W2, b2 if case.biases[1] else 0, x, values, labels,
                order.astype(np.int64), at, end - begin, case.H, lr, scale, address, contributions, published, begin,
                patience, late, losses,
            ]  # fmt: skip
            self.run(case.blocks, 32 * case.warps, args, (13, 19), seed, **options)
        return [W1, b1, W2, b2], losses, int(late[0]), int(at[0])


def check(case, folder, seeds=(0,), **options):
    """The kernel gives what persistent.py does, and the same bits in every order."""
    kernel = Kernel(case, folder, **options)
    expected, costs = case.specified()
    first = None
    for seed in seeds:
        weights, losses, late, at = kernel.train(case, seed=seed)
        assert late == 0 and at == case.steps
        tolerance = {"rtol": 1e-9, "atol": 1e-11} if case.dtype == "float64" else {"rtol": 1e-3, "atol": 1e-4}
        np.testing.assert_allclose(losses, costs, **tolerance)
        for w, e in zip(weights, expected, strict=True):
            np.testing.assert_allclose(w, e, **tolerance)
        bits = [a.tobytes() for a in (*weights, losses)]
        first = first or bits
        assert bits == first, "the order in which threads run changes the result"


CASES = {
    "odd": Case(33, 7, 5, hidden=2, output=0, loss=CrossEntropyLoss(), blocks=3),
    "rows and warps": Case(40, 23, 10, hidden=3, blocks=3, warps=2),
    "more blocks than units": Case(3, 2, 2, blocks=4),
    "one unit": Case(1, 1, 1, blocks=1, loss=QuadraticCost()),
    "no first bias": Case(31, 5, 3, hidden=2, output=2, biases=(False, True), blocks=2, loss=MSELoss("sum"), lr=0.02),
    "no biases": Case(65, 9, 32, biases=(False, False), output=1, blocks=2, loss=CrossEntropyLoss()),
    "float32": Case(50, 17, 10, blocks=4, dtype="float32"),
}


@pytest.mark.parametrize("loss", [MSELoss(), MSELoss("sum"), QuadraticCost(), CrossEntropyLoss()], ids=repr)
@pytest.mark.parametrize("blocks", [1, 2, 5])
def test_the_specification_makes_the_engines_steps(loss, blocks):
    layers = {1: Sigmoid, 2: Tanh, 3: ReLU}
    for hidden, layer in layers.items():
        case = Case(7, 12, 3, hidden=hidden, output=1, loss=loss, blocks=blocks, steps=100, lr=0.05)
        weights, x, t, order = case.data()
        net = Sequential(Linear(7, 12), layer(), Linear(12, 3), Sigmoid(), seed=1, dtype="float64")
        for p, w in zip(net.params.values(), weights, strict=True):
            p.value[...] = w
        optimiser = SGD(net, case.lr)
        losses = [step(net, loss, optimiser, x[k : k + 1], t[k : k + 1]) for k in order]
        weights, mine = case.specified()
        np.testing.assert_allclose(mine, losses, rtol=1e-11)
        for p, w in zip(net.params.values(), weights, strict=True):
            np.testing.assert_allclose(w, p.value, rtol=1e-11, atol=1e-13)
    assert {number: layer for layer, number in ACTIVATIONS.items()} == layers


@pytest.mark.parametrize("name", quick_first(CASES, 1))
def test_the_kernel_trains_as_specified(name, tmp_path):
    check(CASES[name], tmp_path, seeds=range(3))


RACE = Case(33, 10, 3, hidden=2, blocks=3, warps=2, steps=8)


@pytest.mark.slow
def test_no_race_in_any_order(tmp_path):
    check(RACE, tmp_path, seeds=range(4), sanitizer=True)


@pytest.mark.slow
@pytest.mark.parametrize("blocks", [1, 2, 3, 7, 16])
def test_a_thousand_steps(blocks, tmp_path):
    check(Case(21, 19, 10, blocks=blocks, steps=1000), tmp_path, seeds=range(2))


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_no_race_in_any_case(name, tmp_path):
    check(replace(CASES[name], steps=10), tmp_path, seeds=range(3), sanitizer=True)


FAULTS = {
    "no barrier before a block's sum": ("z;\n        __syncthreads();", "z;"),
    "no barrier after the exchange": ("__syncthreads_or(!all)", "!all"),
    "room for one step": ("(s + made) % 2 *", "0 *"),
    "the other room": ("contributions + (s + made) % 2", "contributions + (s + made + warp) % 2"),
    "published before it is written": ("__ATOMIC_RELEASE", "__ATOMIC_RELAXED"),
    "read before it is published": ("__ATOMIC_ACQUIRE", "__ATOMIC_RELAXED"),
    "a lane does not wait for the warp's writes": ("lane] = z;\n            __syncwarp();", "lane] = z;"),
    "a lane does not wait for the warp's looks": ("&& all;\n        __syncwarp();", "&& all;"),
    "the step before is enough": ("acquire(published) < number;", "acquire(published) < number - 1;"),
    "not all blocks are waited for": ("other = warp + WARPS * lane; other < blocks", "other = 0; other < 1"),
    "the next example comes too early": ("        // forward:", "shared.example[lane] = coming[0]; // "),
    "units that nobody has": ("HIDDEN) : 0;", "HIDDEN) : 1;"),
    "launches that do not count": ("made + s + 1, patience", "s + 1, patience"),
    "W2 changes too early": ("over_warp(v[r] * delta", "over_warp((v[r] -= rate * delta) * delta"),
}


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_are_found(fault, tmp_path):
    right, wrong = FAULTS[fault]
    assert right in TEXT
    with pytest.raises(AssertionError):
        check(RACE, tmp_path, seeds=range(6), sanitizer=True, text=TEXT.replace(right, wrong))


def test_a_block_that_does_not_run_is_told(tmp_path):
    """The others give up, and end; neither the losses nor the number of steps lie."""
    kernel = Kernel(RACE, tmp_path)
    _, losses, late, at = kernel.train(RACE, launches=1, patience=1000, running=RACE.blocks - 1)
    assert late == 1 and at == 0 and np.isnan(losses).all()


# ----------------------------------------------------------------- how it is cut


@pytest.mark.parametrize("H", [1, 30, 1056, 1057, 5000, 6336])
def test_all_units_have_a_warp_and_all_blocks_a_multiprocessor(H):
    rows = rows_for(H, 784, 4, multiprocessors=132)
    assert rows * 8 * 132 >= H > (rows - 1) * 8 * 132
    assert registers(rows, 784, 4) <= REGISTERS[4]


def test_what_is_too_large_for_the_registers_is_told():
    assert rows_for(6337, 784, 4, 132) is None
    assert rows_for(2112, 784, 8, 132) == 2 and rows_for(2113, 784, 8, 132) is None  # float64
    assert rows_for(9000, 16, 4, 132) is None  # of a warp, more rows than the text is tried with


@pytest.mark.slow
@pytest.mark.parametrize("itemsize", [4, 8])
def test_nothing_is_spilled_from_the_registers(itemsize, tmp_path):
    """With as many rows and columns as `REGISTERS` lets through."""
    nvcc = shutil.which("nvcc") or shutil.which("nvcc", path="/usr/local/cuda/bin")
    if nvcc is None:
        pytest.skip("nvcc is not installed")
    source = tmp_path / "persistent.cu"
    source.write_text(TEXT, encoding="utf-8")
    dtype = {4: "float32", 8: "float64"}[itemsize]
    for rows in range(1, MOST_ROWS + 1):
        I = max(I for I in range(32, MOST_INPUTS + 1, 32) if registers(rows, I, itemsize) <= REGISTERS[itemsize])
        options = options_of(dtype, INPUTS=I, OUTPUTS=10, ROWS=rows, WARPS=WARPS, HIDDEN=2, OUTPUT=1)
        command = [nvcc, "-cubin", "-arch=sm_90", "-std=c++17", "-Xptxas=-v", *options, "-o", str(tmp_path / "cubin")]
        done = subprocess.run([*command, str(source)], capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        assert " 0 bytes spill stores, 0 bytes spill loads" in done.stderr, f"rows {rows}, I {I}: {done.stderr}"
