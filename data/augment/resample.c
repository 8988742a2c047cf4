#include "data/augment/resample.h"

#include "data/augment/resample_private.h"
#include "kernels/base/cpu.h"

#include <assert.h>
#include <string.h>

/* ---- the loops in plain C ---- */

static void rows(const uint8_t *src, ptrdiff_t row, const int16_t *weight, int taps, int n,
                 double *out)
{
    for (int i = 0; i < n; i++) {
        int32_t sum = 0;
        for (int t = 0; t < taps; t++) {
            sum += weight[t] * src[t * row + i];
        }
        out[i] = sum;
    }
}

/*
 * sum / divisor rounded half up, where scale is 1 / divisor to within 3 * 2^-53 of itself. With the
 * 1/2 that rounds, a quotient is an integer (a half, to be rounded up) or 1 / (2 divisor) away from
 * one at least. A quarter of 1 / divisor lifts integers over their edge; what is computed is off by
 * less than another quarter, namely 256 * 2^-51 at most, for divisors up to 2^40.
 */
static uint8_t divide(double sum, double scale)
{
    return (uint8_t)(sum * scale + (0.25 * scale + 0.5));
}

static void columns(const double *line, int channels, const spx_resample_columns *c, double inverse,
                    uint8_t *out)
{
    const double *weight = c->weight;
    for (int x = 0; x < c->wanted; x++, weight += c->taps) {
        const double scale = c->inverse[x] * inverse;
        for (int k = 0; k < channels; k++) {
            const double *from = line + channels * (ptrdiff_t)c->first[x] + k;
            double sum = 0;
            for (int t = 0; t < c->taps; t++) {
                sum += weight[t] * from[t * (ptrdiff_t)channels];
            }
            *out++ = divide(sum, scale);
        }
    }
}

const spx_resample_loops spx_resample_portable = {rows, columns};

static const spx_resample_loops *loops(void)
{
#if defined(SPX_HAVE_AVX2)
    return spx_cpu_isa() >= SPX_ISA_AVX2 ? &spx_resample_avx2 : &spx_resample_portable;
#else
    return &spx_resample_portable;
#endif
}

/* ---- an axis ---- */

/* At most so many pixels make a wanted one. */
static int most_taps(const spx_resample_axis *a)
{
    const spx_resize_taps t = spx_resample_at(a, 0);
    const int64_t wide = t.support / t.step + 1;
    return (int)(wide < a->given ? wide : a->given);
}

/* At least the sum of a wanted pixel's weights: a triangle's area over the pixels' distance, and a
 * pixel more. */
static uint64_t most_weight(const spx_resample_axis *a)
{
    const spx_resize_taps t = spx_resample_at(a, 0);
    return (uint64_t)(t.support * t.support / (2 * t.step) + t.support);
}

/* Whether a weight along y fits 16 bits, a sum along y 32, and a divisor what divide() takes. */
static bool is_small(const spx_resample *r)
{
    const uint64_t y = most_weight(&r->y), x = most_weight(&r->x);
    return spx_resample_at(&r->y, 0).support <= INT16_MAX && y <= INT32_MAX / UINT8_MAX &&
           x <= ((uint64_t)1 << 40) / y;
}

static bool is_axis(const spx_resample_axis *a)
{
    const bool shrink = a->shrink == 1 || a->shrink == 2 || a->shrink == 4 || a->shrink == 8;
    return shrink && a->from >= 0 && a->box >= 1 && a->box <= SPX_RESIZE_MAX && a->wanted >= 1 &&
           a->wanted <= SPX_RESIZE_MAX && a->given >= 1 && a->given <= SPX_RESIZE_MAX &&
           a->from <= SPX_RESIZE_MAX && (int64_t)a->given * a->shrink >= (int64_t)a->from + a->box;
}

/* ---- scratch memory ---- */

typedef struct scratch {
    const spx_resample_loops *loops;
    double *line, *plane, *weight, *inverse; /* line: a row of sums along y; plane: one channel's */
    int32_t *first;
    int16_t *rows; /* weights of one wanted row */
    uint8_t *row;  /* a wanted row before its channels part; or of one channel */
} scratch;

/* Where each part begins, and where the last ends. */
typedef struct layout {
    size_t plane, weight, inverse, first, rows, row, end; /* line: at 0 */
} layout;

static size_t after(size_t begin, size_t n, size_t bytes)
{
    return (begin + n * bytes + 63) / 64 * 64;
}

static layout lay_out(const spx_resample *r)
{
    const size_t channels = (size_t)r->channels, wanted = (size_t)r->x.wanted;
    const size_t taps = (size_t)most_taps(&r->x);
    layout at;
    at.plane = after(0, channels * ((size_t)r->x.given + taps) + 4, sizeof(double));
    at.weight = after(at.plane, (size_t)r->x.given, sizeof(double));
    at.inverse = after(at.weight, wanted * taps, sizeof(double));
    at.first = after(at.inverse, wanted, sizeof(double));
    at.rows = after(at.first, wanted, sizeof(int32_t));
    at.row = after(at.rows, (size_t)most_taps(&r->y), sizeof(int16_t));
    at.end = after(at.row, channels, wanted);
    return at;
}

size_t spx_resample_room(const spx_resample *r)
{
    return lay_out(r).end;
}

