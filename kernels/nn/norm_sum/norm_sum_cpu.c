/*
 * Compiled once per instruction set. A channel's pixels lie in rows of hw floats, one an image.
 * These ops are bound by memory, and memory is fast only in long runs: so rows of adjacent channels
 * are taken together, image after image, and of many terms only a few (GROUP) at a time. Sums run
 * in single-precision lanes for at most FLUSH pixels and then go to double.
 */
#include "kernels/base/lanes.h"
#include "kernels/nn/norm_sum/norm_sum_private.h"

#define GROUP 4                  /* terms per pass over a run */
#define FLUSH ((size_t)2048)     /* pixels of a row after which lanes go to double */
#define STATS_BLOCK ((size_t)64) /* channels whose sums are carried together */
#define REDUCE_BLOCK                                                                               \
    ((size_t)64)               /* likewise; 200 KB of a worker's stack, of which k/48 is touched */
#define RUN ((size_t)8192)     /* floats of a run: y or dz stays in cache while all terms pass */
#define FACTORS ((size_t)4096) /* (channel, term) factors computed at a time */

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* ---- statistics ---- */

/* Adds x - shift and (x - shift)^2 to the lanes. */
static void shifted_sums(const float *x, size_t len, float shift, v8 *sum, v8 *sum2)
{
    const v8 s = v8_set(shift);
    v8 a1 = *sum, a2 = *sum2, b1 = v8_set(0), b2 = b1; /* two chains hide the adders' latency */
    size_t i = 0;
    for (; i + 2 * SPX_LANES <= len; i += 2 * SPX_LANES) {
        const v8 d = v8_sub(v8_load(x + i), s), e = v8_sub(v8_load(x + i + SPX_LANES), s);
        a1 = v8_add(a1, d);
        a2 = v8_fma(d, d, a2);
        b1 = v8_add(b1, e);
        b2 = v8_fma(e, e, b2);
    }
    for (; i < len; i += SPX_LANES) {
        const v8 d = v8_sub(v8_load_part(x + i, min_size(SPX_LANES, len - i), s), s);
        a1 = v8_add(a1, d);
        a2 = v8_fma(d, d, a2);
    }
    *sum = v8_add(a1, b1);
    *sum2 = v8_add(a2, b2);
}

static float row_mean(const float *x, size_t hw)
{
    double sum = 0;
    for (size_t at = 0; at < hw; at += FLUSH) {
        v8 lanes = v8_set(0), unused = lanes;
        shifted_sums(x + at, min_size(FLUSH, hw - at), 0.0f, &lanes, &unused);
        sum += v8_sum(lanes);
    }
    return (float)(sum / (double)hw);
}

typedef struct block_stats {
    float shift[STATS_BLOCK];
    v8 lanes[STATS_BLOCK], lanes2[STATS_BLOCK];
} block_stats;

static void flush_stats(block_stats *b, size_t channels, double (*out)[2])
{
    for (size_t i = 0; i < channels; i++) {
        out[i][0] += v8_sum(b->lanes[i]);
        out[i][1] += v8_sum(b->lanes2[i]);
        b->lanes[i] = b->lanes2[i] = v8_set(0);
    }
}

/*
 * Channels [c0, c0 + channels) of images [begin, end), with the mean of the first image's row as
 * shift. Let that row's mean be off by D: it alone gives the channel a variance of at least about
 * D^2/n, so sum2/m - (sum/m)^2 loses at most a factor n of its digits, whatever the mean.
 */
static void stats_block(const spx_bn_stats_args *a, size_t c0, size_t channels, size_t begin,
                        size_t end, double (*out)[2])
{
    const float *x = a->x + c0 * a->hw;
    block_stats b;
    size_t pending = 0;
    for (size_t i = 0; i < channels; i++) {
        b.shift[i] = row_mean(x + i * a->hw, a->hw);
        b.lanes[i] = b.lanes2[i] = v8_set(0);
        if (begin == 0) { /* the others computed the same */
            a->mean[c0 + i] = b.shift[i];
        }
    }
    for (size_t n = begin; n < end; n++) {
        for (size_t at = 0; at < a->hw; at += FLUSH) {
            const size_t len = min_size(FLUSH, a->hw - at);
            for (size_t i = 0; i < channels; i++) {
                shifted_sums(x + n * a->stride + i * a->hw + at, len, b.shift[i], &b.lanes[i],
                             &b.lanes2[i]);
            }
            pending += len;
            if (pending >= FLUSH) {
                flush_stats(&b, channels, out);
                pending = 0;
            }
        }
    }
    flush_stats(&b, channels, out);
}

