#ifndef SPX_NN_DROP_MASK_CUDA_H
#define SPX_NN_DROP_MASK_CUDA_H
/* drop_mask.h on CUDA: the same bits. What varies from step to step is read from device memory, so
 * that a recorded step can be replayed. */
#include "kernels/nn/drop_mask/drop_mask.h"

SPX_MUST_CHECK spx_status spx_drop_mask_cuda(spx_stream *s, int64_t n, const float *p,
                                             const uint64_t *seed, const uint64_t *step,
                                             uint32_t key, float *mask);

#endif
