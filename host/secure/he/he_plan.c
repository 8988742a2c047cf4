/*
 * From the geometry of an exchange to a layout. Strides are served by splitting values into phases
 * (every split-th row and column), after which each convolution is one of stride 1 between channels
 * of phases, its taps at offsets (dy, dx):
 *     out(y, x) = sum of w * in(y + dy, x + dx)
 * A polynomial holds per_in input channels, `per_out` blocks apart, so that a product with the
 * weights of per_out output channels fills the gaps: with input channel c at block c * per_out and
 * weight (c, m) at block (per_in - 1 - c) * per_out + m, outputs gather in blocks
 * (per_in - 1) * per_out + m. Rows are `row` apart and blocks `block`, just enough that what runs
 * over an edge falls where inputs are zero or nothing is read; indices wrap at n >= per_in *
 * per_out * block, which keeps even the wrapped spill of the far blocks off what is read.
 */
#include "host/secure/he/he_plan_private.h"

#include "kernels/base/alloc.h"

#include <stdlib.h>
#include <string.h>

#define MOST_SPLIT 8
#define MOST_SIZE ((int64_t)1 << 16) /* rows, columns, channels, pads */
#define MOST_ELEMENTS ((int64_t)1 << 28)
/* A geometry may be a stranger's: what plans cost in time and memory is bounded, each at some tens
 * of what the largest networks of interest need. */
#define MOST_CONVS 512                   /* their pairs are looked at */
#define MOST_CHANNELS ((size_t)1 << 20)  /* of all phases */
#define MOST_MESSAGE ((uint64_t)1 << 30) /* bytes, each way */

static spx_status refuse(const char *what, int index)
{
    return SPX_FAIL(SPX_EINVAL, "encrypted linear map: %s %d is not consistent", what, index);
}

static bool value_fits(const spx_he_value *v)
{
    return v->c >= 1 && v->c <= MOST_SIZE && v->h >= 1 && v->h <= MOST_SIZE && v->w >= 1 &&
           v->w <= MOST_SIZE && v->c * v->h <= MOST_ELEMENTS / v->w;
}

static bool conv_fits(const spx_he_geometry *g, const spx_he_conv *c)
{
    const int64_t bound = MOST_SIZE;
    if (c->in < 0 || c->in >= g->inputs || c->out < 0 || c->out >= g->outputs) {
        return false;
    }
    return c->c0 >= 0 && c->c >= 1 && c->c <= g->input[c->in].c - c->c0 && c->k0 >= 0 &&
           c->k >= 1 && c->k <= g->output[c->out].c - c->k0 && c->r >= 1 && c->r <= 64 &&
           c->s >= 1 && c->s <= 64 && c->stride >= 1 && c->stride <= MOST_SPLIT &&
           (c->stride & (c->stride - 1)) == 0 && c->dilation >= 1 && c->dilation <= bound &&
           c->pad_top >= -bound && c->pad_top <= bound && c->pad_left >= -bound &&
           c->pad_left <= bound;
}

static spx_status check(const spx_he_geometry *g)
{
    if (g->l < 1 || g->l > 64 || g->weight_bits < 1 || g->weight_bits > 31 || g->inputs < 1 ||
        g->outputs < 1 || g->convs < 1 || g->inputs > 1024 || g->outputs > 1024 ||
        g->convs > MOST_CONVS || g->set < SPX_HE_ANY_SET || g->set >= SPX_HE_SETS) {
        return SPX_FAIL(SPX_EINVAL,
                        "encrypted linear map: %d inputs, %d outputs, %d convolutions of %d-bit "
                        "weights modulo 2^%d, set %d",
                        g->inputs, g->outputs, g->convs, g->weight_bits, g->l, g->set);
    }
    for (int i = 0; i < g->inputs; i++) {
        if (!value_fits(&g->input[i])) {
            return refuse("input", i);
        }
    }
    for (int i = 0; i < g->outputs; i++) {
        if (!value_fits(&g->output[i])) {
            return refuse("output", i);
        }
    }
    for (int i = 0; i < g->convs; i++) {
        if (!conv_fits(g, &g->conv[i])) {
            return refuse("convolution", i);
        }
    }
    return SPX_OK;
}

