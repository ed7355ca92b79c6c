// Runs a kernel that was compiled with on_cpu.h. The threads of a block are fibres of one thread of the system.
//
// A fibre runs until it waits for others. In the order 0 a warp then runs until all its threads wait for other warps, so
// it is as far ahead of them as the barriers allow; in the order -1 the last threads and blocks come first; any other
// number draws whose turn it is. What depends on the order is a race. Shared memory is NaN before each block.
//
// PLAIN: no barriers, and no fibres. IN_TURN: one block after the other. TOGETHER: all blocks at the same time, each in a
// thread of the system, as in a cooperative launch.
//
// ThreadSanitizer, if it is there, is told of every fibre and that only barriers (and atomics in the kernel's own text)
// put the accesses of two fibres in order. So it sees a race between two CUDA threads even where they happen to run one
// after the other. This file is compiled without the sanitizer.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <sched.h>
#include <thread>
#include <ucontext.h>
#include <vector>

#include "running.h"

extern "C" {
void *__tsan_get_current_fiber() __attribute__((weak));
void *__tsan_create_fiber(unsigned) __attribute__((weak));
void __tsan_destroy_fiber(void *) __attribute__((weak));
void __tsan_switch_to_fiber(void *, unsigned) __attribute__((weak));
void __tsan_acquire(void *) __attribute__((weak));
void __tsan_release(void *) __attribute__((weak));
}

namespace on_cpu {
constexpr unsigned MOST = 1024, STACK = 1 << 17;
enum State { GOES_ON, PAUSED, DONE };

// A set of threads.
struct Set {
    std::uint64_t bits[MOST / 64] = {};
    void add(unsigned t) { bits[t / 64] |= std::uint64_t(1) << t % 64; }
    void remove(unsigned t) { bits[t / 64] &= ~(std::uint64_t(1) << t % 64); }
    void take(Set &other)
    {
        for (unsigned i = 0; i < MOST / 64; i++) {
            bits[i] |= other.bits[i];
            other.bits[i] = 0;
        }
    }
    // The first one from `begin` on, and after the last the first of all; or the last of all. MOST if there is none.
    unsigned first(unsigned begin) const
    {
        for (unsigned i = 0; i <= MOST / 64; i++) {
            const unsigned word = (begin / 64 + i) % (MOST / 64);
            std::uint64_t some = bits[word];
            if (i == 0)
                some &= ~std::uint64_t(0) << begin % 64;
            if (some)
                return 64 * word + __builtin_ctzll(some);
        }
        return MOST;
    }
    unsigned last() const
    {
        for (unsigned i = MOST / 64; i-- > 0;)
            if (bits[i])
                return 64 * i + 63 - __builtin_clzll(bits[i]);
        return MOST;
    }
};

// Those who wait for each other: a block or a warp.
struct Meeting {
    unsigned expected = 0, come = 0, round = 0;
    bool any[2] = {};
    char order[2]; // what ThreadSanitizer knows them by: one for this round, one for the next
    Set who;
};

struct Fibre {
    Thread thread;
    void *here[5]; // of __builtin_setjmp
    std::unique_ptr<char[]> stack;
    void *sanitizer = nullptr;
    State state;
    std::uint64_t value[2][2]; // what it shows to its warp, by turns
    unsigned turn;
};

class Block {
    const Kernel *kernel = nullptr;
    void **args = nullptr;
    bool lenient = false;
    std::vector<Fibre> fibres{MOST};
    Set ready, paused;
    Meeting all, warps[MOST / 32];
    std::uint64_t random = 0;
    long order = 0;
    void *scheduler[5], *sanitizer = nullptr;
    char end; // for the sanitizer: whoever reads the results comes after all fibres
    std::vector<char> memory;
    std::size_t offsets[MOST_SHARED], dynamic = 0;

    unsigned next()
    {
        if (order == 0)
            return ready.first(0);
        if (order == -1)
            return ready.last();
        random ^= random << 13, random ^= random >> 7, random ^= random << 17;
        return ready.first((random >> 11) % MOST);
    }
    void open(Meeting &meeting)
    {
        meeting.come = 0;
        meeting.any[++meeting.round % 2] = false;
        ready.take(meeting.who);
    }
    void leave(Meeting &meeting)
    {
        if (--meeting.expected == meeting.come && meeting.come)
            open(meeting);
    }
    static void body();
    void __attribute__((noinline)) to_scheduler();
    void __attribute__((noinline)) resume(unsigned t);
    void __attribute__((noinline)) begin(Fibre &fibre);

