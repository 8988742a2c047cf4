#include "data/augment/augment.h"

#include "kernels/base/text.h"

#include <assert.h>
#include <math.h>
#include <stddef.h>

spx_status spx_normalise_check(int channels, const double *mean, const double *std)
{
    char real[2][SPX_REAL_CHARS];
    for (int c = 0; c < channels; c++) {
        if (!(fabs(mean[c]) <= SPX_MEAN_MAX && std[c] >= SPX_STD_MIN && std[c] <= SPX_STD_MAX)) {
            return SPX_FAIL(SPX_EINVAL,
                            "channel %d: mean %s and std %s, expected a mean of %g to %g and a std "
                            "of %g to %g",
                            c, spx_real_text(mean[c], real[0]), spx_real_text(std[c], real[1]),
                            -SPX_MEAN_MAX, SPX_MEAN_MAX, SPX_STD_MIN, SPX_STD_MAX);
        }
    }
    return SPX_OK;
}

spx_status spx_normalise_init(spx_normalise *n, int channels, const double *mean, const double *std)
{
    if (channels < 1 || channels > SPX_AUGMENT_MAX_CHANNELS) {
        return SPX_FAIL(SPX_EINVAL, "normalise: %d channels, expected 1 to %d", channels,
                        SPX_AUGMENT_MAX_CHANNELS);
    }
    SPX_RETURN_IF(spx_normalise_check(channels, mean, std));
    for (int c = 0; c < channels; c++) {
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
    if ((unsigned)a->resized_crop > (unsigned)SPX_RESIZED_CROP_CENTRE ||
        (a->resized_crop != SPX_RESIZED_CROP_NONE &&
         (a->pad_crop > 0 || height > SPX_RESIZE_MAX || width > SPX_RESIZE_MAX))) {
        return SPX_FAIL(SPX_EINVAL, "resized crop %d to %dx%d with pad-crop %d",
                        (int)a->resized_crop, height, width, a->pad_crop);
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

/* One row: [first, last) of it, before the flip, comes from src[0], src[step], ..; the rest is
 * black. */
static void apply_row(const uint8_t *src, ptrdiff_t step, const float *value, bool flip, int first,
                      int last, int width, float *dst)
{
    for (int x = 0; x < first; x++) {
        dst[flip ? width - 1 - x : x] = value[0];
    }
    if (flip) {
        for (int x = first; x < last; x++) {
            dst[width - 1 - x] = value[src[(x - first) * step]];
        }
    } else {
        for (int x = first; x < last; x++) {
            dst[x] = value[src[(x - first) * step]];
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

/* Where channel c of the stored image begins, and how far its pixels and rows lie apart. */
typedef struct stored {
    const uint8_t *data;
    ptrdiff_t pixel, row;
} stored;

static stored stored_channel(const spx_augment_shape *s, const uint8_t *src, int c)
{
    const ptrdiff_t w = s->from_width;
    return s->interleaved ? (stored){src + c, s->channels, w * s->channels}
                          : (stored){src + c * w * s->from_height, 1, w};
}

static void apply_padded(const spx_augment_draw *draw, const float *value,
                         const spx_augment_shape *s, const stored *from, float *to)
{
    /* Where stored row and column 0 land, before the flip. */
    const int top = (s->height - s->from_height) / 2 - draw->dy;
    const int left = (s->width - s->from_width) / 2 - draw->dx;
    const int first = clamp(left, 0, s->width), last = clamp(left + s->from_width, 0, s->width);
    assert(s->height >= s->from_height && s->width >= s->from_width);
    for (int y = 0; y < s->height; y++) {
        const int row = y - top;
        const bool inside = first < last && row >= 0 && row < s->from_height;
        /* A row of padding is one whose stored part is empty. */
        apply_row(inside ? from->data + row * from->row + (first - left) * from->pixel : from->data,
                  from->pixel, value, draw->flip, first, inside ? last : first, s->width,
                  to + (ptrdiff_t)y * s->width);
    }
}

static void apply_resized(const spx_augment_draw *draw, const float *value,
                          const spx_augment_shape *s, const stored *from, float *to)
{
    const uint8_t *box = from->data + draw->box_y * from->row + draw->box_x * from->pixel;
    for (int y = 0; y < s->height; y++) {
        const spx_resize_taps rows = spx_resize_at(y, draw->box_height, s->height);
        for (int x = 0; x < s->width; x++) {
            const spx_resize_taps columns = spx_resize_at(x, draw->box_width, s->width);
            to[(ptrdiff_t)y * s->width + (draw->flip ? s->width - 1 - x : x)] =
                value[spx_resize_pixel(box, from->row, from->pixel, &rows, &columns)];
        }
    }
}

void spx_augment_apply(const spx_augment *a, const spx_augment_draw *draw, const spx_normalise *n,
                       const spx_augment_shape *s, const uint8_t *src, float *dst)
{
    for (int c = 0; c < s->channels; c++) {
        const stored from = stored_channel(s, src, c);
        float *to = dst + (ptrdiff_t)c * s->height * s->width;
        if (a->resized_crop != SPX_RESIZED_CROP_NONE) {
            apply_resized(draw, n->value[c], s, &from, to);
        } else {
            apply_padded(draw, n->value[c], s, &from, to);
        }
        if (a->cutout > 0) {
            cut(a, draw, s, to);
        }
    }
}
