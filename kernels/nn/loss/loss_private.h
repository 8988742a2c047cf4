#ifndef SPX_NN_LOSS_PRIVATE_H
#define SPX_NN_LOSS_PRIVATE_H
#include "kernels/nn/loss/loss.h"

#include <stddef.h>

/* What a device gives; the arguments are checked already, but for labels. */
typedef struct spx_loss_backend {
    spx_status (*forward)(spx_stream *s, int64_t n, int64_t classes, const float *logits,
                          const int32_t *label, float smoothing, float *loss);
    spx_status (*backward)(spx_stream *s, int64_t n, int64_t classes, const float *logits,
                           const int32_t *label, float smoothing, float weight, bool accumulate,
                           float *dlogits);
    spx_status (*count)(spx_stream *s, int64_t valid, int64_t classes, const float *logits,
                        const int32_t *label, spx_hits *hits);
} spx_loss_backend;
extern const spx_loss_backend spx_loss_cuda;

/* Plain specification, in double throughout. */
double spx_cross_entropy_forward_ref(size_t n, size_t classes, const float *logits,
                                     const int32_t *label, double smoothing);
void spx_cross_entropy_backward_ref(size_t n, size_t classes, const float *logits,
                                    const int32_t *label, double smoothing, double weight,
                                    bool accumulate, float *dlogits);

#endif
