#ifndef SPX_AUGMENT_H
#define SPX_AUGMENT_H
/*
 * Turns one stored 8-bit image into one normalised f32 sample. What is random is drawn first, from
 * a generator the caller keys by (seed, epoch, sample); applying a draw is a pure function.
 *
 * Order: pad with black to the target size (centred) and pad-crop, or crop a box and resize it;
 * then flip, colour jitter, normalise, cutout. Padding is black before normalisation, that is
 * (0 - mean) / std after it; cutout's square is 0 after normalisation, the mean colour (DeVries and
 * Taylor, arXiv 1708.04552).
 *
 * Colour jitter is torchvision's ColorJitter without hue, in integers. Brightness, contrast and
 * saturation come in a random order, each with a factor f uniform in max(0, 1 - amount) to
 * 1 + amount, in 65536ths: every byte v becomes f*v + (1 - f)*o, rounded half up and clamped. o is
 * black for brightness, the sample's mean grey for contrast, the pixel's grey for saturation. A
 * pixel's grey is (19595 R + 38470 G + 7471 B) / 65536 (ITU-R 601, as Pillow has it), of other than
 * three channels their mean; both greys are rounded half up. (torchvision cuts off where this
 * rounds.)
 */
#include "data/augment/resize.h"
#include "kernels/base/rng.h"
#include "kernels/base/status.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>

#define SPX_AUGMENT_MAX_CHANNELS 4
#define SPX_AUGMENT_MAX_PAD 64
#define SPX_AUGMENT_MIN_RATIO 0.1
#define SPX_AUGMENT_MAX_RATIO 10.0
#define SPX_AUGMENT_MAX_JITTER 1.0

/** Boxes that are cropped and resized, for images of any size. */
typedef enum spx_resized_crop {
    SPX_RESIZED_CROP_NONE,
    SPX_RESIZED_CROP_RANDOM, /* "Inception" crop (Szegedy et al., arXiv 1409.4842): a share of the
                                area, a ratio of width to height, uniform in its logarithm; after
                                ten boxes that do not fit, the largest centred one of such a ratio
                              */
    SPX_RESIZED_CROP_CENTRE  /* evaluation: the largest centred box of the sample's own ratio, a
                                share of its sides */
} spx_resized_crop;

typedef enum spx_jitter {
    SPX_JITTER_BRIGHTNESS,
    SPX_JITTER_CONTRAST,
    SPX_JITTER_SATURATION,
    SPX_JITTER_COUNT
} spx_jitter;

/** What to randomise; all zero is none, as evaluation uses. */
typedef struct spx_augment {
    int pad_crop; /* pixels of padding on each side before cropping back; published: 4.
                     0..SPX_AUGMENT_MAX_PAD */
    bool flip;    /* mirror left-right with probability 1/2 */
    int cutout;   /* side of the erased square, clipped at the borders; 0: none. At most the height
                     and width */
    spx_resized_crop resized_crop; /* other than NONE: without pad_crop */
    bool alternate; /* of flip: one coin an image instead, turned on odd epochs, so that two epochs
                       show both sides (Jordan, arXiv 2404.00498) */
    double scale[2], ratio[2];      /* RANDOM: least and largest share of the area, within 0..1, and
                                  ratio, within SPX_AUGMENT_MIN_RATIO..MAX_RATIO; 0, 0: 0.08 to 1
                                  and 3/4 to 4/3 */
    int centre_crop, centre_resize; /* CENTRE: that many pixels of an image resized to so many; 0,
                                       0: 224 of 256; equal: all of it */
    double jitter[SPX_JITTER_COUNT]; /* amounts, 0..SPX_AUGMENT_MAX_JITTER; 0: off */
} spx_augment;

