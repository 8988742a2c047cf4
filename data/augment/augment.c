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

/* Both 0 is the usual range. */
static spx_status check_range(const char *what, const double range[2], double low, double high)
{
    const bool usual = range[0] == 0 && range[1] == 0;
    return usual || (range[0] >= low && range[0] <= range[1] && range[1] <= high)
               ? SPX_OK
               : SPX_FAIL(SPX_EINVAL, "the %s is %g to %g, expected within %g to %g", what,
                          range[0], range[1], low, high);
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
    if (a->alternate && !a->flip) {
        return SPX_FAIL(SPX_EINVAL, "an alternating flip needs the flip");
    }
    SPX_RETURN_IF(check_range("crop's share of the area", a->scale, 0.001, 1));
    SPX_RETURN_IF(
        check_range("crop's ratio", a->ratio, SPX_AUGMENT_MIN_RATIO, SPX_AUGMENT_MAX_RATIO));
    if ((a->centre_crop != 0 || a->centre_resize != 0) &&
        (a->centre_crop < 1 || a->centre_crop > a->centre_resize ||
         a->centre_resize > SPX_RESIZE_MAX)) {
        return SPX_FAIL(SPX_EINVAL, "a centre crop of %d of %d pixels, expected 1 to %d",
                        a->centre_crop, a->centre_resize, SPX_RESIZE_MAX);
    }
    for (int k = 0; k < SPX_JITTER_COUNT; k++) {
        if (!(a->jitter[k] >= 0 && a->jitter[k] <= SPX_AUGMENT_MAX_JITTER)) {
            return SPX_FAIL(SPX_EINVAL, "colour jitter of %g, expected 0 to %g", a->jitter[k],
                            SPX_AUGMENT_MAX_JITTER);
        }
    }
    return SPX_OK;
}

