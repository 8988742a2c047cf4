#ifndef SPX_NN_DROP_MASK_PRIVATE_H
#define SPX_NN_DROP_MASK_PRIVATE_H
#include "kernels/nn/drop_mask/drop_mask.h"

/* What a device gives; the arguments are checked already. */
typedef struct spx_drop_mask_backend {
    spx_status (*draw)(spx_stream *s, int64_t n, const float *p, const uint64_t *seed,
                       const uint64_t *step, uint32_t key, float *mask);
} spx_drop_mask_backend;
extern const spx_drop_mask_backend spx_drop_mask_cuda;

#endif
