/*
 * The host's side of the emulated runtime. Nothing runs when it is queued: a call that waits runs
 * what is pending, in any order that streams and events allow, until what it waits for is done. So
 * a wait that the engine forgot gives wrong numbers here. Device memory (the
 * first 64 KiB of each block) is out of the host's reach while no queued work runs, and poisoned
 * when allocated.
 */
#include "tests/support/cuda_emulation/emulated_private.h"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <numeric>
#include <set>
#include <string>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#endif

namespace emulated {

order order_asked()
{
    static const order asked = [] {
        const char *v = std::getenv("SPX_EMULATION_ORDER");
        if (v == nullptr || std::strcmp(v, "forward") == 0) {
            return order::forward;
        }
        return std::strcmp(v, "reverse") == 0 ? order::reverse : order::shuffled;
    }();
    return asked;
}

uint64_t random_bits() /* splitmix64 */
{
    static uint64_t state = [] {
        const char *v = std::getenv("SPX_EMULATION_ORDER");
        return v != nullptr ? std::strtoull(v, nullptr, 10) : 0ull;
    }();
    uint64_t z = state += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

void arrange(std::vector<int> &out, int n)
{
    out.resize((size_t)n);
    std::iota(out.begin(), out.end(), 0);
    if (order_asked() == order::reverse) {
        std::reverse(out.begin(), out.end());
    } else if (order_asked() == order::shuffled) {
        for (size_t i = out.size(); i > 1; i--) {
            std::swap(out[i - 1], out[random_bits() % i]);
        }
    }
}

namespace {

struct node { /* a piece of queued work */
    std::function<cudaError_t()> run;
    std::vector<std::shared_ptr<node>> after;
    bool done = false;
    double seconds = 0;                  /* when it was done */
    size_t slot = 0;                     /* of run_nodes */
    spx_emulated_graph *graph = nullptr; /* that records it */
};
typedef std::shared_ptr<node> node_ptr;

std::recursive_mutex lock; /* the calls are the runtime's: from any thread */
typedef std::lock_guard<std::recursive_mutex> guard;
std::vector<node_ptr> pending;
std::set<cudaStream_t> streams;
std::string failed_kernel;
thread_local cudaError_t last_error = cudaSuccess;

/* -- memory -- */
struct region {
    char *pages; /* whole pages, the last of them a guard */
    size_t bytes;
};
std::map<char *, region> device_blocks; /* by what the caller holds */
std::map<char *, size_t> pinned_blocks;
int open_depth; /* queued work runs */

/* The first pages of each block only: changing all of large ones takes longer than the kernels. */
constexpr size_t shut_bytes = 64 * 1024;

void protect(const region &r, int how)
{
    (void)mprotect(r.pages, std::min(r.bytes - 4096, shut_bytes), how);
}

void protect_all(int how)
{
    for (auto &b : device_blocks) {
        protect(b.second, how);
    }
}

double now()
{
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch())
        .count();
}

size_t pick(const std::set<size_t> &ready)
{
    if (order_asked() == order::forward) {
        return *ready.begin();
    }
    if (order_asked() == order::reverse) {
        return *ready.rbegin();
    }
    auto it = ready.begin();
    std::advance(it, (long)(random_bits() % ready.size()));
    return *it;
}

/* Runs nodes in an order their dependencies allow, until `last` is done (null: all). */
cudaError_t run_nodes(const std::vector<node_ptr> &nodes, const node *last)
{
    std::vector<std::vector<size_t>> next(nodes.size());
    std::vector<size_t> open(nodes.size());
    std::set<size_t> ready;
    cudaError_t e = cudaSuccess;
    for (size_t i = 0; i < nodes.size(); i++) {
        nodes[i]->slot = i;
        nodes[i]->done = false;
    }
    for (size_t i = 0; i < nodes.size(); i++) {
        for (const node_ptr &a : nodes[i]->after) {
            if (!a->done) {
                next[a->slot].push_back(i);
                open[i]++;
            }
        }
        if (open[i] == 0) {
            ready.insert(i);
        }
    }
    if (open_depth++ == 0) {
        protect_all(PROT_READ | PROT_WRITE);
    }
    while (!ready.empty() && e == cudaSuccess && (last == nullptr || !last->done)) {
        const size_t i = pick(ready);
        ready.erase(i);
        e = nodes[i]->run ? nodes[i]->run() : cudaSuccess;
        nodes[i]->done = true;
        nodes[i]->seconds = now();
        for (const size_t n : next[i]) {
            if (--open[n] == 0) {
                ready.insert(n);
            }
        }
    }
    if (--open_depth == 0) {
        protect_all(PROT_NONE);
    }
    return e;
}

/* A failure ends all that is pending, as on a device. */
cudaError_t run_pending(const node *last)
{
    if (last != nullptr && last->done) {
        return cudaSuccess;
    }
    const std::vector<node_ptr> nodes = pending;
    const cudaError_t e = run_nodes(nodes, last);
    pending.clear();
    for (const node_ptr &n : nodes) {
        n->done |= e != cudaSuccess;
        if (n->done) {
            n->after.clear();
            n->run = nullptr;
        } else {
            pending.push_back(n);
        }
    }
    return e;
}

cudaError_t said(cudaError_t e)
{
    if (e != cudaSuccess) {
        last_error = e;
    }
    return e;
}

} // namespace
} // namespace emulated

