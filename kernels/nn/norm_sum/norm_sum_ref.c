/* The formulas of norm_sum.h, term by term and in double. */
#include "kernels/nn/norm_sum/norm_sum_private.h"

#include <math.h>

void spx_bn_stats_ref(const spx_bn_stats_args *a)
{
    const double m = (double)a->n * (double)a->hw;
    for (size_t c = 0; c < a->c; c++) {
        double sum = 0, m2 = 0;
        for (size_t n = 0; n < a->n; n++) {
            for (size_t i = 0; i < a->hw; i++) {
                sum += (double)a->x[n * a->stride + c * a->hw + i];
            }
        }
        for (size_t n = 0; n < a->n; n++) {
            for (size_t i = 0; i < a->hw; i++) {
                const double d = (double)a->x[n * a->stride + c * a->hw + i] - sum / m;
                m2 += d * d;
            }
        }
        spx_bn_finish_channel(a, c, sum / m, m2);
    }
}

/* the term without coef and mask */
static double normalised(const spx_norm_term *t, size_t n, size_t c, size_t hw, size_t i)
{
    double x = (double)spx_image(t->x, (int64_t)n)[c * hw + i];
    if (t->mean != NULL) {
        x = (x - (double)t->mean[c]) * (double)t->invstd[c];
    }
    return t->gamma != NULL ? (double)t->gamma[c] * x + (double)t->beta[c] : x;
}

static double masked(const spx_norm_term *t, size_t n)
{
    return t->mask != NULL ? (double)t->mask[n] : 1.0;
}

static double coef_of(const spx_norm_term *t)
{
    return t->coef != NULL ? (double)*t->coef : 1.0;
}

void spx_norm_sum_forward_ref(const spx_norm_sum_args *a)
{
    for (size_t r = 0; r < a->n * a->c; r++) {
        const size_t n = r / a->c, c = r % a->c;
        for (size_t i = 0; i < a->hw; i++) {
            double z = 0;
            for (int j = 0; j < a->k; j++) {
                const spx_norm_term *t = &a->term[j];
                z += coef_of(t) * masked(t, n) * normalised(t, n, c, a->hw, i);
            }
            a->out[n * a->out_stride + c * a->hw + i] = (float)(a->relu && 0.0 > z ? 0.0 : z);
        }
    }
}

static double dz_at(const spx_norm_sum_args *a, size_t n, size_t c, size_t i)
{
    if (a->relu && !(a->y[n * a->y_stride + c * a->hw + i] > 0.0f)) {
        return 0;
    }
    return (double)a->dy[n * a->dy_stride + c * a->hw + i];
}

void spx_norm_sum_reduce_ref(const spx_norm_sum_args *a, double dcoef[])
{
    for (int j = 0; j < a->k; j++) {
        const spx_norm_term *t = &a->term[j];
        for (size_t c = 0; c < a->c; c++) {
            const double mean = t->mean != NULL ? (double)t->mean[c] : 0.0;
            double sum_dz = 0, sum_dz_x = 0;
            for (size_t n = 0; n < a->n; n++) {
                for (size_t i = 0; i < a->hw; i++) {
                    const double x = (double)spx_image(t->x, (int64_t)n)[c * a->hw + i];
                    const double dz = masked(t, n) * dz_at(a, n, c, i);
                    sum_dz += dz;
                    sum_dz_x += dz * (x - mean);
                }
            }
            spx_norm_sum_finish_channel(t, &a->grad[j], c, sum_dz, sum_dz_x, &dcoef[j]);
        }
    }
}

void spx_norm_sum_apply_ref(const spx_norm_sum_args *a)
{
    const spx_norm_term *t = a->term;
    const double m = (double)a->n * (double)a->hw;
    for (size_t r = 0; r < a->n * a->c; r++) {
        const size_t n = r / a->c, c = r % a->c;
        for (size_t i = 0; i < a->hw; i++) {
            float *dx = &a->out[n * a->out_stride + c * a->hw + i];
            double g = masked(t, n) * dz_at(a, n, c, i);
            if (t->mean != NULL) {
                const double x = (double)spx_image(t->x, (int64_t)n)[c * a->hw + i];
                const double xhat = (x - (double)t->mean[c]) * (double)t->invstd[c];
                g -= ((double)a->sum_dy[c] + xhat * (double)a->sum_dy_xhat[c]) / m;
                g *= (double)t->invstd[c] * (t->gamma != NULL ? (double)t->gamma[c] : 1.0);
            }
            *dx = (float)((a->accumulate ? (double)*dx : 0.0) + coef_of(t) * g);
        }
    }
}
