/* Validation, packing and the outer loops. */
#include "kernels/nn/conv2d_ring/conv2d_ring.h"

#include "kernels/base/alloc.h"
#include "kernels/nn/conv2d_ring/conv2d_ring_private.h"

#include <assert.h>
#include <string.h>

#define MAX_SIDE ((int64_t)1 << 16)
#define MAX_ELEMENTS ((int64_t)1 << 28) /* of any operand, so that int32 offsets reach them */
#define MIN_CHUNK 48 /* steps between two widenings, below which more limbs pay */

enum { PIXELS = SPX_RING_PIXELS, FILTERS = SPX_RING_FILTERS };

struct spx_conv2d_ring {
    spx_conv2d_ring_shape d;
    int64_t pairs;         /* of input channels */
    int64_t rows, columns; /* of the padded operand */
    size_t steps;          /* pairs * size * size */
    size_t blocks;         /* of filters */
    size_t groups;         /* of pixels */
    int weight_limbs;      /* 1 or 2 */
    int32_t weight_max;    /* largest size of a weight limb the width allows */
    int32_t *step;         /* [steps] offset of a step, in pairs */
    int32_t *pixel;        /* [groups][PIXELS] offset of an output pixel; the tail repeats */
    int16_t *w;            /* [blocks][weight_limbs][steps][FILTERS][2] */
    size_t w_bytes;
};

/* ---- making ---- */

static bool in_range(int64_t v, int64_t min, int64_t max)
{
    return v >= min && v <= max;
}

static bool volume_fits(int64_t a, int64_t b, int64_t c)
{
    int64_t v;
    return spx_mul_i64(a, b, &v) && spx_mul_i64(v, c, &v) && v <= MAX_ELEMENTS;
}

spx_status spx_conv2d_ring_check(const spx_conv2d_ring_shape *d)
{
    const bool sides = in_range(d->c, 1, MAX_SIDE) && in_range(d->h, 1, MAX_SIDE) &&
                       in_range(d->w, 1, MAX_SIDE) && in_range(d->k, 1, MAX_SIDE * 16) &&
                       in_range(d->p, 1, MAX_SIDE) && in_range(d->q, 1, MAX_SIDE) &&
                       in_range(d->size, 1, 64) && in_range(d->stride, 1, 64) &&
                       in_range(d->dilation, 1, 64) && in_range(d->pad, -MAX_SIDE, MAX_SIDE);
    if (!sides) {
        return SPX_FAIL(SPX_EINVAL, "ring convolution: a size out of range");
    }
    const int64_t reach = (d->size - 1) * d->dilation + 1;
    if (!volume_fits(d->c + 1, (d->p - 1) * d->stride + reach, (d->q - 1) * d->stride + reach) ||
        !volume_fits(d->c, d->h, d->w) || !volume_fits(d->k, d->p, d->q) ||
        !volume_fits(d->k + FILTERS, d->c + 1, d->size * d->size)) {
        return SPX_FAIL(SPX_EINVAL, "ring convolution: too large");
    }
    return SPX_OK;
}

/*
 * The sizes of w's elements, one OR the other: as many bits as the largest, which are public, and
 * no branch on a weight. -1 where one is out of range, which ends everything.
 */
static int32_t sizes(const int32_t *w, size_t n)
{
    uint64_t all = 0, beyond = 0;
    for (size_t i = 0; i < n; i++) {
        const int64_t v = w[i], sign = v >> 63;
        all |= (uint64_t)((v ^ sign) - sign);
        beyond |= (uint64_t)(SPX_CONV2D_RING_MAX_WEIGHT - v);
        beyond |= (uint64_t)(SPX_CONV2D_RING_MAX_WEIGHT + v);
    }
    return (int32_t)(uint32_t)(all | (0 - (beyond >> 63)));
}