using namespace emulated;

struct spx_emulated_graph {
    std::vector<node_ptr> nodes;
    cudaStream_t origin = nullptr;
    bool spoiled = false;
};

struct spx_emulated_stream {
    node_ptr last;
    std::vector<node_ptr> waits;         /* of what is queued next */
    spx_emulated_graph *graph = nullptr; /* recording */
    node_ptr before;                     /* last, when the recording began */
};

struct spx_emulated_event {
    node_ptr mark;
};

static node_ptr queue(cudaStream_t s, std::function<cudaError_t()> run)
{
    node_ptr n = std::make_shared<node>();
    n->run = std::move(run);
    n->after.swap(s->waits);
    if (s->last != nullptr) {
        n->after.push_back(s->last);
    }
    n->graph = s->graph;
    s->last = n;
    (s->graph != nullptr ? s->graph->nodes : pending).push_back(n);
    return n;
}

static void join(cudaStream_t s, spx_emulated_graph *recording)
{
    if (!s->waits.empty()) {
        (void)queue(s, nullptr);
    }
    s->graph = recording;
    s->before.swap(s->last);
    s->last = nullptr;
}

/* Not allowed while anything records: it is spoiled, as on a device. */
static bool spoils_recording()
{
    bool any = false;
    for (cudaStream_t s : streams) {
        if (s->graph != nullptr) {
            s->graph->spoiled = any = true;
        }
    }
    return any;
}

const char *cudaGetErrorName(cudaError_t e)
{
    return e == cudaSuccess ? "cudaSuccess" : "cudaError";
}

const char *cudaGetErrorString(cudaError_t e)
{
    static thread_local std::string text;
    switch (e) {
    case cudaSuccess:
        return "no error";
    case cudaErrorInvalidValue:
        return "invalid argument";
    case cudaErrorMemoryAllocation:
        return "out of memory";
    case cudaErrorInvalidConfiguration:
        return "invalid configuration argument";
    case cudaErrorInvalidDevice:
        return "invalid device ordinal";
    case cudaErrorLaunchFailure:
        text = "emulated kernel " + failed_kernel +
               ": threads wait at different barriers, or part of a warp at a warp's";
        return text.c_str();
    case cudaErrorStreamCaptureUnsupported:
        return "operation not permitted when stream is capturing";
    case cudaErrorStreamCaptureInvalidated:
        return "operation failed due to a previous error "
               "during capture";
    case cudaErrorStreamCaptureUnjoined:
        return "capturing stream has unjoined work";
    case cudaErrorStreamCaptureIsolation:
        return "dependency created on uncaptured work in "
               "another stream";
    default:
        return "error";
    }
}

