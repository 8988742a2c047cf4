/* From real weights to integer ones. */
#include "host/model/quantise.h"

#include "host/model/bound.h"
#include "host/model/deploy_private.h"
#include "host/model/quantise_private.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- options ---- */

static spx_status fill_options(spx_quantise_options *o)
{
    o->weight_bits = o->weight_bits == 0 ? 8 : o->weight_bits;
    o->activation_bits = o->activation_bits == 0 ? 8 : o->activation_bits;
    o->most_bits = o->most_bits == 0 ? 58 : o->most_bits;
    o->least_bits = o->least_bits == 0 ? 2 : o->least_bits;
    o->most_macs = o->most_macs > 0 ? o->most_macs : 5e11;
    if (o->weight_bits < 2 || o->weight_bits > 12 || o->activation_bits < 2 ||
        o->activation_bits > 12 || o->most_bits < 16 || o->most_bits > 62 || o->least_bits < 2 ||
        o->least_bits > o->weight_bits) {
        return SPX_FAIL(SPX_EINVAL, "quantisation: %d-bit weights, %d-bit activations, %d bits",
                        o->weight_bits, o->activation_bits, o->most_bits);
    }
    return SPX_OK;
}

/* ---- segments of the fold ---- */

/* [n_values]: the first segment that reads a linear value. */
static void find_segments(const spx_fold *f, int n_segments, int *segment)
{
    int now = n_segments - 1;
    for (int v = 0; v < f->n_values; v++) {
        segment[v] = now;
    }
    for (int i = f->n_ops - 1; i >= 0; i--) {
        const spx_deploy_op *d = &f->op[i].d;
        const int serves = d->kind == SPX_DEPLOY_RELU ? --now : segment[d->out];
        if (d->in >= 0 && segment[d->in] > serves) {
            segment[d->in] = serves;
        }
    }
}

/* Which segments read a linear value of a segment whose weights changed, or are such themselves. */
static void find_affected(const spx_fold *f, const int *segment, const bool *changed,
                          bool *affected)
{
    bool touched[SPX_DEPLOY_MAX_VALUES] = {0};
    int now = 0;
    assert(f->n_values <= SPX_DEPLOY_MAX_VALUES); /* each is a value of the draft */
    for (int i = 0; i < f->n_ops; i++) {
        const spx_deploy_op *d = &f->op[i].d;
        if (d->kind == SPX_DEPLOY_RELU) {
            affected[now++] = touched[d->in];
            continue;
        }
        touched[d->out] =
            touched[d->out] || changed[segment[d->out]] ||
            (d->in >= 0 && f->value[d->in].kind == SPX_DEPLOY_LINEAR && touched[d->in]);
    }
    affected[now] = touched[f->logits];
}

/* ---- proving ---- */

typedef struct proof {
    const spx_fold *f;
    const spx_quantise_options *o;
    spx_pool *pool;
    int n_segments;
    int *segment;      /* [fold's values] */
    bool *changed;     /* [n_segments] weights since the last proof */
    double *bits;      /* [n_segments] weight bits */
    spx_bound *output; /* [n_segments] of what the segment ends in */
    spx_bound *value;  /* [draft's values] */
    bool *asked;       /* [draft's values] */
    int64_t done, total;
    bool estimate; /* bounds are of one element, to find the bits by */
} proof;

static void show_one(void *ctx)
{
    proof *p = ctx;
    if (p->o->show != NULL) {
        p->o->show(p->o->ctx, ++p->done, p->total, "proving widths");
    }
}

/* What circuits of dropped elements add to the value before they clamp it. */
static double headroom(const spx_quantised *q, int v)
{
    double most = 0;
    for (int i = 0; i < q->n_ops; i++) {
        const spx_deploy_op *op = &q->op[i];
        if (op->dropped > 0 && op->in == v) {
            most = fmax(most, ldexp(1, op->shift + op->bits));
        }
    }
    return most;
}

/* Proves what changed and writes all widths into the draft. */
static spx_status prove(proof *p, spx_quantised *q)
{
    const spx_deploy_draft d = spx_quantised_draft(q);
    bool affected[SPX_DEPLOY_MAX_VALUES];
    find_affected(p->f, p->segment, p->changed, affected);
    memset(p->asked, 0, (size_t)q->n_values * sizeof *p->asked);
    for (int s = 0; s < p->n_segments; s++) {
        p->asked[q->output[s]] = affected[s];
        p->total += p->estimate ? 0 : affected[s];
    }
    SPX_RETURN_IF(spx_bound_all(&d, p->pool, p->o->most_macs, p->estimate, p->asked, p->value,
                                p->estimate ? NULL : show_one, p));
    for (int s = 0; s < p->n_segments; s++) {
        spx_bound *now = &p->value[q->output[s]];
        if (affected[s]) {
            now->high += headroom(q, q->output[s]);
            p->output[s] = *now;
        }
        *now = p->output[s];
    }
    for (int v = 0; v < q->n_values; v++) {
        if (q->value[v].kind == SPX_DEPLOY_LINEAR) {
            q->value[v].bits = spx_bound_bits(&p->value[v]);
        }
    }
    memset(p->changed, 0, (size_t)p->n_segments * sizeof *p->changed);
    return SPX_OK;
}

