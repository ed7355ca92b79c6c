// A GPU of host memory: what CuPy needs of libcuda.so.1 and of the CUDA runtime. stub.py puts it in their place.
//
// Every array has its own memory, full of NaN at first and with a guard behind it. Freed memory is not used again for a
// while. So a kernel that is given an array which is gone, or writes behind one, fails as it would not on a GPU.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <dlfcn.h>
#include <driver_types.h>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "driver.h"
#include "running.h"

#define EXPORT extern "C" __attribute__((visibility("default")))
using Stream = void *;

enum { OK = 0, INVALID = 1, NO_MEMORY = 2, NO_SYMBOL = 500, ILLEGAL_ADDRESS = 700, LAUNCH_FAILED = 719,
       TOO_LARGE_TOGETHER = 720, NOT_SUPPORTED = 801, NOT_WHILE_CAPTURING = 900, CAPTURE_DISTURBED = 906 };

constexpr int MULTIPROCESSORS = 8; // as many blocks can run at the same time

// ------------------------------------------------------------ for the tests

static std::string problem = "no error"; // of the last call that failed
static int fail(int code, const std::string &what)
{
    problem = "stub GPU: " + what;
    return code;
}

using Callback = void (*)(const char *kind, const char *what);
static Callback callback = nullptr;
static int captures = 0; // that are going on
static int order = 0;
static void event(const char *kind, const std::string &what)
{
    if (callback)
        callback(kind, what.c_str());
}
EXPORT void stub_watch(Callback f) { callback = f; }
EXPORT void stub_order(int number) { order = number; }

// ----------------------------------------------------------------- memory

// The guard behind an array: a NaN as a double and as a float, of the signalling kind, so that `+=` changes it too.
constexpr unsigned char GUARD_WORD[] = {0xb0, 0xff, 0xb0, 0xff, 0xf4, 0xff, 0xf4, 0xff};
constexpr size_t GUARD = 512, ALIGNMENT = 512, KEPT = 64 << 20;
static std::map<char *, size_t> live;
static std::deque<std::pair<char *, size_t>> freed;
static size_t kept = 0;

// The array that an address lies in, or nullptr.
static const std::pair<char *const, size_t> *array_of(const void *p)
{
    auto at = live.upper_bound((char *)p);
    if (at == live.begin() || (char *)p > (--at)->first + at->second)
        return nullptr;
    return &*at;
}
static bool on_device(const void *p, size_t n)
{
    const auto *array = array_of(p);
    return !n || (array && (char *)p + n <= array->first + array->second);
}
static bool guard_is_whole(char *p, size_t n)
{
    for (size_t i = 0; i < GUARD; i++)
        if ((unsigned char)p[n + i] != GUARD_WORD[i % 8])
            return false;
    return true;
}
EXPORT int stub_cudaMalloc(void **p, size_t n)
{
    if (captures)
        return fail(NOT_WHILE_CAPTURING, "an allocation while a stream is captured");
    char *memory = (char *)aligned_alloc(ALIGNMENT, (n + GUARD + ALIGNMENT) / ALIGNMENT * ALIGNMENT);
    if (!memory)
        return fail(NO_MEMORY, "out of memory");
    memset(memory, 0xff, n);
    for (size_t i = 0; i < GUARD; i++)
        memory[n + i] = char(GUARD_WORD[i % 8]);
    live[memory] = n;
    *p = memory;
    event("allocate", std::to_string(n));
    return OK;
}
EXPORT int stub_cudaFree(void *p)
{
    if (!p)
        return OK;
    const auto at = live.find((char *)p);
    if (at == live.end())
        return fail(INVALID, "memory is freed that is not there");
    const size_t n = at->second;
    const bool whole = guard_is_whole((char *)p, n);
    memset(p, 0xff, n);
    live.erase(at);
    freed.emplace_back((char *)p, n);
    for (kept += n; kept > KEPT; freed.pop_front()) {
        kept -= freed.front().second;
        free(freed.front().first);
    }
    return whole ? OK : fail(ILLEGAL_ADDRESS, "a kernel wrote behind the end of an array");
}
EXPORT int stub_cudaHostAlloc(void **p, size_t n, unsigned)
{
    *p = malloc(n);
    return OK;
}
EXPORT int stub_cudaFreeHost(void *p)
{
    free(p);
    return OK;
}
EXPORT int stub_cudaMemGetInfo(size_t *free, size_t *total)
{
    *free = *total = size_t(1) << 22; // so that nobody fills it
    return OK;
}
EXPORT int stub_cudaPointerGetAttributes(cudaPointerAttributes *a, const void *p)
{
    memset(a, 0, sizeof *a);
    a->type = array_of(p) ? cudaMemoryTypeDevice : cudaMemoryTypeUnregistered;
    a->devicePointer = array_of(p) ? (void *)p : nullptr;
    return OK;
}