static void stats(void *ctx, int worker, size_t begin, size_t end)
{
    const spx_bn_stats_args *a = ctx;
    for (size_t i = 0; i < a->channels; i += STATS_BLOCK) {
        stats_block(a, a->c0 + i, min_size(STATS_BLOCK, a->channels - i), begin, end,
                    a->partial + (size_t)worker * a->channels + i);
    }
}

/* ---- forward ---- */

/* A term of a channel is scale * x + shift, before its mask. */
typedef struct affine {
    float scale, shift;
} affine;

static affine term_affine(const spx_norm_term *t, size_t c)
{
    const double coef = t->coef != NULL ? (double)*t->coef : 1.0;
    double gamma, beta, g;
    if (t->mean == NULL) {
        return (affine){(float)coef, 0};
    }
    gamma = t->gamma != NULL ? (double)t->gamma[c] : 1.0;
    beta = t->beta != NULL ? (double)t->beta[c] : 0.0;
    g = gamma * (double)t->invstd[c];
    return (affine){(float)(coef * g), (float)(coef * (beta - g * (double)t->mean[c]))};
}

/* Up to GROUP terms of one image: what they add to channels from c0 on. */
typedef struct group {
    const float *x[GROUP]; /* at channel c0 */
    float mask[GROUP];
    const affine *f[GROUP]; /* at channel c0 */
    bool first, last;       /* of the image's groups: y is begun, the ReLU applied */
} group;

/* y = (y or 0) + shift + sum of a[j] * x[j] over `count` rows; count is a constant in each call */
static inline void add_row(const group *g, int count, const float a[], float shift, size_t offset,
                           size_t len, bool relu, float *y)
{
    const v8 s = v8_set(shift), zero = v8_set(0);
    size_t i = 0;
    for (; i + SPX_LANES <= len; i += SPX_LANES) {
        v8 sum = g->first ? s : v8_add(s, v8_load(y + i));
        for (int j = 0; j < count; j++) {
            sum = v8_fma(v8_set(a[j]), v8_load(g->x[j] + offset + i), sum);
        }
        v8_store(y + i, relu ? v8_relu(sum) : sum);
    }
    if (i < len) {
        v8 sum = g->first ? s : v8_add(s, v8_load_part(y + i, len - i, zero));
        for (int j = 0; j < count; j++) {
            sum = v8_fma(v8_set(a[j]), v8_load_part(g->x[j] + offset + i, len - i, zero), sum);
        }
        v8_store_part(y + i, len - i, relu ? v8_relu(sum) : sum);
    }
}

/* Adds a group to a run of channels, `len` pixels each, hw apart. */
static void add_group(const group *g, int count, size_t channels, size_t hw, size_t len, bool relu,
                      float *y)
{
    for (size_t c = 0; c < channels; c++) {
        float a[GROUP], shift = 0;
        for (int j = 0; j < count; j++) {
            a[j] = g->mask[j] * g->f[j][c].scale;
            shift += g->mask[j] * g->f[j][c].shift;
        }
        switch (count) {
        case 1:
            add_row(g, 1, a, shift, c * hw, len, relu && g->last, y + c * hw);
            break;
        case 2:
            add_row(g, 2, a, shift, c * hw, len, relu && g->last, y + c * hw);
            break;
        case 3:
            add_row(g, 3, a, shift, c * hw, len, relu && g->last, y + c * hw);
            break;
        default:
            add_row(g, GROUP, a, shift, c * hw, len, relu && g->last, y + c * hw);
        }
    }
}

/* Factors of all terms in channels [c0, c0 + channels), term after term. */
typedef struct factors {
    size_t c0, channels;
    affine f[FACTORS];
} factors;

static void fill_factors(const spx_norm_sum_args *a, factors *f)
{
    for (int j = 0; j < a->k; j++) {
        for (size_t c = 0; c < f->channels; c++) {
            f->f[(size_t)j * f->channels + c] = term_affine(&a->term[j], f->c0 + c);
        }
    }
}

