// CUDA's words for the text of a kernel whose blocks run at the same time; see
// blocks.cpp.
#include <cmath>
#include <cstdint>

using std::exp, std::log, std::tanh;

#define __device__ static
#define __global__
#define __launch_bounds__(...)

struct Index {
    unsigned x;
};
extern thread_local Index threadIdx, blockIdx;
extern Index blockDim, gridDim;
constexpr int ROOMS = 8, ROOM = 1 << 14; // declarations of shared memory, bytes for each
extern thread_local char *shared_memory; // of the block

void __syncthreads();
int __syncthreads_or(int);
void __syncwarp();
void __nanosleep(unsigned);
std::uint64_t exchange_in_warp(std::uint64_t value, int lane); // the value of that lane

template <class T> static T exchange(T value, int lane)
{
    union {
        T value;
        std::uint64_t bits;
    } mine = {}, its;
    mine.value = value;
    its.bits = exchange_in_warp(mine.bits, lane);
    return its.value;
}

template <class T> static T __shfl_xor_sync(unsigned, T value, int other)
{
    return exchange(value, threadIdx.x % 32 ^ other);
}

template <class T> static T __shfl_sync(unsigned, T value, int lane)
{
    return exchange(value, lane);
}
