/* Choosing a layout: what he_plan.c describes, with numbers. */
#include "host/secure/he/he_plan_private.h"

#include "kernels/base/alloc.h"

#include <string.h>

/* Bytes that a transform of length 4096 is worth: 6 us at 85 MB/s, between a WAN and a LAN. */
#define NTT_BYTES 512
#define MOST_TAPS ((size_t)1 << 22) /* see he_plan.c */
#define MOST_PRODUCTS ((size_t)1 << 26)

static int64_t most(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int64_t floor_div(int64_t a, int64_t b)
{
    return a >= 0 ? a / b : -((-a + b - 1) / b);
}

/* Offset, in rows of the input's phase, of kernel row r under output phase `phase`. */
static int64_t tap_offset(int64_t stride, int64_t dilation, int64_t pad, int64_t r, int phase)
{
    return stride * phase + r * dilation - pad;
}

/* The least and greatest dy and dx of any tap, zero included. */
static void find_reach(spx_he_plan *p)
{
    for (int i = 0; i < p->convs; i++) {
        const spx_he_conv *c = &p->conv[i];
        const int in = p->input_split[c->in], last = p->output_split[c->out] - 1;
        const int64_t low_y = floor_div(tap_offset(c->stride, c->dilation, c->pad_top, 0, 0), in);
        const int64_t low_x = floor_div(tap_offset(c->stride, c->dilation, c->pad_left, 0, 0), in);
        const int64_t high_y =
            floor_div(tap_offset(c->stride, c->dilation, c->pad_top, c->r - 1, last), in);
        const int64_t high_x =
            floor_div(tap_offset(c->stride, c->dilation, c->pad_left, c->s - 1, last), in);
        p->dy_min = low_y < p->dy_min ? low_y : p->dy_min;
        p->dx_min = low_x < p->dx_min ? low_x : p->dx_min;
        p->dy_max = most(p->dy_max, high_y);
        p->dx_max = most(p->dx_max, high_x);
    }
}

typedef struct extent {
    int64_t in_rows, in_cols, out_rows, out_cols; /* largest of any phase */
    double terms;                                 /* weights into one output channel, at most */
} extent;

static extent find_extent(const spx_he_plan *p)
{
    extent e = {1, 1, 1, 1, 0};
    for (size_t i = 0; i < p->in_n; i++) {
        e.in_rows = most(e.in_rows, p->in[i].rows);
        e.in_cols = most(e.in_cols, p->in[i].cols);
    }
    for (size_t i = 0; i < p->out_n; i++) {
        e.out_rows = most(e.out_rows, p->out[i].rows);
        e.out_cols = most(e.out_cols, p->out[i].cols);
    }
    return e;
}

/*
 * Weights that meet in one output channel. Where convolutions join the same two values their taps
 * may coincide and add up: each then counts once for every convolution there is.
 */
static double terms_of(const spx_he_plan *p, int output, int64_t channel)
{
    double terms = 0;
    for (int i = 0; i < p->convs; i++) {
        const spx_he_conv *c = &p->conv[i];
        int same = 0;
        if (c->out != output || channel < c->k0 || channel >= c->k0 + c->k) {
            continue;
        }
        for (int j = 0; j < p->convs; j++) {
            same += p->conv[j].in == c->in && p->conv[j].out == c->out;
        }
        terms += (double)(c->c * c->r * c->s) * same;
    }
    return terms;
}

static double most_terms(const spx_he_plan *p)
{
    double terms = 1;
    for (int o = 0; o < p->outputs; o++) {
        for (int i = 0; i < p->convs; i++) { /* it changes where a convolution's channels begin */
            if (p->conv[i].out == o) {
                const double t = terms_of(p, o, p->conv[i].k0);
                terms = t > terms ? t : terms;
            }
        }
    }
    return terms;
}

/* Rows and blocks for tiles of so many output rows; row is 0 where the reach is absurd. */
static void set_rows(spx_he_plan *p, const extent *e, int64_t tile_rows)
{
    const int64_t above = tile_rows < e->out_rows ? -p->dy_min : 0; /* the tile's base is higher */
    int64_t shift, taps, first, last, length;
    p->tiles = (e->out_rows + tile_rows - 1) / tile_rows;
    p->tile_rows = tile_rows;
    p->row = most(e->in_cols - p->dx_min, e->out_cols + p->dx_max);
    p->in_rows = p->tiles == 1
                     ? (e->in_rows < tile_rows + p->dy_max ? e->in_rows : tile_rows + p->dy_max)
                     : tile_rows + p->dy_max - p->dy_min;
    shift = p->dy_max * p->row + p->dx_max;
    taps = shift - p->dy_min * p->row - p->dx_min; /* greatest power of a tap in its block */
    first = above * p->row + shift;
    last = first + (tile_rows - 1) * p->row + e->out_cols - 1;
    length = (p->in_rows - 1) * p->row + e->in_cols;
    p->block = most(last + 1, length + taps - first);
}

/* What a layout costs in bytes, transforms counted as NTT_BYTES; UINT64_MAX where it is none. */
static uint64_t cost_of(const spx_he_plan *p, const he_set *s, const spx_he_facts *noise,
                        const extent *e, int64_t per_in, int64_t per_out)
{
    const uint64_t ins = (p->in_n + (size_t)per_in - 1) / (size_t)per_in;
    const uint64_t outs = (p->out_n + (size_t)per_out - 1) / (size_t)per_out;
    const uint64_t tiles = (uint64_t)p->tiles;
    const uint64_t requests = ins * tiles, responses = outs * tiles;
    const uint64_t transforms = HE_PRIMES * (requests + ins * outs + 5 * responses);
    const uint64_t area = (uint64_t)(e->out_rows * e->out_cols) * p->out_n;
    return requests * he_poly_bytes(s) + responses * he_wide_bytes(s->n, noise->first_bits) +
           area * (uint64_t)noise->second_bits / 8 + transforms * (NTT_BYTES * s->n / 4096);
}

typedef struct choice {
    uint64_t cost;
    int set;
    int64_t tile_rows, per_in, per_out;
    spx_he_facts noise;
} choice;

static void try_set(spx_he_plan *p, const extent *e, int set, choice *best)
{
    const he_set *s = &he_sets[set];
    int64_t before = 0;
    for (int64_t tiles = 1; tiles <= e->out_rows; tiles++) {
        const int64_t rows = (e->out_rows + tiles - 1) / tiles;
        int64_t blocks;
        if (rows == before) {
            continue;
        }
        before = rows;
        set_rows(p, e, rows);
        blocks = (int64_t)s->n / p->block;
        for (int64_t out = 1; out <= blocks && out <= (int64_t)p->out_n; out++) {
            const int64_t fit = blocks / out;
            const int64_t in = fit < (int64_t)p->in_n ? fit : (int64_t)p->in_n;
            choice c = {0, set, rows, in, out, {0}};
            if (!he_noise(s, p->l, p->weight_bits, e->terms * (double)out, &c.noise)) {
                break; /* more outputs, more noise */
            }
            c.cost = cost_of(p, s, &c.noise, e, in, out);
            if (c.cost < best->cost) {
                *best = c;
            }
        }
    }
}

spx_status he_choose_layout(spx_he_plan *p, int set)
{
    choice best = {UINT64_MAX, 0, 0, 0, 0, {0}};
    spx_he_facts *f = &p->facts;
    extent e;
    find_reach(p);
    e = find_extent(p);
    e.terms = most_terms(p);
    for (int i = 0; i < SPX_HE_SETS; i++) {
        if (set == SPX_HE_ANY_SET || set == i) {
            try_set(p, &e, i, &best);
        }
    }
    if (best.cost == UINT64_MAX) {
        return SPX_FAIL(SPX_EUNSUPPORTED,
                        "encrypted linear map: no parameters for %d bits, %.0f weights of %d bits "
                        "an output, rows of %lld",
                        p->l, e.terms, p->weight_bits, (long long)e.out_cols);
    }
    set_rows(p, &e, best.tile_rows);
    p->per_in = best.per_in;
    p->per_out = best.per_out;
    p->in_groups = (p->in_n + (size_t)best.per_in - 1) / (size_t)best.per_in;
    p->out_groups = (p->out_n + (size_t)best.per_out - 1) / (size_t)best.per_out;
    f->set = best.set;
    f->n = he_sets[best.set].n;
    f->q_bits = he_set_bits(&he_sets[best.set]);
    f->terms = (size_t)e.terms * (size_t)best.per_out;
    f->sigma_bits = best.noise.sigma_bits;
    f->flood_width = best.noise.flood_width;
    f->first_bits = best.noise.first_bits;
    f->second_bits = best.noise.second_bits;
    f->margin_bits = best.noise.margin_bits;
    return SPX_OK;
}

/* Taps of convolution i between an output's and an input's phase, appended at p->tap[at]. */
static size_t taps_between(spx_he_plan *p, const spx_he_conv *c, int out_phase, int in_phase,
                           size_t at)
{
    const int in = p->input_split[c->in], out = p->output_split[c->out];
    for (int64_t r = 0; r < c->r; r++) {
        const int64_t y = tap_offset(c->stride, c->dilation, c->pad_top, r, out_phase / out);
        const int64_t dy = floor_div(y, in);
        for (int64_t s = 0; s < c->s; s++) {
            const int64_t x = tap_offset(c->stride, c->dilation, c->pad_left, s, out_phase % out);
            const int64_t dx = floor_div(x, in);
            if (y - dy * in == in_phase / in && x - dx * in == in_phase % in) {
                p->tap[at].weight = (uint32_t)(r * c->s + s);
                p->tap[at].at = (uint32_t)((p->dy_max - dy) * p->row + p->dx_max - dx);
                at++;
            }
        }
    }
    return at;
}

/* Marks the groups of channels that convolution c joins. */
static void join_groups(spx_he_plan *p, const spx_he_conv *c, size_t first_in, size_t first_out)
{
    const size_t in2 = he_phases(p->input_split[c->in]);
    const size_t out2 = he_phases(p->output_split[c->out]);
    const size_t i0 = (first_in + (size_t)c->c0 * in2) / (size_t)p->per_in;
    const size_t i1 = (first_in + (size_t)(c->c0 + c->c) * in2 - 1) / (size_t)p->per_in;
    const size_t o0 = (first_out + (size_t)c->k0 * out2) / (size_t)p->per_out;
    const size_t o1 = (first_out + (size_t)(c->k0 + c->k) * out2 - 1) / (size_t)p->per_out;
    for (size_t o = o0; o <= o1; o++) {
        for (size_t i = i0; i <= i1; i++) {
            p->facts.weight_polys += !p->joined[o * p->in_groups + i];
            p->joined[o * p->in_groups + i] = true;
        }
    }
}

static size_t first_channel(const he_sub *s, size_t n, int value)
{
    size_t i = 0;
    while (i < n && s[i].value != value) {
        i++;
    }
    return i;
}

spx_status he_list_taps(spx_he_plan *p)
{
    size_t lists = 0, taps = 0, at = 0;
    for (int i = 0; i < p->convs; i++) {
        const spx_he_conv *c = &p->conv[i];
        const int in = p->input_split[c->in], out = p->output_split[c->out];
        lists += (size_t)(in * in * out * out);
        taps += (size_t)(out * out * c->r * c->s);
    }
    if (taps > MOST_TAPS || p->in_groups > MOST_PRODUCTS / p->out_groups) {
        return SPX_FAIL(SPX_EUNSUPPORTED,
                        "encrypted linear map: %zu taps, %zu times %zu groups of channels, at most "
                        "%zu taps and a product of %zu are possible",
                        taps, p->in_groups, p->out_groups, MOST_TAPS, MOST_PRODUCTS);
    }
    SPX_RETURN_IF(SPX_NEW(p->taps, lists));
    SPX_RETURN_IF(SPX_NEW(p->taps_at, (size_t)p->convs));
    SPX_RETURN_IF(SPX_NEW(p->in_at, (size_t)p->convs));
    SPX_RETURN_IF(SPX_NEW(p->out_at, (size_t)p->convs));
    SPX_RETURN_IF(SPX_NEW(p->tap, taps));
    SPX_RETURN_IF(SPX_NEW(p->joined, p->in_groups * p->out_groups));
    lists = 0;
    for (int i = 0; i < p->convs; i++) {
        const spx_he_conv *c = &p->conv[i];
        const int in = p->input_split[c->in], out = p->output_split[c->out];
        p->taps_at[i] = lists;
        for (int o = 0; o < out * out; o++) {
            for (int j = 0; j < in * in; j++, lists++) {
                const size_t end = taps_between(p, c, o, j, at);
                p->taps[lists] = (he_taps){at, end - at};
                at = end;
            }
        }
        p->in_at[i] = first_channel(p->in, p->in_n, c->in);
        p->out_at[i] = first_channel(p->out, p->out_n, c->out);
        join_groups(p, c, p->in_at[i], p->out_at[i]);
    }
    return SPX_OK;
}

size_t he_returned(const spx_he_plan *p, size_t group, int64_t tile, he_place *out)
{
    const int64_t from = tile * p->tile_rows, base = he_tile_base(p, tile);
    size_t n = 0;
    for (int64_t m = 0; m < p->per_out; m++) {
        const size_t i = group * (size_t)p->per_out + (size_t)m;
        const he_sub *s = &p->out[i];
        const spx_he_value *v;
        if (i >= p->out_n) {
            break;
        }
        v = &p->output[s->value];
        for (int64_t y = from; y < from + p->tile_rows && y < s->rows; y++) {
            const int64_t at = he_output_at(p, m) + (y - base) * p->row;
            const int64_t row = (s->channel * v->h + y * s->split + s->py) * v->w + s->px;
            for (int64_t x = 0; x < s->cols; x++) {
                out[n].coefficient = (uint32_t)(at + x);
                out[n].element = (uint32_t)(p->output_at[s->value] + (size_t)(row + x * s->split));
                n++;
            }
        }
    }
    return n;
}
