// A kernel that was compiled for the CPU, and what it asks of the one who runs it.
#pragma once
#include <cstddef>

namespace on_cpu {
struct Dim { unsigned x, y, z; };
struct Thread { Dim thread, block, threads, blocks; };

// What a kernel takes, by value: its arguments' sizes, and 'p' for an array, 'v' for anything else.
struct Kernel {
    void (*call)(void **);
    int count;
    const std::size_t *sizes;
    const char *kinds;
    const std::size_t *shared; // bytes of every declaration of shared memory
};

constexpr int MOST_SHARED = 32;
__attribute__((const)) Thread &here(); // one object for each thread, as long as it runs
void wait_for_block();
void wait_for_warp();
void pause(); // lets the other threads go on
void swap_in_warp(void *value, std::size_t bytes, unsigned with);
void *shared_memory(int id);
void *dynamic_shared_memory();
} // namespace on_cpu
