#ifndef SPX_NN_CONV2D_CUDA_PRIVATE_H
#define SPX_NN_CONV2D_CUDA_PRIVATE_H
/* Private: what the convolution on CUDA is made of: own kernels, copies between layouts, and the
 * library's plans. */
#include "kernels/nn/conv2d/conv2d.h"

/* --- Own kernels (conv2d_direct_cuda.cu) ------------------------------------------------------ */

/** Whether the own kernels' 32-bit coordinates reach, which they assert: sides up to 2^28, channels
 * of a filter (r * s * c, r * s * k) up to 2^30. */
bool spx_conv2d_direct_fits(const spx_conv2d_shape *d);

/** Any channels, strides, crops, alignment; sums in f32 in an order fixed by the shape. Operands
 * as in conv2d.h; w of x's type. */
SPX_MUST_CHECK spx_status spx_conv2d_direct_forward(spx_stream *s, const spx_conv2d_shape *d,
                                                    spx_operand x, const void *w, const float *bias,
                                                    bool accumulate, spx_operand y);
SPX_MUST_CHECK spx_status spx_conv2d_direct_backward_data(spx_stream *s, const spx_conv2d_shape *d,
                                                          spx_operand dy, const void *w,
                                                          bool accumulate, spx_operand dx);
/** @param parts spx_conv2d_direct_weights_bytes of scratch */
SPX_MUST_CHECK spx_status spx_conv2d_direct_backward_weights(spx_stream *s,
                                                             const spx_conv2d_shape *d,
                                                             spx_operand x, spx_operand dy,
                                                             bool accumulate, float *dw,
                                                             float *parts);
size_t spx_conv2d_direct_weights_bytes(const spx_conv2d_shape *d);

/** dbias = (accumulate ? dbias : 0) + sum of dy over pixels.
 * @param parts spx_conv2d_bias_bytes of scratch */
SPX_MUST_CHECK spx_status spx_conv2d_bias_gradient(spx_stream *s, const spx_conv2d_shape *d,
                                                   spx_operand dy, bool accumulate, float *dbias,
                                                   float *parts);
size_t spx_conv2d_bias_bytes(const spx_conv2d_shape *d);

/* --- Copies between layouts (conv2d_window_cuda.cu) ------------------------------------------- */

/** dst pixel (i, j) of each image comes from src pixel (i + top, j + left); zero where that lies
 * outside src, and in channels that src lacks. */
typedef struct spx_conv2d_window {
    int64_t n;
    int64_t src_h, src_w, src_c;
    int64_t dst_h, dst_w, dst_c;
    int64_t top, left;
} spx_conv2d_window;

/**
 * dst = (accumulate ? dst : 0) + src' + bias. src may be dst where geometry and type are equal.
 * @param bias [dst_c] or NULL
 * @return SPX_OK, SPX_EDEVICE, SPX_EUNSUPPORTED (f32 to bf16)
 */
SPX_MUST_CHECK spx_status spx_conv2d_window_copy(spx_stream *s, const spx_conv2d_window *g,
                                                 spx_operand src, const float *bias,
                                                 bool accumulate, spx_operand dst);

/* --- The library (conv2d_cudnn.c; conv2d_cudnn_none.c in builds without it) ------------------- */

#define SPX_CONV2D_TEXT 192 /* bytes of a candidate's name with its zero */
/* Most scratch that a candidate may want: as much as its activations have, within these. The split
 * sums of weight gradients want more than small maps have: a device of more than
 * SPX_CONV2D_LARGE_DEVICE bytes has it for every lane. */
#define SPX_CONV2D_SCRATCH_MIN ((int64_t)32 << 20)
#define SPX_CONV2D_SCRATCH_MIN_LARGE ((int64_t)128 << 20)
#define SPX_CONV2D_SCRATCH_MAX ((int64_t)256 << 20)
#define SPX_CONV2D_LARGE_DEVICE ((size_t)16 << 30)

/** The library on one stream, made at first use and owned by the stream. */
typedef struct spx_conv2d_library spx_conv2d_library;
/** A candidate that is ready to run. */
typedef struct spx_conv2d_engine spx_conv2d_engine;

/** One convolution as the library sees it: no crops; weights dense, of the operands' type in every
 * pass (their gradient too). Operands are aligned to 16 bytes. */
typedef struct spx_conv2d_problem {
    spx_conv2d_shape shape;
    spx_conv2d_pass pass;
    spx_type type;
    bool accumulate;
    int64_t x_pixel, y_pixel;
    spx_precision precision;
    bool deterministic;
} spx_conv2d_problem;

/** @param out NULL in a build without the library and where it is switched off.
 * @return SPX_OK, SPX_EDEVICE (missing, too old, no handle) */
SPX_MUST_CHECK spx_status spx_conv2d_library_of(spx_stream *s, spx_conv2d_library **out);
size_t spx_conv2d_library_version(const spx_conv2d_library *l);

/** Names of up to `most` candidates ("engine=12,knobs=2:1;7:0"), likely ones first, each fit for
 * the problem's precision and determinism; may be none. */
SPX_MUST_CHECK spx_status spx_conv2d_library_candidates(const spx_conv2d_library *l,
                                                        const spx_conv2d_problem *p, int most,
                                                        char (*text)[SPX_CONV2D_TEXT], int *count);
/** @return SPX_OK, SPX_EINVAL (not a candidate's name), SPX_EUNSUPPORTED (does not fit here, wants
 * too much scratch), SPX_ENOMEM, SPX_EDEVICE */
SPX_MUST_CHECK spx_status spx_conv2d_engine_create(spx_conv2d_engine **out,
                                                   const spx_conv2d_library *l,
                                                   const spx_conv2d_problem *p, const char *text);
void spx_conv2d_engine_destroy(spx_conv2d_engine *e); /* NULL is a no-op */
size_t spx_conv2d_engine_workspace(const spx_conv2d_engine *e);
/** Queues it. x, w, y: the operands in those places. One host thread at a time. */
SPX_MUST_CHECK spx_status spx_conv2d_engine_run(const spx_conv2d_engine *e, spx_stream *s, void *x,
                                                void *w, void *y, void *workspace);

#endif
