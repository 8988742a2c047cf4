#ifndef SPX_METRICS_H
#define SPX_METRICS_H
/* Classification metrics, counted from logits; sums in double, so that resuming restores them. */
#include "kernels/nn/loss/loss_cuda.h"

/** images; top1, top5: those whose label is among the 1, 5 largest logits; loss: sum over images of
 * the cross-entropy (no smoothing). */
typedef spx_hits spx_metrics;

/**
 * Counts n images. Equal logits rank by class index; a label with a NaN logit counts as wrong. A
 * logit that is not finite makes the loss NaN.
 * @param logits (n, classes), dense
 * @param label  [n], each in 0..classes-1
 */
void spx_metrics_add(spx_metrics *m, int64_t n, int64_t classes, const float *logits,
                     const int32_t *label);

/**
 * The same on any device: pointers are memory of the stream's device; queued.
 * @param n      rows of logits
 * @param valid  rows that count, the first ones
 */
SPX_MUST_CHECK spx_status spx_metrics_count(spx_stream *s, int64_t n, int64_t valid,
                                            int64_t classes, const float *logits,
                                            const int32_t *label, spx_metrics *m);

/* Fractions of 1 and mean loss; 0 for no images. */
double spx_metrics_top1(const spx_metrics *m);
double spx_metrics_top5(const spx_metrics *m);
double spx_metrics_loss(const spx_metrics *m);

/** p[k] = softmax(logits)[k], [classes] each; may be the same array. */
void spx_probabilities(int64_t classes, const float *logits, float *p);

#endif