cudaError_t cudaGetLastError()
{
    const cudaError_t e = last_error;
    last_error = cudaSuccess;
    return e;
}

cudaError_t cudaPeekAtLastError()
{
    return last_error;
}

cudaError_t cudaGetDeviceCount(int *n)
{
    *n = 1;
    return cudaSuccess;
}

cudaError_t cudaSetDevice(int device)
{
    return said(device == 0 ? cudaSuccess : cudaErrorInvalidDevice);
}

cudaError_t cudaGetDevice(int *device)
{
    *device = 0;
    return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp *p, int device)
{
    *p = {};
    std::snprintf(p->name, sizeof p->name, "emulated on the CPU");
    p->totalGlobalMem = (size_t)1 << 32;
    p->major = 7;
    p->minor = 5;
    p->multiProcessorCount = 4; /* few, so that grid strides are taken */
    return cudaSetDevice(device);
}

cudaError_t cudaDriverGetVersion(int *v)
{
    *v = 0;
    return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int *v)
{
    *v = 0;
    return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t *free, size_t *total)
{
    *free = *total = (size_t)1 << 32;
    return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize()
{
    guard g(lock);
    return said(spoils_recording() ? cudaErrorStreamCaptureUnsupported : run_pending(nullptr));
}

/* -- streams and events -- */
cudaError_t cudaStreamCreateWithFlags(cudaStream_t *s, unsigned)
{
    guard g(lock);
    *s = new spx_emulated_stream;
    streams.insert(*s);
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t s)
{
    guard g(lock);
    if (s->graph != nullptr) {
        s->graph->spoiled = true;
        return said(cudaErrorStreamCaptureUnsupported);
    }
    if (!s->waits.empty()) {
        (void)queue(s, nullptr);
    }
    return said(s->last != nullptr ? run_pending(s->last.get()) : cudaSuccess);
}

cudaError_t cudaStreamDestroy(cudaStream_t s)
{
    guard g(lock);
    const cudaError_t e = cudaStreamSynchronize(s);
    streams.erase(s);
    delete s;
    return e;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t s, cudaEvent_t e, unsigned)
{
    guard g(lock);
    if (e->mark == nullptr) {
        return cudaSuccess;
    }
    spx_emulated_graph *const from = e->mark->graph;
    if (from != s->graph) {
        if (from == nullptr || s->graph != nullptr) {
            s->graph->spoiled = true;
            return said(cudaErrorStreamCaptureIsolation);
        }
        join(s, from);
    }
    s->waits.push_back(e->mark);
    return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *e, unsigned)
{
    *e = new spx_emulated_event;
    return cudaSuccess;
}

cudaError_t cudaEventCreate(cudaEvent_t *e)
{
    return cudaEventCreateWithFlags(e, 0);
}

cudaError_t cudaEventDestroy(cudaEvent_t e)
{
    guard g(lock);
    delete e;
    return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t e, cudaStream_t s)
{
    guard g(lock);
    e->mark = queue(s, nullptr);
    return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t e)
{
    guard g(lock);
    if (e->mark != nullptr && e->mark->graph != nullptr) {
        e->mark->graph->spoiled = true;
        return said(cudaErrorStreamCaptureUnsupported);
    }
    return said(e->mark != nullptr ? run_pending(e->mark.get()) : cudaSuccess);
}

cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t from, cudaEvent_t to)
{
    guard g(lock);
    if (from->mark == nullptr || to->mark == nullptr) {
        return said(cudaErrorInvalidResourceHandle);
    }
    if (!from->mark->done || !to->mark->done) {
        return said(cudaErrorNotReady);
    }
    *ms = (float)(1e3 * (to->mark->seconds - from->mark->seconds));
    return cudaSuccess;
}

