#ifndef SPX_NN_RELU_CUDA_H
#define SPX_NN_RELU_CUDA_H
/* relu.h on CUDA; rows = n*h*w pixels of c channels. */
#include "kernels/nn/nhwc.h"

SPX_MUST_CHECK spx_status spx_relu_forward_cuda(spx_stream *s, int64_t rows, int64_t c, spx_nhwc x,
                                                spx_nhwc y);
SPX_MUST_CHECK spx_status spx_relu_backward_cuda(spx_stream *s, int64_t rows, int64_t c, spx_nhwc y,
                                                 spx_nhwc dy, bool accumulate, spx_nhwc dx);

#endif
