#ifndef SPX_EMULATED_CUDA_RUNTIME_H
#define SPX_EMULATED_CUDA_RUNTIME_H
/*
 * The part of CUDA that the engine's .cu files use, on the CPU; see README.md. Names and numbers
 * are the CUDA runtime's own.
 */
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>

#define __global__
#define __device__
#define __host__
#define __constant__ static
#define __shared__ static /* blocks run one after the other, so one copy is a block's own */
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))

/* -- vector types -- */
#define SPX_EMULATED_VECTORS(T, name)                                                              \
    struct name##1                                                                                 \
    {                                                                                              \
        T x;                                                                                       \
    };                                                                                             \
    struct alignas(2 * sizeof(T)) name##2                                                          \
    {                                                                                              \
        T x, y;                                                                                    \
    };                                                                                             \
    struct name##3                                                                                 \
    {                                                                                              \
        T x, y, z;                                                                                 \
    };                                                                                             \
    struct alignas(4 * sizeof(T) < 16 ? 4 * sizeof(T) : 16) name##4                                \
    {                                                                                              \
        T x, y, z, w;                                                                              \
    };                                                                                             \
    static inline name##2 make_##name##2(T x, T y)                                                 \
    {                                                                                              \
        return name##2 {x, y};                                                                     \
    }                                                                                              \
    static inline name##3 make_##name##3(T x, T y, T z)                                            \
    {                                                                                              \
        return name##3 {x, y, z};                                                                  \
    }                                                                                              \
    static inline name##4 make_##name##4(T x, T y, T z, T w)                                       \
    {                                                                                              \
        return name##4 {x, y, z, w};                                                               \
    }
SPX_EMULATED_VECTORS(float, float)
SPX_EMULATED_VECTORS(double, double)
SPX_EMULATED_VECTORS(int, int)
SPX_EMULATED_VECTORS(unsigned, uint)
SPX_EMULATED_VECTORS(unsigned short, ushort)
SPX_EMULATED_VECTORS(unsigned char, uchar)
SPX_EMULATED_VECTORS(long long, longlong)
SPX_EMULATED_VECTORS(unsigned long long, ulonglong)
#undef SPX_EMULATED_VECTORS

struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned vx = 1, unsigned vy = 1, unsigned vz = 1) : x(vx), y(vy), z(vz)
    {
    }
};

/* -- inside a kernel -- */
extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;
constexpr int warpSize = 32;

void *spx_emulated_shared();
void __syncthreads();
void __syncwarp(unsigned mask = 0xffffffffu);
/* Puts every lane's value of up to 8 bytes where all lanes read it; lane i's at [i]. `live` gets
 * the lanes that have not returned from the kernel. */
const uint64_t *spx_emulated_exchange(uint64_t value, unsigned mask, unsigned *live);
int spx_emulated_lane();

static inline int __syncthreads_or(int v)
{
    extern int spx_emulated_or(int v);
    return spx_emulated_or(v);
}

template <class T> static inline T spx_emulated_read(T v, unsigned mask, int from)
{
    static_assert(sizeof(T) <= 8, "shuffles move up to 8 bytes");
    uint64_t bits = 0;
    unsigned live;
    std::memcpy(&bits, &v, sizeof v);
    const uint64_t *all = spx_emulated_exchange(bits, mask, &live);
    std::memcpy(&v, &all[from], sizeof v);
    return v;
}

/* The lane itself where `from` lies outside the lane's group of `width`. */
static inline int spx_emulated_source(int from, int width)
{
    const int lane = spx_emulated_lane();
    return from / width == lane / width && from >= 0 ? from : lane;
}

template <class T> static inline T __shfl_sync(unsigned mask, T v, int from, int width = 32)
{
    const int base = spx_emulated_lane() / width * width;
    return spx_emulated_read(v, mask, base + (from & (width - 1)));
}

template <class T> static inline T __shfl_xor_sync(unsigned mask, T v, int bits, int width = 32)
{
    return spx_emulated_read(v, mask, spx_emulated_source(spx_emulated_lane() ^ bits, width));
}

template <class T> static inline T __shfl_down_sync(unsigned mask, T v, unsigned by, int width = 32)
{
    return spx_emulated_read(v, mask, spx_emulated_source(spx_emulated_lane() + (int)by, width));
}

