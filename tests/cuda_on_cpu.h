// CUDA's words for g++, so that the very text of a kernel runs on the CPU: blocks one after another, the threads of a
// block as fibres that take turns at every __syncthreads and shuffle. Shared memory is filled with NaN before each
// block. Kernels take pointers and long long only. `launch` returns 0, or 1 if threads disagree about a barrier.
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
                        long long, long long, long long, long long);
static struct Fibre { jmp_buf here; bool begun, done; int barriers; } fibres[MOST];
static jmp_buf scheduler;
static ucontext_t start;
static Kernel kernel;
static const long long *args;
static char slots[MOST][8];

static void body()
{
    for (;;) { // a fibre is made once and serves every block
        const long long *p = args;
        kernel(p[0], p[1], p[2], p[3], p[4], p[5], p[6], p[7], p[8], p[9], p[10], p[11]);
        Fibre &self = fibres[threadIdx.x];
        self.done = true;
        if (!_setjmp(self.here))
            _longjmp(scheduler, 1);
    }
}

static void resume(int t)
{
    threadIdx.x = t;
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

static void __syncthreads()
{
    emulation::Fibre &self = emulation::fibres[threadIdx.x];
    self.barriers++;
    if (!_setjmp(self.here))
        _longjmp(emulation::scheduler, 1);
}

template <class T> static T __shfl_xor_sync(unsigned, T value, int other)
{
    const unsigned t = threadIdx.x;
    memcpy(emulation::slots[t], &value, sizeof value);
    __syncthreads();
    memcpy(&value, emulation::slots[t ^ other], sizeof value);
    __syncthreads();
    return value;
}

// With `backwards`, blocks and threads run in the opposite order: what depends on it is a race.
extern "C" int launch(void *kernel, long long blocks, long long threads, const long long *args, int backwards)
{
    using namespace emulation;
    emulation::kernel = (Kernel)kernel;
    emulation::args = args;
    blockDim.x = threads;
    for (long long b = 0; b < blocks; b++) {
        blockIdx.x = backwards ? blocks - 1 - b : b;
        memset(__start_cuda_shared, 0xff, __stop_cuda_shared - __start_cuda_shared);
        for (int t = 0; t < threads; t++)
            fibres[t].done = false, fibres[t].barriers = 0;
        for (bool all_done = false; !all_done;) {
            all_done = true;
            for (int t = 0; t < threads; t++) {
                const int thread = backwards ? threads - 1 - t : t;
                if (!fibres[thread].done)
                    resume(thread);
                all_done = all_done && fibres[thread].done;
            }
            for (int t = 1; t < threads; t++)
                if (fibres[t].barriers != fibres[0].barriers || fibres[t].done != fibres[0].done)
                    return 1;
        }
    }
    return 0;
}
