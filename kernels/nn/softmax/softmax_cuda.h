#ifndef SPX_NN_SOFTMAX_CUDA_H
#define SPX_NN_SOFTMAX_CUDA_H
/* softmax.h on CUDA: the same arguments, device memory. */
#include "kernels/nn/softmax/softmax.h"

SPX_MUST_CHECK spx_status spx_softmax_forward_cuda(spx_stream *s, int64_t rows, int64_t cols,
                                                   const float *x, float *y);
SPX_MUST_CHECK spx_status spx_softmax_backward_cuda(spx_stream *s, int64_t rows, int64_t cols,
                                                    const float *y, const float *dy,
                                                    bool accumulate, float *dx);

#endif
