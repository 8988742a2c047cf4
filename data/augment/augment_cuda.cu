/* A block makes a part of one sample: one draw, then a pixel a thread and turn. */
#include "kernels/device/launch_cuda.h"

extern "C" {
#include "data/augment/augment_cuda.h"
}

namespace {

constexpr unsigned THREADS = 256;
constexpr int64_t PIXELS_PER_BLOCK = 4 * THREADS;

/* What the kernel needs of the arguments, by value. */
struct job {
    spx_augment augment;
    spx_augment_shape shape;
    spx_augment_from from;
};

__device__ bool is_cut(const spx_augment &a, const spx_augment_draw &d, int y, int x)
{
    const int top = d.cut_y - a.cutout / 2, left = d.cut_x - a.cutout / 2;
    return a.cutout > 0 && y >= top && y < top + a.cutout && x >= left && x < left + a.cutout;
}

__global__ void augment(job j, float *out)
{
    const spx_augment_shape s = j.shape;
    const uint32_t image = j.from.index[blockIdx.x];
    const int pixels = s.height * s.width, stored = s.from_height * s.from_width;
    const uint8_t *const src =
        j.from.images + static_cast<size_t>(image) * static_cast<size_t>(s.channels * stored);
    float *const dst = out + static_cast<size_t>(blockIdx.x) * static_cast<size_t>(pixels) *
                                 static_cast<size_t>(s.channels);
    __shared__ spx_augment_draw d;
    if (threadIdx.x == 0) {
        spx_rng rng;
        spx_augment_rng(&rng, j.from.seed, j.from.epoch, image);
        spx_augment_choose(&j.augment, s.height, s.width, &rng, &d);
    }
    __syncthreads();
    const int top = (s.height - s.from_height) / 2 - d.dy;
    const int left = (s.width - s.from_width) / 2 - d.dx;
    const int stride = static_cast<int>(gridDim.y * THREADS);
    for (int i = static_cast<int>(blockIdx.y * THREADS + threadIdx.x); i < pixels; i += stride) {
        const int y = i / s.width, x = i % s.width;
        const int row = y - top, column = (d.flip ? s.width - 1 - x : x) - left;
        const bool inside = row >= 0 && row < s.from_height && column >= 0 && column < s.from_width;
        const bool cut = is_cut(j.augment, d, y, x);
        for (int c = 0; c < s.channels; c++) {
            const int v = inside ? src[c * stored + row * s.from_width + column] : 0;
            dst[i * s.channels + c] = cut ? 0.0f : j.from.normalise->value[c][v];
        }
    }
}

} // namespace

spx_status spx_augment_batch_cuda(spx_stream *s, const spx_augment *a,
                                  const spx_augment_shape *shape, int64_t n,
                                  const spx_augment_from *from, float *out)
{
    const int64_t pixels = static_cast<int64_t>(shape->height) * shape->width;
    const int64_t parts = (pixels + PIXELS_PER_BLOCK - 1) / PIXELS_PER_BLOCK;
    const job j = {*a, *shape, *from};
    if (n < 1) {
        return SPX_OK;
    }
    return SPX_LAUNCH(
        s, augment,
        dim3(static_cast<unsigned>(n), static_cast<unsigned>(parts < 65535 ? parts : 65535)),
        THREADS, 0, j, out);
}
