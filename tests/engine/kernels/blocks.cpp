// The blocks of a kernel at the same time on a CPU: each block is a thread of the
// operating system, and its CUDA threads are fibres in that thread, which run in random
// order. A fibre runs until it waits for others, or sleeps.
//
// ThreadSanitizer, if it is linked, is told of every fibre and that only barriers (and
// atomics in the kernel's own text) put the accesses of two fibres in order. So it sees
// a race between two CUDA threads even where they happen to run one after the other.
//
// Use: program INPUT OUTPUT, see blocks.py. This file is compiled without the
// sanitizer.
#include "blocks.h"
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sched.h>
#include <thread>
#include <ucontext.h>
#include <vector>

extern "C" {
void *__tsan_get_current_fiber() __attribute__((weak));
void *__tsan_create_fiber(unsigned) __attribute__((weak));
void __tsan_switch_to_fiber(void *, unsigned) __attribute__((weak));
void __tsan_acquire(void *) __attribute__((weak));
void __tsan_release(void *) __attribute__((weak));
}

extern "C" void *kernel; // beside the text

thread_local Index threadIdx, blockIdx;
Index blockDim, gridDim;
thread_local char *shared_memory;

static const unsigned STACK = 1 << 17;
static long long arguments[20];

// Those who wait for each other: a block or a warp.
struct Meeting {
    unsigned size, come = 0, round = 0;
    int any[2] = {};
    char order[2]; // what ThreadSanitizer knows them by: one for this round, one for the next
    std::vector<unsigned> who;

    void resize(unsigned threads)
    {
        size = threads;
        who.reserve(threads);
    }
};

struct Fibre {
    void *here[5]; // for __builtin_setjmp
    bool begun = false, done = false;
    void *sanitizer = nullptr;
    std::uint64_t value[2];
    unsigned round = 0;
};

struct Block {
    std::vector<Fibre> fibres;
    std::vector<unsigned> ready;
    std::vector<Meeting> warps;
    Meeting all;
    char end; // for the sanitizer: whoever reads the results comes after all fibres
    void *scheduler[5], *sanitizer = nullptr;
    unsigned long long random;
};
static thread_local Block *block;

static unsigned draw(unsigned below)
{
    unsigned long long &x = block->random;
    x ^= x << 13, x ^= x >> 7, x ^= x << 17;
    return (x >> 11) % below;
}

static void __attribute__((noinline)) go_to(void **place, void *sanitizer)
{
    if (__tsan_switch_to_fiber)
        __tsan_switch_to_fiber(sanitizer, 1); // 1: no order between the two
    __builtin_longjmp(place, 1);
}

static void __attribute__((noinline)) to_scheduler()
{
    Fibre &self = block->fibres[threadIdx.x];
    if (__builtin_setjmp(self.here) == 0)
        go_to(block->scheduler, block->sanitizer);
}

static void body()
{
    using L = long long;
    const L *p = arguments;
    ((void (*)(L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L))kernel)(
        p[0], p[1], p[2], p[3], p[4], p[5], p[6], p[7], p[8], p[9], p[10], p[11], p[12], p[13], p[14], p[15], p[16],
        p[17], p[18], p[19]);
    block->fibres[threadIdx.x].done = true;
    if (__tsan_release)
        __tsan_release(&block->end);
    to_scheduler();
}

static void __attribute__((noinline)) begin(Fibre &fibre)
{
    ucontext_t start;
    getcontext(&start);
    start.uc_stack.ss_sp = malloc(STACK);
    start.uc_stack.ss_size = STACK;
    start.uc_link = nullptr;
    makecontext(&start, body, 0);
    fibre.begun = true;
    if (__tsan_create_fiber) {
        fibre.sanitizer = __tsan_create_fiber(0);
        __tsan_switch_to_fiber(fibre.sanitizer, 1);
    }
    setcontext(&start);
}

static void __attribute__((noinline)) resume(unsigned t)
{
    Fibre &fibre = block->fibres[t];
    threadIdx.x = t;
    if (__builtin_setjmp(block->scheduler) == 0) {
        if (fibre.begun)
            go_to(fibre.here, fibre.sanitizer);
        begin(fibre);
    }
}