template <class T> static inline T __shfl_up_sync(unsigned mask, T v, unsigned by, int width = 32)
{
    const int lane = spx_emulated_lane();
    const int from = lane % width < (int)by ? lane : lane - (int)by;
    return spx_emulated_read(v, mask, from);
}

static inline unsigned __ballot_sync(unsigned mask, int predicate)
{
    unsigned live, all = 0;
    const uint64_t *v = spx_emulated_exchange(predicate != 0, mask, &live);
    for (int i = 0; i < 32; i++) {
        all |= (live >> i & 1u) != 0 && v[i] != 0 ? 1u << i : 0u;
    }
    return all;
}

static inline int __any_sync(unsigned mask, int predicate)
{
    return __ballot_sync(mask, predicate) != 0;
}

static inline int __all_sync(unsigned mask, int predicate)
{
    return __ballot_sync(mask, !predicate) == 0;
}

static inline void __threadfence()
{
}

static inline void __threadfence_block()
{
}

/* Atomics: one thread runs at a time. */
#define SPX_EMULATED_ATOMIC(name, expr)                                                            \
    template <class T> static inline T name(T *p, T v)                                             \
    {                                                                                              \
        const T old = *p;                                                                          \
        *p = (T)(expr);                                                                            \
        return old;                                                                                \
    }
SPX_EMULATED_ATOMIC(atomicAdd, old + v)
SPX_EMULATED_ATOMIC(atomicSub, old - v)
SPX_EMULATED_ATOMIC(atomicExch, v)
SPX_EMULATED_ATOMIC(atomicMin, std::min(old, v))
SPX_EMULATED_ATOMIC(atomicMax, std::max(old, v))
SPX_EMULATED_ATOMIC(atomicAnd, old &v)
SPX_EMULATED_ATOMIC(atomicOr, old | v)
SPX_EMULATED_ATOMIC(atomicInc, old >= v ? 0 : old + 1)
#undef SPX_EMULATED_ATOMIC

template <class T> static inline T atomicCAS(T *p, T expected, T v)
{
    const T old = *p;
    *p = old == expected ? v : old;
    return old;
}

template <class T> static inline T __ldg(const T *p)
{
    return *p;
}

template <class T> static inline T __ldcs(const T *p)
{
    return *p;
}

template <class T> static inline void __stcs(T *p, T v)
{
    *p = v;
}

static inline float rsqrtf(float x)
{
    return 1.0f / sqrtf(x);
}

#define __expf expf /* names that libm has taken */
#define __logf logf

static inline float __fdividef(float a, float b)
{
    return a / b;
}

static inline float __saturatef(float x)
{
    return x > 0.0f ? std::min(x, 1.0f) : 0.0f; /* NaN: 0 */
}

template <class To, class From> static inline To spx_emulated_bits(From v)
{
    static_assert(sizeof(To) == sizeof(From), "the same bits");
    To out;
    std::memcpy(&out, &v, sizeof out);
    return out;
}

static inline unsigned __float_as_uint(float v)
{
    return spx_emulated_bits<unsigned>(v);
}

static inline int __float_as_int(float v)
{
    return spx_emulated_bits<int>(v);
}

static inline float __uint_as_float(unsigned v)
{
    return spx_emulated_bits<float>(v);
}

static inline float __int_as_float(int v)
{
    return spx_emulated_bits<float>(v);
}

static inline unsigned __umulhi(unsigned a, unsigned b)
{
    return (unsigned)((uint64_t)a * b >> 32);
}

static inline int __popc(unsigned v)
{
    return __builtin_popcount(v);
}

static inline int __clz(int v)
{
    return v == 0 ? 32 : __builtin_clz((unsigned)v);
}

static inline int __ffs(int v)
{
    return __builtin_ffs(v);
}

static inline float __fmul_rn(float a, float b)
{
    return a * b;
}

static inline float __fadd_rn(float a, float b)
{
    return a + b;
}

static inline float __fmaf_rn(float a, float b, float c)
{
    return fmaf(a, b, c);
}

using std::isfinite;
using std::isinf;
using std::isnan;
using std::max;
using std::min;

