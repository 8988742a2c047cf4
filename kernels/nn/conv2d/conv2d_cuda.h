#ifndef SPX_NN_CONV2D_CUDA_H
#define SPX_NN_CONV2D_CUDA_H
/*
 * conv2d.h on CUDA: the same sums over NHWC operands. Weights are (k, r, s, c), dense, of the
 * stream's activation type (BF16: a converted copy, see copy.h); their gradients f32,
 * likewise. The input carries no normalisation and no ReLU (on this device they are applied by the
 * op before).
 *
 * Physical channels: the library wants multiples of 4 (f32, TF32) or 8 (bf16), dense and aligned.
 * Operands that are not (5 channels, a slice) are copied to padded scratch and back by the op.
 */
#include "kernels/nn/conv2d/conv2d.h"
#include "kernels/nn/operand.h"

/** One way of running one pass of one shape; opaque, read-only, for any stream of its device and
 * precision, by one host thread at a time (the library's plans are not all safe for more). Plans
 * of the library are measured and kept by text. */
typedef struct spx_conv2d_plan spx_conv2d_plan;

typedef struct spx_conv2d_cuda_want {
    spx_conv2d_shape shape;
    spx_conv2d_pass pass;
    bool accumulate;          /* the result is added to the output */
    bool bias;                /* forward: bias is added; backward weights: dbias is wanted */
    bool reference;           /* own direct kernels: products and sums in f32 */
    bool unmeasured;          /* without a choice: the first candidate that can be made */
    int64_t x_pixel, y_pixel; /* pixel strides of the operands in the input's and the output's place
                                 (backward: dx and dy) */
    int64_t x_first, y_first; /* their first channels in a pixel, 0 where they are no slices */
} spx_conv2d_cuda_want;

/**
 * Makes a plan. Without `choice` the library's candidates and the own kernels are measured on the
 * spot, on scratch of its own, and the fastest is taken. While the stream is recording that is
 * SPX_EINVAL. Deterministic streams take only candidates that are. A plan made from a choice or
 * unmeasured is not run: run it once before recording, which loads its code.
 * @param choice  text from spx_conv2d_plan_choice of the same want, library and device; NULL or
 *                one that no longer fits: measured
 * @return SPX_OK, SPX_EINVAL, SPX_ENOMEM, SPX_EUNSUPPORTED (too large), SPX_EDEVICE (also: the
 * library is missing; says what to do)
 */
SPX_MUST_CHECK spx_status spx_conv2d_plan_create(spx_conv2d_plan **out, spx_stream *s,
                                                 const spx_conv2d_cuda_want *want,
                                                 const char *choice);
void spx_conv2d_plan_destroy(spx_conv2d_plan *p); /* NULL is a no-op */
/** One word that names the candidate with the time it took
 * ("us=9.15,cudnn=91900,packed=0,engine=12, knobs=2:1;7:0"; "direct" for the own kernels), shorter
 * than 256 bytes; never NULL. */
const char *spx_conv2d_plan_choice(const spx_conv2d_plan *p);
/** Bytes of scratch a call needs, aligned to 256; includes padded copies. */
size_t spx_conv2d_plan_workspace(const spx_conv2d_plan *p);
/** Seconds of a run when it was measured, also by the choice that it was made from; else 0. */
double spx_conv2d_plan_seconds(const spx_conv2d_plan *p);

/*
 * Runs. Operands are those of the plan's want. Activations whose want says that they start at a
 * multiple of 4 (f32) or 8 (bf16) channels, weights and their gradients must be aligned to 16
 * bytes.
 * @param workspace  spx_conv2d_plan_workspace bytes, aligned to 256; contents undefined
 * @return SPX_OK, SPX_EINVAL, SPX_EDEVICE
 */

/** y (= or +=) conv(x, w) + bias. @param w  (k, r, s, c). @param bias [k] f32, or NULL */
SPX_MUST_CHECK spx_status spx_conv2d_forward_cuda(const spx_conv2d_plan *p, spx_stream *s,
                                                  spx_operand x, const void *w, const float *bias,
                                                  spx_operand y, void *workspace);
/** dx (= or +=) the gradient of the input. */
SPX_MUST_CHECK spx_status spx_conv2d_backward_data_cuda(const spx_conv2d_plan *p, spx_stream *s,
                                                        spx_operand dy, const void *w,
                                                        spx_operand dx, void *workspace);
/** dw f32 (k, r, s, c) (= or +=) the gradient of the weights (bf16: rounded to bf16 once where the
 * library computes it); dbias likewise where not NULL. */
SPX_MUST_CHECK spx_status spx_conv2d_backward_weights_cuda(const spx_conv2d_plan *p, spx_stream *s,
                                                           spx_operand x, spx_operand dy, float *dw,
                                                           float *dbias, void *workspace);

#endif
