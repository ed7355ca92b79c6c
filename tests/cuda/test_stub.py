"""The stub GPU: it runs what a GPU runs, and refuses and counts what matters on one."""

import numpy as np
import pytest

from tests.cuda import stub

pytestmark = pytest.mark.gpu


def kernel(cupy, text, name, **options):
    return cupy.RawModule(code=text, **options).get_function(name)


ADD = 'extern "C" __global__ void add(double *a) { a[threadIdx.x] += 1; }'


def test_what_cupy_computes(stub_gpu):
    cupy = stub_gpu
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(5, 7)), rng.normal(size=(7, 3))
    x, y = cupy.asarray(a), cupy.asarray(b)
    for there, here in (
        (x @ y, a @ b), (x.T @ x, a.T @ a), (cupy.exp(x)[:, ::2] + 1, np.exp(a)[:, ::2] + 1),
        (x.sum(axis=0), a.sum(axis=0)), (x.max(), a.max()), (x.argmin(axis=1), a.argmin(axis=1)),
        (cupy.sort(x, axis=0), np.sort(a, axis=0)), (x[cupy.asarray([4, 0])], a[[4, 0]]), (x[x > 0], a[a > 0]),
        (x.cumsum(axis=1), a.cumsum(axis=1)), (cupy.concatenate([x, x]), np.concatenate([a, a])),
    ):  # fmt: skip
        np.testing.assert_allclose(there.get(), here, rtol=1e-12)


def test_functions_of_numpy_are_refused(stub_gpu):
    """CuPy would answer with an array of the device, where one of the host is meant."""
    a, host = stub_gpu.asarray([[1.0, 2.0], [3.0, 4.0]]), np.ones((2, 2))
    for mixed in (
        lambda: a + host, lambda: host + a, lambda: stub_gpu.add(a, host), lambda: stub_gpu.dot(a, host),
        lambda: np.asarray(a), lambda: np.sum(a), lambda: np.concatenate([a, a]), lambda: stub_gpu.exp([1.0]),
        lambda: a.__iadd__(host), lambda: np.exp(a, out=host),
    ):  # fmt: skip
        with pytest.raises(TypeError):
            mixed()
    assert (np.float64(2) * a).get()[1, 1] == 8 and np.exp(a).get()[0, 0] == np.exp(1.0)


def test_it_counts_waits_transfers_and_launches(stub_gpu):
    cupy = stub_gpu
    a = cupy.asarray([3.0, 1.0])
    for wait in (
        lambda: float(a[0]), lambda: bool(a[0]), a[0].item, a.get, lambda: a[a > 1], lambda: f"{a[0]:.2f}",
        lambda: cupy.flatnonzero(a), cupy.cuda.get_current_stream().synchronize,
    ):  # fmt: skip
        with stub.watch() as seen:
            wait()
        assert seen.waits and all("test_stub.py" in line for line in seen.waits)
        assert not seen.transfers
    with stub.watch() as seen:
        b = a[::-1]
        b *= 2
        cupy.dot(cupy.outer(a, a), a)
    assert seen.waits == seen.transfers == []
    assert seen.launches.count("gemm") == 1 and len(seen.launches) == 3
    with stub.watch() as seen:
        cupy.asarray(np.ones(3))
    assert [line.partition(" in ")[0] for line in seen.transfers] == ["memcpy"] and seen.allocations == 1
    assert a.get().tolist() == [6.0, 2.0]


def test_nvrtc_compiles_every_text(stub_gpu):
    with pytest.raises(stub_gpu.cuda.compiler.CompileException, match='identifier "undefined" is undefined'):
        kernel(stub_gpu, 'extern "C" __global__ void f(double *a) { a[0] = undefined; }', "f")
    with pytest.raises(Exception, match="no kernel is called g"):
        kernel(stub_gpu, ADD, "g")


