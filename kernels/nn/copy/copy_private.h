#ifndef SPX_NN_COPY_PRIVATE_H
#define SPX_NN_COPY_PRIVATE_H
#include "kernels/nn/copy/copy.h"

/* What a device gives; the arguments are checked already. */
typedef struct spx_copy_backend {
    spx_status (*fill)(spx_stream *s, int64_t n, int64_t c, int64_t hw, float value, spx_operand y);
    spx_status (*from_nchw)(spx_stream *s, int64_t n, int64_t c, int64_t hw, const float *x,
                            bool accumulate, spx_operand y);
    spx_status (*to_nchw)(spx_stream *s, int64_t n, int64_t c, int64_t hw, spx_operand x, float *y);
    spx_status (*to_bf16)(spx_stream *s, int64_t n, const float *x, void *y);
} spx_copy_backend;
extern const spx_copy_backend spx_copy_cuda;

#endif
