#ifndef SPX_NN_OPERAND_H
#define SPX_NN_OPERAND_H
/*
 * An activation as every op takes it: (n, c, h, w), laid out as the stream's device has it.
 * - CPU: channels outermost. Element (n, c, i) of hw pixels lies at data + n*stride + c*hw + i;
 *   stride >= c*hw counts from image to image. f32.
 * - CUDA: channels innermost. Element (n, c, i) lies at data + (n*hw + i)*stride + c; stride >= c
 *   counts from pixel to pixel. f32 under TF32 and F32, bf16 under BF16 (all sums f32 or wider).
 * So a run of channels of a wider tensor is an operand: it has the wider tensor's stride.
 */
#include "kernels/base/status.h"
#include "kernels/device/stream.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum spx_type { SPX_TYPE_F32, SPX_TYPE_BF16 } spx_type;

typedef struct spx_operand {
    void *data;     /* first element, memory of the stream's device; NULL where it is absent */
    int64_t stride; /* elements */
    spx_type type;
} spx_operand;

/** Element type of activations on a stream. */
static inline spx_type spx_activation_type(const spx_stream *s)
{
    return spx_stream_precision(s) == SPX_PRECISION_BF16 ? SPX_TYPE_BF16 : SPX_TYPE_F32;
}

/** Image n of an operand on the CPU: its c*hw floats. */
static inline float *spx_image(spx_operand x, int64_t n)
{
    return (float *)x.data + n * x.stride;
}

static inline size_t spx_type_bytes(spx_type t)
{
    return t == SPX_TYPE_BF16 ? 2 : 4;
}

#endif
