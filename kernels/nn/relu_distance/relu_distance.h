#ifndef SPX_NN_RELU_DISTANCE_H
#define SPX_NN_RELU_DISTANCE_H
/*
 * How far the outputs of two networks' ReLUs are from each other, position by position: by which
 * SENet chooses the positions that a student keeps (ICLR 2023; its authors' later code, rlnet).
 *
 * Pointers are memory of the stream's device. Values and sums are f32 in the order (c, h, w), on
 * every device and at every precision: what one program writes another one takes as its input.
 */
#include "kernels/nn/operand.h"

/**
 * sum[i] = sum over images of |y[n][i] - target[n][i]|; the same bits for any number of threads.
 * @param y       (n, c, hw)
 * @param target  (n, c*hw), of spx_to_nchw
 * @param sum     [c*hw], overwritten
 * @return SPX_OK, SPX_EINVAL (a size or an operand), SPX_EDEVICE
 */
SPX_MUST_CHECK spx_status spx_relu_distance(spx_stream *s, int64_t n, int64_t c, int64_t hw,
                                            spx_operand y, const float *target, float *sum);

#endif