/* Pixels [at, at + len) of channels [c, c + channels) of image n. */
static void forward_run(const spx_norm_sum_args *a, const factors *f, size_t n, size_t c,
                        size_t channels, size_t at, size_t len)
{
    const size_t offset = c * a->hw + at;
    float *y = a->out + n * a->out_stride + offset;
    int live[SPX_NORM_SUM_MAX], count = 0;
    for (int j = 0; j < a->k; j++) { /* a dropped path is not read */
        if (a->term[j].mask == NULL || a->term[j].mask[n] != 0.0f) {
            live[count++] = j;
        }
    }
    if (count == 0) {
        for (size_t i = 0; i < channels * len; i++) { /* channels > 1 only where len is hw */
            y[i] = 0;
        }
    }
    for (int v = 0; v < count; v += GROUP) {
        const int terms = count - v < GROUP ? count - v : GROUP;
        group g = {.first = v == 0, .last = v + terms == count};
        for (int j = 0; j < terms; j++) {
            const spx_norm_term *t = &a->term[live[v + j]];
            g.x[j] = spx_image(t->x, (int64_t)n) + offset;
            g.mask[j] = t->mask != NULL ? t->mask[n] : 1.0f;
            g.f[j] = &f->f[(size_t)live[v + j] * f->channels + (c - f->c0)];
        }
        add_group(&g, terms, channels, a->hw, len, a->relu, y);
    }
}

/* Channels [c, end) of image n, as runs. */
static void forward_channels(const spx_norm_sum_args *a, const factors *f, size_t n, size_t c,
                             size_t end)
{
    const size_t together = a->hw >= RUN ? 1 : RUN / a->hw;
    for (; c < end; c += together) {
        for (size_t at = 0; at < a->hw; at += RUN) {
            forward_run(a, f, n, c, min_size(together, end - c), at, min_size(RUN, a->hw - at));
        }
    }
}

/* Rows [begin, end) of n*c. */
static void forward(void *ctx, int worker, size_t begin, size_t end)
{
    const spx_norm_sum_args *a = ctx;
    const size_t most = FACTORS / (size_t)a->k;
    factors f;
    (void)worker;
    for (f.c0 = 0; f.c0 < a->c; f.c0 += f.channels) { /* once round, but for very many channels */
        f.channels = min_size(most, a->c - f.c0);
        fill_factors(a, &f);
        for (size_t n = begin / a->c; n * a->c < end; n++) {
            const size_t row = n * a->c, last = f.c0 + f.channels;
            const size_t from = begin > row + f.c0 ? begin - row : f.c0;
            const size_t to = end < row + last ? end - row : last;
            if (begin < row + last && end > row + f.c0) {
                forward_channels(a, &f, n, from, to);
            }
        }
    }
}

/* ---- backward ---- */

/* dz: dy itself, or dy behind the ReLU, written to buf */
static const float *behind_relu(const spx_norm_sum_args *a, size_t n, size_t offset, size_t len,
                                float *buf)
{
    const float *dy = a->dy + n * a->dy_stride + offset, *y;
    const v8 zero = v8_set(0);
    size_t i = 0;
    if (!a->relu) {
        return dy;
    }
    y = a->y + n * a->y_stride + offset;
    for (; i + SPX_LANES <= len; i += SPX_LANES) {
        v8_store(buf + i, v8_where_positive(v8_load(y + i), v8_load(dy + i)));
    }
    if (i < len) {
        v8_store_part(buf + i, len - i,
                      v8_where_positive(v8_load_part(y + i, len - i, zero),
                                        v8_load_part(dy + i, len - i, zero)));
    }
    return buf;
}

static v8 row_sum(const float *x, size_t len)
{
    v8 a = v8_set(0), b = a;
    size_t i = 0;
    for (; i + 2 * SPX_LANES <= len; i += 2 * SPX_LANES) {
        a = v8_add(a, v8_load(x + i));
        b = v8_add(b, v8_load(x + i + SPX_LANES));
    }
    for (; i < len; i += SPX_LANES) {
        a = v8_add(a, v8_load_part(x + i, min_size(SPX_LANES, len - i), v8_set(0)));
    }
    return v8_add(a, b);
}

