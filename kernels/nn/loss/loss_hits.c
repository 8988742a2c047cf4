/* What evaluation counts, row by row and in double. */
#include "kernels/nn/loss/loss.h"

#include <math.h>

/* Classes ranked before `label`; behind all of them if its own logit is NaN. */
static int64_t rank_of(int64_t classes, const float *x, int32_t label)
{
    const float own = x[label];
    int64_t rank = 0;
    for (int64_t k = 0; k < classes; k++) {
        rank += k != label && !(x[k] < own || (x[k] == own && k > label)); /* NaN ranks before */
    }
    return isnan(own) ? classes : rank;
}

/* max + log(sum of exp(x - max)), the stable form; NaN where any logit is not finite, though -inf
 * alone would vanish in the sum: such a network gives no answers, and has no accuracy. */
double spx_log_sum_exp(int64_t classes, const float *x)
{
    double top = x[0], sum = 0;
    for (int64_t k = 1; k < classes; k++) {
        top = fmax(top, (double)x[k]);
    }
    for (int64_t k = 0; k < classes; k++) {
        sum += exp((double)x[k] - top) + 0.0 * (double)x[k];
    }
    return top + log(sum);
}

void spx_hits_add(spx_hits *hits, int64_t n, int64_t classes, const float *logits,
                  const int32_t *label)
{
    for (int64_t i = 0; i < n; i++) {
        const float *x = logits + i * classes;
        const int64_t rank = rank_of(classes, x, label[i]);
        hits->top1 += rank < 1;
        hits->top5 += rank < 5;
        hits->loss += spx_log_sum_exp(classes, x) - (double)x[label[i]];
    }
    hits->images += n;
}
