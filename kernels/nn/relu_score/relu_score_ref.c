#include "kernels/nn/relu_score/relu_score_private.h"

#include <math.h>

/* The published batch, of whose gradients 0.5 and 1e-8 are. */
static const double reference = 128;

void spx_relu_score_ref(const spx_score_args *a)
{
    const int64_t count = a->c * a->hw;
    for (int64_t i = 0; i < count; i++) {
        double sum[SPX_SCORE_MAPS] = {0};
        for (int64_t n = 0; n < a->n; n++) {
            const double x = (double)spx_image(a->x, n)[i], g = (double)spx_image(a->g, n)[i];
            sum[SPX_SCORE_PRODUCT] += fabs(g * x);
            sum[SPX_SCORE_NEGATIVE] += x < 0 ? 1 : 0;
            sum[SPX_SCORE_INPUT] += x * x;
            sum[SPX_SCORE_GRADIENT] += g * g;
        }
        for (int64_t k = 0; k < SPX_SCORE_MAPS; k++) {
            a->map[k * count + i] = (float)sum[k];
        }
    }
    for (int64_t n = 0; n < a->n; n++) {
        double sum = 0;
        for (int64_t i = 0; i < count; i++) {
            sum += (double)spx_image(a->g, n)[i] * (double)spx_image(a->g, n)[i];
        }
        a->square[n] = (float)sum;
    }
}

void spx_relu_score_add_ref(const spx_score_add_args *a)
{
    const double n = (double)a->n, seen = (double)*a->seen;
    float *norm = &a->table[SPX_SCORE_NORM * a->layers + a->layer];
    float *mean = &a->table[SPX_SCORE_MEAN * a->layers + a->layer];
    const double weight = seen > 0 ? (double)a->table[SPX_SCORE_WEIGHT * a->layers + a->layer] : 1;
    double norms = 0, squares = 0;
    for (int64_t i = 0; i < a->count; i++) {
        const double share = (double)a->map[SPX_SCORE_NEGATIVE * a->count + i] / n;
        const double gx = n * (double)a->map[SPX_SCORE_PRODUCT * a->count + i] / n;
        const double xx = (double)a->map[SPX_SCORE_INPUT * a->count + i] / n;
        const double gg = n * n * (double)a->map[SPX_SCORE_GRADIENT * a->count + i] / n;
        const double p =
            (double)a->out.negative[i] + (share - (double)a->out.negative[i]) / fmin(seen + 1, 10);
        const double f = 0.99 * (double)a->out.curvature[i] + 0.01 * gg;
        const double v = gx * p + 0.5 / reference * xx * f;
        a->out.negative[i] = (float)p;
        a->out.curvature[i] = (float)f;
        a->out.importance[i] = (float)(0.95 * (double)a->out.importance[i] + 0.05 * weight * v);
    }
    for (int64_t i = 0; i < a->n; i++) {
        norms += n * sqrt((double)a->square[i]) / n;
        squares += n * n * (double)a->square[i] / (n * (double)a->count);
    }
    *norm = (float)(0.95 * (double)*norm + 0.05 * norms);
    *mean = (float)(0.95 * (double)*mean + 0.05 * squares);
}

static double strength(int64_t layers, const float *table, int64_t l)
{
    const double norm = (double)table[SPX_SCORE_NORM * layers + l];
    const double mean = (double)table[SPX_SCORE_MEAN * layers + l];
    const double depth = layers > 1 ? (double)l / (double)(layers - 1) : 0;
    return norm * sqrt(mean + 1e-8 * reference * reference) * (1 + 0.2 * depth);
}

void spx_relu_score_weigh_ref(int64_t layers, float *table, float *seen)
{
    double least = INFINITY, most = -INFINITY;
    for (int64_t l = 0; l < layers; l++) {
        least = fmin(least, strength(layers, table, l));
        most = fmax(most, strength(layers, table, l));
    }
    for (int64_t l = 0; l < layers; l++) {
        table[SPX_SCORE_WEIGHT * layers + l] =
            most > least ? (float)((strength(layers, table, l) - least) / (most - least) + 0.1)
                         : 1.0f;
    }
    *seen += 1;
}