/* GROUP terms of a run: rows of x beside one of dz. */
typedef struct dot_rows {
    const float *x[GROUP];    /* at the run's first channel */
    const float *mean[GROUP]; /* likewise, `step` floats from channel to channel */
    size_t step[GROUP];
    float factor[GROUP];
} dot_rows;

/*
 * out[j] += factor[j] * dz * (x[j] - mean[j]) over GROUP rows. The mean goes first, so that a large
 * one cancels nothing.
 */
static inline void row_dots(size_t len, const float *dz, const dot_rows *g, size_t c, size_t hw,
                            v8 out[GROUP])
{
    const float *x0 = g->x[0] + c * hw, *x1 = g->x[1] + c * hw, *x2 = g->x[2] + c * hw,
                *x3 = g->x[3] + c * hw;
    const v8 m0 = v8_set(g->mean[0][c * g->step[0]]), m1 = v8_set(g->mean[1][c * g->step[1]]),
             m2 = v8_set(g->mean[2][c * g->step[2]]), m3 = v8_set(g->mean[3][c * g->step[3]]);
    v8 s0 = v8_set(0), s1 = s0, s2 = s0, s3 = s0;
    size_t i = 0;
    for (; i + SPX_LANES <= len; i += SPX_LANES) {
        const v8 d = v8_load(dz + i);
        s0 = v8_fma(d, v8_sub(v8_load(x0 + i), m0), s0);
        s1 = v8_fma(d, v8_sub(v8_load(x1 + i), m1), s1);
        s2 = v8_fma(d, v8_sub(v8_load(x2 + i), m2), s2);
        s3 = v8_fma(d, v8_sub(v8_load(x3 + i), m3), s3);
    }
    if (i < len) {
        const size_t part = len - i;
        const v8 d = v8_load_part(dz + i, part, v8_set(0));
        s0 = v8_fma(d, v8_sub(v8_load_part(x0 + i, part, m0), m0), s0);
        s1 = v8_fma(d, v8_sub(v8_load_part(x1 + i, part, m1), m1), s1);
        s2 = v8_fma(d, v8_sub(v8_load_part(x2 + i, part, m2), m2), s2);
        s3 = v8_fma(d, v8_sub(v8_load_part(x3 + i, part, m3), m3), s3);
    }
    out[0] = v8_fma(v8_set(g->factor[0]), s0, out[0]);
    out[1] = v8_fma(v8_set(g->factor[1]), s1, out[1]);
    out[2] = v8_fma(v8_set(g->factor[2]), s2, out[2]);
    out[3] = v8_fma(v8_set(g->factor[3]), s3, out[3]);
}

static v8 row_dot(size_t len, const float *dz, const float *x, float mean)
{
    const v8 m = v8_set(mean);
    v8 a = v8_set(0), b = a;
    size_t i = 0;
    for (; i + 2 * SPX_LANES <= len; i += 2 * SPX_LANES) {
        a = v8_fma(v8_load(dz + i), v8_sub(v8_load(x + i), m), a);
        b = v8_fma(v8_load(dz + i + SPX_LANES), v8_sub(v8_load(x + i + SPX_LANES), m), b);
    }
    for (; i < len; i += SPX_LANES) {
        const size_t part = min_size(SPX_LANES, len - i);
        a = v8_fma(v8_load_part(dz + i, part, v8_set(0)), v8_sub(v8_load_part(x + i, part, m), m),
                   a);
    }
    return v8_add(a, b);
}

/* The reductions of a block of channels. */
typedef struct block_sums {
    int wanted, masked;                           /* how many terms: */
    int wanted_term[SPX_NORM_SUM_MAX];            /* whose product with dz is wanted */
    int masked_term[SPX_NORM_SUM_MAX];            /* whose sum of dz is their own */
    v8 dz[REDUCE_BLOCK];                          /* sum of dz, shared */
    v8 masked_dz[REDUCE_BLOCK][SPX_NORM_SUM_MAX]; /* sum of mask * dz */
    v8 dot[REDUCE_BLOCK][SPX_NORM_SUM_MAX];       /* sum of mask * dz * (x - mean) */
} block_sums;

static void find_terms(const spx_norm_sum_args *a, block_sums *b)
{
    b->wanted = b->masked = 0;
    for (int j = 0; j < a->k; j++) {
        if (a->term[j].mean != NULL || a->grad[j].dcoef != NULL) {
            b->wanted_term[b->wanted++] = j;
        }
        if (a->term[j].mask != NULL) {
            b->masked_term[b->masked++] = j;
        }
    }
}

