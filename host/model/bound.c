/* Bounds: intervals op by op, and composed coefficients by running a segment backwards. */
#include "host/model/bound.h"

#include "host/model/bound_private.h"

#include <math.h>
#include <string.h>

int spx_bound_bits(const spx_bound *b)
{
    int bits = 1;
    while (bits < 64 && (b->low < -ldexp(1, bits - 1) || b->high > ldexp(1, bits - 1) - 1)) {
        bits++;
    }
    return bits;
}

/* ---- intervals ---- */

void spx_interval_clear(spx_interval *v)
{
    spx_free(v->low);
    memset(v, 0, sizeof *v);
}

static spx_status interval_alloc(spx_interval *v, int64_t c)
{
    SPX_RETURN_IF(SPX_NEW(v->low, (size_t)(3 * c)));
    v->high = v->low + c;
    v->size = v->high + c;
    return SPX_OK;
}

static void add_conv(const spx_deploy_draft *d, const spx_deploy_op *op, const spx_interval *in,
                     spx_interval *out)
{
    const int64_t taps = op->size * op->size, c = d->value[op->in].c;
    for (int64_t k = 0; k < d->value[op->out].c; k++) {
        for (int64_t i = 0; i < c * taps; i++) {
            const double w = op->weights[k * c * taps + i];
            /* A tap may fall on padding: 0 is always possible. */
            const double low = fmin(in->low[i / taps], 0), high = fmax(in->high[i / taps], 0);
            out->low[k] += w > 0 ? w * low : w * high;
            out->high[k] += w > 0 ? w * high : w * low;
            out->size[k] += fabs(w) * in->size[i / taps];
        }
    }
}

static void add_bias(const spx_deploy_draft *d, const spx_deploy_op *op, spx_interval *out)
{
    const int64_t map = d->value[op->out].h * d->value[op->out].w;
    for (int64_t k = 0; k < d->value[op->out].c; k++) {
        double low = INFINITY, high = -INFINITY;
        for (int64_t i = 0; i < map; i++) {
            low = fmin(low, (double)op->bias[k * map + i]);
            high = fmax(high, (double)op->bias[k * map + i]);
        }
        out->low[k] += low;
        out->high[k] += high;
        out->size[k] += fmax(fabs(low), fabs(high));
    }
}

/* A pool's factors make every window weigh denominator^2; a selection weighs 2^shift. */
static void add_public(const spx_deploy_op *op, const spx_interval *in, spx_interval *out,
                       int64_t c)
{
    const bool pool = op->kind == SPX_DEPLOY_POOL;
    const double by = pool ? (double)(op->denominator * op->denominator) : ldexp(1, op->shift);
    const int64_t n = pool ? c : op->channels;
    for (int64_t i = 0; i < n; i++) {
        out->low[op->out_first + i] += by * fmin(in->low[op->in_first + i], 0);
        out->high[op->out_first + i] += by * fmax(in->high[op->in_first + i], 0);
        out->size[op->out_first + i] += by * in->size[op->in_first + i];
    }
}

/* Channels of which the mask drops an element. */
static void sign(const spx_deploy_op *op, const spx_deploy_value *v, spx_interval *out)
{
    const double most = ldexp(1, op->bits);
    for (int64_t i = 0; i < v->c * v->h * v->w; i++) {
        if (!spx_deploy_keeps(op, (size_t)i)) {
            out->low[i / (v->h * v->w)] = -most;
            out->size[i / (v->h * v->w)] = most;
        }
    }
}

/* [n_values], to be cleared each. */
static spx_status intervals(const spx_deploy_draft *d, spx_interval *v)
{
    for (int i = 0; i < d->n_values; i++) {
        SPX_RETURN_IF(interval_alloc(&v[i], d->value[i].c));
        for (int64_t c = 0; c < d->value[i].c && d->value[i].kind != SPX_DEPLOY_LINEAR; c++) {
            v[i].high[c] = v[i].size[c] = ldexp(1, d->value[i].bits) - 1;
        }
    }
    for (int i = 0; i < d->n_ops; i++) {
        const spx_deploy_op *op = &d->op[i];
        if (op->kind == SPX_DEPLOY_CONV) {
            add_conv(d, op, &v[op->in], &v[op->out]);
        } else if (op->kind == SPX_DEPLOY_BIAS) {
            add_bias(d, op, &v[op->out]);
        } else if (op->kind != SPX_DEPLOY_RELU) {
            add_public(op, &v[op->in], &v[op->out], d->value[op->in].c);
        } else if (op->dropped > 0) {
            sign(op, &d->value[op->out], &v[op->out]);
        }
    }
    return SPX_OK;
}

#define MOST_TERMS ((int64_t)1 << 20)
#define MOST_OPS 32

/* What widest() allows for the rounding of doubles holds for sums below MOST_TERMS terms, and below
 * MOST_OPS of them behind one another. */
static spx_status check_rounding(const spx_deploy_draft *d)
{
    struct chain {
        int64_t terms; /* of an element of the value */
        int ops;       /* since values of known bits */
    } * value;
    spx_status st = SPX_OK;
    SPX_RETURN_IF(SPX_NEW(value, (size_t)d->n_values));
    for (int i = 0; i < d->n_ops && st == SPX_OK; i++) {
        const spx_deploy_op *op = &d->op[i];
        if (op->kind == SPX_DEPLOY_RELU) {
            continue;
        }
        struct chain *out = &value[op->out];
        const int ops = op->kind == SPX_DEPLOY_BIAS ? 1 : value[op->in].ops + 1;
        out->terms += op->kind == SPX_DEPLOY_CONV ? op->size * op->size * d->value[op->in].c : 1;
        out->ops = ops > out->ops ? ops : out->ops;
        if (out->terms >= MOST_TERMS || out->ops >= MOST_OPS) {
            st =
                SPX_FAIL(SPX_EUNSUPPORTED,
                         "bounds: op %d: a sum of %lld terms, %d sums deep: fewer than %lld and %d "
                         "are proven",
                         i, (long long)out->terms, out->ops, (long long)MOST_TERMS, MOST_OPS);
        }
    }
    spx_free(value);
    return st;
}

/* Rounding of doubles: below 2^20 terms a sum is within 2^-33 of the sizes added, and below 32 ops
 * follow one another. */
static spx_bound widest(const spx_interval *v, int64_t c)
{
    spx_bound b = {0};
    for (int64_t i = 0; i < c; i++) {
        b.low = fmin(b.low, v->low[i] - ldexp(v->size[i], -28) - 1);
        b.high = fmax(b.high, v->high[i] + ldexp(v->size[i], -28) + 1);
    }
    return b;
}

spx_status spx_bound_all(const spx_deploy_draft *d, spx_pool *pool, double most_macs, bool estimate,
                         const bool *asked, spx_bound *out, void (*show)(void *ctx), void *ctx)
{
    spx_interval *v = NULL;
    SPX_RETURN_IF(check_rounding(d));
    SPX_RETURN_IF(SPX_NEW(v, (size_t)d->n_values));
    spx_status st = intervals(d, v);
    for (int i = 0; i < d->n_values && st == SPX_OK; i++) {
        out[i] = widest(&v[i], d->value[i].c);
        if (asked[i]) {
            st = spx_bound_segment(d, pool, v, i, most_macs, estimate, &out[i]);
            if (show != NULL) {
                show(ctx);
            }
        }
    }
    for (int i = 0; i < d->n_values; i++) {
        spx_interval_clear(&v[i]);
    }
    spx_free(v);
    return st;
}
