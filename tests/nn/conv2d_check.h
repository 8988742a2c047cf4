#ifndef SPX_CONV2D_CHECK_H
#define SPX_CONV2D_CHECK_H
/* Runs of convolutions on any device beside the CPU's reference: what their tests share. */
#include "tests/support/spx_devices.h"

#include "kernels/base/rng.h"
#include "kernels/device/device_memory.h"
#include "kernels/nn/conv2d/conv2d.h"
#include "tests/nn/conv2d_cases.h"

#include <stdlib.h>

#define POISON 12288.0F /* a bf16 number, too; no result is that by chance */
#define GUARD 64        /* elements around every output */
#define U_F32 5.960464477539063e-8
#define U_TF32 4.8828125e-4 /* 2^-11: ten bits and a hidden one */
#define U_BF16 1.953125e-3  /* 2^-9: seven and a hidden one */

/* How operands lie: channels before and behind them in a wider tensor, on the CPU also `gap` floats
 * between images; and what else is asked. The CPU alone normalises and rectifies its input. */
typedef struct variant {
    int64_t x_before, x_behind, y_before, y_behind, gap;
    bool bias, accumulate, norm, affine, relu;
} variant;

static const variant variants[] = {
    {0, 0, 0, 0, 0, false, false, false, false, false},
    {8, 16, 24, 0, 5, true, true, true, true, true},  /* slices that start on a vector, */
    {3, 2, 1, 4, 0, true, false, true, false, false}, /* and that do not */
    {0, 8, 0, 0, 3, false, true, false, false, true},
};
#define VARIANTS (sizeof variants / sizeof variants[0])

typedef struct operands {
    spx_conv2d_shape d;
    variant v;
    size_t x_size, y_size, w_size;
    float *x, *y, *w, *bias; /* NCHW, (k, c, r, s) */
    float *mean, *invstd, *gamma, *beta;
} operands;

/* Normal numbers; on bf16 streams such that storing them is exact. */
static float *random_block(size_t n, uint64_t key, spx_type type, float scale, float shift)
{
    float *p = malloc(n * sizeof *p);
    spx_rng r;
    assert_non_null(p);
    spx_rng_init(&r, 7, SPX_RNG_TEST, key);
    for (size_t i = 0; i < n; i++) {
        p[i] = shift + scale * spx_rng_normal(&r);
    }
    round_to_type(type, p, n);
    return p;
}

static void operands_init(operands *o, const spx_stream *s, const spx_conv2d_shape *shape,
                          const variant *v)
{
    const spx_type type = spx_activation_type(s), f32 = SPX_TYPE_F32;
    *o = (operands){.d = *shape, .v = *v};
    CHECK_OK(spx_conv2d_shape_init(&o->d));
    const spx_conv2d_shape *d = &o->d;
    if (spx_stream_device(s) != SPX_DEVICE_CPU) {
        o->v.norm = o->v.affine = o->v.relu = false;
    }
    o->x_size = (size_t)(d->n * d->c * d->h * d->w);
    o->y_size = (size_t)(d->n * d->k * d->p * d->q);
    o->w_size = (size_t)spx_conv2d_weights(d);
    o->x = random_block(o->x_size, 1, type, 1, 0.1F);
    o->y = random_block(o->y_size, 2, type, 1, 0);
    o->w = random_block(o->w_size, 3, type, 1, 0);
    o->bias = random_block((size_t)d->k, 4, f32, 1, 0);
    o->mean = random_block((size_t)d->c, 5, f32, 0.3F, 0);
    o->invstd = random_block((size_t)d->c, 6, f32, 0.1F, 1);
    o->gamma = random_block((size_t)d->c, 7, f32, 0.3F, 1);
    o->beta = random_block((size_t)d->c, 8, f32, 0.3F, 0);
}

static void operands_clear(operands *o)
{
    float *const blocks[] = {o->x, o->y, o->w, o->bias, o->mean, o->invstd, o->gamma, o->beta};
    for (size_t i = 0; i < sizeof blocks / sizeof blocks[0]; i++) {
        free(blocks[i]);
    }
}

