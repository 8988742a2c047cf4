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

__device__ bool is_cut(int side, int centre_y, int centre_x, int y, int x)
{
    const int top = centre_y - side / 2, left = centre_x - side / 2;
    return side > 0 && y >= top && y < top + side && x >= left && x < left + side;
}

/* The stored byte, or black, of channel c at (y, x) of the sample before cutout. */
__device__ uint8_t padded(const spx_augment_shape &s, const spx_augment_draw &d, const uint8_t *src,
                          ptrdiff_t row_step, ptrdiff_t pixel_step, int y, int x)
{
    const int row = y - ((s.height - s.from_height) / 2 - d.dy);
    const int column = x - ((s.width - s.from_width) / 2 - d.dx);
    const bool inside = row >= 0 && row < s.from_height && column >= 0 && column < s.from_width;
    return inside ? src[row * row_step + column * pixel_step] : 0;
}

/* grid: (sample, part of its pixels) */
__global__ void __launch_bounds__(THREADS) augment(job j, float *out)
{
    __shared__ spx_augment_draw d;
    spx_augment_shape s = j.shape;
    const uint32_t image = j.from.index[blockIdx.x];
    const int pixels = s.height * s.width;
    const uint8_t *src = j.from.images;
    float *const dst = out + static_cast<size_t>(blockIdx.x) * static_cast<size_t>(pixels) *
                                 static_cast<size_t>(s.channels);
    if (j.from.place != NULL) {
        const spx_augment_place p = j.from.place[blockIdx.x];
        s.from_height = p.height;
        s.from_width = p.width;
        src += p.offset;
    } else {
        src += static_cast<size_t>(image) * static_cast<size_t>(s.channels) *
               static_cast<size_t>(s.from_height) * static_cast<size_t>(s.from_width);
    }
    const ptrdiff_t pixel = s.interleaved ? s.channels : 1, row = s.from_width * pixel;
    const ptrdiff_t plane = s.interleaved ? 1 : row * s.from_height;
    if (threadIdx.x == 0) {
        spx_rng rng;
        spx_augment_rng(&rng, j.from.seed, j.from.epoch, image);
        spx_augment_choose(&j.augment, &s, &rng, &d);
    }
    __syncthreads();
    const bool resized = j.augment.resized_crop != SPX_RESIZED_CROP_NONE;
    const int stride = static_cast<int>(gridDim.y * THREADS);
    for (int i = static_cast<int>(blockIdx.y * THREADS + threadIdx.x); i < pixels; i += stride) {
        const int y = i / s.width, x = i % s.width, before = d.flip ? s.width - 1 - x : x;
        const bool cut = is_cut(j.augment.cutout, d.cut_y, d.cut_x, y, x);
        const spx_resize_taps rows = spx_resize_at(y, d.box_height, s.height);
        const spx_resize_taps columns = spx_resize_at(before, d.box_width, s.width);
        for (int c = 0; c < s.channels; c++) {
            const uint8_t *const from = src + c * plane;
            const uint8_t v = resized ? spx_resize_pixel(from + d.box_y * row + d.box_x * pixel,
                                                         row, pixel, &rows, &columns)
                                      : padded(s, d, from, row, pixel, y, before);
            dst[i * s.channels + c] = cut ? 0.0f : j.from.normalise->value[c][v];
        }
    }
}

/* grid: (sample, part of its pixels) */
__global__ void __launch_bounds__(THREADS)
    normalise(int cutout, spx_augment_shape s, const uint8_t *samples, const int32_t *cut,
              const spx_normalise *table, float *out)
{
    const int pixels = s.height * s.width;
    const size_t first = static_cast<size_t>(blockIdx.x) * static_cast<size_t>(pixels) *
                         static_cast<size_t>(s.channels);
    const int cut_y = cutout > 0 ? cut[2 * blockIdx.x] : 0;
    const int cut_x = cutout > 0 ? cut[2 * blockIdx.x + 1] : 0;
    const int stride = static_cast<int>(gridDim.y * THREADS);
    for (int i = static_cast<int>(blockIdx.y * THREADS + threadIdx.x); i < pixels; i += stride) {
        const bool black = is_cut(cutout, cut_y, cut_x, i / s.width, i % s.width);
        const size_t at = first + static_cast<size_t>(i) * static_cast<size_t>(s.channels);
        for (int c = 0; c < s.channels; c++) {
            out[at + c] = black ? 0.0f : table->value[c][samples[at + c]];
        }
    }
}

/* Blocks that share out n samples of that shape. */
dim3 grid_of(const spx_augment_shape *shape, int64_t n)
{
    const int64_t pixels = static_cast<int64_t>(shape->height) * shape->width;
    const int64_t parts = (pixels + PIXELS_PER_BLOCK - 1) / PIXELS_PER_BLOCK;
    return dim3(static_cast<unsigned>(n), static_cast<unsigned>(parts < 65535 ? parts : 65535));
}

} // namespace

spx_status spx_augment_batch_cuda(spx_stream *s, const spx_augment *a,
                                  const spx_augment_shape *shape, int64_t n,
                                  const spx_augment_from *from, float *out)
{
    const job j = {*a, *shape, *from};
    if (from->place != NULL && a->resized_crop == SPX_RESIZED_CROP_NONE) {
        return SPX_FAIL(SPX_EINVAL, "augment: images of many sizes without resized crop");
    }
    if (spx_augment_jitters(a)) {
        return SPX_FAIL(SPX_EUNSUPPORTED, "augment: colour jitter on a device");
    }
    if (n < 1) {
        return SPX_OK;
    }
    return SPX_LAUNCH(s, augment, grid_of(shape, n), THREADS, 0, j, out);
}

spx_status spx_normalise_batch_cuda(spx_stream *s, const spx_augment *a,
                                    const spx_augment_shape *shape, int64_t n,
                                    const uint8_t *samples, const int32_t *cut,
                                    const spx_normalise *table, float *out)
{
    return n < 1 ? SPX_OK
                 : SPX_LAUNCH(s, normalise, grid_of(shape, n), THREADS, 0, a->cutout, *shape,
                              samples, cut, table, out);
}