static int clamp(int v, int low, int high)
{
    return v < low ? low : v > high ? high : v;
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

/* Where a channel begins, and how far its pixels and rows lie apart. */
typedef struct place {
    ptrdiff_t first, pixel, row;
} place;

static place channel_at(bool planes, int channels, int height, int width, int c)
{
    return planes ? (place){(ptrdiff_t)c * height * width, 1, width}
                  : (place){c, channels, (ptrdiff_t)width * channels};
}

static void crop_padded(const spx_augment_draw *draw, const spx_augment_shape *s,
                        const uint8_t *src, const place *from, uint8_t *out, const place *to)
{
    /* Where stored row and column 0 land. */
    const int top = (s->height - s->from_height) / 2 - draw->dy;
    const int left = (s->width - s->from_width) / 2 - draw->dx;
    const int first = clamp(left, 0, s->width), last = clamp(left + s->from_width, 0, s->width);
    assert(s->height >= s->from_height && s->width >= s->from_width);
    for (int y = 0; y < s->height; y++) {
        const bool inside = y >= top && y < top + s->from_height;
        const uint8_t *in = src + from->first + (inside ? (y - top) * from->row : 0);
        uint8_t *o = out + to->first + y * to->row + (draw->flip ? (s->width - 1) * to->pixel : 0);
        const ptrdiff_t step = draw->flip ? -to->pixel : to->pixel;
        const int begin = inside ? first : s->width, end = inside ? last : s->width;
        for (int x = 0; x < begin; x++) {
            o[x * step] = 0;
        }
        for (int x = begin; x < end; x++) {
            o[x * step] = in[(x - left) * from->pixel];
        }
        for (int x = end; x < s->width; x++) {
            o[x * step] = 0;
        }
    }
}

static void crop_resized(const spx_augment_draw *draw, const spx_augment_shape *s,
                         const uint8_t *src, const place *from, uint8_t *out, const place *to)
{
    const uint8_t *box = src + from->first + draw->box_y * from->row + draw->box_x * from->pixel;
    for (int y = 0; y < s->height; y++) {
        const spx_resize_taps rows = spx_resize_at(y, draw->box_height, s->height);
        for (int x = 0; x < s->width; x++) {
            const spx_resize_taps columns = spx_resize_at(x, draw->box_width, s->width);
            out[to->first + y * to->row + (draw->flip ? s->width - 1 - x : x) * to->pixel] =
                spx_resize_pixel(box, from->row, from->pixel, &rows, &columns);
        }
    }
}

void spx_augment_crop(const spx_augment *a, const spx_augment_draw *draw,
                      const spx_augment_shape *s, const uint8_t *src, bool planes, uint8_t *out)
{
    for (int c = 0; c < s->channels; c++) {
        const place from =
            channel_at(!s->interleaved, s->channels, s->from_height, s->from_width, c);
        const place to = channel_at(planes, s->channels, s->height, s->width, c);
        if (a->resized_crop != SPX_RESIZED_CROP_NONE) {
            crop_resized(draw, s, src, &from, out, &to);
        } else {
            crop_padded(draw, s, src, &from, out, &to);
        }
    }
}

/* ---- colour jitter ---- */

static uint8_t blend(int32_t factor, int v, int other)
{
    const int32_t sum = factor * v + (65536 - factor) * other + 32768; /* below 2^17 * 2^8 */
    return sum < 0 ? 0 : sum >= 256 * 65536 ? 255 : (uint8_t)(sum / 65536);
}

/* A sample whose channels lie `plane` bytes apart and whose pixels lie `step`. */
typedef struct sample_view {
    uint8_t *data;
    int channels;
    size_t pixels, plane, step;
} sample_view;

static int grey(const sample_view *s, size_t i)
{
    const uint8_t *p = s->data + i * s->step;
    int sum = s->channels / 2;
    if (s->channels == 3) {
        return (19595 * p[0] + 38470 * p[s->plane] + 7471 * p[2 * s->plane] + 32768) / 65536;
    }
    for (int c = 0; c < s->channels; c++) {
        sum += p[(size_t)c * s->plane];
    }
    return sum / s->channels;
}

/* Brightness and contrast: each byte becomes what its value says. */
static void blend_with(int other, int32_t factor, const sample_view *s)
{
    const size_t bytes = s->pixels * (size_t)s->channels;
    uint8_t table[256];
    for (int v = 0; v < 256; v++) {
        table[v] = blend(factor, v, other);
    }
    for (size_t i = 0; i < bytes; i++) {
        s->data[i] = table[s->data[i]];
    }
}

static int mean_grey(const sample_view *s)
{
    uint64_t sum = s->pixels / 2;
    for (size_t i = 0; i < s->pixels; i++) {
        sum += (uint64_t)grey(s, i);
    }
    return (int)(sum / s->pixels);
}

static void saturate(int32_t factor, const sample_view *s)
{
    for (size_t i = 0; i < s->pixels; i++) {
        const int other = grey(s, i);
        for (int c = 0; c < s->channels; c++) {
            uint8_t *v = s->data + (size_t)c * s->plane + i * s->step;
            *v = blend(factor, *v, other);
        }
    }
}

void spx_augment_recolour(const spx_augment *a, const spx_augment_draw *draw, int channels,
                          size_t pixels, bool planes, uint8_t *sample)
{
    static const uint8_t orders[6][SPX_JITTER_COUNT] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
                                                        {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    const sample_view s = {sample, channels, pixels, planes ? pixels : 1,
                           planes ? 1 : (size_t)channels};
    for (int k = 0; k < SPX_JITTER_COUNT; k++) {
        const spx_jitter kind = (spx_jitter)orders[draw->order][k];
        if (a->jitter[kind] <= 0) {
            continue;
        }
        if (kind == SPX_JITTER_SATURATION) {
            saturate(draw->factor[kind], &s);
        } else {
            blend_with(kind == SPX_JITTER_CONTRAST ? mean_grey(&s) : 0, draw->factor[kind], &s);
        }
    }
}

/* ---- the whole ---- */

void spx_augment_normalise(const spx_augment *a, const spx_augment_draw *draw,
                           const spx_normalise *n, const spx_augment_shape *s,
                           const uint8_t *sample, float *dst)
{
    const size_t pixels = (size_t)s->height * (size_t)s->width;
    for (int c = s->channels - 1; c >= 0; c--) { /* from behind: dst may grow over the sample */
        const float *value = n->value[c];
        for (size_t i = pixels * (size_t)(c + 1); i-- > pixels * (size_t)c;) {
            dst[i] = value[sample[i]];
        }
    }
    for (int c = 0; a->cutout > 0 && c < s->channels; c++) {
        cut(a, draw, s, dst + (size_t)c * pixels);
    }
}

void spx_augment_apply(const spx_augment *a, const spx_augment_draw *draw, const spx_normalise *n,
                       const spx_augment_shape *s, const uint8_t *src, float *dst)
{
    uint8_t *sample = (uint8_t *)dst; /* a quarter of its room */
    spx_augment_crop(a, draw, s, src, true, sample);
    spx_augment_recolour(a, draw, s->channels, (size_t)s->height * (size_t)s->width, true, sample);
    spx_augment_normalise(a, draw, n, s, sample, dst);
}
