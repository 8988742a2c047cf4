#ifndef SPX_CONV2D_CUDA_CHECK_H
#define SPX_CONV2D_CUDA_CHECK_H
/* Runs of convolutions on CUDA beside the CPU's reference: what their tests share. */
#include "kernels/base/rng.h"
#include "kernels/device/device_memory.h"
#include "kernels/nn/conv2d/conv2d_cuda.h"
#include "tests/nn/conv2d_cases.h"
#include "tests/support/spx_test.h"

#include <stdlib.h>

#define POISON 12345.0F /* a bf16 number, too */
#define U_F32 5.960464477539063e-8
#define U_TF32 4.8828125e-4 /* 2^-11: ten bits and a hidden one */
#define U_BF16 1.953125e-3  /* 2^-9: seven and a hidden one */

/* How operands lie: channels before and behind them in their pixels. */
typedef struct variant {
    int64_t x_before, x_behind, y_before, y_behind;
    bool bias, accumulate;
} variant;

static const variant variants[] = {
    {0, 0, 0, 0, false, false},
    {8, 16, 24, 0, true, true}, /* slices that start on a vector, */
    {3, 2, 1, 4, true, false},  /* and that do not */
    {0, 8, 0, 0, false, true},
};
#define VARIANTS (sizeof variants / sizeof variants[0])

typedef struct operands {
    spx_conv2d_shape d;
    variant v;
    size_t x_size, y_size, w_size;
    float *x, *y, *w, *bias; /* NCHW, (k, c, r, s): as the reference takes them */
} operands;

static float to_bf16(float v)
{
    uint32_t u;
    memcpy(&u, &v, sizeof u);
    u = (u + 0x7fffU + (u >> 16 & 1U)) & 0xffff0000U;
    memcpy(&v, &u, sizeof v);
    return v;
}

/* Normal numbers; on bf16 streams such that storing them is exact. */
static float *random_block(size_t n, uint64_t key, spx_type type)
{
    float *p = malloc(n * sizeof *p);
    spx_rng r;
    assert_non_null(p);
    spx_rng_init(&r, 7, SPX_RNG_TEST, key);
    for (size_t i = 0; i < n; i++) {
        p[i] = spx_rng_normal(&r);
        p[i] = type == SPX_TYPE_BF16 ? to_bf16(p[i]) : p[i];
    }
    return p;
}

static void operands_init(operands *o, const spx_conv2d_shape *shape, const variant *v,
                          spx_type type)
{
    *o = (operands){.d = *shape, .v = *v};
    CHECK_OK(spx_conv2d_shape_init(&o->d));
    const spx_conv2d_shape *d = &o->d;
    o->x_size = (size_t)(d->n * d->c * d->h * d->w);
    o->y_size = (size_t)(d->n * d->k * d->p * d->q);
    o->w_size = (size_t)(d->k * d->c * d->r * d->s);
    o->x = random_block(o->x_size, 1, type);
    o->y = random_block(o->y_size, 2, type);
    o->w = random_block(o->w_size, 3, type);
    o->bias = random_block((size_t)d->k, 4, SPX_TYPE_F32);
}

static void operands_clear(operands *o)
{
    free(o->x);
    free(o->y);
    free(o->w);
    free(o->bias);
}

/* --- Between the host's layouts and the device's ---------------------------------------------- */

static void put(void *p, size_t at, spx_type type, float v)
{
    if (type == SPX_TYPE_BF16) {
        uint32_t u;
        memcpy(&u, &v, sizeof u);
        ((uint16_t *)p)[at] = (uint16_t)(u >> 16);
    } else {
        ((float *)p)[at] = v;
    }
}

static float get(const void *p, size_t at, spx_type type)
{
    if (type == SPX_TYPE_BF16) {
        const uint32_t u = (uint32_t)((const uint16_t *)p)[at] << 16;
        float v;
        memcpy(&v, &u, sizeof v);
        return v;
    }
    return ((const float *)p)[at];
}

/* A tensor of n * hw pixels, c channels of `pixel`, all around it poisoned. */
typedef struct tensor {
    int64_t n, c, hw, before, pixel;
    spx_type type;
    size_t elements;
    void *host, *device;
} tensor;

static size_t tensor_at(const tensor *t, int64_t n, int64_t c, int64_t i)
{
    return (size_t)((n * t->hw + i) * t->pixel + t->before + c);
}

/* From NCHW numbers; NULL: poison. */
static void tensor_init(tensor *t, spx_stream *s, int64_t n, int64_t c, int64_t hw, int64_t before,
                        int64_t behind, spx_type type, const float *nchw)
{
    *t = (tensor){n, c, hw, before, before + c + behind, type, 0, NULL, NULL};
    t->elements = (size_t)(n * hw * t->pixel);
    t->host = malloc(t->elements * spx_type_bytes(type));
    assert_non_null(t->host);
    for (size_t i = 0; i < t->elements; i++) {
        put(t->host, i, type, to_bf16(POISON));
    }
    for (int64_t i = 0; nchw != NULL && i < n * c * hw; i++) {
        put(t->host, tensor_at(t, i / hw / c, i / hw % c, i % hw), type, nchw[i]);
    }
    CHECK_OK(spx_device_alloc(s, &t->device, t->elements * spx_type_bytes(type)));
    CHECK_OK(spx_upload(s, t->device, t->host, t->elements * spx_type_bytes(type)));
}

