#ifndef SPX_NN_RELU_H
#define SPX_NN_RELU_H
/*
 * y = f(x) over (n, c, hw), where f(x) = max(0, x), or min(max(0, x), clip) where clip > 0 (6:
 * ReLU6); a NaN stays one. Masked: y = m f(x) + (1-m) x, where m is a number of each position (c,
 * hw), the same for all images. 1 keeps the ReLU there, to the bit, 0 leaves x as it is, and any
 * other number is as good.
 */
#include "kernels/nn/operand.h"

/**
 * y may be x itself.
 * @param clip  the largest output; 0: there is none
 * @return SPX_OK, SPX_EINVAL (a size, an operand, the clip), SPX_EUNSUPPORTED (too many channels),
 * SPX_EDEVICE
 */
SPX_MUST_CHECK spx_status spx_relu_forward(spx_stream *s, int64_t n, int64_t c, int64_t hw,
                                           float clip, spx_operand x, spx_operand y);

/**
 * dx = (accumulate ? dx : 0) + (y > 0 and not clipped ? dy : 0).
 * @param y the input or the output of the ReLU
 * @return as spx_relu_forward
 */
SPX_MUST_CHECK spx_status spx_relu_backward(spx_stream *s, int64_t n, int64_t c, int64_t hw,
                                            float clip, spx_operand y, spx_operand dy,
                                            bool accumulate, spx_operand dx);

/**
 * y = m f(x) + (1-m) x; y may be x itself.
 * @param mask m, of c*hw positions: (c, hw) on the CPU; on CUDA (hw, c), as the activations lie.
 *             f32 at every precision, memory of the stream's device
 * @return as spx_relu_forward
 */
SPX_MUST_CHECK spx_status spx_relu_masked_forward(spx_stream *s, int64_t n, int64_t c, int64_t hw,
                                                  float clip, const float *mask, spx_operand x,
                                                  spx_operand y);

/** What a masked ReLU hands back; either may be absent (data, mask: NULL), not both. */
typedef struct spx_relu_grad {
    spx_operand x;                    /* (n, c, hw), may be dy itself */
    float *mask;                      /* as the mask lies */
    bool accumulate, accumulate_mask; /* add to what is there */
} spx_relu_grad;

/**
 * dx = (accumulate ? dx : 0) + dy (x > 0 and not clipped ? 1 : 1-m),
 * dmask = (accumulate_mask ? dmask : 0) + sum over images of dy (f(x) - x).
 * @param x the input, not the output
 * @return as spx_relu_forward
 */
SPX_MUST_CHECK spx_status spx_relu_masked_backward(spx_stream *s, int64_t n, int64_t c, int64_t hw,
                                                   float clip, const float *mask, spx_operand x,
                                                   spx_operand dy, const spx_relu_grad *grad);

#endif
