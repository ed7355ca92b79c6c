// CUDA's words for g++, so that the very text of a kernel runs on the CPU. on_cpu.cpp runs it.
//
// compiling.py changes one thing in the text: a declaration `__shared__ REAL v[32];` becomes a reference to memory of
// the block, so that blocks can run at the same time. It also adds ON_CPU_KERNEL(name) for every kernel.
#pragma once
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <tuple>
#include <type_traits>
#include <utility>

#include "running.h"

#define ON_CPU 1
#define __device__
#define __host__
#define __global__
#define __forceinline__ inline
#define __noinline__
#define __constant__ static
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))

namespace on_cpu {
static std::size_t shared_sizes[MOST_SHARED];

template <int id, class T> struct Shared {
    static bool note()
    {
        static_assert(id < MOST_SHARED);
        if (shared_sizes[id] < sizeof(T))
            shared_sizes[id] = sizeof(T);
        return true;
    }
    static inline const bool noted = note(); // when the library is loaded
    static T &get()
    {
        (void)noted;
        return *static_cast<T *>(shared_memory(id));
    }
};
} // namespace on_cpu

#define threadIdx (on_cpu::here().thread)
#define blockIdx (on_cpu::here().block)
#define blockDim (on_cpu::here().threads)
#define gridDim (on_cpu::here().blocks)
[[maybe_unused]] static const int warpSize = 32;

[[maybe_unused]] static inline void __syncthreads() { on_cpu::wait_for_block(false); }
[[maybe_unused]] static inline int __syncthreads_or(int value) { return on_cpu::wait_for_block(value != 0); }
[[maybe_unused]] static inline void __syncwarp(unsigned = ~0u) { on_cpu::wait_for_warp(); }
[[maybe_unused]] static inline void __nanosleep(unsigned) { on_cpu::pause(); }
[[maybe_unused]] static inline void __threadfence() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
[[maybe_unused]] static inline void __threadfence_block() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
[[maybe_unused]] static inline int __popc(unsigned x) { return __builtin_popcount(x); }
[[maybe_unused]] static inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
[[maybe_unused]] static inline int __clz(int x) { return x ? __builtin_clz(x) : 32; }
[[maybe_unused]] static inline int __clzll(long long x) { return x ? __builtin_clzll(x) : 64; }
template <class T> static inline T __ldg(const T *p) { return *p; }

// The lanes of a warp are counted along x, then y, then z.
[[maybe_unused]] static inline unsigned lane_on_cpu()
{
    const on_cpu::Thread &h = on_cpu::here();
    return (h.thread.x + h.threads.x * (h.thread.y + h.threads.y * h.thread.z)) % 32;
}
template <class T> static T from_lane_on_cpu(T value, unsigned lane, bool inside)
{
    T other = value;
    on_cpu::swap_in_warp(&other, sizeof other, inside ? lane : lane_on_cpu());
    return other;
}
template <class T> static T __shfl_sync(unsigned, T v, int from, int width = 32)
{
    const unsigned lane = lane_on_cpu();
    return from_lane_on_cpu(v, lane / width * width + from % width, true);
}
template <class T> static T __shfl_xor_sync(unsigned, T v, int mask, int width = 32)
{
    const unsigned lane = lane_on_cpu(), other = lane ^ mask;
    return from_lane_on_cpu(v, other, other / width <= lane / width);
}
template <class T> static T __shfl_up_sync(unsigned, T v, unsigned by, int width = 32)
{
    const unsigned lane = lane_on_cpu();
    return from_lane_on_cpu(v, lane - by, lane % width >= by);
}
template <class T> static T __shfl_down_sync(unsigned, T v, unsigned by, int width = 32)
{
    const unsigned lane = lane_on_cpu();
    return from_lane_on_cpu(v, lane + by, lane % width + by < unsigned(width));
}

template <class T> static T atomicAdd(T *p, T v)
{
    using Bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
    Bits *bits = reinterpret_cast<Bits *>(p), old = __atomic_load_n(bits, __ATOMIC_RELAXED), now;
    T before, after;
    do {
        memcpy(&before, &old, sizeof before);
        after = before + v;
        memcpy(&now, &after, sizeof now);
    } while (!__atomic_compare_exchange_n(bits, &old, now, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
    return before;
}

static inline float rsqrt(float x) { return 1 / std::sqrt(x); }
static inline double rsqrt(double x) { return 1 / std::sqrt(x); }
using std::exp, std::log, std::tanh, std::sqrt;
using std::min, std::max, std::isnan, std::isinf, std::isfinite, std::signbit;

#ifdef ON_CPU_CUPY // the classes of CuPy's own kernels
#include <cupy/complex.cuh>
#include <cupy/carray.cuh>
#endif

namespace on_cpu {
template <class T> struct Kind { static constexpr char value = std::is_pointer_v<T> ? 'p' : 'v'; };
#ifdef ON_CPU_CUPY
template <class T, int n, bool c, bool small> struct Kind<CArray<T, n, c, small>> { static constexpr char value = 'p'; };
#endif

template <auto kernel> struct Described;
template <class... A, void (*kernel)(A...)> struct Described<kernel> {
    static constexpr std::size_t sizes[] = {sizeof(A)..., 0};
    static constexpr char kinds[] = {Kind<std::remove_cv_t<A>>::value..., 0};
    template <std::size_t... i> static void with(void **p, std::index_sequence<i...>)
    {
        kernel(*static_cast<std::remove_cv_t<A> *>(p[i])...);
    }
    static void call(void **p) { with(p, std::index_sequence_for<A...>{}); }
    static constexpr Kernel get() { return {call, sizeof...(A), sizes, kinds, shared_sizes}; }
};
} // namespace on_cpu

#define ON_CPU_KERNEL(name)                                                                                            \
    extern "C" {                                                                                                       \
    __attribute__((visibility("default"))) on_cpu::Kernel kernel_##name = on_cpu::Described<&name>::get();             \
    }
