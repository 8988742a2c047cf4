#ifndef SPX_AUGMENT_H
#define SPX_AUGMENT_H
/*
 * Turns one stored 8-bit image into one normalised f32 sample. What is random is drawn first, from
 * a generator the caller keys by (seed, epoch, sample); applying a draw is a pure function.
 *
 * Order: pad with black to the target size (centred) and pad-crop, or crop a box and resize it;
 * then flip, normalise, cutout. Padding is black before normalisation, that is (0 - mean) / std
 * after it; cutout's square is 0 after normalisation, the mean colour (DeVries and Taylor, arXiv
 * 1708.04552).
 */
#include "data/augment/resize.h"
#include "kernels/base/rng.h"
#include "kernels/base/status.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>

#define SPX_AUGMENT_MAX_CHANNELS 4
#define SPX_AUGMENT_MAX_PAD 64

/** Boxes that are cropped and resized, for images of any size. */
typedef enum spx_resized_crop {
    SPX_RESIZED_CROP_NONE,
    SPX_RESIZED_CROP_RANDOM, /* "Inception" crop (Szegedy et al., arXiv 1409.4842): 8 to 100 % of
                                the area, ratio of sides 3/4..4/3, uniform in its logarithm; after
                                ten boxes that do not fit, the largest centred one of such a ratio
                              */
    SPX_RESIZED_CROP_CENTRE  /* evaluation: the largest centred box of the sample's own ratio, 7/8
                                of its sides (224 of 256) */
} spx_resized_crop;

/** What to randomise; all zero is none, as evaluation uses. */
typedef struct spx_augment {
    int pad_crop; /* pixels of padding on each side before cropping back; published: 4.
                     0..SPX_AUGMENT_MAX_PAD */
    bool flip;    /* mirror left-right with probability 1/2 */
    int cutout;   /* side of the erased square, clipped at the borders; 0: none. At most the height
                     and width */
    spx_resized_crop resized_crop; /* other than NONE: without pad_crop */
} spx_augment;

/** One sample's random choices. */
typedef struct spx_augment_draw {
    int dy, dx; /* crop offset, -pad_crop..pad_crop: output (0, 0) is padded-image (dy, dx) */
    bool flip;
    int cut_y, cut_x;                        /* centre of the erased square */
    int box_y, box_x, box_height, box_width; /* resized_crop: in the stored image */
} spx_augment_draw;

/** Geometry of one sample: stored and wanted size; without resized_crop the latter is not smaller
 * than the former, with it both are 1..SPX_RESIZE_MAX. */
typedef struct spx_augment_shape {
    int channels, from_height, from_width, height, width;
    bool interleaved; /* stored as (from_height, from_width, channels), as decoders give it */
} spx_augment_shape;

/** f32 value of each byte of each channel: ((v / 255) - mean) / std, computed in double. */
typedef struct spx_normalise {
    float value[SPX_AUGMENT_MAX_CHANNELS][256];
} spx_normalise;

/** What pixels can be normalised by: the result stays far inside f32, and a float's digits suffice.
 * Means of -SPX_MEAN_MAX to SPX_MEAN_MAX, deviations of SPX_STD_MIN to SPX_STD_MAX. */
#define SPX_MEAN_MAX 1000.0
#define SPX_STD_MIN 1e-6
#define SPX_STD_MAX 1000.0

/**
 * Whether mean and std are within those ranges: every way by which they enter asks this.
 * @param mean, std  [channels], of pixels scaled to 0..1
 * @return SPX_OK, SPX_EINVAL (naming the channel and the ranges)
 */
SPX_MUST_CHECK spx_status spx_normalise_check(int channels, const double *mean, const double *std);

/**
 * @param mean, std  [channels], as above
 * @return SPX_OK, SPX_EINVAL (channels outside 1..SPX_AUGMENT_MAX_CHANNELS, out of those ranges)
 */
SPX_MUST_CHECK spx_status spx_normalise_init(spx_normalise *n, int channels, const double *mean,
                                             const double *std);

/** @return SPX_OK, SPX_EINVAL (a field outside its range for a height x width sample) */
SPX_MUST_CHECK spx_status spx_augment_check(const spx_augment *a, int height, int width);

/** exp(t) for |t| <= 0.3, to the last bit or so: by explicit multiply-adds, the same on every
 * device, which library functions are not. */
static inline SPX_HOST_DEVICE double spx_augment_exp(double t)
{
    double sum = 1;
    for (int k = 14; k > 0; k--) { /* 0.3^15/15! < 2^-66 */
        sum = fma(sum, t / k, 1.0);
    }
    return sum;
}

