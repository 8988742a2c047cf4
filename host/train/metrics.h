#ifndef SPX_METRICS_H
#define SPX_METRICS_H
/* Classification metrics, counted from logits; sums in double, so that resuming restores them. */
#include "kernels/nn/loss/loss.h"

/** Counted by spx_count_hits. */
typedef spx_hits spx_metrics;

/* Fractions of 1 and mean loss; 0 for no images. */
double spx_metrics_top1(const spx_metrics *m);
double spx_metrics_top5(const spx_metrics *m);
double spx_metrics_loss(const spx_metrics *m);

/** p[k] = softmax(logits)[k], [classes] each, host memory; may be the same array. */
void spx_probabilities(int64_t classes, const float *logits, float *p);

#endif
