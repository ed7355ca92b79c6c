"""No two threads of a kernel meet in memory without a barrier between them.

The kernels run with all blocks at the same time and their threads in random orders,
under ThreadSanitizer (tests/cuda/together.py). What they compute is tested elsewhere.
Letters as in the kernels' files.
"""

import numpy as np
import pytest

from scratchnet.engine.kernels.nvrtc import options_of, text_of
from tests.cuda.together import Together

pytestmark = pytest.mark.slow
RNG = np.random.default_rng(0)


def real(*shape):
    return RNG.normal(size=shape)


def whole(*numbers):
    return np.array(numbers, np.int64)


N, I, O, K, H, T = 3, 40, 35, 10, 3, 2
ORDER, AT = whole(2, 0, 1, 1, 0, 2), whole(1)
GATES = (real(4 * H, I), real(4 * H, H), real(4 * H), real(4 * H), real(T + 1, H + I + 1, N))
#: file and kernel ↦ blocks, threads, arguments, and the argument that points to another
LAUNCHES = {
    ("step", "forward"): (O, 64, [real(O, I), real(O), real(3, I), ORDER, AT, 1, I, 1, real(O)], (-1, -1)),
    ("step", "backward"): (-(-I // 8), 96, [real(O, I), real(O), real(I), I, O, 2, real(I)], (-1, -1)),
    ("step", "update"): (O, 64, [real(O, I), real(O), real(O), real(3, I), ORDER, AT, 1, I, real(1)], (-1, -1)),
    ("step", "squares"): (
        1, 64, [real(K), real(3, K), ORDER, AT, 1, K, real(1), 1, real(K), whole(0), real(6)], (9, 10)),
    ("step", "cross_entropy"): (
        1, 64, [real(K), whole(1, 4, 9), ORDER, AT, 1, K, 0, real(K), whole(0), real(6)], (8, 9)),
    ("batch", "forward"): (
        3, 256, [real(O, I), real(O), real(3, I), ORDER, AT, 0, N, N, I, O, 1, real(N, O)], (-1, -1)),
    ("batch", "backward"): (3, 256, [real(O, I), real(N, O), real(N, I), N, I, O, 1, real(N, I)], (-1, -1)),
    ("batch", "update"): (
        9, 256, [real(O, I), real(O), real(N, O), real(3, I), ORDER, AT, 0, N, N, I, O, 2, real(1, 6) ** 2,
                 real(O, I), real(O, I) ** 2, real(O), real(O) ** 2], (-1, -1)),
    ("gemm", "multiply"): (
        12, 256, [real(80, O), 1, O, real(80, N + 20), N + 20, 1, real(1), 0, 0, O, N + 20, 80, 40, 0, 0,
                  real(2, O, N + 20)], (-1, -1)),
    ("gemm", "join"): (
        3, 256, [real(3, O, N), 3, real(N, O), 1, O, O, N, real(1), real(1)], (-1, -1)),
    ("layers", "rates"): (1, 32, [whole(3), 10, 2, real(5) ** 2, real(10, 6)], (-1, -1)),
    ("layers", "advance"): (1, 1, [whole(1), whole(3), 10], (-1, -1)),
    ("layers", "take"): (2, 32, [np.arange(120), AT, 1, 40, 40, np.zeros(40, np.int64)], (-1, -1)),
    ("layers", "keep"): (1, 1, [real(1), AT, 3, whole(0), real(6)], (3, 4)),
    ("batch", "squares"): (
        1, 96, [real(N, K), real(3, K), ORDER, AT, 0, N, N, K, real(1), 1, 1, real(N, K), whole(0), real(2)], (12, 13)),
    ("batch", "cross_entropy"): (
        1, 96, [real(N, K), whole(1, 4, 9), ORDER, AT, 0, N, N, K, 0, real(N, K), whole(0), real(2)], (10, 11)),
    ("recurrent", "lstm"): (H, 256, [*GATES, real(T + 1, 5, H, N), real(T, H, N), 0, 1, H, I, N], (-1, -1)),
    ("recurrent", "lstm_back"): (
        H, 256, [real(4 * H, H), real(T + 1, 5, H, N), real(T, H, N), real(T, H, N), 0, 0, T, H, N, real(H, N),
                 real(H, N), real(H, N), real(T, 4, H, N)], (-1, -1)),
    ("recurrent", "gru"): (H, 256, [*GATES, real(T, 4, H, N), 0, 1, H, I, N], (-1, -1)),
    ("recurrent", "gru_back"): (
        H, 256, [real(3 * H, H), real(T + 1, H + I + 1, N), real(T, 4, H, N), 0, 0, 0, T, H, I, N, real(H, N),
                 real(H, N), real(T, 4, H, N)], (-1, -1)),
    ("losses", "cross_entropy"): (1, 64, [real(K, 40), RNG.integers(0, K, 40), K, 40, real(K, 40), real(1)], (-1, -1)),
    ("pool", "choose"): (
        1, 256, [real(2, 6, 6, 2), 36, 6, 6, 3, 3, 2, 2, 2, 0, 2, 2, 0, 1, real(36), np.zeros(36, np.uint8)], (-1, -1)),
    ("pool", "median"): (
        1, 256, [real(2, 6, 6, 2), 36, 6, 6, 3, 3, 2, 2, 2, 0, 2, 2, 0, real(36), np.zeros(36, np.uint8)], (-1, -1)),
    ("pool", "give_back"): (
        1, 256, [real(36), 0, 144, 6, 6, 3, 3, 2, 2, 2, 0, 2, 2, 0, 4, real(144)], (-1, -1)),
}  # fmt: skip


def run(file, name, folder, text=None, seeds=2):
    kernel = Together(text or text_of(file), name, options_of("float64"), folder, sanitizer=True)
    blocks, threads, args, pointer = LAUNCHES[file, name]
    results = []
    for seed in range(seeds):
        mine = [a.copy() if isinstance(a, np.ndarray) else a for a in args]
        kernel(blocks, threads, mine, pointer, seed)
        results.append([a.tobytes() for k, a in enumerate(mine) if isinstance(a, np.ndarray) and k != pointer[0]])
    assert all(result == results[0] for result in results), "the order in which threads run changes the result"


@pytest.mark.parametrize(("file", "name"), LAUNCHES)
def test_no_race(file, name, tmp_path):
    run(file, name, tmp_path)


#: for each barrier of a file, in the order of the text, a kernel that needs it
BARRIERS = {
    "step": ["cross_entropy", "forward", "backward"],
    "batch": ["forward", "forward", "squares"],
    "gemm": ["multiply", "multiply"],
    "recurrent": ["lstm", "gru"],
    "losses": ["cross_entropy"],
}
MISSING = [(file, number, name) for file, names in BARRIERS.items() for number, name in enumerate(names)]


@pytest.mark.parametrize(("file", "number", "name"), MISSING)
def test_a_missing_barrier_is_found(file, number, name, tmp_path):
    parts = text_of(file).split("__syncthreads();")
    assert len(parts) == len(BARRIERS[file]) + 1
    parts[number : number + 2] = [parts[number] + ";" + parts[number + 1]]
    with pytest.raises(AssertionError):
        run(file, name, tmp_path, "__syncthreads();".join(parts), seeds=1)