static inline SPX_HOST_DEVICE void spx_augment_centre_box(const spx_augment_shape *s, int height,
                                                          int width, spx_augment_draw *draw)
{
    draw->box_height = height;
    draw->box_width = width;
    draw->box_y = (s->from_height - height) / 2;
    draw->box_x = (s->from_width - width) / 2;
}

static inline SPX_HOST_DEVICE void spx_augment_random_box(const spx_augment_shape *s, spx_rng *rng,
                                                          spx_augment_draw *draw)
{
    const int h = s->from_height, w = s->from_width;
    for (int i = 0; i < 10; i++) {
        const double share = fma(0.92, (double)spx_rng_uniform(rng), 0.08);
        const double area = (double)h * (double)w * share;
        const double log_ratio = fma(2.0, (double)spx_rng_uniform(rng), -1.0);
        const double ratio = spx_augment_exp(0.28768207245178090 * log_ratio); /* log(4/3) */
        const int width = (int)rint(sqrt(area * ratio)), height = (int)rint(sqrt(area / ratio));
        if (width >= 1 && width <= w && height >= 1 && height <= h) {
            draw->box_y = (int)spx_rng_below(rng, (uint32_t)(h - height) + 1);
            draw->box_x = (int)spx_rng_below(rng, (uint32_t)(w - width) + 1);
            draw->box_height = height;
            draw->box_width = width;
            return;
        }
    }
    /* too long for any such ratio: cut at 4/3 or 3/4, rounded */
    spx_augment_centre_box(s, 3 * h > 4 * w ? (8 * w + 3) / 6 : h,
                           3 * w > 4 * h ? (8 * h + 3) / 6 : w, draw);
}

static inline SPX_HOST_DEVICE void spx_augment_evaluation_box(const spx_augment_shape *s,
                                                              spx_augment_draw *draw)
{
    const int64_t h = s->from_height, w = s->from_width;
    const bool wide = w * s->height >= h * s->width; /* the stored image, for the sample's ratio */
    const int64_t height = wide ? h : w * s->height / s->width;
    const int64_t width = wide ? h * s->width / s->height : w;
    spx_augment_centre_box(s, height < 2 ? 1 : (int)((7 * height + 4) / 8),
                           width < 2 ? 1 : (int)((7 * width + 4) / 8), draw);
}

/** Draws the choices for one sample; a field that is off takes no draws. */
static inline SPX_HOST_DEVICE void spx_augment_choose(const spx_augment *a,
                                                      const spx_augment_shape *shape, spx_rng *rng,
                                                      spx_augment_draw *draw)
{
    draw->dy = draw->dx = draw->cut_y = draw->cut_x = 0;
    draw->flip = false;
    spx_augment_centre_box(shape, shape->from_height, shape->from_width, draw);
    if (a->resized_crop == SPX_RESIZED_CROP_RANDOM) {
        spx_augment_random_box(shape, rng, draw);
    } else if (a->resized_crop == SPX_RESIZED_CROP_CENTRE) {
        spx_augment_evaluation_box(shape, draw);
    }
    if (a->pad_crop > 0) {
        const uint32_t places = 2 * (uint32_t)a->pad_crop + 1;
        draw->dy = (int)spx_rng_below(rng, places) - a->pad_crop;
        draw->dx = (int)spx_rng_below(rng, places) - a->pad_crop;
    }
    if (a->flip) {
        draw->flip = spx_rng_below(rng, 2) == 1;
    }
    if (a->cutout > 0) {
        draw->cut_y = (int)spx_rng_below(rng, (uint32_t)shape->height);
        draw->cut_x = (int)spx_rng_below(rng, (uint32_t)shape->width);
    }
}

/** The generator of image `image` of a split in an epoch: what a sample depends on. */
static inline SPX_HOST_DEVICE void spx_augment_rng(spx_rng *rng, uint64_t seed, uint64_t epoch,
                                                   uint32_t image)
{
    spx_rng_init(rng, seed, SPX_RNG_AUGMENT, epoch << 32 | image);
}

/**
 * dst = the sample. Every element is written.
 * @param src  (channels, from_height, from_width), or interleaved
 * @param dst  (channels, height, width); no overlap with src
 */
void spx_augment_apply(const spx_augment *a, const spx_augment_draw *draw, const spx_normalise *n,
                       const spx_augment_shape *shape, const uint8_t *src, float *dst);

#endif
