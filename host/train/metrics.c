#include "host/train/metrics.h"

#include <math.h>

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
    const double total = spx_log_sum_exp(classes, logits);
    for (int64_t k = 0; k < classes; k++) {
        p[k] = (float)exp((double)logits[k] - total);
    }
}
