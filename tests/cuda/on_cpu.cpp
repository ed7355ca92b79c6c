// Runs a kernel that was compiled with on_cpu.h, in one of four ways.
//
// PLAIN: one thread after the other, for kernels without barriers.
// FIBRES: block after block; the threads of a block are fibres of one thread of the system. A warp runs until all its
//   threads wait at a barrier, so one warp is as far ahead of the others as the barriers allow. Backwards, the blocks,
//   warps and threads take turns in the opposite order: what depends on it is a race.
// BLOCKS: all blocks at the same time, each in a thread of the system, with fibres inside. A cooperative launch.
// THREADS: all threads of all blocks at the same time, each in a thread of the system. For ThreadSanitizer.
//
// Shared memory is NaN before each block.
#include <algorithm>
#include <condition_variable>
#include <csetjmp>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <sched.h>
#include <thread>
#include <ucontext.h>
#include <vector>

#include "running.h"

namespace on_cpu {
enum Way { PLAIN, FIBRES, BLOCKS, THREADS };
constexpr std::size_t STACK = 1 << 17, LARGEST_SHARED = 232448; // bytes of shared memory of a block of sm_90

// Everybody waits until all who still run have come.
class Barrier {
    std::mutex lock;
    std::condition_variable all;
    int expected = 0, waiting = 0;
    long round = 0;
    void open()
    {
        waiting = 0;
        round++;
        all.notify_all();
    }

  public:
    void expect(int n) { expected = n; }
    void wait()
    {
        std::unique_lock<std::mutex> held(lock);
        const long mine = round;
        if (++waiting == expected)
            open();
        else
            all.wait(held, [&] { return round != mine; });
    }
    void leave()
    {
        std::unique_lock<std::mutex> held(lock);
        if (--expected == waiting && waiting)
            open();
    }
};

enum State { READY, PAUSED, AT_SHUFFLE, AT_BARRIER, DONE };
struct Fibre {
    Thread thread;
    jmp_buf here;
    State state = DONE;
    std::unique_ptr<char[]> stack;
};

struct Block {
    const Kernel *kernel;
    void **args;
    Dim index, threads, blocks;
    std::vector<char> memory;
    std::size_t offsets[MOST_SHARED], dynamic;
    char slots[2][1024][16]; // by turns, so that one wait for each exchange is enough
    bool turn[1024] = {}; // which slots a thread took last
    Barrier all, warps[32];

    Block(const Kernel *kernel, void **args, Dim blocks, Dim threads, std::size_t dynamic_bytes)
        : kernel(kernel), args(args), threads(threads), blocks(blocks)
    {
        std::size_t end = 0;
        for (int i = 0; i < MOST_SHARED; i++) {
            offsets[i] = end;
            end += (kernel->shared[i] + 15) / 16 * 16;
        }
        dynamic = end;
        memory.resize(end + dynamic_bytes);
    }
    unsigned size() const { return threads.x * threads.y * threads.z; }
    void begin(std::size_t number)
    {
        index = {unsigned(number % blocks.x), unsigned(number / blocks.x % blocks.y),
                 unsigned(number / blocks.x / blocks.y)};
        std::fill(memory.begin(), memory.end(), char(0xff));
        std::fill(turn, turn + size(), false);
    }
    Thread thread(unsigned t) const
    {
        return {{t % threads.x, t / threads.x % threads.y, t / threads.x / threads.y}, index, threads, blocks};
    }
};

static thread_local Thread *current;
static thread_local Block *block;

// ---------------------------------------------------------------- fibres

struct Fibres {
    std::vector<Fibre> all{1024};
    jmp_buf scheduler;
    ucontext_t start;
    unsigned running = 0;

