#include "host/train/metrics.h"

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
static double log_sum_exp(int64_t classes, const float *x)
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

void spx_metrics_add(spx_metrics *m, int64_t n, int64_t classes, const float *logits,
                     const int32_t *label)
{
    for (int64_t i = 0; i < n; i++) {
        const float *x = logits + i * classes;
        const int64_t rank = rank_of(classes, x, label[i]);
        m->top1 += rank < 1;
        m->top5 += rank < 5;
        m->loss += log_sum_exp(classes, x) - (double)x[label[i]];
    }
    m->images += n;
}

static spx_status count_cpu(spx_stream *s, int64_t n, int64_t valid, int64_t classes,
                            const float *logits, const int32_t *label, spx_metrics *m)
{
    (void)s;
    (void)n;
    spx_metrics_add(m, valid, classes, logits, label);
    return SPX_OK;
}

#ifdef SPX_HAVE_CUDA
#define COUNT_CUDA spx_count_hits_cuda
#else
#define COUNT_CUDA NULL
#endif

spx_status spx_metrics_count(spx_stream *s, int64_t n, int64_t valid, int64_t classes,
                             const float *logits, const int32_t *label, spx_metrics *m)
{
    static spx_status (*const count[SPX_DEVICE_COUNT])(
        spx_stream *, int64_t, int64_t, int64_t, const float *, const int32_t *,
        spx_metrics *) = {[SPX_DEVICE_CPU] = count_cpu, [SPX_DEVICE_CUDA] = COUNT_CUDA};
    return count[spx_stream_device(s)](s, n, valid, classes, logits, label, m);
}

static double per_image(const spx_metrics *m, double sum)
{
    return m->images > 0 ? sum / (double)m->images : 0.0;
}

double spx_metrics_top1(const spx_metrics *m)
{
    return per_image(m, (double)m->top1);
}

double spx_metrics_top5(const spx_metrics *m)
{
    return per_image(m, (double)m->top5);
}

double spx_metrics_loss(const spx_metrics *m)
{
    return per_image(m, m->loss);
}

void spx_probabilities(int64_t classes, const float *logits, float *p)
{
    const double total = log_sum_exp(classes, logits);
    for (int64_t k = 0; k < classes; k++) {
        p[k] = (float)exp((double)logits[k] - total);
    }
}