static spx_operand tensor_view(const tensor *t)
{
    return (spx_operand){(char *)t->device + (size_t)t->before * spx_type_bytes(t->type), t->pixel,
                         t->type};
}

/* Back to NCHW; nothing around the tensor may have changed. */
static void tensor_read(tensor *t, spx_stream *s, float *nchw)
{
    CHECK_OK(spx_download(s, t->host, t->device, t->elements * spx_type_bytes(t->type)));
    CHECK_OK(spx_stream_sync(s));
    for (size_t i = 0; i < t->elements; i++) {
        const int64_t c = (int64_t)i % t->pixel - t->before;
        if ((c < 0 || c >= t->c) && get(t->host, i, t->type) != to_bf16(POISON)) {
            fail_msg("wrote outside the operand, at %zu", i);
        }
    }
    for (int64_t i = 0; i < t->n * t->c * t->hw; i++) {
        const int64_t hw = t->hw, c = t->c;
        nchw[i] = get(t->host, tensor_at(t, i / hw / c, i / hw % c, i % hw), t->type);
    }
}

static void tensor_clear(tensor *t, spx_stream *s)
{
    spx_device_free(s, t->device);
    free(t->host);
}

/* (k, c, r, s) is k images of c channels and r*s pixels: the device's weights are its NHWC. */
static void weights_init(tensor *t, spx_stream *s, const spx_conv2d_shape *d, spx_type type,
                         const float *w)
{
    tensor_init(t, s, d->k, d->c, d->r * d->s, 0, 0, type, w);
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

static const float *start(const operands *o, spx_conv2d_pass pass)
{
    const float *const numbers[] = {o->y, o->x, o->w};
    return o->v.accumulate ? numbers[pass] : NULL;
}

/* The reference adds nothing to y itself: that is done here. */
static void expect(const operands *o, spx_conv2d_pass pass, result *r)
{
    const spx_conv2d_shape *d = &o->d;
    const int64_t xs = d->c * d->h * d->w, ys = d->k * d->p * d->q;
    const spx_conv2d_input in = {.x = o->x, .stride_n = xs};
    const spx_conv2d_algo ref = SPX_CONV2D_REFERENCE;
    const float *from = start(o, pass);
    spx_stream *s;
    CHECK_OK(spx_stream_create(&s, SPX_DEVICE_CPU, 1));
    result_init(r, o, pass);
    if (from != NULL) {
        memcpy(r->main, from, r->size * sizeof(float));
        memcpy(r->bias, o->bias, (size_t)d->k * sizeof(float));
    }
    switch (pass) {
    case SPX_CONV2D_FORWARD:
        CHECK_OK(spx_conv2d_forward(s, d, ref, &in, o->w, o->v.bias ? o->bias : NULL, r->main, ys,
                                    NULL));
        for (size_t i = 0; from != NULL && i < r->size; i++) {
            r->main[i] += from[i];
        }
        break;
    case SPX_CONV2D_BACKWARD_DATA:
        CHECK_OK(
            spx_conv2d_backward_data(s, d, ref, o->y, ys, o->w, from != NULL, r->main, xs, NULL));
        break;
    default:
        CHECK_OK(spx_conv2d_backward_weights(s, d, ref, &in, o->y, ys, from != NULL, r->main,
                                             o->v.bias ? r->bias : NULL, NULL));
        break;
    }
    spx_stream_destroy(s);
}

static spx_conv2d_cuda_want want_of(const operands *o, spx_conv2d_pass pass, bool reference)
{
    return (spx_conv2d_cuda_want){.shape = o->d,
                                  .pass = pass,
                                  .accumulate = o->v.accumulate,
                                  .bias = o->v.bias && pass != SPX_CONV2D_BACKWARD_DATA,
                                  .reference = reference,
                                  .x_pixel = o->v.x_before + o->d.c + o->v.x_behind,
                                  .y_pixel = o->v.y_before + o->d.k + o->v.y_behind,
                                  .x_first = o->v.x_before,
                                  .y_first = o->v.y_before};
}

static void run(spx_stream *s, const spx_conv2d_plan *plan, const operands *o, spx_conv2d_pass pass,
                result *r)
{
    const spx_conv2d_shape *d = &o->d;
    const spx_type type = spx_activation_type(s);
    const variant *v = &o->v;
    const float *from = start(o, pass);
    const bool forward = pass == SPX_CONV2D_FORWARD, data = pass == SPX_CONV2D_BACKWARD_DATA;
    const size_t bytes = spx_conv2d_plan_workspace(plan);
    tensor x, y, w, bias;
    void *workspace = NULL;
    result_init(r, o, pass);
    tensor_init(&x, s, d->n, d->c, d->h * d->w, v->x_before, v->x_behind, type, data ? from : o->x);
    tensor_init(&y, s, d->n, d->k, d->p * d->q, v->y_before, v->y_behind, type,
                forward ? from : o->y);
    weights_init(&w, s, d, forward || data ? type : SPX_TYPE_F32, forward || data ? o->w : from);
    tensor_init(&bias, s, 1, d->k, 1, 0, 0, SPX_TYPE_F32,
                forward || o->v.accumulate ? o->bias : NULL);
    CHECK_OK(spx_device_alloc(s, &workspace, bytes));
    if (bytes > 0) { /* NaNs */
        void *ff = malloc(bytes);
        assert_non_null(ff);
        memset(ff, 0xff, bytes);
        CHECK_OK(spx_upload(s, workspace, ff, bytes));
        free(ff);
    }
    switch (pass) {
    case SPX_CONV2D_FORWARD:
        CHECK_OK(spx_conv2d_forward_cuda(plan, s, tensor_view(&x), w.device,
                                         v->bias ? bias.device : NULL, tensor_view(&y), workspace));
        tensor_read(&y, s, r->main);
        break;
    case SPX_CONV2D_BACKWARD_DATA:
        CHECK_OK(spx_conv2d_backward_data_cuda(plan, s, tensor_view(&y), w.device, tensor_view(&x),
                                               workspace));
        tensor_read(&x, s, r->main);
        break;
    default:
        CHECK_OK(spx_conv2d_backward_weights_cuda(plan, s, tensor_view(&x), tensor_view(&y),
                                                  w.device, v->bias ? bias.device : NULL,
                                                  workspace));
        tensor_read(&w, s, r->main);
        tensor_read(&bias, s, r->bias);
        break;
    }
    spx_device_free(s, workspace);
    tensor_clear(&x, s);
    tensor_clear(&y, s);
    tensor_clear(&w, s);
    tensor_clear(&bias, s);
}

/* --- Tolerances ------------------------------------------------------------------------------- */

/*
 * Sums of m products of zero-mean numbers in f32, in any order: relative error below U_F32 *
 * sqrt(m) (test_conv2d.c), four times that, and a few roundings outside the sum. Under TF32 both
 * factors are first rounded (or cut: twice as much) to 11 bits: each product is off by at most 4
 * U_TF32 of itself, independently of the others, so that the sum of m is off by 4 U_TF32 of its
 * length. Own kernels multiply in f32. Results in bf16 are rounded to it once, and once more where
 * they are copied and added to; so are gradients of bf16 weights.
 */
static double tolerance(const spx_stream *s, const spx_conv2d_shape *d, spx_conv2d_pass pass,
                        bool own)
{
    const int64_t terms[] = {d->c * d->r * d->s, d->k * d->r * d->s, d->n * d->p * d->q};
    const spx_precision precision = spx_stream_precision(s);
    double t = U_F32 * (8 + 4 * sqrt((double)terms[pass]));
    if (precision == SPX_PRECISION_TF32 && !own) {
        t += 4 * U_TF32;
    }
    if (precision == SPX_PRECISION_BF16 && !(own && pass == SPX_CONV2D_BACKWARD_WEIGHTS)) {
        t += 2 * U_BF16;
    }
    return t;
}

static void check(const char *what, size_t at, spx_conv2d_pass pass, const char *choice,
                  const float *a, const float *b, size_t n, double tol)
{
    const double e = spx_relative_error(a, b, n);
    if (!(e <= tol)) {
        fail_msg("case %zu, pass %d, %s of %s: relative error %.3g > %.3g", at, (int)pass, what,
                 choice, e, tol);
    }
}

/* Runs the plan and compares all it gives. */
static void check_run(spx_stream *s, const spx_conv2d_plan *plan, const operands *o, size_t at,
                      spx_conv2d_pass pass)
{
    const char *choice = spx_conv2d_plan_choice(plan);
    const bool own = strstr(choice, "direct") != NULL;
    result got, expected;
    run(s, plan, o, pass, &got);
    expect(o, pass, &expected);
    check("result", at, pass, choice, got.main, expected.main, got.size,
          tolerance(s, &o->d, pass, own));
    check("bias", at, pass, choice, got.bias, expected.bias, got.bias_size,
          tolerance(s, &o->d, SPX_CONV2D_BACKWARD_WEIGHTS, true));
    result_clear(&got);
    result_clear(&expected);
}

static spx_stream *open_stream(spx_precision precision)
{
    spx_stream *s;
    CHECK_OK(spx_stream_open(&s, &(spx_stream_options){.device = SPX_DEVICE_CUDA,
                                                       .threads = 1,
                                                       .precision = precision,
                                                       .deterministic = true}));
    return s;
}

/* A case with at most 3 images: here they are only more pixels. */
static spx_conv2d_shape few_images(const spx_conv2d_shape *d)
{
    spx_conv2d_shape few = *d;
    few.n = few.n < 3 ? few.n : 3;
    return few;
}

#endif
