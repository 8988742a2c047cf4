/* Bandwidth-bound. Threads lie along the channels, which activations have innermost. */
#include "kernels/nn/nhwc_private.cuh"

extern "C" {
#include "kernels/nn/relu_distance/relu_distance_private.h"
}

using namespace spx;

namespace {

template <class T>
__global__ void __launch_bounds__(block_threads)
    distance_kernel(int64_t n, int64_t c, int64_t hw, rows_of<const T> y, const float *target,
                    float *sum)
{
    const int64_t at = (int64_t)blockIdx.x * block_threads + threadIdx.x;
    if (at >= c * hw) {
        return;
    }
    const int64_t pixel = at / c, channel = at % c, place = channel * hw + pixel;
    float all = 0;
    for (int64_t i = 0; i < n; i++) {
        all += fabsf(to_f32(*y.at(i * hw + pixel, (unsigned)channel)) - target[i * c * hw + place]);
    }
    sum[place] = all;
}

dim3 blocks_of(int64_t threads)
{
    return dim3((unsigned)((threads + block_threads - 1) / block_threads));
}

template <class T> spx_status distance(spx_stream *s, const spx_distance_args *a)
{
    return SPX_LAUNCH(s, (distance_kernel<T>), blocks_of(a->hw * a->c), dim3(block_threads), 0,
                      a->n, a->c, a->hw, typed<const T>(a->y), a->target, a->sum);
}

spx_status distance_cuda(spx_stream *s, spx_distance_args *a)
{
    return a->y.type == SPX_TYPE_F32 ? distance<float>(s, a) : distance<bf16>(s, a);
}

} // namespace

const spx_distance_backend spx_distance_cuda = {distance_cuda};