static bool fused(const operands *o, spx_conv2d_pass pass)
{
    return pass != SPX_CONV2D_BACKWARD_DATA && (o->v.norm || o->v.relu);
}

static spx_conv2d_input input_of(const operands *o, spx_operand x)
{
    const variant *v = &o->v;
    return (spx_conv2d_input){.x = x,
                              .mean = v->norm ? o->mean : NULL,
                              .invstd = v->norm ? o->invstd : NULL,
                              .gamma = v->affine ? o->gamma : NULL,
                              .beta = v->affine ? o->beta : NULL,
                              .relu = v->relu};
}

/* --- Between the host's layouts and the device's ---------------------------------------------- */

static void put(void *p, size_t at, spx_type type, float v)
{
    if (type == SPX_TYPE_BF16) {
        ((uint16_t *)p)[at] = bf16_of(v);
    } else {
        ((float *)p)[at] = v;
    }
}

static float get(const void *p, size_t at, spx_type type)
{
    return type == SPX_TYPE_BF16 ? of_bf16(((const uint16_t *)p)[at]) : ((const float *)p)[at];
}

/* Where an operand lies: its rows are images (CPU) or pixels (CUDA), all around it is poisoned. */
typedef struct placed {
    spx_stream *s;
    bool images;
    int64_t n, c, hw, before, row, stride; /* before, row, stride: elements */
    spx_type type;
    size_t guard, elements;
    void *host, *device;
} placed;

typedef struct place {
    int64_t before, behind, gap; /* as in a variant */
    size_t guard;
} place;

static size_t placed_at(const placed *t, int64_t n, int64_t c, int64_t i)
{
    const int64_t at = t->images ? n * t->stride + c * t->hw + i : (n * t->hw + i) * t->stride + c;
    return t->guard + (size_t)(t->before + at);
}

/* From NCHW numbers; NULL: poison. */
static void placed_init(placed *t, spx_stream *s, int64_t n, int64_t c, int64_t hw, place p,
                        spx_type type, const float *nchw)
{
    const bool images = spx_stream_device(s) == SPX_DEVICE_CPU;
    const int64_t each = images ? hw : 1, rows = images ? n : n * hw;
    *t = (placed){.s = s,
                  .images = images,
                  .n = n,
                  .c = c,
                  .hw = hw,
                  .before = p.before * each,
                  .row = c * each,
                  .stride = (p.before + c + p.behind) * each + (images ? p.gap : 0),
                  .type = type,
                  .guard = p.guard};
    /* On the CPU nothing behind the last image: it may not be touched. */
    t->elements = 2 * t->guard +
                  (size_t)(images ? t->before + (rows - 1) * t->stride + t->row : rows * t->stride);
    t->host = malloc(t->elements * spx_type_bytes(type));
    assert_non_null(t->host);
    for (size_t i = 0; i < t->elements; i++) {
        put(t->host, i, type, POISON);
    }
    for (int64_t i = 0; nchw != NULL && i < n * c * hw; i++) {
        put(t->host, placed_at(t, i / hw / c, i / hw % c, i % hw), type, nchw[i]);
    }
    if (images) {
        t->device = t->host; /* a block of its own size: a sanitizer sees its ends */
        return;
    }
    CHECK_OK(spx_device_alloc(s, &t->device, t->elements * spx_type_bytes(type)));
    CHECK_OK(spx_upload(s, t->device, t->host, t->elements * spx_type_bytes(type)));
}

static void *placed_data(const placed *t)
{
    return (char *)t->device + placed_at(t, 0, 0, 0) * spx_type_bytes(t->type);
}

static spx_operand placed_view(const placed *t)
{
    return (spx_operand){placed_data(t), t->stride, t->type};
}

