#ifndef SPX_NN_LOSS_PRIVATE_H
#define SPX_NN_LOSS_PRIVATE_H
#include "kernels/nn/loss/loss.h"

#include <stddef.h>

/* Plain specification, in double throughout. */
double spx_cross_entropy_forward_ref(size_t n, size_t classes, const float *logits,
                                     const int32_t *label, double smoothing);
void spx_cross_entropy_backward_ref(size_t n, size_t classes, const float *logits,
                                    const int32_t *label, double smoothing, double weight,
                                    float *dlogits);

#endif
