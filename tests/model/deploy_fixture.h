#ifndef SPX_DEPLOY_FIXTURE_H
#define SPX_DEPLOY_FIXTURE_H
/*
 * A small integer model with every kind of op: strided, dilated, cropped and pointwise
 * convolutions, pools with and without padding, slices, shifts, subsampling, a linear value two
 * segments share, and convolutions three deep. Random weights; the widths are proven by interval
 * bounds.
 */
#include "tests/support/spx_fixture.h"

#include "host/model/deploy_build.h"

#define FIXTURE_MAX 64

typedef struct deploy_fixture {
    pile pile;
    spx_rng rng;
    spx_deploy_value value[FIXTURE_MAX];
    spx_deploy_op op[FIXTURE_MAX];
    double low[FIXTURE_MAX], high[FIXTURE_MAX]; /* of any element of a value */
    int n_values, n_ops;
} deploy_fixture;

static inline int fixture_value(deploy_fixture *f, spx_deploy_kind kind, int64_t c, int64_t h,
                                int64_t w)
{
    assert_true(f->n_values < FIXTURE_MAX);
    f->value[f->n_values] =
        (spx_deploy_value){.kind = kind, .c = c, .h = h, .w = w, .bits = kind == 0 ? 8 : 1};
    f->high[f->n_values] = kind == SPX_DEPLOY_IMAGE ? 255 : 0;
    return f->n_values++;
}

static inline void fixture_widen(deploy_fixture *f, int v, double low, double high)
{
    f->low[v] += low;
    f->high[v] += high;
    while (ldexp(1, f->value[v].bits - 1) <= f->high[v] ||
           -ldexp(1, f->value[v].bits - 1) > f->low[v]) {
        f->value[v].bits++;
    }
}

static inline void fixture_op(deploy_fixture *f, spx_deploy_op op)
{
    assert_true(f->n_ops < FIXTURE_MAX);
    f->op[f->n_ops++] = op;
}

static inline void fixture_conv(deploy_fixture *f, int in, int out, int64_t size, int64_t stride,
                                int64_t dilation, int64_t pad)
{
    const size_t n = (size_t)(f->value[in].c * f->value[out].c * size * size);
    int32_t *w = pile_bytes(&f->pile, n * sizeof *w);
    for (size_t i = 0; i < n; i++) {
        w[i] = (int32_t)spx_rng_below(&f->rng, 255) - 127;
    }
    fixture_op(f, (spx_deploy_op){.kind = SPX_DEPLOY_CONV,
                                  .in = in,
                                  .out = out,
                                  .size = size,
                                  .stride = stride,
                                  .dilation = dilation,
                                  .pad = pad,
                                  .width = 8,
                                  .weights = w});
    const double terms = (double)(f->value[in].c * size * size) * 127;
    const double most = fmax(f->high[in], -f->low[in]);
    fixture_widen(f, out, -terms * most, terms * most);
}

static inline void fixture_bias(deploy_fixture *f, int out)
{
    const size_t n = (size_t)(f->value[out].c * f->value[out].h * f->value[out].w);
    int64_t *b = pile_bytes(&f->pile, n * sizeof *b);
    for (size_t i = 0; i < n; i++) {
        b[i] = (int64_t)spx_rng_below(&f->rng, 20001) - 10000;
    }
    fixture_op(f, (spx_deploy_op){.kind = SPX_DEPLOY_BIAS, .in = -1, .out = out, .bias = b});
    fixture_widen(f, out, -10000, 10000);
}

/* Adds a ReLU whose output uses its range: f is chosen by the operand's typical size. */
static inline int fixture_relu(deploy_fixture *f, int in, int shift)
{
    const spx_deploy_value v = f->value[in];
    const int out = fixture_value(f, SPX_DEPLOY_ACTIVATION, v.c, v.h, v.w);
    f->value[out].bits = 8;
    f->high[out] = 255;
    const int width = v.bits > shift + 9 ? v.bits : shift + 9;
    fixture_op(f, (spx_deploy_op){.kind = SPX_DEPLOY_RELU,
                                  .in = in,
                                  .out = out,
                                  .shift = shift,
                                  .bits = 8,
                                  .width = width});
    return out;
}

/* Gives the last ReLU a mask that drops about dropped / 8 of its elements, at least one; none of
 * the first channel, so that it keeps some. */
static inline void fixture_mask(deploy_fixture *f, uint32_t dropped)
{
    spx_deploy_op *op = &f->op[f->n_ops - 1];
    const spx_deploy_value v = f->value[op->out];
    const int64_t n = v.c * v.h * v.w;
    uint8_t *keep = pile_bytes(&f->pile, (size_t)(n + 7) / 8);
    for (int64_t j = 0; j < n; j++) {
        const bool drops = (j >= v.h * v.w && spx_rng_below(&f->rng, 8) < dropped) ||
                           (op->dropped == 0 && j == n - 1);
        keep[j / 8] |= (uint8_t)(!drops << (j % 8));
        op->dropped += drops;
    }
    op->keep = keep;
    f->low[op->out] = -ldexp(1, op->bits);
    fixture_widen(f, op->in, 0, ldexp(1, op->shift + op->bits));
    const int least = op->shift + op->bits + 2, bits = f->value[op->in].bits;
    op->width = op->width > least ? op->width : least;
    op->width = op->width > bits ? op->width : bits;
}

