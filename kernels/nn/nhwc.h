#ifndef SPX_NN_NHWC_H
#define SPX_NN_NHWC_H
/*
 * Activations on CUDA: (n, h, w, c), channels innermost. Element (n, i, c) of a tensor with hw
 * pixels an image lies at data + ((n*hw + i)*pixel + c). A run of channels of a wider tensor is a
 * valid operand: it has the wider tensor's `pixel`. The type is the stream's: f32 under TF32 and
 * F32, bf16 under BF16 (all sums f32 or wider).
 */
#include "kernels/base/status.h"
#include "kernels/device/stream.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum spx_type { SPX_TYPE_F32, SPX_TYPE_BF16 } spx_type;

typedef struct spx_nhwc {
    void *data;    /* first element; device memory; NULL where an operand is absent */
    int64_t pixel; /* elements from pixel to pixel, >= channels */
    spx_type type;
} spx_nhwc;

/** Element type of activations on a stream. */
static inline spx_type spx_activation_type(const spx_stream *s)
{
    return spx_stream_precision(s) == SPX_PRECISION_BF16 ? SPX_TYPE_BF16 : SPX_TYPE_F32;
}

static inline size_t spx_type_bytes(spx_type t)
{
    return t == SPX_TYPE_BF16 ? 2 : 4;
}

#endif