/* Takes bits from the weights of segments that are too wide. *lowered: whether from any. */
static spx_status lower_bits(proof *p, const spx_quantised *q, bool *lowered)
{
    *lowered = false;
    for (int s = 0; s < p->n_segments; s++) {
        const spx_bound *b = &p->output[s];
        const double over = log2(fmax(-b->low, b->high) + 1) + 1 - p->o->most_bits;
        if (over <= 0) {
            continue;
        }
        const int depth = q->depth[q->output[s]] > 0 ? q->depth[q->output[s]] : 1;
        p->bits[s] -= over / depth + 0.02; /* rounding may take a little back */
        p->changed[s] = *lowered = true;
        if (p->bits[s] < p->o->least_bits) {
            return SPX_FAIL(SPX_ENUMERIC,
                            "quantisation: segment %d does not fit %d bits with weights of %d", s,
                            p->o->most_bits, p->o->least_bits);
        }
    }
    return SPX_OK;
}

static void set_relu_widths(spx_quantised *q)
{
    for (int i = 0; i < q->n_ops; i++) {
        spx_deploy_op *op = &q->op[i];
        if (op->kind == SPX_DEPLOY_RELU) {
            const int least = op->shift + op->bits + (op->dropped > 0) + 1;
            const int bits = q->value[op->in].bits;
            op->width = bits > least ? bits : least;
        }
    }
}

static spx_status proof_alloc(proof *p)
{
    const size_t n = (size_t)p->n_segments;
    SPX_RETURN_IF(SPX_NEW(p->segment, (size_t)p->f->n_values));
    SPX_RETURN_IF(SPX_NEW(p->changed, n));
    SPX_RETURN_IF(SPX_NEW(p->bits, n));
    SPX_RETURN_IF(SPX_NEW(p->output, n));
    SPX_RETURN_IF(SPX_NEW(p->value, SPX_DEPLOY_MAX_VALUES));
    SPX_RETURN_IF(SPX_NEW(p->asked, SPX_DEPLOY_MAX_VALUES));
    for (size_t s = 0; s < n; s++) {
        p->bits[s] = p->o->weight_bits;
        p->changed[s] = true;
    }
    find_segments(p->f, p->n_segments, p->segment);
    return SPX_OK;
}

static void proof_clear(proof *p)
{
    spx_free(p->segment);
    spx_free(p->changed);
    spx_free(p->bits);
    spx_free(p->output);
    spx_free(p->value);
    spx_free(p->asked);
}

spx_status spx_quantise(spx_deploy **out, const spx_fold *f, const double *const *clip,
                        const spx_quantise_options *options, spx_pool *pool,
                        spx_quantise_segment *segments)
{
    spx_quantise_options o = *options;
    proof p = {.f = f, .o = &o, .pool = pool, .n_segments = 1};
    spx_quantised q = {0};
    double **tied = NULL;
    spx_status st;
    *out = NULL;
    SPX_RETURN_IF(fill_options(&o));
    SPX_RETURN_IF(spx_tie_clips(&tied, f, clip));
    for (int i = 0; i < f->n_ops; i++) {
        p.n_segments += f->op[i].d.kind == SPX_DEPLOY_RELU;
    }
    SPX_TRY(st, proof_alloc(&p), end);
    p.estimate = true;
    for (bool again = true; again;) {
        spx_quantised_clear(&q);
        SPX_TRY(st, spx_quantised_make(&q, f, (const double *const *)tied, &o, p.segment, p.bits),
                end);
        SPX_TRY(st, prove(&p, &q), end);
        SPX_TRY(st, lower_bits(&p, &q, &again), end);
        if (p.estimate && !again) { /* found: now prove it, lowering further where that fails */
            p.estimate = false;
            again = true;
            for (int s = 0; s < p.n_segments; s++) {
                p.changed[s] = true;
            }
        }
    }
    set_relu_widths(&q);
    for (int s = 0; s < p.n_segments && segments != NULL; s++) {
        segments[s] = (spx_quantise_segment){p.bits[s], p.output[s].composed};
    }
    {
        spx_deploy_draft d = spx_quantised_draft(&q);
        d.preprocessing = o.preprocessing;
        d.about = o.about;
        st = spx_deploy_create(out, &d, NULL);
    }
end:
    spx_free(tied);
    spx_quantised_clear(&q);
    proof_clear(&p);
    return st;
}
