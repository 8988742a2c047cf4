/* A sum over a block of SPX_SUM_THREADS threads, in an order that nothing changes. */
#ifndef SPX_OPTIM_SUM_PRIVATE_CUH
#define SPX_OPTIM_SUM_PRIVATE_CUH
#include "kernels/device/launch_cuda.h"

constexpr unsigned SPX_SUM_THREADS = 256;

/* Valid in thread 0. part: shared, [SPX_SUM_THREADS]; may be that of the sum before. */
static __device__ double spx_block_sum(double v, double *part)
{
    __syncthreads();
    part[threadIdx.x] = v;
    for (unsigned half = SPX_SUM_THREADS / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half) {
            part[threadIdx.x] += part[threadIdx.x + half];
        }
    }
    return part[0];
}

#endif