/* Back to NCHW; nothing around the tensor may have changed. */
static void placed_read(placed *t, float *nchw)
{
    if (t->device != t->host) {
        CHECK_OK(spx_download(t->s, t->host, t->device, t->elements * spx_type_bytes(t->type)));
        CHECK_OK(spx_stream_sync(t->s));
    }
    for (size_t i = 0; i < t->elements; i++) {
        const int64_t at = (int64_t)i - (int64_t)t->guard, in = at % t->stride - t->before;
        const bool inside = at >= 0 && i < t->elements - t->guard && in >= 0 && in < t->row;
        if (!inside && get(t->host, i, t->type) != POISON) {
            fail_msg("wrote outside the operand, at %zu", i);
        }
    }
    for (int64_t i = 0; i < t->n * t->c * t->hw; i++) {
        const int64_t hw = t->hw, c = t->c;
        nchw[i] = get(t->host, placed_at(t, i / hw / c, i / hw % c, i % hw), t->type);
    }
}

static void placed_clear(placed *t)
{
    if (t->device != t->host) {
        spx_device_free(t->s, t->device);
    }
    free(t->host);
}

/* --- One run ---------------------------------------------------------------------------------- */

typedef struct result {
    size_t size, bias_size;
    float *main, *bias; /* y, dx or dw; bias only where dbias is wanted */
} result;

static void result_init(result *r, const operands *o, spx_conv2d_pass pass)
{
    const size_t size[] = {o->y_size, o->x_size, o->w_size};
    r->size = size[pass];
    r->main = calloc(r->size, sizeof(float));
    r->bias_size = pass == SPX_CONV2D_BACKWARD_WEIGHTS && o->v.bias ? (size_t)o->d.k : 0;
    r->bias = calloc((size_t)o->d.k, sizeof(float));
    assert_non_null(r->main);
    assert_non_null(r->bias);
}

static void result_clear(result *r)
{
    free(r->main);
    free(r->bias);
}

/* The CPU's forward adds to nothing. */
static bool accumulates(const spx_stream *s, const operands *o, spx_conv2d_pass pass)
{
    return o->v.accumulate &&
           (pass != SPX_CONV2D_FORWARD || spx_stream_device(s) != SPX_DEVICE_CPU);
}

static spx_conv2d_want want_of(const spx_stream *s, const operands *o, spx_conv2d_pass pass)
{
    const bool images = spx_stream_device(s) == SPX_DEVICE_CPU;
    const spx_conv2d_shape *d = &o->d;
    const variant *v = &o->v;
    const int64_t x = v->x_before + d->c + v->x_behind, y = v->y_before + d->k + v->y_behind;
    return (spx_conv2d_want){.shape = *d,
                             .pass = pass,
                             .accumulate = accumulates(s, o, pass),
                             .bias = v->bias && pass != SPX_CONV2D_BACKWARD_DATA,
                             .fused = fused(o, pass),
                             .x_stride = images ? x * d->h * d->w + v->gap : x,
                             .y_stride = images ? y * d->p * d->q + v->gap : y,
                             .x_first = v->x_before,
                             .y_first = v->y_before};
}

static void *poisoned_workspace(spx_stream *s, size_t bytes)
{
    void *workspace = NULL;
    CHECK_OK(spx_device_alloc(s, &workspace, bytes));
    if (bytes > 0) { /* NaNs */
        void *ff = malloc(bytes);
        assert_non_null(ff);
        memset(ff, 0xff, bytes);
        CHECK_OK(spx_upload(s, workspace, ff, bytes));
        free(ff);
    }
    return workspace;
}

