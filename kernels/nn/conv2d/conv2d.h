#ifndef SPX_NN_CONV2D_H
#define SPX_NN_CONV2D_H
/*
 * Two-dimensional convolution (cross-correlation) and its gradients:
 *
 *   y[n,k,p,q] = bias[k] + sum over c < C/groups, r, s of w[k,c,r,s] * x'[n,c0+c,i,j],
 *   i = p*stride + r*dilation - pad_begin, j = q*stride + s*dilation - pad_begin,
 *   c0 = C/groups * floor(k / (K/groups)): output channels of a group read that group's inputs,
 *
 * with x' zero outside (h, w), and x'[n,c] = max(0, gamma[c]*(x[n,c]-mean[c])*invstd[c] + beta[c])
 * where the input carries a normalisation and/or a ReLU (zero padding is applied AFTER them).
 *
 * Activations are operands (kernels/nn/operand.h): a run of channels of a wider tensor is one, so
 * concatenation and merged convolutions cost nothing. Weights are dense: on the CPU
 * (k, c/groups, r, s) in f32, on CUDA (k, r, s, c/groups) of the stream's activation type. Their
 * gradients lie likewise and are f32 everywhere; so are biases.
 *
 * What is to be done is a want; a plan is one way of doing it on one kind of stream, chosen by
 * measurement, by a text kept from an earlier one, or by default.
 */
#include "kernels/base/status.h"
#include "kernels/device/stream.h"
#include "kernels/nn/operand.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct spx_conv2d_shape {
    int64_t n;         /* images, >= 1 */
    int64_t c, h, w;   /* input channels, rows, columns, each >= 1 */
    int64_t k;         /* output channels, >= 1 */
    int64_t r, s;      /* filter rows, columns, 1..SPX_CONV2D_MAX_FILTER */
    int64_t stride;    /* 1..4, both ways */
    int64_t dilation;  /* 1..8, both ways */
    int64_t pad_begin; /* zero rows above and columns left; negative crops instead (>= -4) */
    int64_t pad_end;   /* zero rows below and columns right; negative crops instead */
    int64_t groups;    /* divides c and k; spx_conv2d_shape_init makes 0 (none) 1 */
    int64_t p, q;      /* output rows, columns: spx_conv2d_shape_init sets them */
} spx_conv2d_shape;

#define SPX_CONV2D_MAX_FILTER 11

#define SPX_CONV2D_MAX_GROUPS 65535

/**
 * Sets d->p and d->q from the rest: floor((h + pad_begin + pad_end - dilation*(r-1) - 1) / stride)
 * + 1.
 * @return SPX_OK; SPX_EINVAL with the offending number, or if the output would be empty or the
 * sizes overflow 2^40 elements
 */
SPX_MUST_CHECK spx_status spx_conv2d_shape_init(spx_conv2d_shape *d);

/** The convolution of one group, itself without groups. */
static inline spx_conv2d_shape spx_conv2d_group(const spx_conv2d_shape *d)
{
    spx_conv2d_shape one = *d;
    one.c /= d->groups;
    one.k /= d->groups;
    one.groups = 1;
    return one;
}

/** Weights of all filters. */
static inline int64_t spx_conv2d_weights(const spx_conv2d_shape *d)
{
    return d->k * (d->c / d->groups) * d->r * d->s;
}

typedef enum spx_conv2d_pass {
    SPX_CONV2D_FORWARD,
    SPX_CONV2D_BACKWARD_DATA,
    SPX_CONV2D_BACKWARD_WEIGHTS,
    SPX_CONV2D_PASS_COUNT
} spx_conv2d_pass;

typedef struct spx_conv2d_want {
    spx_conv2d_shape shape;
    spx_conv2d_pass pass;
    bool accumulate; /* the result is added to the output; the CPU has that for gradients only */
    bool bias;       /* forward: bias is added; backward weights: dbias is wanted */
    bool fused;      /* the input carries a normalisation or a ReLU: the CPU only */
    bool reference;  /* the reference twin: products and sums in double (CPU) or f32 (CUDA) */
    bool unmeasured; /* without a choice: by default, nothing is run */
    int64_t x_stride, y_stride; /* of the operands in the input's and the output's place (backward:
                                   dx and dy) */
    int64_t x_first, y_first;   /* CUDA: their first channels in a pixel, 0 where they are no
                                   slices; the CPU looks at neither */
} spx_conv2d_want;

#define SPX_CONV2D_CHOICES 21 /* at most, of one want */
#define SPX_CONV2D_CHOICE 240 /* bytes of one, with its zero */