// ----------------------------------------------- streams, graphs, launches

struct Node {
    std::string name;
    std::function<int()> run;
};
struct OneStream {
    bool capturing = false;
    unsigned flags = 0;
    std::vector<Node> nodes;
};
using Graph = std::vector<Node>;
static OneStream *stream_of(Stream s) { return (uintptr_t)s > 16 ? (OneStream *)s : nullptr; }
static bool is_captured(Stream s) { return stream_of(s) && stream_of(s)->capturing; }

int run_on(void *s, const char *kind, const std::string &name, std::function<int()> run)
{
    if (is_captured(s)) {
        stream_of(s)->nodes.push_back({name, std::move(run)});
        return OK;
    }
    event(kind, name);
    return run();
}

static int copy(void *to, const void *from, size_t n, int kind, Stream s, bool waits)
{
    const bool to_host = kind == cudaMemcpyDeviceToHost, to_device = kind == cudaMemcpyHostToDevice;
    if ((!to_host && !on_device(to, n)) || (!to_device && !on_device(from, n)))
        return fail(INVALID, "a copy from or to memory that is not there");
    const auto run = [=] {
        memmove(to, from, n);
        return OK;
    };
    if (!to_host && !to_device && !waits)
        return run_on(s, "launch", "memcpy", run);
    if (captures)
        return fail(CAPTURE_DISTURBED, "a copy from or to the host while a stream is captured");
    event(to_host ? "wait" : to_device ? "transfer" : "launch", "memcpy");
    return run();
}
EXPORT int stub_cudaMemcpy(void *to, const void *from, size_t n, int kind) { return copy(to, from, n, kind, 0, true); }
EXPORT int stub_cudaMemcpyAsync(void *to, const void *from, size_t n, int kind, Stream s)
{
    return copy(to, from, n, kind, s, false);
}
EXPORT int stub_cudaMemsetAsync(void *p, int v, size_t n, Stream s)
{
    if (!on_device(p, n))
        return fail(INVALID, "memset of memory that is not there");
    return run_on(s, "launch", "memset", [=] {
        memset(p, v, n);
        return OK;
    });
}
EXPORT int stub_cudaMemset(void *p, int v, size_t n) { return stub_cudaMemsetAsync(p, v, n, nullptr); }