static void run(spx_stream *s, const spx_conv2d_plan *plan, const operands *o, spx_conv2d_pass pass,
                result *r)
{
    const spx_conv2d_shape *d = &o->d;
    const spx_type type = spx_activation_type(s);
    const variant *v = &o->v;
    const bool forward = pass == SPX_CONV2D_FORWARD, data = pass == SPX_CONV2D_BACKWARD_DATA;
    const float *const start[] = {o->y, o->x, o->w};
    const float *from = accumulates(s, o, pass) ? start[pass] : NULL;
    const place at_x = {v->x_before, v->x_behind, v->gap, data ? GUARD : 0},
                at_y = {v->y_before, v->y_behind, v->gap, forward ? GUARD : 0},
                at_w = {.guard = forward || data ? 0 : GUARD};
    void *workspace = poisoned_workspace(s, spx_conv2d_plan_workspace(plan));
    placed x, y, w, bias;
    result_init(r, o, pass);
    placed_init(&x, s, d->n, d->c, d->h * d->w, at_x, type, data ? from : o->x);
    placed_init(&y, s, d->n, d->k, d->p * d->q, at_y, type, forward ? from : o->y);
    /* (k, c/groups, r, s) is k images of as many channels and r*s pixels */
    placed_init(&w, s, d->k, d->c / d->groups, d->r * d->s, at_w,
                forward || data ? type : SPX_TYPE_F32, forward || data ? o->w : from);
    placed_init(&bias, s, 1, d->k, 1, at_w, SPX_TYPE_F32, forward || from != NULL ? o->bias : NULL);
    const spx_conv2d_input in = input_of(o, placed_view(&x));
    float *const b = v->bias ? placed_data(&bias) : NULL;
    switch (pass) {
    case SPX_CONV2D_FORWARD:
        CHECK_OK(spx_conv2d_forward(plan, s, &in, placed_data(&w), b, placed_view(&y), workspace));
        placed_read(&y, r->main);
        break;
    case SPX_CONV2D_BACKWARD_DATA:
        CHECK_OK(spx_conv2d_backward_data(plan, s, placed_view(&y), placed_data(&w),
                                          placed_view(&x), workspace));
        placed_read(&x, r->main);
        break;
    default:
        CHECK_OK(spx_conv2d_backward_weights(plan, s, &in, placed_view(&y), placed_data(&w), b,
                                             workspace));
        placed_read(&w, r->main);
        placed_read(&bias, r->bias);
        break;
    }
    spx_device_free(s, workspace);
    placed_clear(&x);
    placed_clear(&y);
    placed_clear(&w);
    placed_clear(&bias);
}

/* What the reference on the CPU makes of dense operands, added to what was there in double. */
static inline void expect(const spx_stream *s, const operands *o, spx_conv2d_pass pass, result *r)
{
    const float *const start[] = {o->y, o->x, o->w};
    operands dense = *o;
    spx_stream *cpu;
    spx_conv2d_plan *plan;
    dense.v.x_before = dense.v.x_behind = dense.v.y_before = dense.v.y_behind = dense.v.gap = 0;
    dense.v.accumulate = accumulates(s, o, pass) && pass != SPX_CONV2D_FORWARD;
    CHECK_OK(spx_stream_create(&cpu, SPX_DEVICE_CPU, 1));
    spx_conv2d_want want = want_of(cpu, &dense, pass);
    want.reference = true;
    CHECK_OK(spx_conv2d_plan_create(&plan, cpu, &want, NULL));
    run(cpu, plan, &dense, pass, r);
    for (size_t i = 0; accumulates(s, o, pass) && !dense.v.accumulate && i < r->size; i++) {
        r->main[i] += start[pass][i];
    }
    spx_conv2d_plan_destroy(plan);
    spx_stream_destroy(cpu);
}

/* --- Tolerances ------------------------------------------------------------------------------- */

/* Pairs of outputs and taps along one axis that meet a pixel. */
static inline int64_t meetings(const spx_conv2d_shape *d, int64_t inputs, int64_t places)
{
    int64_t n = 0;
    for (int64_t i = 0; i < places * d->r; i++) {
        const int64_t at = i / d->r * d->stride + i % d->r * d->dilation - d->pad_begin;
        n += at >= 0 && at < inputs;
    }
    return n;
}

/*
 * WINOGRAD makes the same sums of transformed numbers, whose rounding errors come back larger: for
 * independent numbers by the mean over outputs of the squares of sum over points f of |A_f|^2
 * |G_f|^2 |B_f|^2 (rows of the three transforms), which for both dimensions together is 6.94 at
 * the points for 3 taps and 19.1 at those for 5. All taps contribute errors, but to the result only
 * those that meet a pixel.
 */
static inline double winograd_factor(const spx_conv2d_shape *d, spx_conv2d_pass pass)
{
    const int64_t pixels = pass == SPX_CONV2D_BACKWARD_DATA ? d->h * d->w : d->p * d->q;
    const int64_t products = meetings(d, d->h, d->p) * meetings(d, d->w, d->q);
    return (d->r == 3 ? 6.95 : 19.1) * sqrt((double)(pixels * d->r * d->s) / (double)products);
}