    static void body();
    void wait_in(State state)
    {
        Fibre &self = all[running];
        self.state = state;
        if (!_setjmp(self.here))
            _longjmp(scheduler, 1);
    }
    void resume(unsigned t)
    {
        running = t;
        current = &all[t].thread;
        if (_setjmp(scheduler))
            return;
        if (all[t].stack)
            _longjmp(all[t].here, 1);
        all[t].stack.reset(new char[STACK]);
        getcontext(&start);
        start.uc_stack.ss_sp = all[t].stack.get();
        start.uc_stack.ss_size = STACK;
        start.uc_link = nullptr;
        makecontext(&start, body, 0);
        setcontext(&start);
    }
    // Run a warp until its threads wait for others.
    void run_warp(unsigned first, unsigned end, bool backwards)
    {
        for (;;) {
            bool shuffling = false, waiting = true;
            for (unsigned i = first; i < end; i++) {
                const unsigned t = backwards ? first + end - 1 - i : i;
                if (all[t].state == READY)
                    resume(t);
            }
            for (unsigned t = first; t < end; t++) {
                shuffling |= all[t].state == AT_SHUFFLE;
                waiting &= all[t].state == AT_SHUFFLE || all[t].state == DONE;
            }
            if (!shuffling || !waiting)
                return;
            for (unsigned t = first; t < end; t++)
                if (all[t].state == AT_SHUFFLE)
                    all[t].state = READY;
        }
    }
    // Whether all threads came to the same barriers.
    bool run_block(bool lenient, bool backwards)
    {
        const unsigned n = block->size(), warps = (n + 31) / 32;
        for (unsigned t = 0; t < n; t++) {
            all[t].thread = block->thread(t);
            all[t].state = READY;
        }
        for (;;) {
            for (unsigned w = 0; w < warps; w++) {
                const unsigned first = 32 * (backwards ? warps - 1 - w : w);
                run_warp(first, std::min(first + 32, n), backwards);
            }
            unsigned paused = 0, barrier = 0, done = 0;
            for (unsigned t = 0; t < n; t++) {
                paused += all[t].state == PAUSED;
                barrier += all[t].state == AT_BARRIER;
                done += all[t].state == DONE;
            }
            if (done == n)
                return true;
            if (paused) {
                for (unsigned t = 0; t < n; t++)
                    if (all[t].state == PAUSED)
                        all[t].state = READY;
                sched_yield();
            } else if (barrier == n || (lenient && barrier && barrier + done == n)) {
                for (unsigned t = 0; t < n; t++)
                    if (all[t].state == AT_BARRIER)
                        all[t].state = READY;
            } else
                return false;
        }
    }
};

static thread_local std::unique_ptr<Fibres> fibres;

void Fibres::body()
{
    for (;;) { // a fibre is made once and serves every block
        block->kernel->call(block->args);
        fibres->wait_in(DONE);
    }
}

// ------------------------------------------------- what a kernel asks for

Thread &here() { return *current; }
static thread_local bool by_threads = false;

void wait_for_block()
{
    if (by_threads)
        block->all.wait();
    else
        fibres->wait_in(AT_BARRIER);
}

void wait_for_warp()
{
    const Thread &h = *current;
    if (by_threads)
        block->warps[(h.thread.x + h.threads.x * (h.thread.y + h.threads.y * h.thread.z)) / 32].wait();
    else
        fibres->wait_in(AT_SHUFFLE);
}

void pause()
{
    if (fibres && !by_threads)
        fibres->wait_in(PAUSED);
    else
        sched_yield();
}

void swap_in_warp(void *value, std::size_t bytes, unsigned lane)
{
    const Thread &h = *current;
    const unsigned t = h.thread.x + h.threads.x * (h.thread.y + h.threads.y * h.thread.z);
    block->turn[t] = !block->turn[t];
    auto &slots = block->slots[block->turn[t]];
    memcpy(slots[t], value, bytes);
    wait_for_warp();
    memcpy(value, slots[t / 32 * 32 + lane], bytes);
}

void *shared_memory(int id) { return block->memory.data() + block->offsets[id]; }
void *dynamic_shared_memory() { return block->memory.data() + block->dynamic; }

// -------------------------------------------------------------- launching

static bool in_fibres(Block &mine, std::size_t number, bool lenient, bool backwards)
{
    if (!fibres)
        fibres.reset(new Fibres);
    block = &mine;
    mine.begin(number);
    const bool well = fibres->run_block(lenient, backwards);
    if (!well)
        fibres.reset(); // they stand in the middle of a kernel
    block = nullptr;
    return well;
}

static void in_threads(std::vector<std::unique_ptr<Block>> &blocks)
{
    std::vector<std::thread> threads;
    for (std::size_t b = 0; b < blocks.size(); b++) {
        Block &mine = *blocks[b];
        mine.begin(b);
        mine.all.expect(mine.size());
        for (unsigned w = 0; 32 * w < mine.size(); w++)
            mine.warps[w].expect(std::min(32u, mine.size() - 32 * w));
    }
    for (auto &owned : blocks)
        for (unsigned t = 0; t < owned->size(); t++)
            threads.emplace_back([&mine = *owned, t] {
                Thread self = mine.thread(t);
                current = &self;
                block = &mine;
                by_threads = true;
                mine.kernel->call(mine.args);
                mine.all.leave();
                mine.warps[t / 32].leave();
            });
    for (auto &thread : threads)
        thread.join();
}

// 0, or 1 if the threads of a block do not all come to the same barrier; if `lenient`, all that have not returned.
extern "C" int on_cpu_launch(const Kernel *kernel, void **args, const unsigned *dims, std::size_t dynamic, int way,
                             int lenient, int backwards)
{
    const Dim blocks{dims[0], dims[1], dims[2]}, threads{dims[3], dims[4], dims[5]};
    const std::size_t n = std::size_t(blocks.x) * blocks.y * blocks.z;
    std::vector<std::unique_ptr<Block>> owned;
    const auto add = [&] { owned.emplace_back(new Block(kernel, args, blocks, threads, dynamic)); };
    if (way == PLAIN || way == FIBRES) {
        add();
        for (std::size_t i = 0; i < n; i++) {
            const std::size_t b = backwards ? n - 1 - i : i;
            if (way == FIBRES) {
                if (!in_fibres(*owned[0], b, lenient, backwards))
                    return 1;
                continue;
            }
            owned[0]->begin(b);
            block = owned[0].get();
            for (unsigned t = 0; t < block->size(); t++) {
                Thread self = block->thread(backwards ? block->size() - 1 - t : t);
                current = &self;
                kernel->call(args);
            }
        }
        return 0;
    }
    for (std::size_t b = 0; b < n; b++)
        add();
    if (way == THREADS) {
        in_threads(owned);
        return 0;
    }
    bool well = true;
    std::mutex lock;
    std::vector<std::thread> system;
    for (std::size_t b = 0; b < n; b++)
        system.emplace_back([&, b] {
            const bool mine = in_fibres(*owned[b], b, lenient, backwards);
            std::lock_guard<std::mutex> held(lock);
            well &= mine;
        });
    for (auto &thread : system)
        thread.join();
    return !well;
}
} // namespace on_cpu
