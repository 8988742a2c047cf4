#include "data/augment/augment.h"

#include <assert.h>
#include <math.h>
#include <stddef.h>

spx_status spx_normalise_init(spx_normalise *n, int channels, const double *mean, const double *std)
{
    if (channels < 1 || channels > SPX_AUGMENT_MAX_CHANNELS) {
        return SPX_FAIL(SPX_EINVAL, "normalise: %d channels, expected 1 to %d", channels,
                        SPX_AUGMENT_MAX_CHANNELS);
    }
    for (int c = 0; c < channels; c++) {
        if (!isfinite(mean[c]) || !isfinite(std[c]) || !(std[c] > 0)) {
            return SPX_FAIL(SPX_EINVAL, "normalise: channel %d has mean %g, std %g", c, mean[c],
                            std[c]);
        }
        for (int v = 0; v < 256; v++) {
            n->value[c][v] = (float)((v / 255.0 - mean[c]) / std[c]);
        }
    }
    return SPX_OK;
}

spx_status spx_augment_check(const spx_augment *a, int height, int width)
{
    if (a->pad_crop < 0 || a->pad_crop > SPX_AUGMENT_MAX_PAD) {
        return SPX_FAIL(SPX_EINVAL, "pad-crop of %d pixels, expected 0 to %d", a->pad_crop,
                        SPX_AUGMENT_MAX_PAD);
    }
    if (a->cutout < 0 || a->cutout > height || a->cutout > width) {
        return SPX_FAIL(SPX_EINVAL, "cutout of %d pixels in an image of %dx%d", a->cutout, height,
                        width);
    }
    return SPX_OK;
}

static int clamp(int v, int low, int high)
{
    return v < low ? low : v > high ? high : v;
}

/* One row: [first, last) of it, before the flip, comes from src[0..); the rest is black. */
static void apply_row(const uint8_t *src, const float *value, bool flip, int first, int last,
                      int width, float *dst)
{
    for (int x = 0; x < first; x++) {
        dst[flip ? width - 1 - x : x] = value[0];
    }
    if (flip) {
        for (int x = first; x < last; x++) {
            dst[width - 1 - x] = value[src[x - first]];
        }
    } else {
        for (int x = first; x < last; x++) {
            dst[x] = value[src[x - first]];
        }
    }
    for (int x = last; x < width; x++) {
        dst[flip ? width - 1 - x : x] = value[0];
    }
}

static void cut(const spx_augment *a, const spx_augment_draw *draw, const spx_augment_shape *s,
                float *plane)
{
    const int top = draw->cut_y - a->cutout / 2, left = draw->cut_x - a->cutout / 2;
    const int y_end = clamp(top + a->cutout, 0, s->height);
    const int x_end = clamp(left + a->cutout, 0, s->width);
    for (int y = clamp(top, 0, s->height); y < y_end; y++) {
        for (int x = clamp(left, 0, s->width); x < x_end; x++) {
            plane[(ptrdiff_t)y * s->width + x] = 0;
        }
    }
}

void spx_augment_apply(const spx_augment *a, const spx_augment_draw *draw, const spx_normalise *n,
                       const spx_augment_shape *s, const uint8_t *src, float *dst)
{
    /* Where stored row and column 0 land, before the flip. */
    const int top = (s->height - s->from_height) / 2 - draw->dy;
    const int left = (s->width - s->from_width) / 2 - draw->dx;
    const int first = clamp(left, 0, s->width), last = clamp(left + s->from_width, 0, s->width);
    assert(s->height >= s->from_height && s->width >= s->from_width);
    for (int c = 0; c < s->channels; c++) {
        const uint8_t *from = src + (ptrdiff_t)c * s->from_height * s->from_width;
        float *to = dst + (ptrdiff_t)c * s->height * s->width;
        for (int y = 0; y < s->height; y++) {
            const int row = y - top;
            const bool inside = first < last && row >= 0 && row < s->from_height;
            /* A row of padding is one whose stored part is empty. */
            apply_row(inside ? from + (ptrdiff_t)row * s->from_width + (first - left) : from,
                      n->value[c], draw->flip, first, inside ? last : first, s->width,
                      to + (ptrdiff_t)y * s->width);
        }
        if (a->cutout > 0) {
            cut(a, draw, s, to);
        }
    }
}
