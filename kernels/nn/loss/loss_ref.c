#include "kernels/nn/loss/loss_private.h"

#include <math.h>

/* log of the sum of exp(x[k]); the largest is taken out, so nothing overflows */
static double log_sum_exp(size_t classes, const float *x)
{
    double max = x[0], sum = 0;
    for (size_t k = 1; k < classes; k++) {
        max = fmax(max, (double)x[k]);
    }
    for (size_t k = 0; k < classes; k++) {
        sum += exp((double)x[k] - max);
    }
    return max + log(sum);
}

static double target(size_t k, int32_t label, size_t classes, double smoothing)
{
    return (k == (size_t)label ? 1.0 - smoothing : 0.0) + smoothing / (double)classes;
}

double spx_cross_entropy_forward_ref(size_t n, size_t classes, const float *logits,
                                     const int32_t *label, double smoothing)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        const float *x = logits + i * classes;
        const double lse = log_sum_exp(classes, x);
        for (size_t k = 0; k < classes; k++) {
            sum += target(k, label[i], classes, smoothing) * (lse - (double)x[k]);
        }
    }
    return sum / (double)n;
}

void spx_cross_entropy_backward_ref(size_t n, size_t classes, const float *logits,
                                    const int32_t *label, double smoothing, double weight,
                                    bool accumulate, float *dlogits)
{
    for (size_t i = 0; i < n; i++) {
        const float *x = logits + i * classes;
        const double lse = log_sum_exp(classes, x);
        for (size_t k = 0; k < classes; k++) {
            const double t = target(k, label[i], classes, smoothing);
            float *d = &dlogits[i * classes + k];
            *d = (float)((accumulate ? (double)*d : 0.0) +
                         weight / (double)n * (exp((double)x[k] - lse) - t));
        }
    }
}