static scratch deal_out(const spx_resample *r, void *memory)
{
    const layout at = lay_out(r);
    uint8_t *const m = memory;
    return (scratch){.loops = loops(),
                     .line = memory,
                     .plane = (void *)(m + at.plane),
                     .weight = (void *)(m + at.weight),
                     .inverse = (void *)(m + at.inverse),
                     .first = (void *)(m + at.first),
                     .rows = (void *)(m + at.rows),
                     .row = m + at.row};
}

/* ---- the whole ---- */

static uint8_t *place(const spx_resample *r, int c, int y, int x)
{
    const ptrdiff_t height = r->y.wanted, width = r->x.wanted;
    return r->planes ? r->out + (c * height + y) * width + x
                     : r->out + (y * width + x) * r->channels + c;
}

/* By the definition; for sums that double does not hold. */
static void run_plain(const spx_resample *r)
{
    const ptrdiff_t pixel = r->plane == 0 ? r->channels : 1;
    for (int c = 0; c < r->channels; c++) {
        const uint8_t *const from = r->src + c * (r->plane == 0 ? 1 : r->plane);
        for (int y = 0; y < r->y.wanted; y++) {
            const spx_resize_taps down = spx_resample_at(&r->y, y);
            for (int x = 0; x < r->x.wanted; x++) {
                const spx_resize_taps along = spx_resample_at(&r->x, x);
                *place(r, c, y, r->flip ? r->x.wanted - 1 - x : x) =
                    spx_resize_pixel(from, r->row, pixel, &down, &along);
            }
        }
    }
}

static void make_columns(const spx_resample *r, scratch *s, spx_resample_columns *c)
{
    *c = (spx_resample_columns){.wanted = r->x.wanted,
                                .taps = most_taps(&r->x),
                                .first = s->first,
                                .weight = s->weight,
                                .inverse = s->inverse};
    for (int x = 0; x < c->wanted; x++) {
        const spx_resize_taps t = spx_resample_at(&r->x, r->flip ? c->wanted - 1 - x : x);
        double *const weight = s->weight + (ptrdiff_t)x * c->taps;
        uint64_t sum = 0;
        assert(t.first < t.end && t.end - t.first <= c->taps);
        for (int64_t i = 0; i < c->taps; i++) {
            const uint64_t w = t.first + i < t.end ? spx_resize_weight(&t, t.first + i) : 0;
            weight[i] = (double)w;
            sum += w;
        }
        s->first[x] = (int32_t)t.first;
        s->inverse[x] = 1.0 / (double)sum;
    }
}

/* One wanted row of some channels, the first at src, interleaved. */
static void make_row(const spx_resample *r, const scratch *s, const spx_resample_columns *c,
                     const uint8_t *src, int channels, int y, uint8_t *to)
{
    const spx_resize_taps t = spx_resample_at(&r->y, y);
    uint64_t sum = 0;
    for (int64_t i = t.first; i < t.end; i++) {
        const uint64_t w = spx_resize_weight(&t, i);
        s->rows[i - t.first] = (int16_t)w;
        sum += w;
    }
    src += t.first * r->row;
    if (r->plane == 0 || channels == 1) {
        s->loops->rows(src, r->row, s->rows, (int)(t.end - t.first), channels * r->x.given,
                       s->line);
    } else {
        for (int k = 0; k < channels; k++) {
            s->loops->rows(src + k * r->plane, r->row, s->rows, (int)(t.end - t.first), r->x.given,
                           s->plane);
            for (ptrdiff_t i = 0; i < r->x.given; i++) {
                s->line[i * channels + k] = s->plane[i];
            }
        }
    }
    s->loops->columns(s->line, channels, c, 1.0 / (double)sum, to);
}

/* Puts a row of interleaved channels where planes want it, or one channel's where pixels do. */
static void spread(const spx_resample *r, int c, int channels, int y, const uint8_t *row)
{
    const ptrdiff_t step = r->planes ? 1 : r->channels;
    for (int k = 0; k < channels; k++) {
        uint8_t *const to = place(r, c + k, y, 0);
        for (ptrdiff_t x = 0; x < r->x.wanted; x++) {
            to[x * step] = row[x * channels + k];
        }
    }
}

spx_status spx_resample_run(const spx_resample *r, void *memory)
{
    /* Channels that are made at once: three cost little more than one, even of planes. */
    const int together = r->plane == 0 || r->channels == 3 ? r->channels : 1;
    const bool direct = together == (r->planes ? 1 : r->channels); /* a row lies as it is made */
    spx_resample_columns c;
    scratch s;
    if (!is_axis(&r->y) || !is_axis(&r->x) || r->channels < 1 || r->channels > 4 ||
        (together != 1 && together != 3)) {
        return SPX_FAIL(SPX_EINVAL, "resample: %d channels, %d of %dx%d pixels at %d,%d to %dx%d",
                        r->channels, together, r->y.box, r->x.box, r->y.from, r->x.from,
                        r->y.wanted, r->x.wanted);
    }
    if (!is_small(r)) {
        run_plain(r);
        return SPX_OK;
    }
    s = deal_out(r, memory);
    make_columns(r, &s, &c);
    memset(s.line + (ptrdiff_t)together * r->x.given, 0,
           ((size_t)together * (size_t)c.taps + 4) * sizeof *s.line);
    for (int k = 0; k < r->channels; k += together) {
        const uint8_t *const src = r->src + k * r->plane;
        for (int y = 0; y < r->y.wanted; y++) {
            uint8_t *const to = direct ? place(r, k, y, 0) : s.row;
            make_row(r, &s, &c, src, together, y, to);
            if (!direct) {
                spread(r, k, together, y, to);
            }
        }
    }
    return SPX_OK;
}