typedef struct spx_conv2d_choices {
    int count;
    char text[SPX_CONV2D_CHOICES][SPX_CONV2D_CHOICE];
} spx_conv2d_choices;

/**
 * All ways of doing a want on a stream, likely ones first, each as one word. CPU: "winograd" (own
 * kernels with fewer products and larger rounding errors), "planar" (own kernels), "reference".
 * CUDA: "cudnn=91900,packed=0,engine=12,knobs=2:1;7:0", "direct" (own kernels).
 * @return SPX_OK, SPX_EINVAL, SPX_EUNSUPPORTED (see spx_conv2d_plan_create), SPX_ENOMEM,
 * SPX_EDEVICE
 */
SPX_MUST_CHECK spx_status spx_conv2d_candidates(spx_stream *s, const spx_conv2d_want *want,
                                                spx_conv2d_choices *out);

/** One way of doing one want; opaque, read-only, for any stream of its device, precision and number
 * of threads. On CUDA it runs by one host thread at a time (the library's plans are not all safe
 * for more). */
typedef struct spx_conv2d_plan spx_conv2d_plan;

/**
 * Makes a plan. Without `choice` the candidates worth it are measured on the spot, on operands of
 * its own, and the fastest is taken; on CUDA that is SPX_EINVAL while the stream is recording.
 * Deterministic streams take only candidates that are. On CUDA a plan made from a choice or
 * unmeasured is not run: run it once before recording, which loads its code.
 * @param choice  text from spx_conv2d_plan_choice of the same want, library and device; NULL or
 *                one that does not fit here: measured
 * @return SPX_OK, SPX_EINVAL, SPX_ENOMEM, SPX_EUNSUPPORTED (a want that the device cannot do, or
 * too large), SPX_EDEVICE (also: the library is missing; says what to do)
 */
SPX_MUST_CHECK spx_status spx_conv2d_plan_create(spx_conv2d_plan **out, spx_stream *s,
                                                 const spx_conv2d_want *want, const char *choice);
void spx_conv2d_plan_destroy(spx_conv2d_plan *p); /* NULL is a no-op */
/** The candidate as one word, on CUDA behind the time it took ("us=9.15,direct"); never NULL. */
const char *spx_conv2d_plan_choice(const spx_conv2d_plan *p);
/** Bytes of scratch a run needs, aligned to SPX_ALIGN, on CUDA to 256; 0 is common. */
size_t spx_conv2d_plan_workspace(const spx_conv2d_plan *p);
/** CUDA: seconds of a run when it was measured, also by the choice it was made from; else 0. */
double spx_conv2d_plan_seconds(const spx_conv2d_plan *p);

/** The input operand. Absent parts are NULL; gamma and beta come together, mean and invstd too. All
 * but x only where the want says fused. */
typedef struct spx_conv2d_input {
    spx_operand x;
    const float *mean, *invstd; /* [c] */
    const float *gamma, *beta;  /* [c], only with mean and invstd */
    bool relu;
} spx_conv2d_input;

/*
 * Runs. Operands are those of the plan's want; outputs overlap no other operand. On CUDA
 * activations whose want says that they start at a multiple of 4 (f32) or 8 (bf16) channels,
 * weights and their gradients must be aligned to 16 bytes.
 * @param workspace  spx_conv2d_plan_workspace bytes; contents in and out undefined
 * @return SPX_OK, SPX_EINVAL, SPX_EDEVICE
 */

/** y (= or +=) conv(x', w) + bias. @param bias [k], or NULL */
SPX_MUST_CHECK spx_status spx_conv2d_forward(const spx_conv2d_plan *p, spx_stream *s,
                                             const spx_conv2d_input *in, const void *w,
                                             const float *bias, spx_operand y, void *workspace);
/** dx (= or +=) the gradient of the input AFTER its normalisation and ReLU; the caller applies
 * their gradients. */
SPX_MUST_CHECK spx_status spx_conv2d_backward_data(const spx_conv2d_plan *p, spx_stream *s,
                                                   spx_operand dy, const void *w, spx_operand dx,
                                                   void *workspace);
/** dw (= or +=) the gradient of the weights (bf16: rounded to bf16 once where the library computes
 * it); dbias [k] likewise where not NULL. The same bits from call to call for the same plan. */
SPX_MUST_CHECK spx_status spx_conv2d_backward_weights(const spx_conv2d_plan *p, spx_stream *s,
                                                      const spx_conv2d_input *in, spx_operand dy,
                                                      float *dw, float *dbias, void *workspace);

#endif