static int wait()
{
    event("wait", "synchronize");
    return captures ? fail(NOT_WHILE_CAPTURING, "waiting while a stream is captured") : OK;
}
EXPORT int stub_cudaDeviceSynchronize() { return wait(); }
EXPORT int stub_cudaStreamSynchronize(Stream) { return wait(); }
EXPORT int stub_cudaStreamCreateWithFlags(Stream *s, unsigned flags)
{
    *s = new OneStream{false, flags, {}};
    return OK;
}
EXPORT int stub_cudaStreamCreate(Stream *s) { return stub_cudaStreamCreateWithFlags(s, 0); }
EXPORT int stub_cudaStreamCreateWithPriority(Stream *s, unsigned flags, int)
{
    return stub_cudaStreamCreateWithFlags(s, flags);
}
EXPORT int stub_cudaStreamDestroy(Stream s)
{
    delete stream_of(s);
    return OK;
}
EXPORT int stub_cudaStreamQuery(Stream) { return OK; }
EXPORT int stub_cudaStreamWaitEvent(Stream, void *, unsigned) { return OK; }
EXPORT int stub_cudaStreamGetFlags(Stream s, unsigned *flags)
{
    *flags = stream_of(s) ? stream_of(s)->flags : 0;
    return OK;
}
EXPORT int stub_cudaStreamIsCapturing(Stream s, int *status)
{
    *status = is_captured(s);
    return OK;
}
EXPORT int stub_cudaStreamBeginCapture(Stream s, int)
{
    if (!stream_of(s) || is_captured(s))
        return fail(NOT_WHILE_CAPTURING, "the default stream cannot be captured, nor one twice");
    stream_of(s)->capturing = true;
    captures++;
    return OK;
}
EXPORT int stub_cudaStreamEndCapture(Stream s, void **graph)
{
    if (!is_captured(s))
        return fail(NOT_WHILE_CAPTURING, "a capture ends that did not begin");
    auto *made = new Graph;
    made->swap(stream_of(s)->nodes);
    stream_of(s)->capturing = false;
    captures--;
    *graph = made;
    return OK;
}
EXPORT int stub_cudaGraphInstantiate(void **made, void *graph, unsigned long long)
{
    *made = new Graph(*(Graph *)graph);
    return OK;
}
EXPORT int stub_cudaGraphLaunch(void *graph, Stream s)
{
    if (is_captured(s))
        return fail(NOT_SUPPORTED, "a graph within a graph");
    const Graph &nodes = *(Graph *)graph;
    event("graph", std::to_string(nodes.size()));
    for (const Node &node : nodes) {
        event("node", node.name);
        if (const int code = node.run())
            return code;
    }
    return OK;
}
EXPORT int cuGraphGetNodes(void *graph, void *, size_t *n)
{
    *n = ((Graph *)graph)->size();
    return OK;
}
EXPORT int stub_cudaGraphUpload(void *, Stream) { return OK; }
EXPORT int stub_cudaGraphDestroy(void *graph)
{
    delete (Graph *)graph;
    return OK;
}
EXPORT int stub_cudaGraphExecDestroy(void *graph) { return stub_cudaGraphDestroy(graph); }

using Clock = std::chrono::steady_clock;
EXPORT int stub_cudaEventCreateWithFlags(void **e, unsigned)
{
    *e = new Clock::time_point;
    return OK;
}
EXPORT int stub_cudaEventCreate(void **e) { return stub_cudaEventCreateWithFlags(e, 0); }
EXPORT int stub_cudaEventDestroy(void *e)
{
    delete (Clock::time_point *)e;
    return OK;
}
EXPORT int stub_cudaEventRecord(void *e, Stream s)
{
    return run_on(s, "event", "record", [e] {
        *(Clock::time_point *)e = Clock::now();
        return OK;
    });
}
EXPORT int stub_cudaEventQuery(void *) { return OK; }
EXPORT int stub_cudaEventSynchronize(void *) { return wait(); }
EXPORT int stub_cudaEventElapsedTime(float *milliseconds, void *from, void *to)
{
    *milliseconds = std::chrono::duration<float, std::milli>(*(Clock::time_point *)to - *(Clock::time_point *)from).count();
    return OK;
}

// ------------------------------------------------------- kernels and modules

