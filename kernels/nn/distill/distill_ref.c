#include "kernels/nn/distill/distill_private.h"

#include <math.h>

/* log softmax(x/T)[k] */
static double log_softmax(int64_t classes, const float *x, double temperature, int64_t k)
{
    double max = (double)x[0], sum = 0;
    for (int64_t j = 1; j < classes; j++) {
        max = fmax(max, (double)x[j]);
    }
    for (int64_t j = 0; j < classes; j++) {
        sum += exp(((double)x[j] - max) / temperature);
    }
    return ((double)x[k] - max) / temperature - log(sum);
}

/* log p and log q of element i of the matrices */
static double log_p(const spx_distillation_args *a, int64_t i)
{
    const float *row = a->target + i / a->classes * a->classes;
    return log_softmax(a->classes, row, (double)a->temperature, i % a->classes);
}

static double log_q(const spx_distillation_args *a, int64_t i)
{
    const float *row = a->logits + i / a->classes * a->classes;
    return log_softmax(a->classes, row, (double)a->temperature, i % a->classes);
}

double spx_distillation_forward_ref(const spx_distillation_args *a)
{
    const double t = (double)a->temperature;
    double sum = 0;
    for (int64_t i = 0; i < a->n * a->classes; i++) {
        sum += exp(log_p(a, i)) * (log_p(a, i) - log_q(a, i));
    }
    return t * t * sum / (double)a->n;
}

void spx_distillation_backward_ref(const spx_distillation_args *a)
{
    const double scale = (double)a->weight * (double)a->temperature / (double)a->n;
    for (int64_t i = 0; i < a->n * a->classes; i++) {
        a->out[i] = (float)((a->accumulate ? (double)a->out[i] : 0.0) +
                            scale * (exp(log_q(a, i)) - exp(log_p(a, i))));
    }
}

/* sum over c of x[n,c,i]^2 */
static double energy(const spx_attention_args *a, int64_t n, int64_t i)
{
    double sum = 0;
    for (int64_t c = 0; c < a->c; c++) {
        const double x = (double)spx_image(a->x, n)[c * a->hw + i];
        sum += x * x;
    }
    return sum;
}

void spx_attention_map_forward_ref(const spx_attention_args *a)
{
    for (int64_t n = 0; n < a->n; n++) {
        double square = 0;
        for (int64_t i = 0; i < a->hw; i++) {
            square += energy(a, n, i) * energy(a, n, i);
        }
        const double norm = sqrt(square);
        const double inverse = norm >= SPX_ATTENTION_MIN_NORM ? 1 / norm : 0;
        for (int64_t i = 0; i < a->hw; i++) {
            a->map[n * a->hw + i] = (float)(energy(a, n, i) * inverse);
        }
        a->inverse[n] = (float)inverse;
    }
}

void spx_attention_map_backward_ref(const spx_attention_args *a)
{
    for (int64_t n = 0; n < a->n; n++) {
        const float *map = a->map + n * a->hw, *dmap = a->dmap + n * a->hw;
        double dot = 0;
        for (int64_t i = 0; i < a->hw; i++) {
            dot += (double)map[i] * (double)dmap[i];
        }
        for (int64_t at = 0; at < a->c * a->hw; at++) {
            const int64_t i = at % a->hw;
            float *dx = &spx_image(a->dx, n)[at];
            *dx = (float)((a->accumulate ? (double)*dx : 0.0) +
                          2 * (double)spx_image(a->x, n)[at] * (double)a->inverse[n] *
                              ((double)dmap[i] - (double)map[i] * dot));
        }
    }
}

double spx_squared_difference_forward_ref(const spx_difference_args *a)
{
    double sum = 0;
    for (int64_t i = 0; i < a->count; i++) {
        const double d = (double)a->x[i] - (double)a->y[i];
        sum += d * d;
    }
    return (a->accumulate ? (double)*a->out : 0.0) + sum / (double)a->count;
}

void spx_squared_difference_backward_ref(const spx_difference_args *a)
{
    for (int64_t i = 0; i < a->count; i++) {
        const double d = (double)a->x[i] - (double)a->y[i];
        a->out[i] = (float)((a->accumulate ? (double)a->out[i] : 0.0) +
                            2 * (double)a->weight / (double)a->count * d);
    }
}