static void clear_lanes(block_sums *b, size_t channels)
{
    for (size_t i = 0; i < channels; i++) {
        b->dz[i] = v8_set(0);
        for (int v = 0; v < b->masked; v++) {
            b->masked_dz[i][v] = v8_set(0);
        }
        for (int v = 0; v < b->wanted; v++) {
            b->dot[i][v] = v8_set(0);
        }
    }
}

/* out: [channel][term] */
static void flush_sums(const spx_norm_sum_args *a, block_sums *b, size_t channels, double (*out)[2])
{
    for (size_t i = 0; i < channels; i++, out += a->k) {
        const double dz = v8_sum(b->dz[i]);
        for (int j = 0; j < a->k; j++) {
            out[j][0] += a->term[j].mask == NULL ? dz : 0.0;
        }
        for (int v = 0; v < b->masked; v++) {
            out[b->masked_term[v]][0] += v8_sum(b->masked_dz[i][v]);
        }
        for (int v = 0; v < b->wanted; v++) {
            out[b->wanted_term[v]][1] += v8_sum(b->dot[i][v]);
        }
    }
    clear_lanes(b, channels);
}

/* Pixels [at, at + len) of channels c0 + [begin, end) of image n. */
typedef struct run {
    size_t n, c0, begin, end, at, len;
} run;

static void add_dz(const spx_norm_sum_args *a, const run *r, const float *dz, block_sums *b)
{
    for (size_t i = r->begin; i < r->end; i++) {
        const v8 sum = row_sum(dz + (i - r->begin) * a->hw, r->len);
        b->dz[i] = v8_add(b->dz[i], sum);
        for (int v = 0; v < b->masked; v++) {
            const float mask = a->term[b->masked_term[v]].mask[r->n];
            b->masked_dz[i][v] = v8_fma(v8_set(mask), sum, b->masked_dz[i][v]);
        }
    }
}

/* Puts term v of the wanted ones into a slot of g. */
static void locate(const spx_norm_sum_args *a, const run *r, const block_sums *b, int v,
                   dot_rows *g, int slot)
{
    static const float zero = 0;
    const spx_norm_term *t = &a->term[b->wanted_term[v]];
    const size_t c = r->c0 + r->begin;
    g->x[slot] = spx_image(t->x, (int64_t)r->n) + c * a->hw + r->at;
    g->mean[slot] = t->mean != NULL ? t->mean + c : &zero;
    g->step[slot] = t->mean != NULL;
    g->factor[slot] = t->mask != NULL ? t->mask[r->n] : 1.0f;
}

static void add_dots(const spx_norm_sum_args *a, const run *r, const float *dz, block_sums *b)
{
    const size_t channels = r->end - r->begin;
    dot_rows g;
    int v = 0;
    for (; v + GROUP <= b->wanted; v += GROUP) {
        for (int j = 0; j < GROUP; j++) {
            locate(a, r, b, v + j, &g, j);
        }
        for (size_t c = 0; c < channels; c++) {
            row_dots(r->len, dz + c * a->hw, &g, c, a->hw, &b->dot[r->begin + c][v]);
        }
    }
    for (; v < b->wanted; v++) {
        locate(a, r, b, v, &g, 0);
        for (size_t c = 0; c < channels; c++) {
            v8 *out = &b->dot[r->begin + c][v];
            const v8 dot =
                row_dot(r->len, dz + c * a->hw, g.x[0] + c * a->hw, g.mean[0][c * g.step[0]]);
            *out = v8_fma(v8_set(g.factor[0]), dot, *out);
        }
    }
}

/* One image's rows of a block of channels, a run at a time. */
static void reduce_image(const spx_norm_sum_args *a, size_t n, size_t c0, size_t channels,
                         block_sums *b)
{
    const size_t together = a->hw >= RUN ? 1 : RUN / a->hw;
    for (size_t c = 0; c < channels; c += together) {
        for (size_t at = 0; at < a->hw; at += RUN) {
            const run r = {
                n, c0, c, min_size(c + together, channels), at, min_size(RUN, a->hw - at)};
            float buf[RUN];
            const float *dz = behind_relu(a, n, (c0 + c) * a->hw + at,
                                          (r.end - r.begin - 1) * a->hw + r.len, buf);
            add_dz(a, &r, dz, b);
            add_dots(a, &r, dz, b);
        }
    }
}

