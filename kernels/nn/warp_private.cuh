#ifndef SPX_NN_WARP_PRIVATE_CUH
#define SPX_NN_WARP_PRIVATE_CUH
/* Sums over the 32 lanes of a warp, for ops with one row a warp. */
#include "kernels/device/launch_cuda.h"

namespace spx {

constexpr unsigned warp_lanes = 32, all_lanes = 0xffffffffu;

/* For all lanes, added in the same order each time. */
template <class T> __device__ inline T sum_warp(T v)
{
    for (int by = (int)warp_lanes / 2; by > 0; by /= 2) {
        v += __shfl_xor_sync(all_lanes, v, by);
    }
    return v;
}

/* A NaN is passed over. */
__device__ inline float max_warp(float v)
{
    for (int by = (int)warp_lanes / 2; by > 0; by /= 2) {
        v = fmaxf(v, __shfl_xor_sync(all_lanes, v, by));
    }
    return v;
}

} // namespace spx

#endif