/* -- memory -- */
cudaError_t cudaMalloc(void **p, size_t bytes)
{
    guard g(lock);
    const size_t used = (bytes + 255) / 256 * 256;
    const size_t whole = (used + 4095) / 4096 * 4096 + 4096;
    *p = nullptr;
    if (spoils_recording()) {
        return said(cudaErrorStreamCaptureUnsupported);
    }
    if (used < bytes || whole < used || bytes > (size_t)1 << 32) {
        return said(cudaErrorMemoryAllocation);
    }
    void *pages = mmap(nullptr, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED) {
        return said(cudaErrorMemoryAllocation);
    }
    /* the block ends where the guard begins, so that running over ends the program */
    char *block = (char *)pages + whole - 4096 - used;
    std::memset(block, 0xff, used);
    ASAN_POISON_MEMORY_REGION(block + bytes, used - bytes);
    (void)mprotect((char *)pages + whole - 4096, 4096, PROT_NONE);
    device_blocks[block] = {(char *)pages, whole};
    protect(device_blocks[block], PROT_NONE);
    *p = block;
    return cudaSuccess;
}

cudaError_t cudaFree(void *p)
{
    guard g(lock);
    if (p == nullptr) {
        return cudaSuccess;
    }
    const auto it = device_blocks.find((char *)p);
    if (it == device_blocks.end()) {
        return said(cudaErrorInvalidValue);
    }
    if (spoils_recording()) {
        return said(cudaErrorStreamCaptureUnsupported);
    }
    const cudaError_t e = run_pending(nullptr);
    ASAN_UNPOISON_MEMORY_REGION(it->second.pages, it->second.bytes);
    (void)munmap(it->second.pages, it->second.bytes);
    device_blocks.erase(it);
    return said(e);
}

cudaError_t cudaMallocHost(void **p, size_t bytes)
{
    guard g(lock);
    *p = std::aligned_alloc(64, (bytes + 63) / 64 * 64);
    if (*p == nullptr) {
        return said(cudaErrorMemoryAllocation);
    }
    std::memset(*p, 0xff, bytes);
    pinned_blocks[(char *)*p] = bytes;
    return cudaSuccess;
}

cudaError_t cudaFreeHost(void *p)
{
    guard g(lock);
    pinned_blocks.erase((char *)p);
    std::free(p);
    return cudaSuccess;
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes *a, const void *p)
{
    guard g(lock);
    char *const c = (char *)const_cast<void *>(p);
    a->type = cudaMemoryTypeUnregistered;
    auto d = device_blocks.upper_bound(c);
    if (d != device_blocks.begin() && c < (--d)->second.pages + d->second.bytes - 4096) {
        a->type = cudaMemoryTypeDevice;
    }
    auto h = pinned_blocks.upper_bound(c);
    if (h != pinned_blocks.begin() && c < (--h)->first + h->second) {
        a->type = cudaMemoryTypeHost;
    }
    return cudaSuccess;
}

static bool on_device(const void *p)
{
    cudaPointerAttributes a;
    (void)cudaPointerGetAttributes(&a, p);
    return a.type == cudaMemoryTypeDevice;
}

cudaError_t cudaMemcpyAsync(void *dst, const void *src, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t s)
{
    guard g(lock);
    if (on_device(dst) != (kind != cudaMemcpyDeviceToHost) ||
        on_device(src) != (kind != cudaMemcpyHostToDevice)) {
        return said(cudaErrorInvalidValue);
    }
    (void)queue(s, [=] {
        std::memcpy(dst, src, bytes);
        return cudaSuccess;
    });
    return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void *dst, int value, size_t bytes, cudaStream_t s)
{
    guard g(lock);
    if (!on_device(dst)) {
        return said(cudaErrorInvalidValue);
    }
    (void)queue(s, [=] {
        std::memset(dst, value, bytes);
        return cudaSuccess;
    });
    return cudaSuccess;
}