static spx_status copy(void **out, const void *from, size_t n, size_t size)
{
    SPX_RETURN_IF(spx_calloc(out, n, size));
    memcpy(*out, from, n * size);
    return SPX_OK;
}

static spx_status offsets(size_t **out, const spx_he_value *v, int n, size_t *total)
{
    size_t at = 0;
    SPX_RETURN_IF(SPX_NEW(*out, (size_t)n));
    for (int i = 0; i < n; i++) {
        (*out)[i] = at;
        at += (size_t)(v[i].c * v[i].h * v[i].w);
        if (at > (size_t)MOST_ELEMENTS) {
            return SPX_FAIL(SPX_EUNSUPPORTED, "encrypted linear map: more than %lld elements",
                            (long long)MOST_ELEMENTS);
        }
    }
    *total = at;
    return SPX_OK;
}

static spx_status copy_geometry(spx_he_plan *p, const spx_he_geometry *g)
{
    void *at;
    p->l = g->l;
    p->weight_bits = g->weight_bits;
    p->inputs = g->inputs;
    p->outputs = g->outputs;
    p->convs = g->convs;
    SPX_RETURN_IF(copy(&at, g->input, (size_t)g->inputs, sizeof *g->input));
    p->input = at;
    SPX_RETURN_IF(copy(&at, g->output, (size_t)g->outputs, sizeof *g->output));
    p->output = at;
    SPX_RETURN_IF(copy(&at, g->conv, (size_t)g->convs, sizeof *g->conv));
    p->conv = at;
    SPX_RETURN_IF(offsets(&p->input_at, p->input, p->inputs, &p->facts.input_elements));
    return offsets(&p->output_at, p->output, p->outputs, &p->facts.output_elements);
}

/* The least splits with split(input) = stride * split(output) for every convolution. */
static spx_status split_values(spx_he_plan *p)
{
    bool moved = true;
    SPX_RETURN_IF(SPX_NEW(p->input_split, (size_t)p->inputs));
    SPX_RETURN_IF(SPX_NEW(p->output_split, (size_t)p->outputs));
    for (int i = 0; i < p->inputs; i++) {
        p->input_split[i] = 1;
    }
    for (int i = 0; i < p->outputs; i++) {
        p->output_split[i] = 1;
    }
    while (moved) {
        moved = false;
        for (int i = 0; i < p->convs; i++) {
            const spx_he_conv *c = &p->conv[i];
            const int stride = (int)c->stride;
            int *in = &p->input_split[c->in], *out = &p->output_split[c->out];
            const int want_in = stride * *out, want_out = *in / stride;
            moved |= want_in > *in || want_out > *out;
            *in = want_in > *in ? want_in : *in;
            *out = want_out > *out ? want_out : *out;
            if (*in > MOST_SPLIT) {
                return SPX_FAIL(SPX_EUNSUPPORTED,
                                "encrypted linear map: the strides ask for phases of more than %d",
                                MOST_SPLIT);
            }
        }
    }
    return SPX_OK;
}

/* All phases' channels of all values: value by value, channel by channel. */
static spx_status list_channels(he_sub **out, size_t *n, const spx_he_value *v, const int *split,
                                int values)
{
    size_t count = 0;
    void *p;
    he_sub *s;
    for (int i = 0; i < values; i++) {
        count += (size_t)(v[i].c * split[i] * split[i]);
    }
    if (count > MOST_CHANNELS) {
        return SPX_FAIL(SPX_EUNSUPPORTED,
                        "encrypted linear map: %zu channels in phases, at most %zu are possible",
                        count, MOST_CHANNELS);
    }
    SPX_RETURN_IF(spx_calloc(&p, count, sizeof **out));
    *out = s = p;
    *n = count;
    for (int i = 0; i < values; i++) {
        for (int64_t c = 0; c < v[i].c; c++) {
            for (int phase = 0; phase < split[i] * split[i]; phase++, s++) {
                const int d = split[i];
                s->value = i;
                s->split = d;
                s->channel = c;
                s->py = phase / d;
                s->px = phase % d;
                s->rows = (v[i].h - s->py + d - 1) / d; /* 0 where the value is smaller */
                s->cols = (v[i].w - s->px + d - 1) / d;
            }
        }
    }
    return SPX_OK;
}