/* -- the host's calls -- */
typedef enum cudaError {
    cudaSuccess = 0,
    cudaErrorInvalidValue = 1,
    cudaErrorMemoryAllocation = 2,
    cudaErrorInvalidConfiguration = 9,
    cudaErrorNoDevice = 100,
    cudaErrorInvalidDevice = 101,
    cudaErrorInvalidResourceHandle = 400,
    cudaErrorNotReady = 600,
    cudaErrorLaunchFailure = 719,
    cudaErrorStreamCaptureUnsupported = 900,
    cudaErrorStreamCaptureInvalidated = 901,
    cudaErrorStreamCaptureUnjoined = 904,
    cudaErrorStreamCaptureIsolation = 905
} cudaError_t;
const char *cudaGetErrorName(cudaError_t e);
const char *cudaGetErrorString(cudaError_t e);
cudaError_t cudaGetLastError();
cudaError_t cudaPeekAtLastError();

typedef struct spx_emulated_stream *cudaStream_t;
typedef struct spx_emulated_event *cudaEvent_t;
typedef struct spx_emulated_graph *cudaGraph_t;
typedef struct spx_emulated_graph *cudaGraphExec_t;

struct cudaDeviceProp {
    char name[256];
    size_t totalGlobalMem;
    int major, minor, multiProcessorCount;
};
cudaError_t cudaGetDeviceCount(int *n);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaGetDevice(int *device);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp *p, int device);
cudaError_t cudaDriverGetVersion(int *v);
cudaError_t cudaRuntimeGetVersion(int *v);
cudaError_t cudaDeviceSynchronize();
cudaError_t cudaMemGetInfo(size_t *free, size_t *total);

enum { cudaStreamDefault = 0, cudaStreamNonBlocking = 1 };
enum { cudaEventDefault = 0, cudaEventDisableTiming = 2 };
cudaError_t cudaStreamCreateWithFlags(cudaStream_t *s, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t s);
cudaError_t cudaStreamSynchronize(cudaStream_t s);
cudaError_t cudaStreamWaitEvent(cudaStream_t s, cudaEvent_t e, unsigned flags = 0);
cudaError_t cudaEventCreate(cudaEvent_t *e);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *e, unsigned flags);
cudaError_t cudaEventDestroy(cudaEvent_t e);
cudaError_t cudaEventRecord(cudaEvent_t e, cudaStream_t s);
cudaError_t cudaEventSynchronize(cudaEvent_t e);
cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t from, cudaEvent_t to);

enum cudaMemcpyKind {
    cudaMemcpyHostToDevice = 1,
    cudaMemcpyDeviceToHost = 2,
    cudaMemcpyDeviceToDevice = 3
};
enum cudaMemoryType {
    cudaMemoryTypeUnregistered = 0,
    cudaMemoryTypeHost = 1,
    cudaMemoryTypeDevice = 2
};
struct cudaPointerAttributes {
    cudaMemoryType type;
};
cudaError_t cudaPointerGetAttributes(cudaPointerAttributes *a, const void *p);
cudaError_t cudaMalloc(void **p, size_t bytes);
cudaError_t cudaFree(void *p);
cudaError_t cudaMallocHost(void **p, size_t bytes);
cudaError_t cudaFreeHost(void *p);
cudaError_t cudaMemcpyAsync(void *dst, const void *src, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t s);
cudaError_t cudaMemsetAsync(void *dst, int value, size_t bytes, cudaStream_t s);

enum cudaStreamCaptureMode { cudaStreamCaptureModeGlobal, cudaStreamCaptureModeThreadLocal };
enum cudaStreamCaptureStatus {
    cudaStreamCaptureStatusNone,
    cudaStreamCaptureStatusActive,
    cudaStreamCaptureStatusInvalidated
};
cudaError_t cudaStreamBeginCapture(cudaStream_t s, cudaStreamCaptureMode mode);
cudaError_t cudaStreamEndCapture(cudaStream_t s, cudaGraph_t *graph);
cudaError_t cudaStreamIsCapturing(cudaStream_t s, cudaStreamCaptureStatus *status);
cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t *exec, cudaGraph_t graph,
                                          unsigned long long flags = 0);
cudaError_t cudaGraphUpload(cudaGraphExec_t exec, cudaStream_t s);
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t s);
cudaError_t cudaGraphDestroy(cudaGraph_t graph);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec);

/* Queues a kernel: `thread` is what one thread of the grid runs. */
cudaError_t spx_emulated_launch(const char *name, dim3 grid, dim3 block, size_t shared_bytes,
                                cudaStream_t s, std::function<void()> thread);

#endif
