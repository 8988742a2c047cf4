#ifndef SPX_NN_RELU_H
#define SPX_NN_RELU_H
/* y = max(0, x) over (n, c, hw); a NaN stays one. */
#include "kernels/nn/operand.h"

/**
 * y may be x itself.
 * @return SPX_OK, SPX_EINVAL (a size or an operand), SPX_EUNSUPPORTED (too many channels),
 * SPX_EDEVICE
 */
SPX_MUST_CHECK spx_status spx_relu_forward(spx_stream *s, int64_t n, int64_t c, int64_t hw,
                                           spx_operand x, spx_operand y);

/**
 * dx = (accumulate ? dx : 0) + (y > 0 ? dy : 0).
 * @param y the input or the output of the ReLU
 * @return as spx_relu_forward
 */
SPX_MUST_CHECK spx_status spx_relu_backward(spx_stream *s, int64_t n, int64_t c, int64_t hw,
                                            spx_operand y, spx_operand dy, bool accumulate,
                                            spx_operand dx);

#endif
