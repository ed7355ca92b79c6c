// CUDA's words for g++, so that the very text of a kernel runs on the CPU: blocks one after another, the threads of a
// block as fibres. At a shuffle the threads of a warp wait for each other, and the other warps stand still; so one warp
// is as far ahead of the others as __syncthreads allows. Shared memory is filled with NaN before each block. Kernels take
// pointers and long long only. `launch` returns 0, or 1 if not all threads come to the same barrier or shuffle.
#include <cmath>
#include <csetjmp>
#include <cstdlib>
#include <cstring>
#include <ucontext.h>

using std::exp, std::log, std::tanh;

#define __device__ static
#define __global__
#define __shared__ static __attribute__((section("cuda_shared")))

extern "C" __attribute__((weak)) char __start_cuda_shared[], __stop_cuda_shared[]; // none if nothing is shared

static struct { unsigned x; } threadIdx, blockIdx, blockDim;

namespace emulation {
constexpr int MOST = 1024, STACK = 1 << 16;
using Kernel = void (*)(long long, long long, long long, long long, long long, long long, long long, long long,
                        long long, long long, long long, long long, long long, long long, long long, long long,
                        long long, long long, long long, long long);
enum State { RUNNING, AT_SHUFFLE, AT_BARRIER, DONE };
static struct Fibre { jmp_buf here; bool begun; State state; } fibres[MOST];
static jmp_buf scheduler;
static ucontext_t start;
static Kernel kernel;
static const long long *args;
static char slots[MOST][8];

static void wait_in(State state)
{
    Fibre &self = fibres[threadIdx.x];
    self.state = state;
    if (!_setjmp(self.here))
        _longjmp(scheduler, 1);
}

static void body()
{
    for (;;) { // a fibre is made once and serves every block
        const long long *p = args;
        kernel(p[0], p[1], p[2], p[3], p[4], p[5], p[6], p[7], p[8], p[9], p[10], p[11], p[12], p[13],
               p[14], p[15], p[16], p[17], p[18], p[19]);
        wait_in(DONE);
    }
}

static void resume(int t)
{
    threadIdx.x = t;
    fibres[t].state = RUNNING;
    if (_setjmp(scheduler))
        return;
    if (fibres[t].begun)
        _longjmp(fibres[t].here, 1);
    fibres[t].begun = true;
    getcontext(&start);
    start.uc_stack.ss_sp = malloc(STACK);
    start.uc_stack.ss_size = STACK;
    start.uc_link = nullptr;
    makecontext(&start, body, 0);
    setcontext(&start);
}
} // namespace emulation

[[maybe_unused]] static void __syncthreads()
{
    emulation::wait_in(emulation::AT_BARRIER);
}

template <class T> static T __shfl_xor_sync(unsigned, T value, int other)
{
    const unsigned t = threadIdx.x;
    memcpy(emulation::slots[t], &value, sizeof value);
    emulation::wait_in(emulation::AT_SHUFFLE);
    memcpy(&value, emulation::slots[t ^ other], sizeof value);
    emulation::wait_in(emulation::AT_SHUFFLE);
    return value;
}

// Run a warp until all its threads wait at a barrier or are done.
static bool run_warp(int first, bool backwards)
{
    using namespace emulation;
    const int n = blockDim.x - first < 32 ? blockDim.x - first : 32;
    for (;;) {
        int shuffling = 0;
        for (int i = 0; i < n; i++)
            resume(first + (backwards ? n - 1 - i : i));
        for (int t = first; t < first + n; t++)
            shuffling += fibres[t].state == AT_SHUFFLE;
        if (shuffling == 0)
            return true;
        if (shuffling < 32)
            return false;
    }
}

// With `backwards`, blocks, warps and threads run in the opposite order: what depends on it is a race.
extern "C" int launch(void *kernel, long long blocks, long long threads, const long long *args, int backwards)
{
    using namespace emulation;
    emulation::kernel = (Kernel)kernel;
    emulation::args = args;
    blockDim.x = threads;
    const int warps = (threads + 31) / 32;
    for (long long b = 0; b < blocks; b++) {
        blockIdx.x = backwards ? blocks - 1 - b : b;
        if (__start_cuda_shared)
            memset(__start_cuda_shared, 0xff, __stop_cuda_shared - __start_cuda_shared);
        do {
            for (int w = 0; w < warps; w++)
                if (!run_warp(32 * (backwards ? warps - 1 - w : w), backwards))
                    return 1;
            for (int t = 1; t < threads; t++)
                if (fibres[t].state != fibres[0].state)
                    return 1;
        } while (fibres[0].state != DONE);
    }
    return 0;
}