  public:
    Block() = default;
    ~Block()
    {
        if (__tsan_destroy_fiber)
            for (Fibre &fibre : fibres)
                if (fibre.sanitizer)
                    __tsan_destroy_fiber(fibre.sanitizer);
    }
    void prepare(const Kernel &kernel, const Launch &launch, void **args, std::size_t number);
    bool run(unsigned threads);
    void run_plain(unsigned threads);
    bool meet(Meeting &meeting, bool value, bool orders);

    friend Thread &here();
    friend bool wait_for_block(bool);
    friend void wait_for_warp();
    friend void pause();
    friend void swap_in_warp(void *, std::size_t, unsigned);
    friend void *shared_memory(int);
    friend void *dynamic_shared_memory();
};

static thread_local std::unique_ptr<Block> owner; // its fibres serve every launch of this thread of the system
static thread_local Block *block;
static thread_local Thread *current;
static thread_local unsigned running; // its number

// ---------------------------------------------------------------- fibres

static void __attribute__((noinline)) go_to(void **place, void *sanitizer)
{
    if (__tsan_switch_to_fiber)
        __tsan_switch_to_fiber(sanitizer, 1); // 1: no order between the two
    __builtin_longjmp(place, 1);
}

void Block::to_scheduler()
{
    if (__builtin_setjmp(fibres[running].here) == 0)
        go_to(scheduler, sanitizer);
}

void Block::body()
{
    for (;;) { // a fibre is made once and serves every block
        block->kernel->call(block->args);
        block->fibres[running].state = DONE;
        if (__tsan_release)
            __tsan_release(&block->end);
        block->to_scheduler();
    }
}

void Block::begin(Fibre &fibre)
{
    ucontext_t start;
    fibre.stack.reset(new char[STACK]);
    getcontext(&start);
    start.uc_stack.ss_sp = fibre.stack.get();
    start.uc_stack.ss_size = STACK;
    start.uc_link = nullptr;
    makecontext(&start, body, 0);
    if (__tsan_create_fiber) {
        fibre.sanitizer = __tsan_create_fiber(0);
        __tsan_switch_to_fiber(fibre.sanitizer, 1);
    }
    setcontext(&start);
}

void Block::resume(unsigned t)
{
    Fibre &fibre = fibres[t];
    running = t;
    current = &fibre.thread;
    if (__builtin_setjmp(scheduler) == 0) {
        if (fibre.stack)
            go_to(fibre.here, fibre.sanitizer);
        begin(fibre);
    }
}

void Block::prepare(const Kernel &of, const Launch &launch, void **with, std::size_t number)
{
    kernel = &of;
    args = with;
    lenient = launch.lenient;
    order = launch.order;
    random = (launch.order + 1) * 0x9e3779b97f4a7c15 + number * 0xbf58476d1ce4e5b9 + 1;
    std::size_t bytes = 0;
    for (int i = 0; i < MOST_SHARED; i++) {
        offsets[i] = bytes;
        bytes += (of.shared[i] + 15) / 16 * 16;
    }
    dynamic = bytes;
    memory.assign(bytes + launch.dynamic, char(0xff));
    const Dim blocks{launch.dims[0], launch.dims[1], launch.dims[2]};
    const Dim threads{launch.dims[3], launch.dims[4], launch.dims[5]};
    const Dim index{unsigned(number % blocks.x), unsigned(number / blocks.x % blocks.y),
                    unsigned(number / blocks.x / blocks.y)};
    unsigned t = 0;
    for (unsigned z = 0; z < threads.z; z++)
        for (unsigned y = 0; y < threads.y; y++)
            for (unsigned x = 0; x < threads.x; x++)
                fibres[t++].thread = {{x, y, z}, index, threads, blocks};
}

void Block::run_plain(unsigned threads)
{
    for (unsigned i = 0; i < threads; i++) {
        current = &fibres[order == -1 ? threads - 1 - i : i].thread;
        kernel->call(args);
    }
}

// Whether all threads came to the same barriers.
bool Block::run(unsigned threads)
{
    all = Meeting();
    all.expected = threads;
    for (unsigned w = 0; 32 * w < threads; w++) {
        warps[w] = Meeting();
        warps[w].expected = std::min(32u, threads - 32 * w);
    }
    for (unsigned t = 0; t < threads; t++) {
        fibres[t].state = GOES_ON;
        fibres[t].turn = 0;
        ready.add(t);
    }
    if (__tsan_get_current_fiber)
        sanitizer = __tsan_get_current_fiber();
    for (unsigned left = threads; left;) {
        const unsigned t = next();
        if (t == MOST) {
            if (paused.first(0) == MOST)
                return false;
            ready.take(paused);
            sched_yield();
            continue;
        }
        ready.remove(t);
        resume(t);
        if (fibres[t].state == PAUSED) {
            fibres[t].state = GOES_ON;
            paused.add(t);
        } else if (fibres[t].state == DONE) {
            left--;
            leave(warps[t / 32]);
            if (lenient)
                leave(all);
        }
    }
    if (__tsan_acquire)
        __tsan_acquire(&end);
    return true;
}

bool Block::meet(Meeting &meeting, bool value, bool orders)
{
    const unsigned round = meeting.round % 2;
    if (orders && __tsan_release)
        __tsan_release(&meeting.order[round]);
    meeting.any[round] |= value;
    meeting.who.add(running);
    if (++meeting.come == meeting.expected)
        open(meeting);
    to_scheduler();
    if (orders && __tsan_acquire)
        __tsan_acquire(&meeting.order[round]);
    return meeting.any[round];
}

// ------------------------------------------------- what a kernel asks for

Thread &here() { return *current; }
bool wait_for_block(bool value) { return block->meet(block->all, value, true); }
void wait_for_warp() { block->meet(block->warps[running / 32], false, true); }

void pause()
{
    block->fibres[running].state = PAUSED;
    block->to_scheduler();
}

// memcpy without the name: ThreadSanitizer takes every call of it for an access of the kernel.
static void copy(volatile void *to, const volatile void *from, std::size_t bytes)
{
    for (std::size_t i = 0; i < bytes; i++)
        ((volatile char *)to)[i] = ((const volatile char *)from)[i];
}

void swap_in_warp(void *value, std::size_t bytes, unsigned lane)
{
    Fibre &self = block->fibres[running];
    const unsigned turn = self.turn++ % 2;
    copy(self.value[turn], value, bytes);
    block->meet(block->warps[running / 32], false, false); // a shuffle puts no accesses to memory in order
    copy(value, block->fibres[running / 32 * 32 + lane].value[turn], bytes);
}

void *shared_memory(int id) { return block->memory.data() + block->offsets[id]; }
void *dynamic_shared_memory() { return block->memory.data() + block->dynamic; }

// -------------------------------------------------------------- launching

const char *launch(const Kernel &kernel, void **args, const Launch &launch)
{
    const std::size_t blocks = std::size_t(launch.dims[0]) * launch.dims[1] * launch.dims[2];
    const std::size_t n = std::min(blocks, std::size_t(launch.running));
    const unsigned threads = launch.dims[3] * launch.dims[4] * launch.dims[5];
    const char *wrong = nullptr;
    const auto run = [&](std::size_t number) {
        if (!owner)
            owner.reset(block = new Block);
        block->prepare(kernel, launch, args, number);
        if (launch.way == PLAIN) {
            block->run_plain(threads);
        } else if (!block->run(threads)) {
            owner.reset(); // its fibres stand in the middle of a kernel
            return false;
        }
        return true;
    };
    const char *barrier = "the threads of a block do not all come to the same barrier";
    if (launch.way != TOGETHER) {
        for (std::size_t i = 0; i < n && !wrong; i++)
            if (!run(launch.order == -1 ? n - 1 - i : i))
                wrong = barrier;
        return wrong;
    }
    std::mutex lock;
    std::vector<std::thread> system;
    for (std::size_t b = 0; b < n; b++)
        system.emplace_back([&, b] {
            const bool well = run(b);
            std::lock_guard<std::mutex> held(lock);
            if (!well)
                wrong = barrier;
        });
    for (auto &thread : system)
        thread.join();
    return wrong;
}

// The same for Python.
extern "C" __attribute__((visibility("default"))) const char *on_cpu_launch(const Kernel *kernel, void **args,
                                                                           const unsigned *dims, int way, long order)
{
    Launch launch{};
    std::copy(dims, dims + 6, launch.dims);
    launch.way = Way(way);
    launch.order = order;
    return on_cpu::launch(*kernel, args, launch);
}
} // namespace on_cpu