enum { LENIENT = 2 };
struct Function {
    std::string name;
    const on_cpu::Kernel *kernel;
    int barriers; // 0: it has none; LENIENT: a thread that has returned need not come
    bool loaded = false; // by a first launch
};
static int launch(Function *f, const unsigned *dims, unsigned shared, Stream s, void **given, bool together)
{
    const unsigned long threads = (unsigned long)dims[3] * dims[4] * dims[5];
    if (!dims[0] || !dims[1] || !dims[2] || !threads || threads > 1024 || dims[1] > 65535 || dims[2] > 65535)
        return fail(INVALID, f->name + ": so many blocks or threads cannot be launched");
    if (together && (unsigned long)dims[0] * dims[1] * dims[2] > MULTIPROCESSORS)
        return fail(TOO_LARGE_TOGETHER, f->name + ": more blocks than can run at the same time");
    if (is_captured(s) && !f->loaded)
        return fail(NOT_WHILE_CAPTURING, f->name + " would be loaded while a stream is captured");
    f->loaded = true;
    const on_cpu::Kernel &kernel = *f->kernel;
    auto values = std::make_shared<std::vector<std::vector<char>>>();
    for (int i = 0; i < kernel.count; i++)
        values->emplace_back((char *)given[i], (char *)given[i] + kernel.sizes[i]);
    on_cpu::Launch how{};
    std::copy(dims, dims + 6, how.dims);
    how.dynamic = shared;
    how.way = together ? on_cpu::TOGETHER : f->barriers ? on_cpu::IN_TURN : on_cpu::PLAIN;
    how.lenient = f->barriers == LENIENT;
    how.order = order;
    return run_on(s, "launch", f->name, [=] {
        std::vector<void *> args;
        for (int i = 0; i < kernel.count; i++) {
            void *first;
            memcpy(&first, (*values)[i].data(), kernel.kinds[i] == 'p' ? sizeof first : 0);
            if (kernel.kinds[i] == 'p' && first && !array_of(first))
                return fail(ILLEGAL_ADDRESS, f->name + ": argument " + std::to_string(i) + " is no array, or one that is gone");
            args.push_back((*values)[i].data());
        }
        if (const char *wrong = on_cpu::launch(kernel, args.data(), how))
            return fail(LAUNCH_FAILED, f->name + ": " + wrong);
        for (int i = 0; i < kernel.count; i++) {
            void *first;
            memcpy(&first, (*values)[i].data(), kernel.kinds[i] == 'p' ? sizeof first : 0);
            const auto *array = kernel.kinds[i] == 'p' ? array_of(first) : nullptr;
            if (array && !guard_is_whole(array->first, array->second))
                return fail(ILLEGAL_ADDRESS, f->name + " writes behind the end of argument " + std::to_string(i));
        }
        return int(OK);
    });
}
EXPORT int cuModuleLoadData(void **module, const void *image)
{
    const char *path = (const char *)image; // compiling.py has put one there, behind this word
    if (strncmp(path, "ON_CPU:", 7))
        return fail(NOT_SUPPORTED, "a module that was not compiled for the stub");
    *module = dlopen(path + 7, RTLD_NOW | RTLD_LOCAL);
    return *module ? OK : fail(NOT_SUPPORTED, dlerror());
}
EXPORT int cuModuleUnload(void *) { return OK; }
EXPORT int cuModuleGetFunction(void **function, void *module, const char *name)
{
    const auto *kernel = (const on_cpu::Kernel *)dlsym(module, (std::string("kernel_") + name).c_str());
    const auto *barriers = (const int *)dlsym(module, "barriers");
    if (!kernel || !barriers)
        return fail(NO_SYMBOL, std::string("no kernel is called ") + name);
    *function = new Function{name, kernel, *barriers};
    return OK;
}
EXPORT int cuModuleGetGlobal_v2(void **, size_t *, void *, const char *) { return fail(NO_SYMBOL, "no globals"); }
EXPORT int cuLaunchKernel(void *f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                          unsigned shared, Stream s, void **args, void **)
{
    const unsigned dims[] = {gx, gy, gz, bx, by, bz};
    return launch((Function *)f, dims, shared, s, args, false);
}
EXPORT int cuLaunchCooperativeKernel(void *f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
                                     unsigned bz, unsigned shared, Stream s, void **args)
{
    const unsigned dims[] = {gx, gy, gz, bx, by, bz};
    return launch((Function *)f, dims, shared, s, args, true);
}
EXPORT int cuFuncGetAttribute(int *value, int, void *)
{
    *value = 0;
    return OK;
}
EXPORT int cuFuncSetAttribute(void *, int, int) { return OK; }
EXPORT int cuOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, void *, int, size_t)
{
    *blocks = 1;
    return OK;
}
EXPORT int cuOccupancyMaxPotentialBlockSize(int *blocks, int *threads, void *, void *, size_t, int)
{
    *blocks = MULTIPROCESSORS;
    *threads = 256;
    return OK;
}

