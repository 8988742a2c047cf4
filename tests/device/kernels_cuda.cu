#include "kernels/device/launch_cuda.h"

#include <cuda_bf16.h>

extern "C" {
#include "tests/device/kernels_cuda.h"
}

static __global__ void affine(int64_t n, float a, float b, float *x)
{
    const int64_t stride = static_cast<int64_t>(gridDim.x) * blockDim.x;
    for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < n;
         i += stride) {
        x[i] = a * x[i] + b;
    }
}

extern "C" spx_status test_affine(spx_stream *s, int64_t n, float a, float b, float *x)
{
    return SPX_LAUNCH(s, affine, 3, 64, 0, n, a, b, x);
}

template <int THREADS> static __global__ void sum(int n, const float *x, float *y)
{
    __shared__ float static_part[THREADS / 32];
    SPX_DYNAMIC_SHARED(float, part);
    const unsigned t = threadIdx.x;
    float v = 0;
    for (int i = static_cast<int>(t); i < n; i += THREADS) {
        v += x[i];
    }
    part[t] = v;
    for (unsigned half = THREADS / 2; half >= 32; half /= 2) {
        __syncthreads();
        if (t < half) {
            part[t] += part[t + half];
        }
    }
    __syncthreads();
    v = part[t % 32];
    for (int by = 16; by > 0; by /= 2) {
        v += __shfl_down_sync(0xffffffffu, v, by);
    }
    if (t % 32 == 0) {
        static_part[t / 32] = v;
    }
    __syncthreads();
    if (t == 0) { /* every warp has the same sum */
        *y = static_part[THREADS / 32 - 1];
    }
}

extern "C" spx_status test_sum(spx_stream *s, int n, const float *x, float *y)
{
    return SPX_LAUNCH(s, (sum<128>), 1, 128, 128 * sizeof(float), n, x, y);
}

static __global__ void round_bf16(int n, const float *x, float *y)
{
    const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
    if (i < n) {
        y[i] = __bfloat162float(__float2bfloat16(x[i]));
    }
}

extern "C" spx_status test_round_bf16(spx_stream *s, int n, const float *x, float *y)
{
    return SPX_LAUNCH(s, round_bf16, static_cast<unsigned>(n + 31) / 32, 32, 0, n, x, y);
}

static __global__ void count_positive(int n, const float *x, int *count, int *last)
{
    const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
    const unsigned votes = __ballot_sync(0xffffffffu, i < n && x[i] > 0);
    if (threadIdx.x % 32 == 0) {
        atomicAdd(count, __popc(votes));
    }
    __syncthreads();
    if (threadIdx.x == 0) {
        __threadfence();
        if (atomicAdd(last, 1) == static_cast<int>(gridDim.x) - 1) {
            *last = -1; /* this block ended last */
        }
    }
}

extern "C" spx_status test_count(spx_stream *s, int n, const float *x, int *count, int *last)
{
    return SPX_LAUNCH(s, count_positive, static_cast<unsigned>(n + 63) / 64, 64, 0, n, x, count,
                      last);
}

extern "C" spx_status test_too_many_threads(spx_stream *s, float *x)
{
    return SPX_LAUNCH(s, affine, 1, 2048, 0, 1, 1.0f, 0.0f, x);
}

#if defined(SPX_CUDA_EMULATED) /* on a device these would hang, or go right by luck */
static __global__ void missed_barrier(float *x)
{
    if (threadIdx.x == 33) {
        __syncwarp();
    } else {
        __syncthreads();
    }
    x[threadIdx.x] = 1;
}

extern "C" spx_status test_missed_barrier(spx_stream *s, float *x)
{
    return SPX_LAUNCH(s, missed_barrier, 1, 64, 0, x);
}

static __global__ void racy_shift(float *x)
{
    SPX_DYNAMIC_SHARED(float, one);
    if (threadIdx.x == 0) {
        *one = 1;
    } else if (threadIdx.x == 1) {
        x[0] = *one;
    }
}

extern "C" spx_status test_racy_shift(spx_stream *s, float *x)
{
    return SPX_LAUNCH(s, racy_shift, 1, 64, sizeof(float), x);
}
#endif
