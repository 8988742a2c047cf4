/* The specification: plain loops, sums in double, one thread. */
#include "kernels/nn/conv2d/conv2d_private.h"

#include <stddef.h>

/* x'[n, c, i, j]; zero outside the image. */
static double input_at(const spx_conv2d_shape *d, const spx_conv2d_input *in, int64_t n, int64_t c,
                       int64_t i, int64_t j)
{
    if (i < 0 || i >= d->h || j < 0 || j >= d->w) {
        return 0;
    }
    double v = (double)spx_image(in->x, n)[(c * d->h + i) * d->w + j];
    if (in->mean != NULL) {
        v = (v - (double)in->mean[c]) * (double)in->invstd[c];
    }
    if (in->gamma != NULL) {
        v = v * (double)in->gamma[c] + (double)in->beta[c];
    }
    return in->relu && v < 0 ? 0 : v; /* NaN passes, so that divergence shows */
}

static double forward_at(const spx_conv2d_call *call, int64_t n, int64_t k, int64_t p, int64_t q)
{
    const spx_conv2d_shape *d = call->d;
    const float *w = call->w;
    const int64_t each = d->c / d->groups, first = k / (d->k / d->groups) * each;
    double sum = call->bias != NULL ? (double)call->bias[k] : 0;
    for (int64_t c = 0; c < each; c++) {
        for (int64_t r = 0; r < d->r; r++) {
            for (int64_t s = 0; s < d->s; s++) {
                sum += (double)w[((k * each + c) * d->r + r) * d->s + s] *
                       input_at(d, &call->in, n, first + c,
                                p * d->stride + r * d->dilation - d->pad_begin,
                                q * d->stride + s * d->dilation - d->pad_begin);
            }
        }
    }
    return sum;
}

static void forward(const spx_conv2d_call *call)
{
    const spx_conv2d_shape *d = call->d;
    for (int64_t n = 0; n < d->n; n++) {
        for (int64_t k = 0; k < d->k; k++) {
            for (int64_t i = 0; i < d->p * d->q; i++) {
                spx_image(call->y, n)[k * d->p * d->q + i] =
                    (float)forward_at(call, n, k, i / d->q, i % d->q);
            }
        }
    }
}

/* Output row or column that reads input i through tap t, or -1. */
static int64_t output_of(const spx_conv2d_shape *d, int64_t i, int64_t t, int64_t outputs)
{
    const int64_t at = i + d->pad_begin - t * d->dilation;
    return at >= 0 && at % d->stride == 0 && at / d->stride < outputs ? at / d->stride : -1;
}

static double backward_data_at(const spx_conv2d_call *call, int64_t n, int64_t c, int64_t i,
                               int64_t j)
{
    const spx_conv2d_shape *d = call->d;
    const float *w = call->w, *dy = spx_image(call->y, n);
    const int64_t each = d->c / d->groups, filters = d->k / d->groups, k0 = c / each * filters;
    double sum = 0;
    for (int64_t r = 0; r < d->r; r++) {
        for (int64_t s = 0; s < d->s; s++) {
            const int64_t p = output_of(d, i, r, d->p), q = output_of(d, j, s, d->q);
            for (int64_t k = k0; p >= 0 && q >= 0 && k < k0 + filters; k++) {
                sum += (double)w[((k * each + c % each) * d->r + r) * d->s + s] *
                       (double)dy[(k * d->p + p) * d->q + q];
            }
        }
    }
    return sum;
}

static void backward_data(const spx_conv2d_call *call)
{
    const spx_conv2d_shape *d = call->d;
    for (int64_t n = 0; n < d->n; n++) {
        for (int64_t c = 0; c < d->c; c++) {
            for (int64_t i = 0; i < d->h * d->w; i++) {
                float *dx = &spx_image(call->in.x, n)[c * d->h * d->w + i];
                const double sum = backward_data_at(call, n, c, i / d->w, i % d->w);
                *dx = (float)(call->accumulate ? (double)*dx + sum : sum);
            }
        }
    }
}

static double backward_weights_at(const spx_conv2d_call *call, int64_t k, int64_t c, int64_t r,
                                  int64_t s)
{
    const spx_conv2d_shape *d = call->d;
    double sum = 0;
    for (int64_t n = 0; n < d->n; n++) {
        const float *dy = spx_image(call->y, n) + k * d->p * d->q;
        for (int64_t p = 0; p < d->p; p++) {
            for (int64_t q = 0; q < d->q; q++) {
                sum += (double)dy[p * d->q + q] *
                       input_at(d, &call->in, n, c, p * d->stride + r * d->dilation - d->pad_begin,
                                q * d->stride + s * d->dilation - d->pad_begin);
            }
        }
    }
    return sum;
}

static void backward_weights(const spx_conv2d_call *call)
{
    const spx_conv2d_shape *d = call->d;
    const int64_t taps = d->r * d->s, each = d->c / d->groups;
    for (int64_t i = 0; i < spx_conv2d_weights(d); i++) {
        const int64_t k = i / taps / each, first = k / (d->k / d->groups) * each;
        const double sum =
            backward_weights_at(call, k, first + i / taps % each, i / d->s % d->r, i % d->s);
        call->dw[i] = (float)(call->accumulate ? (double)call->dw[i] + sum : sum);
    }
    for (int64_t k = 0; call->dbias != NULL && k < d->k; k++) {
        double sum = call->accumulate ? (double)call->dbias[k] : 0;
        for (int64_t n = 0; n < d->n; n++) {
            for (int64_t i = 0; i < d->p * d->q; i++) {
                sum += (double)spx_image(call->y, n)[k * d->p * d->q + i];
            }
        }
        call->dbias[k] = (float)sum;
    }
}

static void run(spx_stream *s, const spx_conv2d_call *call)
{
    (void)s;
    switch (call->pass) {
    case SPX_CONV2D_FORWARD:
        forward(call);
        break;
    case SPX_CONV2D_BACKWARD_DATA:
        backward_data(call);
        break;
    default:
        backward_weights(call);
        break;
    }
}

static size_t workspace(const spx_conv2d_shape *d, spx_conv2d_pass pass, int threads)
{
    (void)d;
    (void)pass;
    (void)threads;
    return 0;
}

const spx_conv2d_algorithm spx_conv2d_ref = {
    .name = "reference", .workspace = workspace, .run = run};