static void reduce(void *ctx, int worker, size_t begin, size_t end)
{
    const spx_norm_sum_args *a = ctx;
    block_sums b;
    find_terms(a, &b);
    for (size_t c = 0; c < a->channels; c += REDUCE_BLOCK) {
        const size_t channels = min_size(REDUCE_BLOCK, a->channels - c);
        double(*out)[2] = a->partial + ((size_t)worker * a->channels + c) * (size_t)a->k;
        size_t pending = 0;
        clear_lanes(&b, channels);
        for (size_t n = begin; n < end; n++) {
            reduce_image(a, n, a->c0 + c, channels, &b);
            pending += a->hw;
            if (pending >= FLUSH) {
                flush_sums(a, &b, channels, out);
                pending = 0;
            }
        }
        flush_sums(a, &b, channels, out);
    }
}

/* dx = (dx) + a*dz + b*(x - mean) + c over a row */
typedef struct row_affine {
    float a, b, c, mean;
} row_affine;

static row_affine apply_factors(const spx_norm_sum_args *a, size_t n, size_t c)
{
    const spx_norm_term *t = a->term;
    const double m = (double)a->n * (double)a->hw;
    const double mask = t->mask != NULL ? (double)t->mask[n] : 1.0;
    double g = t->coef != NULL ? (double)*t->coef : 1.0;
    if (t->mean == NULL) {
        return (row_affine){(float)(g * mask), 0, 0, 0};
    }
    g *= (double)t->invstd[c] * (t->gamma != NULL ? (double)t->gamma[c] : 1.0);
    return (row_affine){(float)(g * mask),
                        (float)(-g * (double)t->invstd[c] * (double)a->sum_dy_xhat[c] / m),
                        (float)(-g * (double)a->sum_dy[c] / m), t->mean[c]};
}

/* One vector of dx; every operand already loaded. */
static inline v8 apply_lanes(v8 dz, v8 x, v8 old, const v8 f[4])
{
    const v8 back = v8_fma(f[1], v8_sub(x, f[3]), f[2]);
    return v8_add(old, v8_fma(f[0], dz, back));
}

static void apply_row(const spx_norm_sum_args *a, size_t n, size_t c)
{
    const row_affine k = apply_factors(a, n, c);
    const v8 f[4] = {v8_set(k.a), v8_set(k.b), v8_set(k.c), v8_set(k.mean)}, zero = v8_set(0);
    const spx_norm_term *t = a->term;
    const size_t offset = c * a->hw;
    const float *dy = a->dy + n * a->dy_stride + offset;
    const float *y = a->relu ? a->y + n * a->y_stride + offset : NULL;
    const float *x = t->mean != NULL ? spx_image(t->x, (int64_t)n) + offset : NULL;
    float *dx = a->out + n * a->out_stride + offset;
    size_t i = 0;
    for (; i + SPX_LANES <= a->hw; i += SPX_LANES) {
        v8 dz = v8_load(dy + i);
        dz = y != NULL ? v8_where_positive(v8_load(y + i), dz) : dz;
        v8_store(dx + i, apply_lanes(dz, x != NULL ? v8_load(x + i) : zero,
                                     a->accumulate ? v8_load(dx + i) : zero, f));
    }
    if (i < a->hw) {
        const size_t len = a->hw - i;
        v8 dz = v8_load_part(dy + i, len, zero);
        dz = y != NULL ? v8_where_positive(v8_load_part(y + i, len, zero), dz) : dz;
        v8_store_part(dx + i, len,
                      apply_lanes(dz, x != NULL ? v8_load_part(x + i, len, zero) : zero,
                                  a->accumulate ? v8_load_part(dx + i, len, zero) : zero, f));
    }
}

static void apply(void *ctx, int worker, size_t begin, size_t end)
{
    const spx_norm_sum_args *a = ctx;
    (void)worker;
    for (size_t r = begin; r < end; r++) {
        apply_row(a, r / a->c, r % a->c);
    }
}

const spx_norm_sum_kernels SPX_VARIANT(spx_norm_sum_kernels) = {stats, forward, reduce, apply};
