/* The folded network in float64, term by term. */
#include "host/model/fold_private.h"

#include <string.h>

static void run_conv(const spx_fold *f, const spx_fold_op *op, const double *x, double *y)
{
    const spx_deploy_value *in = &f->value[op->d.in], *out = &f->value[op->d.out];
    const spx_deploy_op *d = &op->d;
    const int64_t taps = d->size * d->size;
    for (int64_t k = 0; k < out->c; k++) {
        for (int64_t n = 0; n < in->c * taps; n++) {
            const int64_t c = n / taps, a = n % taps / d->size, b = n % d->size;
            const double w = op->w[k * in->c * taps + n];
            for (int64_t i = 0; i < out->h; i++) {
                const int64_t row = i * d->stride + a * d->dilation - d->pad;
                for (int64_t j = 0; j < out->w && row >= 0 && row < in->h; j++) {
                    const int64_t column = j * d->stride + b * d->dilation - d->pad;
                    if (column >= 0 && column < in->w) {
                        y[(k * out->h + i) * out->w + j] +=
                            w * x[(c * in->h + row) * in->w + column];
                    }
                }
            }
        }
    }
}

static void run_pool(const spx_fold *f, const spx_deploy_op *d, const double *x, double *y)
{
    const spx_deploy_value *in = &f->value[d->in], *out = &f->value[d->out];
    for (int64_t n = 0; n < out->c * out->h * out->w; n++) {
        const int64_t c = n / (out->h * out->w), i = n / out->w % out->h, j = n % out->w;
        const double by = (double)(d->denominator / spx_deploy_pool_window(d, in->h, i)) *
                          (double)(d->denominator / spx_deploy_pool_window(d, in->w, j));
        for (int64_t a = 0; a < d->size * d->size; a++) {
            const int64_t row = i * d->stride + a / d->size - d->pad;
            const int64_t column = j * d->stride + a % d->size - d->pad;
            if (row >= 0 && row < in->h && column >= 0 && column < in->w) {
                y[n] += by * x[(c * in->h + row) * in->w + column];
            }
        }
    }
}

static void run_pick(const spx_fold *f, const spx_deploy_op *d, const double *x, double *y)
{
    const spx_deploy_value *in = &f->value[d->in], *out = &f->value[d->out];
    for (int64_t n = 0; n < d->channels * out->h * out->w; n++) {
        const int64_t c = n / (out->h * out->w);
        const int64_t row = n / out->w % out->h * d->stride + d->offset;
        const int64_t column = n % out->w * d->stride + d->offset;
        y[d->out_first * out->h * out->w + n] +=
            x[((d->in_first + c) * in->h + row) * in->w + column];
    }
}

static void run_op(const spx_fold *f, const spx_fold_op *op, const double *x, double *y)
{
    const size_t n = spx_fold_count(f, op->d.out);
    switch (op->d.kind) {
    case SPX_DEPLOY_CONV:
        run_conv(f, op, x, y);
        break;
    case SPX_DEPLOY_POOL:
        run_pool(f, &op->d, x, y);
        break;
    case SPX_DEPLOY_PICK:
        run_pick(f, &op->d, x, y);
        break;
    case SPX_DEPLOY_BIAS:
        for (size_t i = 0; i < n; i++) {
            y[i] += op->w[i];
        }
        break;
    default: /* a RELU */
        for (size_t i = 0; i < n; i++) {
            const double r = x[i] > 0 ? x[i] : 0,
                         kept = op->most > 0 && r > op->most ? op->most : r;
            y[i] = spx_deploy_keeps(&op->d, i) ? kept : x[i];
        }
    }
}

spx_status spx_fold_run(const spx_fold *f, const double *pixels, double **values)
{
    memset(values, 0, (size_t)f->n_values * sizeof *values);
    for (int v = 0; v < f->n_values; v++) {
        void *memory = NULL;
        const spx_status st = spx_calloc(&memory, spx_fold_count(f, v), sizeof **values);
        values[v] = memory;
        if (st != SPX_OK) {
            while (v > 0) {
                spx_free(values[--v]);
                values[v] = NULL;
            }
            return st;
        }
    }
    memcpy(values[0], pixels, spx_fold_count(f, 0) * sizeof **values);
    for (int i = 0; i < f->n_ops; i++) {
        const spx_deploy_op *d = &f->op[i].d;
        run_op(f, &f->op[i], d->in < 0 ? NULL : values[d->in], values[d->out]);
    }
    return SPX_OK;
}