// -------------------------------------------------------------- the device

EXPORT int stub_cudaGetDevice(int *d)
{
    *d = 0;
    return OK;
}
EXPORT int stub_cudaGetDeviceCount(int *n)
{
    *n = 1;
    return OK;
}
EXPORT int stub_cudaSetDevice(int d) { return d ? fail(101, "there is one device") : OK; }
EXPORT int stub_cudaDriverGetVersion(int *v)
{
    *v = 12090;
    return OK;
}
EXPORT int stub_cudaRuntimeGetVersion(int *v) { return stub_cudaDriverGetVersion(v); }
EXPORT int stub_cudaGetLastError() { return OK; }
EXPORT int stub_cudaPeekAtLastError() { return OK; }
EXPORT const char *stub_cudaGetErrorName(int) { return "cudaErrorOfTheStub"; }
EXPORT const char *stub_cudaGetErrorString(int) { return problem.c_str(); }
EXPORT int stub_cudaDeviceGetLimit(size_t *v, int)
{
    *v = 0;
    return OK;
}
EXPORT int stub_cudaDeviceGetAttribute(int *v, int attribute, int)
{
    switch (attribute) {
    case cudaDevAttrComputeCapabilityMajor: *v = 9; break;
    case cudaDevAttrMultiProcessorCount: *v = MULTIPROCESSORS; break;
    case cudaDevAttrMaxThreadsPerBlock: *v = 1024; break;
    case cudaDevAttrMaxGridDimX: *v = 2147483647; break;
    case cudaDevAttrMaxSharedMemoryPerBlock: *v = 49152; break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin: *v = 232448; break;
    case cudaDevAttrWarpSize: *v = 32; break;
    case cudaDevAttrMaxRegistersPerBlock: *v = 65536; break;
    case cudaDevAttrMaxRegistersPerMultiprocessor: *v = 65536; break;
    case cudaDevAttrMaxThreadsPerMultiProcessor: *v = 2048; break;
    case cudaDevAttrCooperativeLaunch: *v = 1; break;
    default: *v = 0;
    }
    return OK;
}
EXPORT int stub_cudaGetDeviceProperties_v2(cudaDeviceProp *p, int)
{
    memset(p, 0, sizeof *p);
    strcpy(p->name, "stub GPU (host memory)");
    p->totalGlobalMem = size_t(1) << 22;
    p->sharedMemPerBlock = 49152;
    p->regsPerBlock = 65536;
    p->warpSize = 32;
    p->maxThreadsPerBlock = 1024;
    p->major = 9;
    p->multiProcessorCount = MULTIPROCESSORS;
    return OK;
}
EXPORT int stub_cudaGetDeviceProperties(cudaDeviceProp *p, int d) { return stub_cudaGetDeviceProperties_v2(p, d); }
EXPORT int stub_unknown() { return fail(NOT_SUPPORTED, "a function of the CUDA runtime that the stub does not have"); }

// NVRTC asks for this, and goes on without a driver if there is none.
EXPORT int cuInit(unsigned) { return fail(100, "no driver"); }
EXPORT int cuGetExportTable(const void **table, const void *)
{
    *table = nullptr;
    return fail(NOT_SUPPORTED, "no tables");
}
EXPORT int cuGetErrorName(int, const char **name)
{
    *name = "CUDA_ERROR_OF_THE_STUB";
    return OK;
}
EXPORT int cuGetErrorString(int, const char **text)
{
    *text = problem.c_str();
    return OK;
}
EXPORT int cuCtxGetCurrent(void **c)
{
    *c = (void *)0x1234;
    return OK;
}
EXPORT int cuCtxSetCurrent(void *) { return OK; }
EXPORT int cuCtxGetDevice(int *d)
{
    *d = 0;
    return OK;
}
EXPORT int cuStreamGetCtx(Stream, void **c) { return cuCtxGetCurrent(c); }