/* -- kernels -- */
cudaError_t spx_emulated_launch(const char *name, dim3 grid, dim3 block, size_t shared_bytes,
                                cudaStream_t s, std::function<void()> thread)
{
    guard g(lock);
    const uint64_t threads = (uint64_t)block.x * block.y * block.z;
    if (threads == 0 || threads > 1024 || block.z > 64 || grid.x == 0 || grid.y == 0 ||
        grid.z == 0 || grid.x > 0x7fffffffu || grid.y > 65535 || grid.z > 65535) {
        return said(cudaErrorInvalidConfiguration);
    }
    if (shared_bytes > 64 * 1024) { /* compute capability 7.5 */
        return said(cudaErrorInvalidValue);
    }
    (void)queue(s, [=] {
        if (!run_grid(grid, block, shared_bytes, thread)) {
            failed_kernel = name;
            return cudaErrorLaunchFailure;
        }
        return cudaSuccess;
    });
    return cudaSuccess;
}

/* -- recording -- */
cudaError_t cudaStreamBeginCapture(cudaStream_t s, cudaStreamCaptureMode)
{
    guard g(lock);
    if (s->graph != nullptr) {
        return said(cudaErrorStreamCaptureUnsupported);
    }
    join(s, new spx_emulated_graph);
    s->graph->origin = s;
    return cudaSuccess;
}

/* True if every recorded node comes before what the origin queues next. */
static bool all_joined(spx_emulated_graph *g)
{
    std::vector<node_ptr> todo = g->origin->waits;
    std::set<node *> seen;
    todo.push_back(g->origin->last);
    while (!todo.empty()) {
        const node_ptr n = todo.back();
        todo.pop_back();
        if (n != nullptr && seen.insert(n.get()).second) {
            todo.insert(todo.end(), n->after.begin(), n->after.end());
        }
    }
    return seen.size() == g->nodes.size();
}

cudaError_t cudaStreamEndCapture(cudaStream_t s, cudaGraph_t *out)
{
    guard g(lock);
    spx_emulated_graph *graph = s->graph;
    *out = nullptr;
    if (graph == nullptr || graph->origin != s) {
        return said(cudaErrorInvalidValue);
    }
    const cudaError_t e = graph->spoiled       ? cudaErrorStreamCaptureInvalidated
                          : !all_joined(graph) ? cudaErrorStreamCaptureUnjoined
                                               : cudaSuccess;
    for (cudaStream_t t : streams) {
        if (t->graph == graph) {
            t->graph = nullptr;
            t->last = std::move(t->before);
            t->waits.clear();
        }
    }
    for (const node_ptr &n : graph->nodes) {
        n->graph = nullptr;
        n->done = true;
    }
    if (e != cudaSuccess) {
        (void)cudaGraphDestroy(graph);
        return said(e);
    }
    *out = graph;
    return cudaSuccess;
}

cudaError_t cudaStreamIsCapturing(cudaStream_t s, cudaStreamCaptureStatus *status)
{
    guard g(lock);
    *status = s->graph == nullptr ? cudaStreamCaptureStatusNone
              : s->graph->spoiled ? cudaStreamCaptureStatusInvalidated
                                  : cudaStreamCaptureStatusActive;
    return cudaSuccess;
}

cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t *exec, cudaGraph_t graph,
                                          unsigned long long)
{
    guard g(lock);
    *exec = new spx_emulated_graph(*graph);
    return cudaSuccess;
}

cudaError_t cudaGraphUpload(cudaGraphExec_t, cudaStream_t)
{
    return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t s)
{
    guard g(lock);
    const std::vector<node_ptr> nodes = exec->nodes;
    (void)queue(s, [nodes] { return run_nodes(nodes, nullptr); });
    return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph)
{
    guard g(lock);
    delete graph;
    return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec)
{
    return cudaGraphDestroy(exec);
}
