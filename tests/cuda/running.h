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
bool wait_for_block(bool value); // whether any thread of the block brings true
void wait_for_warp();
void pause(); // lets the other threads go on
void swap_in_warp(void *value, std::size_t bytes, unsigned lane);
void *shared_memory(int id);
void *dynamic_shared_memory();

enum Way { PLAIN, IN_TURN, TOGETHER };
struct Launch {
    unsigned dims[6];        // blocks, threads
    std::size_t dynamic = 0; // bytes of shared memory
    Way way = IN_TURN;
    bool lenient = false;  // a barrier does not wait for threads that have returned
    long order = 0;        // 0: the first threads first; -1: the last; any other number draws
    unsigned running = ~0u; // of the blocks
};
// nullptr, or what went wrong.
const char *launch(const Kernel &kernel, void **args, const Launch &launch);
} // namespace on_cpu
