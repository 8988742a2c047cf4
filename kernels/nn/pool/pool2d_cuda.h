#ifndef SPX_NN_POOL2D_CUDA_H
#define SPX_NN_POOL2D_CUDA_H
/* pool2d.h on CUDA. A gather on both ways: no atomics. */
#include "kernels/nn/nhwc.h"
#include "kernels/nn/pool/pool2d.h"

SPX_MUST_CHECK spx_status spx_avg_pool_forward_cuda(spx_stream *s, const spx_pool2d_shape *d,
                                                    spx_nhwc x, spx_nhwc y);
SPX_MUST_CHECK spx_status spx_avg_pool_backward_cuda(spx_stream *s, const spx_pool2d_shape *d,
                                                     spx_nhwc dy, bool accumulate, spx_nhwc dx);

#endif