/** One sample's random choices. */
typedef struct spx_augment_draw {
    int dy, dx; /* crop offset, -pad_crop..pad_crop: output (0, 0) is padded-image (dy, dx) */
    bool flip;
    int cut_y, cut_x;                        /* centre of the erased square */
    int box_y, box_x, box_height, box_width; /* resized_crop: in the stored image */
    int order;                               /* of jitter: which of the 6 permutations */
    int32_t factor[SPX_JITTER_COUNT];        /* in 65536ths; 65536 where it is off */
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

/** exp(t) for |t| <= 2.4, to some last bits: by explicit multiply-adds, the same on every device,
 * which library functions are not. */
static inline SPX_HOST_DEVICE double spx_augment_exp(double t)
{
    double sum = 1;
    int halvings = 0;
    for (; fabs(t) > 0.3; t /= 2) {
        halvings++;
    }
    for (int k = 14; k > 0; k--) { /* 0.3^15/15! < 2^-66 */
        sum = fma(sum, t / k, 1.0);
    }
    for (; halvings > 0; halvings--) {
        sum *= sum;
    }
    return sum;
}

/** log(x) for 0.1 <= x <= 10, likewise. */
static inline SPX_HOST_DEVICE double spx_augment_log(double x)
{
    const double root = sqrt(sqrt(sqrt(x))); /* 0.75 to 1.34 */
    const double z = (root - 1) / (root + 1), square = z * z;
    double sum = 0;
    for (int k = 33; k > 0; k -= 2) { /* 2 atanh(z); 0.15^34 < 2^-92 */
        sum = fma(sum, square, 1.0 / k);
    }
    return 16 * z * sum;
}

static inline SPX_HOST_DEVICE void spx_augment_centre_box(const spx_augment_shape *s, int height,
                                                          int width, spx_augment_draw *draw)
{
    draw->box_height = height;
    draw->box_width = width;
    draw->box_y = (s->from_height - height) / 2;
    draw->box_x = (s->from_width - width) / 2;
}

static inline SPX_HOST_DEVICE int spx_augment_side(double length, int most)
{
    const double whole = rint(length);
    return whole < 1 ? 1 : whole > most ? most : (int)whole;
}

static inline SPX_HOST_DEVICE void spx_augment_random_box(const spx_augment *a,
                                                          const spx_augment_shape *s, spx_rng *rng,
                                                          spx_augment_draw *draw)
{
    const int h = s->from_height, w = s->from_width;
    const bool usual_scale = a->scale[1] <= 0, usual = a->ratio[1] <= 0;
    const double least = usual_scale ? 0.08 : a->scale[0];
    const double span = usual_scale ? 0.92 : a->scale[1] - a->scale[0];
    const double tall = usual ? 0.75 : a->ratio[0], wide = usual ? 4.0 / 3 : a->ratio[1];
    const double low = usual ? -0.28768207245178090 : spx_augment_log(tall); /* log(3/4) */
    const double high = usual ? 0.28768207245178090 : spx_augment_log(wide);
    const double middle = (high + low) / 2, half = (high - low) / 2;
    for (int i = 0; i < 10; i++) {
        const double share = fma(span, (double)spx_rng_uniform(rng), least);
        const double area = (double)h * (double)w * share;
        const double at = fma(2.0, (double)spx_rng_uniform(rng), -1.0);
        const double ratio = spx_augment_exp(fma(half, at, middle));
        const int width = (int)rint(sqrt(area * ratio)), height = (int)rint(sqrt(area / ratio));
        if (width >= 1 && width <= w && height >= 1 && height <= h) {
            draw->box_y = (int)spx_rng_below(rng, (uint32_t)(h - height) + 1);
            draw->box_x = (int)spx_rng_below(rng, (uint32_t)(w - width) + 1);
            draw->box_height = height;
            draw->box_width = width;
            return;
        }
    }
    spx_augment_centre_box(s, spx_augment_side(w / tall, h), spx_augment_side(h * wide, w), draw);
}

static inline SPX_HOST_DEVICE void
spx_augment_evaluation_box(const spx_augment *a, const spx_augment_shape *s, spx_augment_draw *draw)
{
    const int64_t h = s->from_height, w = s->from_width;
    const int64_t part = a->centre_resize > 0 ? a->centre_crop : 7;
    const int64_t of = a->centre_resize > 0 ? a->centre_resize : 8;
    const bool wide = w * s->height >= h * s->width; /* the stored image, for the sample's ratio */
    const int64_t height = (part * (wide ? h : w * s->height / s->width) + of / 2) / of;
    const int64_t width = (part * (wide ? h * s->width / s->height : w) + of / 2) / of;
    spx_augment_centre_box(s, height < 1 ? 1 : (int)height, width < 1 ? 1 : (int)width, draw);
}

/* The coin of an image, whatever the epoch; turned on odd ones. */
static inline SPX_HOST_DEVICE bool spx_augment_alternate(const spx_rng *sample)
{
    spx_rng coin;
    spx_rng_init(&coin, sample->seed, SPX_RNG_FLIP, sample->key & UINT32_MAX);
    return (spx_rng_below(&coin, 2) ^ (uint32_t)(sample->key >> 32 & 1)) == 1;
}

static inline SPX_HOST_DEVICE bool spx_augment_jitters(const spx_augment *a)
{
    return a->jitter[SPX_JITTER_BRIGHTNESS] > 0 || a->jitter[SPX_JITTER_CONTRAST] > 0 ||
           a->jitter[SPX_JITTER_SATURATION] > 0;
}

static inline SPX_HOST_DEVICE void spx_augment_colour(const spx_augment *a, spx_rng *rng,
                                                      spx_augment_draw *draw)
{
    draw->order = (int)spx_rng_below(rng, 6);
    for (int k = 0; k < SPX_JITTER_COUNT; k++) {
        const int32_t amount = (int32_t)rint(65536 * a->jitter[k]); /* at most 65536 */
        draw->factor[k] = 65536;
        if (amount > 0) {
            draw->factor[k] += (int32_t)spx_rng_below(rng, 2 * (uint32_t)amount + 1) - amount;
        }
    }
}

/** Draws the choices for one sample; a field that is off takes no draws.
 * @param rng  spx_augment_rng's */
static inline SPX_HOST_DEVICE void spx_augment_choose(const spx_augment *a,
                                                      const spx_augment_shape *shape, spx_rng *rng,
                                                      spx_augment_draw *draw)
{
    draw->dy = draw->dx = draw->cut_y = draw->cut_x = draw->order = 0;
    draw->flip = false;
    draw->factor[0] = draw->factor[1] = draw->factor[2] = 65536;
    spx_augment_centre_box(shape, shape->from_height, shape->from_width, draw);
    if (a->resized_crop == SPX_RESIZED_CROP_RANDOM) {
        spx_augment_random_box(a, shape, rng, draw);
    } else if (a->resized_crop == SPX_RESIZED_CROP_CENTRE) {
        spx_augment_evaluation_box(a, shape, draw);
    }
    if (a->pad_crop > 0) {
        const uint32_t places = 2 * (uint32_t)a->pad_crop + 1;
        draw->dy = (int)spx_rng_below(rng, places) - a->pad_crop;
        draw->dx = (int)spx_rng_below(rng, places) - a->pad_crop;
    }
    if (a->flip) {
        draw->flip = a->alternate ? spx_augment_alternate(rng) : spx_rng_below(rng, 2) == 1;
    }
    if (a->cutout > 0) {
        draw->cut_y = (int)spx_rng_below(rng, (uint32_t)shape->height);
        draw->cut_x = (int)spx_rng_below(rng, (uint32_t)shape->width);
    }
    if (spx_augment_jitters(a)) {
        spx_augment_colour(a, rng, draw);
    }
}

/** The generator of image `image` of a split in an epoch: what a sample depends on. */
static inline SPX_HOST_DEVICE void spx_augment_rng(spx_rng *rng, uint64_t seed, uint64_t epoch,
                                                   uint32_t image)
{
    spx_rng_init(rng, seed, SPX_RNG_AUGMENT, epoch << 32 | image);
}

/**
 * out = the sample as bytes, as it is before colour jitter. Every element is written.
 * @param src     (channels, from_height, from_width), or interleaved, by the shape
 * @param planes  out is (channels, height, width), else (height, width, channels)
 * @param out     no overlap with src
 */
void spx_augment_crop(const spx_augment *a, const spx_augment_draw *draw,
                      const spx_augment_shape *shape, const uint8_t *src, bool planes,
                      uint8_t *out);

/** Colour jitter of a sample in place. @param sample  (channels, pixels), or interleaved */
void spx_augment_recolour(const spx_augment *a, const spx_augment_draw *draw, int channels,
                          size_t pixels, bool planes, uint8_t *sample);

/**
 * dst = the sample normalised, with its square cut out.
 * @param sample  (channels, height, width); may begin where dst does, otherwise no overlap
 * @param dst     (channels, height, width)
 */
void spx_augment_normalise(const spx_augment *a, const spx_augment_draw *draw,
                           const spx_normalise *n, const spx_augment_shape *shape,
                           const uint8_t *sample, float *dst);

/**
 * dst = the sample: the three above, one after the other. Every element is written.
 * @param src  (channels, from_height, from_width), or interleaved
 * @param dst  (channels, height, width); no overlap with src
 */
void spx_augment_apply(const spx_augment *a, const spx_augment_draw *draw, const spx_normalise *n,
                       const spx_augment_shape *shape, const uint8_t *src, float *dst);

#endif
