#ifndef SPX_NN_COPY_H
#define SPX_NN_COPY_H
/* Fills, layouts and types: how images and weights become operands. */
#include "kernels/nn/operand.h"

/** y (n, c, hw) = value, of any type; in a slice of a wider tensor nothing else is written.
 * @return SPX_OK, SPX_EINVAL, SPX_EUNSUPPORTED (too many channels), SPX_EDEVICE */
SPX_MUST_CHECK spx_status spx_fill(spx_stream *s, int64_t n, int64_t c, int64_t hw, float value,
                                   spx_operand y);

/** y, of any type, = x (n, c, hw), dense f32 in the stream's memory: how images are laid out for
 * the device; accumulate adds x to what y holds. @return as spx_fill */
SPX_MUST_CHECK spx_status spx_from_nchw(spx_stream *s, int64_t n, int64_t c, int64_t hw,
                                        const float *x, bool accumulate, spx_operand y);

/** The other way: y (n, c, hw), dense f32 in the stream's memory, = x of any type: the same order
 * on every device and at every precision. @return SPX_OK, SPX_EINVAL, SPX_EDEVICE */
SPX_MUST_CHECK spx_status spx_to_nchw(spx_stream *s, int64_t n, int64_t c, int64_t hw,
                                      spx_operand x, float *y);

/** y[i] (bf16) = x[i], i < n, rounded to nearest even: the copy of weights that BF16 products read.
 * @return SPX_OK, SPX_EINVAL, SPX_EUNSUPPORTED (the CPU has no bf16), SPX_EDEVICE */
SPX_MUST_CHECK spx_status spx_to_bf16(spx_stream *s, int64_t n, const float *x, void *y);

#endif
