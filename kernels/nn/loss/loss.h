#ifndef SPX_NN_LOSS_H
#define SPX_NN_LOSS_H
/*
 * Softmax cross-entropy with label smoothing, mean over the batch:
 *   loss = mean over n of sum over k of -t[n,k] * log softmax(x[n])[k],
 *   t[n,k] = (1 - smoothing)*[k == label[n]] + smoothing/classes.
 */
#include "kernels/base/status.h"
#include "kernels/device/stream.h"

#include <stdint.h>

/**
 * @param logits (n, classes), dense; label [n], each in 0..classes-1 (checked: SPX_EINVAL)
 * @param smoothing 0..1
 * @param loss one float, overwritten; summed in double
 */
SPX_MUST_CHECK spx_status spx_cross_entropy_forward(spx_stream *s, int64_t n, int64_t classes,
                                                    const float *logits, const int32_t *label,
                                                    float smoothing, float *loss);

/** dlogits (n, classes) = weight * d loss / d logits = weight/n * (softmax - t), overwritten. */
SPX_MUST_CHECK spx_status spx_cross_entropy_backward(spx_stream *s, int64_t n, int64_t classes,
                                                     const float *logits, const int32_t *label,
                                                     float smoothing, float weight, float *dlogits);

#endif
