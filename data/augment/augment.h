#ifndef SPX_AUGMENT_H
#define SPX_AUGMENT_H
/*
 * Turns one stored 8-bit image into one normalised f32 sample. What is random is drawn first, from
 * a generator the caller keys by (seed, epoch, sample); applying a draw is a pure function.
 *
 * Order: pad with black to the target size (centred), pad-crop, flip, normalise, cutout. Padding is
 * black before normalisation, that is (0 - mean) / std after it; cutout's square is 0 after
 * normalisation, the mean colour (DeVries and Taylor, arXiv 1708.04552).
 */
#include "kernels/base/rng.h"
#include "kernels/base/status.h"

#include <stdbool.h>
#include <stdint.h>

#define SPX_AUGMENT_MAX_CHANNELS 4
#define SPX_AUGMENT_MAX_PAD 64

/** What to randomise; all zero is none, as evaluation uses. */
typedef struct spx_augment {
    int pad_crop; /* pixels of padding on each side before cropping back; published: 4.
                     0..SPX_AUGMENT_MAX_PAD */
    bool flip;    /* mirror left-right with probability 1/2 */
    int cutout;   /* side of the erased square, clipped at the borders; 0: none. At most the height
                     and width */
} spx_augment;

/** One sample's random choices. */
typedef struct spx_augment_draw {
    int dy, dx; /* crop offset, -pad_crop..pad_crop: output (0, 0) is padded-image (dy, dx) */
    bool flip;
    int cut_y, cut_x; /* centre of the erased square */
} spx_augment_draw;

/** f32 value of each byte of each channel: ((v / 255) - mean) / std, computed in double. */
typedef struct spx_normalise {
    float value[SPX_AUGMENT_MAX_CHANNELS][256];
} spx_normalise;

/**
 * @param mean, std  [channels], of pixels scaled to 0..1; std > 0
 * @return SPX_OK, SPX_EINVAL (channels outside 1..SPX_AUGMENT_MAX_CHANNELS, std not positive, not
 * finite)
 */
SPX_MUST_CHECK spx_status spx_normalise_init(spx_normalise *n, int channels, const double *mean,
                                             const double *std);

/** @return SPX_OK, SPX_EINVAL (a field outside its range for a height x width sample) */
SPX_MUST_CHECK spx_status spx_augment_check(const spx_augment *a, int height, int width);

/** Draws the choices for one height x width sample; a field that is off takes no draws. */
static inline SPX_HOST_DEVICE void spx_augment_choose(const spx_augment *a, int height, int width,
                                                      spx_rng *rng, spx_augment_draw *draw)
{
    draw->dy = draw->dx = draw->cut_y = draw->cut_x = 0;
    draw->flip = false;
    if (a->pad_crop > 0) {
        const uint32_t places = 2 * (uint32_t)a->pad_crop + 1;
        draw->dy = (int)spx_rng_below(rng, places) - a->pad_crop;
        draw->dx = (int)spx_rng_below(rng, places) - a->pad_crop;
    }
    if (a->flip) {
        draw->flip = spx_rng_below(rng, 2) == 1;
    }
    if (a->cutout > 0) {
        draw->cut_y = (int)spx_rng_below(rng, (uint32_t)height);
        draw->cut_x = (int)spx_rng_below(rng, (uint32_t)width);
    }
}

/** The generator of image `image` of a split in an epoch: what a sample depends on. */
static inline SPX_HOST_DEVICE void spx_augment_rng(spx_rng *rng, uint64_t seed, uint64_t epoch,
                                                   uint32_t image)
{
    spx_rng_init(rng, seed, SPX_RNG_AUGMENT, epoch << 32 | image);
}

/** Geometry of one sample: stored and wanted size; the latter is not smaller than the former. */
typedef struct spx_augment_shape {
    int channels, from_height, from_width, height, width;
} spx_augment_shape;

/**
 * dst = the sample. Every element is written.
 * @param src  (channels, from_height, from_width)
 * @param dst  (channels, height, width); no overlap with src
 */
void spx_augment_apply(const spx_augment *a, const spx_augment_draw *draw, const spx_normalise *n,
                       const spx_augment_shape *shape, const uint8_t *src, float *dst);

#endif