/* Limb l of weight v: v itself, or v = high << SPX_RING_WEIGHT_LIMB | low, low signed too. */
static int16_t weight_limb(const spx_conv2d_ring *f, int32_t v, int l)
{
    if (f->weight_limbs == 1) {
        return (int16_t)v;
    }
    const int32_t half = 1 << (SPX_RING_WEIGHT_LIMB - 1);
    const int32_t low = ((v + half) & (2 * half - 1)) - half;
    return (int16_t)(l == 0 ? low : (v - low) / (2 * half));
}

static void pack_weights(spx_conv2d_ring *f, const int32_t *w)
{
    const spx_conv2d_ring_shape *d = &f->d;
    const int64_t taps = d->size * d->size;
    for (int64_t k = 0; k < d->k; k++) {
        for (int64_t c = 0; c < d->c; c++) {
            for (int64_t t = 0; t < taps; t++) {
                for (int l = 0; l < f->weight_limbs; l++) {
                    const size_t block =
                        (size_t)(k / FILTERS) * (size_t)f->weight_limbs + (size_t)l;
                    const size_t step = (size_t)((c / 2) * taps + t);
                    const size_t at =
                        ((block * f->steps + step) * FILTERS + (size_t)(k % FILTERS)) * 2;
                    f->w[at + (size_t)(c % 2)] = weight_limb(f, w[(k * d->c + c) * taps + t], l);
                }
            }
        }
    }
}

static void fill_offsets(spx_conv2d_ring *f)
{
    const spx_conv2d_ring_shape *d = &f->d;
    size_t n = 0;
    for (int64_t c = 0; c < f->pairs; c++) {
        for (int64_t a = 0; a < d->size; a++) {
            for (int64_t b = 0; b < d->size; b++) {
                f->step[n++] =
                    (int32_t)((c * f->rows + a * d->dilation) * f->columns + b * d->dilation);
            }
        }
    }
    const int64_t pixels = d->p * d->q;
    for (int64_t i = 0; i < (int64_t)f->groups * PIXELS; i++) {
        const int64_t at = i < pixels ? i : pixels - 1;
        f->pixel[i] = (int32_t)(((at / d->q) * d->stride) * f->columns + (at % d->q) * d->stride);
    }
}

/* All but the memory. @param all  the largest weight's bits, all set */
static void size_up(spx_conv2d_ring *f, const spx_conv2d_ring_shape *d, int32_t all)
{
    f->d = *d;
    f->pairs = (d->c + 1) / 2;
    f->rows = (d->p - 1) * d->stride + (d->size - 1) * d->dilation + 1;
    f->columns = (d->q - 1) * d->stride + (d->size - 1) * d->dilation + 1;
    f->steps = (size_t)(f->pairs * d->size * d->size);
    f->blocks = (size_t)((d->k + FILTERS - 1) / FILTERS);
    f->groups = (size_t)((d->p * d->q + PIXELS - 1) / PIXELS);
    /* Limbs by the bits of the largest weight, which are public; not by its value. */
    f->weight_limbs = all > INT16_MAX ? 2 : 1;
    f->weight_max = 1;
    while (f->weight_max - 1 < all) {
        f->weight_max *= 2;
    }
    if (f->weight_limbs == 2) {
        f->weight_max = 1 << (SPX_RING_WEIGHT_LIMB - 1);
    }
}

spx_status spx_conv2d_ring_create(spx_conv2d_ring **out, const spx_conv2d_ring_shape *d,
                                  const int32_t *w)
{
    spx_conv2d_ring *f;
    spx_status st;
    *out = NULL;
    SPX_RETURN_IF(spx_conv2d_ring_check(d));
    const int32_t all = sizes(w, (size_t)(d->k * d->c * d->size * d->size));
    if (all < 0) {
        return SPX_FAIL(SPX_EINVAL, "ring convolution: a weight beyond %d",
                        (int)SPX_CONV2D_RING_MAX_WEIGHT);
    }
    SPX_RETURN_IF(SPX_NEW(f, 1));
    size_up(f, d, all);
    f->w_bytes = f->blocks * (size_t)f->weight_limbs * f->steps * FILTERS * 2 * sizeof *f->w;
    SPX_TRY(st, SPX_NEW(f->step, f->steps), fail);
    SPX_TRY(st, SPX_NEW(f->pixel, f->groups * PIXELS), fail);
    SPX_TRY(st, SPX_NEW(f->w, f->w_bytes / sizeof *f->w), fail);
    pack_weights(f, w);
    fill_offsets(f);
    *out = f;
    return SPX_OK;
fail:
    spx_conv2d_ring_destroy(f);
    return st;
}