/*
 * f32 sums of m products of zero-mean numbers: partial sum i is about sqrt(i) long and is rounded
 * by at most U of it, independently; the errors add up to U * sqrt(1 + .. + m) ~ U * m, the sum to
 * sqrt(m): relative error below U * sqrt(m). Four times that, and U each for a few roundings
 * outside the sum (the input's normalisation, an accumulated output), is never exceeded by a
 * correct kernel.
 * Under TF32 both factors are first rounded (or cut: twice as much) to 11 bits: each product is off
 * by at most 4 U_TF32 of itself, independently of the others, so that the sum of m is off by 4
 * U_TF32 of its length. Own kernels multiply in f32. Results in bf16 are rounded to it once, and
 * once more where they are copied and added to; so are gradients of bf16 weights.
 */
static inline double tolerance(const spx_stream *s, const spx_conv2d_shape *d, spx_conv2d_pass pass,
                               const char *choice)
{
    const spx_conv2d_shape one = spx_conv2d_group(d);
    const int64_t terms[] = {one.c * d->r * d->s, one.k * d->r * d->s, d->n * d->p * d->q};
    const spx_precision precision = spx_stream_precision(s);
    const bool own = strstr(choice, "direct") != NULL;
    double t = U_F32 * (8 + 4 * sqrt((double)terms[pass]));
    if (strcmp(choice, "winograd") == 0) {
        t *= winograd_factor(d, pass);
    }
    if (precision == SPX_PRECISION_TF32 && !own) {
        t += 4 * U_TF32;
    }
    if (precision == SPX_PRECISION_BF16 && !(own && pass == SPX_CONV2D_BACKWARD_WEIGHTS)) {
        t += 2 * U_BF16;
    }
    return t;
}

static inline void check(const char *what, size_t at, spx_conv2d_pass pass, const char *choice,
                         const float *a, const float *b, size_t n, double tol)
{
    const double e = spx_relative_error(a, b, n);
    if (!(e <= tol)) {
        fail_msg("case %zu, pass %d, %s of %s: relative error %.3g > %.3g", at, (int)pass, what,
                 choice, e, tol);
    }
}

/* Runs the plan and compares all it gives; on the CPU image by image. */
static inline void check_against(spx_stream *s, const spx_conv2d_plan *plan, const operands *o,
                                 size_t at, spx_conv2d_pass pass, const result *expected)
{
    const char *choice = spx_conv2d_plan_choice(plan);
    const bool each = spx_stream_device(s) == SPX_DEVICE_CPU && pass != SPX_CONV2D_BACKWARD_WEIGHTS;
    const size_t parts = each ? (size_t)o->d.n : 1;
    result got;
    run(s, plan, o, pass, &got);
    for (size_t i = 0, n = got.size / parts; i < parts; i++) {
        check("result", at, pass, choice, got.main + i * n, expected->main + i * n, n,
              tolerance(s, &o->d, pass, choice));
    }
    check("bias", at, pass, choice, got.bias, expected->bias, got.bias_size,
          tolerance(s, &o->d, SPX_CONV2D_BACKWARD_WEIGHTS, "direct"));
    result_clear(&got);
}

static inline void check_run(spx_stream *s, const spx_conv2d_plan *plan, const operands *o,
                             size_t at, spx_conv2d_pass pass)
{
    result expected;
    expect(s, o, pass, &expected);
    check_against(s, plan, o, at, pass, &expected);
    result_clear(&expected);
}

/* A case with at most 3 images: here they are only more pixels. */
static inline spx_conv2d_shape few_images(const spx_conv2d_shape *d)
{
    spx_conv2d_shape few = *d;
    few.n = few.n < 3 ? few.n : 3;
    return few;
}

static inline spx_stream *open_cuda(spx_precision precision)
{
    spx_stream *s;
    CHECK_OK(spx_stream_open(&s, &(spx_stream_options){.device = SPX_DEVICE_CUDA,
                                                       .threads = 1,
                                                       .precision = precision,
                                                       .deterministic = true}));
    return s;
}

#endif
