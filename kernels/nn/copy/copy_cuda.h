#ifndef SPX_NN_COPY_CUDA_H
#define SPX_NN_COPY_CUDA_H
/* Fills, layouts and types on CUDA: how images, weights and outputs cross. */
#include "kernels/nn/nhwc.h"

/** y = value, for rows of c channels: zeroing a slice of a wider tensor. */
SPX_MUST_CHECK spx_status spx_fill_cuda(spx_stream *s, int64_t rows, int64_t c, float value,
                                        spx_nhwc y);
/** y (NHWC, any type) = x (n, c, hw) dense f32, and back. How images and outputs cross. */
SPX_MUST_CHECK spx_status spx_from_nchw_cuda(spx_stream *s, int64_t n, int64_t c, int64_t hw,
                                             const float *x, spx_nhwc y);
SPX_MUST_CHECK spx_status spx_to_nchw_cuda(spx_stream *s, int64_t n, int64_t c, int64_t hw,
                                           spx_nhwc x, float *y);
/** y[i] (bf16) = x[i], rounded to nearest even: the copy of the weights that BF16 products read. */
SPX_MUST_CHECK spx_status spx_to_bf16_cuda(spx_stream *s, int64_t n, const float *x, void *y);

#endif