void spx_conv2d_ring_destroy(spx_conv2d_ring *f)
{
    if (f == NULL) {
        return;
    }
    if (f->w != NULL) {
        volatile unsigned char *secret = (volatile unsigned char *)(void *)f->w;
        for (size_t i = 0; i < f->w_bytes; i++) {
            secret[i] = 0;
        }
    }
    spx_free(f->w);
    spx_free(f->step);
    spx_free(f->pixel);
    spx_free(f);
}

/* ---- running ---- */

/* How an operand is cut. */
typedef struct cut {
    int limbs, bits; /* of a limb */
    size_t chunk;    /* steps whose sums fit 32 bits */
} cut;

/* The fewest limbs of at most 15 bits with room for MIN_CHUNK steps between widenings. */
static cut cut_of(const spx_conv2d_ring *f, spx_ring_range range)
{
    cut c;
    for (c.limbs = (range.bits + 14) / 15;; c.limbs++) {
        c.bits = (range.bits + c.limbs - 1) / c.limbs;
        /* A step adds two products of at most 2^bits - 1 and weight_max in size. */
        c.chunk = (size_t)(INT32_MAX / (2 * (((int64_t)1 << c.bits) - 1) * f->weight_max));
        if (c.chunk >= MIN_CHUNK || c.chunk >= f->steps || c.bits == 1) {
            return c;
        }
    }
}

static size_t limb_pairs(const spx_conv2d_ring *f)
{
    return (size_t)(f->pairs * f->rows * f->columns);
}

size_t spx_conv2d_ring_scratch(const spx_conv2d_ring *f, spx_ring_range range)
{
    return limb_pairs(f) * (size_t)cut_of(f, range).limbs * sizeof(int16_t[2]);
}

spx_conv2d_ring_work spx_conv2d_ring_count(const spx_conv2d_ring_shape *d, spx_ring_range range,
                                           int weight_bits)
{
    spx_conv2d_ring f;
    size_up(&f, d, (int32_t)(((int64_t)1 << (weight_bits - 1)) - 1));
    const cut c = cut_of(&f, range);
    const double dots = (double)f.blocks * (double)f.groups * f.weight_limbs * c.limbs;
    return (spx_conv2d_ring_work){.steps = dots * (double)f.steps,
                                  .sums = dots * (double)((f.steps + c.chunk - 1) / c.chunk),
                                  .packed = 2 * (double)limb_pairs(&f) *
                                            c.limbs}; /* whether or not a pair is whole */
}

typedef struct job {
    const spx_conv2d_ring *f;
    cut cut;
    spx_ring_range range;
    const int64_t *x;
    int64_t *y;
    int16_t (*limbs)[2]; /* [limbs][pairs][rows][columns] */
    spx_ring_dot dot;
} job;

/* One row of one channel: its elements' limb l to every second int16 of `to`. */
static void pack_row(const job *j, int l, const int64_t *from, int64_t n, int16_t *to)
{
    const bool top = l == j->cut.limbs - 1;
    const int shift = l * j->cut.bits;
    const int64_t kept = top && !j->range.is_signed ? j->range.bits - shift : j->cut.bits;
    const int64_t mask = top && j->range.is_signed ? -1 : ((int64_t)1 << kept) - 1;
    for (int64_t i = 0; i < n; i++) {
        to[2 * i] = (int16_t)((from[i] >> shift) & mask);
    }
}

