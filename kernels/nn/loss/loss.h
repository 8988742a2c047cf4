#ifndef SPX_NN_LOSS_H
#define SPX_NN_LOSS_H
/*
 * Softmax cross-entropy with label smoothing, mean over the batch:
 *   loss = mean over n of sum over k of -t[n,k] * log softmax(x[n])[k],
 *   t[n,k] = (1 - smoothing)*[k == label[n]] + smoothing/classes.
 * Pointers are memory of the stream's device.
 */
#include "kernels/base/status.h"
#include "kernels/device/stream.h"

#include <stdbool.h>
#include <stdint.h>

/**
 * @param logits (n, classes), dense
 * @param label [n], each in 0..classes-1. The CPU refuses others (SPX_EINVAL); on CUDA they cannot
 * be refused in time: the loss becomes NaN, which the step's guard catches
 * @param smoothing 0..1
 * @param loss one float, overwritten; summed in double
 * @return SPX_OK, SPX_EINVAL, SPX_EDEVICE
 */
SPX_MUST_CHECK spx_status spx_cross_entropy_forward(spx_stream *s, int64_t n, int64_t classes,
                                                    const float *logits, const int32_t *label,
                                                    float smoothing, float *loss);

/** dlogits (n, classes) = (accumulate ? dlogits : 0) + weight * d loss / d logits, which is
 * weight/n * (softmax - t). @return as spx_cross_entropy_forward */
SPX_MUST_CHECK spx_status spx_cross_entropy_backward(spx_stream *s, int64_t n, int64_t classes,
                                                     const float *logits, const int32_t *label,
                                                     float smoothing, float weight, bool accumulate,
                                                     float *dlogits);

/** What evaluation counts. A row's rank is the number of logits above its label's, plus those equal
 * at a lower index; a NaN ranks before every number, and a label with a NaN logit is wrong. */
typedef struct spx_hits {
    int64_t images, top1, top5;
    double loss; /* sum of each row's cross-entropy, no smoothing; NaN where a logit is not finite:
                    such a network gives no answers, and has no accuracy */
} spx_hits;

/** Adds the first `valid` of n rows to *hits.
 * @param label as above, but never checked
 * @return SPX_OK, SPX_EINVAL, SPX_EDEVICE */
SPX_MUST_CHECK spx_status spx_count_hits(spx_stream *s, int64_t n, int64_t valid, int64_t classes,
                                         const float *logits, const int32_t *label, spx_hits *hits);

/** The same of n rows of host memory, without a stream. */
void spx_hits_add(spx_hits *hits, int64_t n, int64_t classes, const float *logits,
                  const int32_t *label);

/** log of the sum of exp(x[k]), stable; NaN where an x[k] is not finite. Host memory. */
double spx_log_sum_exp(int64_t classes, const float *x);

#endif