static inline void fixture_pool(deploy_fixture *f, int in, int out, int64_t size, int64_t stride,
                                int64_t pad, int64_t denominator)
{
    const double most = (double)(size * size * denominator * denominator);
    fixture_op(f, (spx_deploy_op){.kind = SPX_DEPLOY_POOL,
                                  .in = in,
                                  .out = out,
                                  .size = size,
                                  .stride = stride,
                                  .pad = pad,
                                  .denominator = denominator});
    fixture_widen(f, out, most * f->low[in], most * f->high[in]);
}

static inline void fixture_pick(deploy_fixture *f, int in, int out, int64_t in_first,
                                int64_t out_first, int64_t channels, int64_t stride, int64_t offset,
                                int shift)
{
    fixture_op(f, (spx_deploy_op){.kind = SPX_DEPLOY_PICK,
                                  .in = in,
                                  .out = out,
                                  .in_first = in_first,
                                  .out_first = out_first,
                                  .channels = channels,
                                  .stride = stride,
                                  .offset = offset,
                                  .shift = shift});
    fixture_widen(f, out, ldexp(fmin(f->low[in], 0), shift), ldexp(fmax(f->high[in], 0), shift));
}

/* Fills f and makes the model, to be destroyed by the caller; fixture_clear(f) afterwards. masked:
 * with masks of both ReLUs. */
static inline spx_deploy *fixture_model_of(deploy_fixture *f, uint64_t seed, bool masked)
{
    const spx_deploy_kind linear = SPX_DEPLOY_LINEAR;
    spx_deploy *m;
    memset(f, 0, sizeof *f);
    spx_rng_init(&f->rng, seed, SPX_RNG_TEST, 7);
    const int image = fixture_value(f, SPX_DEPLOY_IMAGE, 3, 8, 8);
    const int stem = fixture_value(f, linear, 5, 8, 8); /* serves two segments */
    fixture_conv(f, image, stem, 3, 1, 1, 1);
    fixture_bias(f, stem);
    const int a = fixture_value(f, linear, 6, 8, 8); /* depth 2 */
    fixture_conv(f, stem, a, 5, 1, 2, 4);
    fixture_bias(f, a);
    const int u = fixture_value(f, linear, 7, 8, 8); /* depth 3, and a shifted shallow part */
    fixture_conv(f, a, u, 3, 1, 1, 1);
    fixture_conv(f, stem, u, 1, 1, 1, 0);
    fixture_pick(f, stem, u, 1, 2, 4, 1, 0, 5);
    fixture_bias(f, u);
    const int x = fixture_relu(f, u, 20);
    if (masked) {
        fixture_mask(f, 3);
    }
    const int pooled = fixture_value(f, linear, 7, 8, 8); /* public op of an activation */
    fixture_pool(f, x, pooled, 3, 1, 1, 6);
    const int phases = fixture_value(f, linear, 14, 4, 4);
    fixture_pick(f, x, phases, 0, 0, 7, 2, 0, 0);
    fixture_pick(f, x, phases, 0, 7, 7, 2, 1, 0);
    const int v = fixture_value(f, linear, 9, 4, 4);
    fixture_conv(f, phases, v, 3, 1, 1, 1);
    fixture_conv(f, pooled, v, 5, 2, 1, 2);
    fixture_conv(f, stem, v, 2, 2, 1, 0);
    fixture_conv(f, x, v, 1, 2, 1, -1);
    fixture_bias(f, v);
    const int y = fixture_relu(f, v, 18);
    if (masked) {
        fixture_mask(f, 5);
    }
    const int sum = fixture_value(f, linear, 9, 1, 1);
    fixture_pool(f, y, sum, 4, 1, 0, 4);
    const int logits = fixture_value(f, linear, 10, 1, 1);
    fixture_conv(f, sum, logits, 1, 1, 1, 0);
    fixture_bias(f, logits);
    const spx_deploy_draft draft = {.value = f->value,
                                    .op = f->op,
                                    .n_values = f->n_values,
                                    .n_ops = f->n_ops,
                                    .logits = logits,
                                    .logit_scale = 0.25,
                                    .about = "{\"dataset\": \"none\"}"};
    CHECK_OK(spx_deploy_create(&m, &draft, NULL));
    return m;
}

static inline spx_deploy *fixture_model(deploy_fixture *f, uint64_t seed)
{
    return fixture_model_of(f, seed, false);
}

static inline void fixture_clear(deploy_fixture *f)
{
    pile_clear(&f->pile);
}

/* One random image of the model's shape. */
static inline uint8_t *fixture_image(deploy_fixture *f, const spx_deploy *m)
{
    const size_t n = spx_deploy_count(m, 0);
    uint8_t *image = pile_bytes(&f->pile, n);
    for (size_t i = 0; i < n; i++) {
        image[i] = (uint8_t)spx_rng_u32(&f->rng);
    }
    return image;
}

#endif