/* Pairs of channels [begin, end) of all limbs, zeros around them. */
static void pack_operand(void *ctx, int worker, size_t begin, size_t end)
{
    const job *j = ctx;
    const spx_conv2d_ring_shape *d = &j->f->d;
    const int64_t rows = j->f->rows, columns = j->f->columns;
    const int64_t left = d->pad > 0 ? d->pad : 0, skip = d->pad < 0 ? -d->pad : 0;
    int64_t n = d->w - skip;
    (void)worker;
    n = n > columns - left ? columns - left : n;
    for (size_t c = begin; c < end; c++) {
        for (int l = 0; l < j->cut.limbs; l++) {
            int16_t(*to)[2] =
                j->limbs + (size_t)l * limb_pairs(j->f) + c * (size_t)(rows * columns);
            memset(to, 0, (size_t)(rows * columns) * sizeof *to);
            for (int64_t row = left; row < rows && row - d->pad < d->h && n > 0; row++) {
                for (int64_t half = 0; half < 2 && (int64_t)(2 * c) + half < d->c; half++) {
                    const int64_t channel = (int64_t)(2 * c) + half;
                    pack_row(j, l, j->x + (channel * d->h + row - d->pad) * d->w + skip, n,
                             &to[row * columns + left][half]);
                }
            }
        }
    }
}

static void add_sums(const job *j, size_t block, size_t group, int64_t sum[PIXELS][FILTERS])
{
    const spx_conv2d_ring_shape *d = &j->f->d;
    const int64_t pixels = d->p * d->q;
    for (int64_t k = 0; k < FILTERS && (int64_t)block * FILTERS + k < d->k; k++) {
        int64_t *y = j->y + ((int64_t)block * FILTERS + k) * pixels + (int64_t)group * PIXELS;
        for (int64_t u = 0; u < PIXELS && (int64_t)group * PIXELS + u < pixels; u++) {
            y[u] = (int64_t)((uint64_t)y[u] + (uint64_t)sum[u][k]);
        }
    }
}

/* Items are (block of filters, group of pixels). */
static void multiply(void *ctx, int worker, size_t begin, size_t end)
{
    const job *j = ctx;
    const spx_conv2d_ring *f = j->f;
    (void)worker;
    for (size_t item = begin; item < end; item++) {
        const size_t block = item / f->groups, group = item % f->groups;
        int64_t sum[PIXELS][FILTERS] = {{0}};
        for (int wl = 0; wl < f->weight_limbs; wl++) {
            const int16_t *w =
                f->w + (block * (size_t)f->weight_limbs + (size_t)wl) * f->steps * FILTERS * 2;
            for (int l = 0; l < j->cut.limbs; l++) {
                const int shift = l * j->cut.bits + wl * SPX_RING_WEIGHT_LIMB;
                if (shift < 64) {
                    j->dot(w, (const int16_t(*)[2])(j->limbs + (size_t)l * limb_pairs(f)),
                           f->pixel + group * PIXELS, f->step, f->steps, j->cut.chunk, shift, sum);
                }
            }
        }
        add_sums(j, block, group, sum);
    }
}

void spx_conv2d_ring_run(const spx_conv2d_ring *f, const int64_t *x, spx_ring_range range,
                         int64_t *y, void *scratch, spx_pool *pool)
{
    assert(range.bits >= 1 && range.bits <= 64);
    job j = {.f = f,
             .cut = cut_of(f, range),
             .range = range,
             .x = x,
             .y = y,
             .limbs = scratch,
             .dot = SPX_PICK_VARIANT(spx_ring_table)->dot};
    if (pool == NULL) {
        pack_operand(&j, 0, 0, (size_t)f->pairs);
        multiply(&j, 0, 0, f->blocks * f->groups);
    } else {
        spx_pool_run(pool, (size_t)f->pairs, pack_operand, &j);
        spx_pool_run(pool, f->blocks * f->groups, multiply, &j);
    }
}