def test_a_capture_refuses_what_a_graph_cannot_repeat(stub_gpu):
    cupy = stub_gpu
    a, add = cupy.zeros(4), kernel(cupy, ADD, "add")
    cupy.dot(cupy.ones((2, 2)), cupy.ones((2, 2)))
    with cupy.cuda.Stream(non_blocking=True) as stream:
        stream.begin_capture()
        for forbidden in (
            lambda: cupy.empty(3), a.get, lambda: float(a[0]), stream.synchronize, lambda: cupy.asarray([1.0]),
            lambda: cupy.dot(cupy.ones((2, 2)), a[:2]), lambda: add((1,), (4,), (a,)),  # loaded by a first launch
        ):  # fmt: skip
            with pytest.raises(Exception, match=r"stub GPU|captur"):
                forbidden()
        stream.end_capture()
    add((1,), (4,), (a,))
    gone = cupy.zeros(4)
    with stream:
        stream.begin_capture()
        add((1,), (4,), (a,))
        add((1,), (4,), (a,))
        kept = stream.end_capture()
        stream.begin_capture()
        add((1,), (4,), (gone,))
        lost = stream.end_capture()
    with stub.watch() as seen:
        kept.launch()
        kept.launch()
    assert seen.launches == ["graph of 2"] * 2 and seen.nodes == ["add"] * 4
    assert a.get().tolist() == [5.0] * 4
    del gone
    with pytest.raises(Exception, match="argument 0 is no array, or one that is gone"):
        lost.launch()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # found once more when it is freed
def test_a_kernel_that_writes_behind_an_array_is_found(stub_gpu):
    add = kernel(stub_gpu, ADD, "add")
    with pytest.raises(Exception, match="add writes behind the end of argument 0"):
        add((1,), (5,), (stub_gpu.zeros(4),))


TURN = """
extern "C" __global__ void turn(double *a) {
    __shared__ double kept[64];
    kept[threadIdx.x] = a[threadIdx.x];
    BARRIER
    a[threadIdx.x] = kept[63 - threadIdx.x];
}
extern "C" __global__ void half(double *a) { if (threadIdx.x < 16) __syncthreads(); a[0] = 1; }
"""


@pytest.mark.parametrize("order", [0, -1, 1, 2])
def test_threads_of_a_block_work_together(stub_gpu, order):
    a = stub_gpu.arange(64.0)
    with stub.order(order):
        kernel(stub_gpu, TURN.replace("BARRIER", "__syncthreads();"), "turn")((1,), (64,), (a,))
    assert a.get().tolist() == list(range(63, -1, -1))


def test_a_barrier_that_is_missing_or_not_reached_by_all(stub_gpu):
    """Shared memory is NaN at first, which a warp that is too early reads."""
    a = stub_gpu.arange(64.0)
    kernel(stub_gpu, TURN.replace("BARRIER", "__syncwarp();"), "turn")((1,), (64,), (a,))
    assert np.isnan(a.get()).any()
    with pytest.raises(Exception, match="half: the threads of a block do not all come to the same barrier"):
        kernel(stub_gpu, TURN.replace("BARRIER", ""), "half")((1,), (32,), (a,))


TOGETHER = """
extern "C" __global__ void meet(unsigned *arrived, double *a) {
    if (threadIdx.x == 0) {
        atomicAdd(arrived, 1u);
        while (*(volatile unsigned *)arrived < gridDim.x)
            __nanosleep(100);
    }
    __syncthreads();
    a[blockIdx.x * blockDim.x + threadIdx.x] = *arrived;
}
"""


def test_blocks_of_a_cooperative_launch_run_at_the_same_time(stub_gpu):
    cupy = stub_gpu
    meet = kernel(cupy, TOGETHER, "meet", enable_cooperative_groups=True)
    a = cupy.zeros(7 * 64)
    meet((7,), (64,), (cupy.zeros(1, cupy.uint32), a))
    assert a.get().tolist() == [7.0] * 7 * 64
