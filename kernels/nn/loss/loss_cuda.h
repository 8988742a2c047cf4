#ifndef SPX_NN_LOSS_CUDA_H
#define SPX_NN_LOSS_CUDA_H
/* loss.h on CUDA: the same arguments, device memory. A label out of range cannot be refused in
 * time: the loss becomes NaN, which the step's guard catches. */
#include "kernels/nn/loss/loss.h"

SPX_MUST_CHECK spx_status spx_cross_entropy_forward_cuda(spx_stream *s, int64_t n, int64_t classes,
                                                         const float *logits, const int32_t *label,
                                                         float smoothing, float *loss);
SPX_MUST_CHECK spx_status spx_cross_entropy_backward_cuda(spx_stream *s, int64_t n, int64_t classes,
                                                          const float *logits, const int32_t *label,
                                                          float smoothing, float weight,
                                                          float *dlogits);

/** What evaluation counts, added to what is there. A row's rank is the number of logits above its
 * label's, plus those equal at a lower index; NaN never counts as right. */
typedef struct spx_hits {
    int64_t images, top1, top5;
    double loss; /* sum of each row's cross-entropy, no smoothing */
} spx_hits;

/** @param hits one, device memory; rows >= valid are left out */
SPX_MUST_CHECK spx_status spx_count_hits_cuda(spx_stream *s, int64_t n, int64_t valid,
                                              int64_t classes, const float *logits,
                                              const int32_t *label, spx_hits *hits);

#endif
