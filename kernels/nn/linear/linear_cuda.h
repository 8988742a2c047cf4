#ifndef SPX_NN_LINEAR_CUDA_H
#define SPX_NN_LINEAR_CUDA_H
/*
 * linear.h on CUDA. x and dx are (n, f) activations, dense (pixel is ignored), of the stream's
 * type; w, b, y, dy, dw, db are f32. f counts h*w*c in NHWC order: the caller's weights are laid
 * out likewise (h = w = 1 in every network so far, where the orders agree). Sums in f32.
 * Large products of f32 operands go through cuBLASLt where it is found (SPHYNX_CUBLAS names it or
 * says none), in TF32 on streams of that precision; all others through a kernel of our own, in f32.
 */
#include "kernels/nn/nhwc.h"

size_t spx_linear_cuda_workspace(int64_t n, int64_t f, int64_t o); /* bytes, aligned to 256 */
SPX_MUST_CHECK spx_status spx_linear_forward_cuda(spx_stream *s, int64_t n, int64_t f, int64_t o,
                                                  spx_nhwc x, const float *w, const float *b,
                                                  float *y, void *workspace);
SPX_MUST_CHECK spx_status spx_linear_backward_data_cuda(spx_stream *s, int64_t n, int64_t f,
                                                        int64_t o, const float *dy, const float *w,
                                                        bool accumulate, spx_nhwc dx,
                                                        void *workspace);
SPX_MUST_CHECK spx_status spx_linear_backward_weights_cuda(spx_stream *s, int64_t n, int64_t f,
                                                           int64_t o, spx_nhwc x, const float *dy,
                                                           bool accumulate, float *dw, float *db,
                                                           void *workspace);

#endif
