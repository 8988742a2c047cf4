#ifndef SPX_NN_LINEAR_H
#define SPX_NN_LINEAR_H
/*
 * Fully connected layer: y (n, o) = x (n, f) * w^T + b, w (o, f), b (o); n, f, o >= 1. Matrices are
 * dense, row-major, f32, memory of the stream's device; x and dx are activations, dense too: their
 * stride, on every device from row to row, must be f. On CUDA they may be bf16. There f counts
 * h*w*c in NHWC order: the caller's weights are laid out likewise (h = w = 1 in every network so
 * far, where the orders agree).
 *
 * Sums in f32. On CUDA large products of f32 operands go through cuBLASLt where it is found, in
 * TF32 on streams of that precision (SPHYNX_CUBLAS names the library or says none). All others go
 * through a kernel of our own, in f32.
 */
#include "kernels/nn/operand.h"

/** @param b may be NULL
 * @return SPX_OK, SPX_EINVAL, SPX_EDEVICE */
SPX_MUST_CHECK spx_status spx_linear_forward(spx_stream *s, int64_t n, int64_t f, int64_t o,
                                             spx_operand x, const float *w, const float *b,
                                             float *y);

/** dx (n, f) = (accumulate ? dx : 0) + dy * w. @return as spx_linear_forward */
SPX_MUST_CHECK spx_status spx_linear_backward_data(spx_stream *s, int64_t n, int64_t f, int64_t o,
                                                   const float *dy, const float *w, bool accumulate,
                                                   spx_operand dx);

/** dw (o, f) = (accumulate ? dw : 0) + dy^T * x; db (o), if not NULL, likewise the column sums.
 * @return as spx_linear_forward */
SPX_MUST_CHECK spx_status spx_linear_backward_weights(spx_stream *s, int64_t n, int64_t f,
                                                      int64_t o, spx_operand x, const float *dy,
                                                      bool accumulate, float *dw, float *db);

#endif