static spx_status fill_responses(spx_he_plan *p)
{
    const size_t responses = p->out_groups * (size_t)p->tiles;
    spx_he_facts *f = &p->facts;
    he_place *places;
    SPX_RETURN_IF(SPX_NEW(p->response_at, responses + 1));
    SPX_RETURN_IF(SPX_NEW(places, f->n));
    f->returned = 0;
    for (size_t i = 0; i < responses; i++) {
        const size_t count =
            he_returned(p, i / (size_t)p->tiles, (int64_t)(i % (size_t)p->tiles), places);
        f->returned += count;
        p->response_at[i + 1] = p->response_at[i] + he_wide_bytes(f->n, f->first_bits) +
                                he_wide_bytes(count, f->second_bits);
    }
    spx_free(places);
    f->response_polys = responses;
    f->response_bytes = p->response_at[responses];
    f->request_polys = p->in_groups * (size_t)p->tiles;
    f->request_bytes = HE_SEED_BYTES + f->request_polys * he_poly_bytes(&he_sets[f->set]);
    return f->request_bytes <= MOST_MESSAGE && f->response_bytes <= MOST_MESSAGE
               ? SPX_OK
               : SPX_FAIL(SPX_EUNSUPPORTED,
                          "encrypted linear map: messages of %zu and %zu bytes, at most %zu are "
                          "possible",
                          f->request_bytes, f->response_bytes, (size_t)MOST_MESSAGE);
}

static spx_status fill_params(spx_he_plan *p)
{
    SPX_RETURN_IF(he_params_get(&p->params, p->facts.set));
    for (int i = 0; i < HE_PRIMES; i++) {
        const spx_modq *m = p->params->modq[i];
        const uint64_t t = spx_modq_pow(2, (uint64_t)p->l, m);
        p->encode[i] = spx_modq_sub(0, spx_modq_inverse(t, m), m->q);
        p->encode_shoup[i] = spx_modq_shoup(p->encode[i], m->q);
    }
    return SPX_OK;
}

spx_status spx_he_plan_create(spx_he_plan **out, const spx_he_geometry *g)
{
    spx_he_plan *p;
    spx_status st;
    *out = NULL;
    SPX_RETURN_IF(check(g));
    p = calloc(1, sizeof *p);
    if (p == NULL) {
        return SPX_FAIL(SPX_ENOMEM, "encrypted linear map: %zu bytes", sizeof *p);
    }
    SPX_TRY(st, copy_geometry(p, g), fail);
    SPX_TRY(st, split_values(p), fail);
    SPX_TRY(st, list_channels(&p->in, &p->in_n, p->input, p->input_split, p->inputs), fail);
    SPX_TRY(st, list_channels(&p->out, &p->out_n, p->output, p->output_split, p->outputs), fail);
    SPX_TRY(st, he_choose_layout(p, g->set), fail);
    SPX_TRY(st, he_list_taps(p), fail);
    SPX_TRY(st, fill_responses(p), fail);
    SPX_TRY(st, fill_params(p), fail);
    *out = p;
    return SPX_OK;
fail:
    spx_he_plan_destroy(p);
    return st;
}

void spx_he_plan_destroy(spx_he_plan *p)
{
    if (p == NULL) {
        return;
    }
    spx_free(p->input);
    spx_free(p->output);
    spx_free(p->conv);
    spx_free(p->input_at);
    spx_free(p->output_at);
    spx_free(p->input_split);
    spx_free(p->output_split);
    spx_free(p->in);
    spx_free(p->out);
    spx_free(p->taps);
    spx_free(p->taps_at);
    spx_free(p->in_at);
    spx_free(p->out_at);
    spx_free(p->tap);
    spx_free(p->joined);
    spx_free(p->response_at);
    free(p);
}

const spx_he_facts *spx_he_plan_facts(const spx_he_plan *p)
{
    return &p->facts;
}
