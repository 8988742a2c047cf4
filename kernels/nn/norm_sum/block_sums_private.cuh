#ifndef SPX_BLOCK_SUMS_PRIVATE_CUH
#define SPX_BLOCK_SUMS_PRIVATE_CUH
/* Sums over a block's threads, and the end of a reduction by the block that is done last. */
#include "kernels/nn/nhwc_private.cuh"

namespace spx {

__device__ inline unsigned thread_index()
{
    return (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
}

__device__ inline unsigned threads_of_block()
{
    return blockDim.x * blockDim.y * blockDim.z;
}

/* Sums v over threadIdx.y; the sums end in threads of y = 0. buf: N floats for each of half the
 * threads. Ends with a barrier. */
template <int N> __device__ inline void sum_rows(float (&v)[N], float *buf)
{
    const unsigned layer = blockDim.x * blockDim.z, slots = layer * (blockDim.y / 2);
    const unsigned own = threadIdx.z * blockDim.x + threadIdx.x, y = threadIdx.y;
    for (unsigned rows = blockDim.y; rows > 1;) {
        const unsigned half = (rows + 1) / 2;
        if (y >= half && y < rows) {
#pragma unroll
            for (int i = 0; i < N; i++) {
                buf[(unsigned)i * slots + (y - half) * layer + own] = v[i];
            }
        }
        __syncthreads();
        if (y + half < rows) {
#pragma unroll
            for (int i = 0; i < N; i++) {
                v[i] += buf[(unsigned)i * slots + y * layer + own];
            }
        }
        __syncthreads();
        rows = half;
    }
}

/* v of the threads of y = 0, for all. buf: N floats for each of them. Ends with a barrier. */
template <int N> __device__ inline void share_row(float (&v)[N], float *buf)
{
    const unsigned layer = blockDim.x * blockDim.z, own = threadIdx.z * blockDim.x + threadIdx.x;
    if (threadIdx.y == 0) {
#pragma unroll
        for (int i = 0; i < N; i++) {
            buf[(unsigned)i * layer + own] = v[i];
        }
    }
    __syncthreads();
#pragma unroll
    for (int i = 0; i < N; i++) {
        v[i] = buf[(unsigned)i * layer + own];
    }
    __syncthreads();
}

/* Sum of v over the block's threads, for all of them; buf: one double a thread. */
__device__ inline double sum_block(double v, double *buf)
{
    const unsigned t = thread_index();
    double sum;
    buf[t] = v;
    __syncthreads();
    for (unsigned n = threads_of_block(); n > 1;) {
        const unsigned half = (n + 1) / 2;
        if (t + half < n) {
            buf[t] += buf[t + half];
        }
        __syncthreads();
        n = half;
    }
    sum = buf[0];
    __syncthreads();
    return sum;
}

/* Whether this block is the last of `blocks` that drew from the ticket; all earlier blocks' writes
 * are then seen. The ticket is left at zero. */
__device__ inline bool is_last_block(unsigned *ticket, unsigned blocks)
{
    __shared__ bool last;
    __syncthreads();
    if (thread_index() == 0) {
        __threadfence(); /* the block's writes, all before the barrier, come before the ticket */
        last = atomicInc(ticket, blocks - 1) == blocks - 1;
        __threadfence(); /* and what other blocks wrote before theirs is seen after it */
    }
    __syncthreads();
    return last;
}

/* The end of a reduction shares a block's threads out over channels and, for each, slices of the
 * partial sums. */
struct slicing {
    unsigned channels;               /* taken at a time */
    unsigned slices, channel, slice; /* slice >= slices: the thread is left over */
};

__device__ inline slicing slice_threads(unsigned channels)
{
    const unsigned threads = threads_of_block(), t = thread_index();
    const unsigned n = channels < threads ? channels : threads;
    return slicing{n, threads / n, t % n, t / n};
}

/* Adds the slices' sums in order, for all threads of a channel; buf: one double a thread. */
__device__ inline double sum_slices(double v, const slicing &k, double *buf)
{
    double sum = 0;
    buf[thread_index()] = v;
    __syncthreads();
    for (unsigned i = 0; i < k.slices; i++) {
        sum += buf[i * k.channels + k.channel];
    }
    __syncthreads();
    return sum;
}

} // namespace spx

#endif