static void run_block(unsigned b, unsigned long long seed)
{
    Block mine;
    block = &mine;
    blockIdx.x = b;
    mine.random = (seed + 1) * 0x9e3779b97f4a7c15 + b * 0xbf58476d1ce4e5b9 + 1;
    mine.fibres.resize(blockDim.x);
    // no fibre allocates, which the sanitizer would take for an access to memory
    mine.ready.reserve(blockDim.x);
    mine.all.resize(blockDim.x);
    mine.warps.resize(blockDim.x / 32);
    for (Meeting &warp : mine.warps)
        warp.resize(32);
    if (__tsan_get_current_fiber)
        mine.sanitizer = __tsan_get_current_fiber();
    shared_memory = (char *)malloc(ROOMS * ROOM);
    memset(shared_memory, 0xff, ROOMS * ROOM); // NaN
    for (unsigned t = 0; t < blockDim.x; t++)
        mine.ready.push_back(t);
    unsigned left = blockDim.x;
    while (left) {
        if (mine.ready.empty()) {
            fprintf(stderr, "block %u: threads wait at different places\n", b);
            _Exit(3);
        }
        const unsigned k = draw(mine.ready.size()), t = mine.ready[k];
        mine.ready[k] = mine.ready.back();
        mine.ready.pop_back();
        resume(t);
        left -= mine.fibres[t].done;
    }
    if (__tsan_acquire)
        __tsan_acquire(&mine.end);
}

static int meet(Meeting &meeting, int value, bool orders)
{
    const unsigned round = meeting.round % 2;
    if (orders && __tsan_release)
        __tsan_release(&meeting.order[round]);
    if (meeting.come == 0)
        meeting.any[round] = 0;
    meeting.any[round] |= value != 0;
    meeting.who.push_back(threadIdx.x);
    if (++meeting.come == meeting.size) {
        meeting.come = 0;
        meeting.round++;
        for (unsigned t : meeting.who)
            block->ready.push_back(t);
        meeting.who.clear();
    }
    to_scheduler();
    if (orders && __tsan_acquire)
        __tsan_acquire(&meeting.order[round]);
    return meeting.any[round];
}

int __syncthreads_or(int value) { return meet(block->all, value, true); }
void __syncthreads() { __syncthreads_or(0); }
void __syncwarp() { meet(block->warps[threadIdx.x / 32], 0, true); }

std::uint64_t exchange_in_warp(std::uint64_t value, int lane)
{
    Fibre &self = block->fibres[threadIdx.x];
    const unsigned round = self.round++ % 2, first = threadIdx.x / 32 * 32;
    self.value[round] = value;
    meet(block->warps[threadIdx.x / 32], 0, false); // a shuffle puts no accesses to memory in order
    return block->fibres[first + lane].value[round];
}

void __nanosleep(unsigned)
{
    block->ready.push_back(threadIdx.x);
    if (draw(4) == 0)
        sched_yield();
    to_scheduler();
}

template <class T> static T number(FILE *file)
{
    T n;
    if (fread(&n, sizeof n, 1, file) != 1)
        exit(2);
    return n;
}

// INPUT: blocks that run, blocks that the kernel is told of, threads of a block, seed,
// number of arguments; for each of these its bytes and an array, or -1 and a number;
// and the argument that becomes the address of another one, and this other one. OUTPUT:
// the arrays, one after the other.
int main(int, char **argv)
{
    FILE *in = fopen(argv[1], "rb");
    const long long running = number<long long>(in);
    gridDim.x = number<long long>(in);
    blockDim.x = number<long long>(in);
    const long long seed = number<long long>(in), count = number<long long>(in);
    std::vector<long long> sizes(count);
    for (long long k = 0; k < count; k++) {
        sizes[k] = number<long long>(in);
        if (sizes[k] < 0) {
            arguments[k] = number<long long>(in);
        } else {
            arguments[k] = (long long)malloc(sizes[k]);
            if (fread((void *)arguments[k], 1, sizes[k], in) != (unsigned long)sizes[k])
                return 2;
        }
    }
    const long long pointer = number<long long>(in);
    const long long to = number<long long>(in);
    if (pointer >= 0)
        *(long long *)arguments[pointer] = arguments[to];
    std::vector<std::thread> threads;
    for (long long b = 0; b < running; b++)
        threads.emplace_back(run_block, b, seed);
    for (std::thread &thread : threads)
        thread.join();
    FILE *out = fopen(argv[2], "wb");
    for (long long k = 0; k < count; k++)
        if (sizes[k] >= 0)
            fwrite((void *)arguments[k], 1, sizes[k], out);
    fclose(out);
}
