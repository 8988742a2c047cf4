#ifndef SPX_NN_CONV2D_H
#define SPX_NN_CONV2D_H
/*
 * Two-dimensional convolution (cross-correlation), f32, NCHW activations, KCRS (OIHW) weights:
 *
 *   y[n,k,p,q] = bias[k] + sum over c,r,s of w[k,c,r,s] * x'[n,c,i,j],
 *   i = p*stride + r*dilation - pad_begin, j = q*stride + s*dilation - pad_begin,
 *
 * with x' zero outside (h, w), and x'[n,c] = max(0, gamma[c]*(x[n,c]-mean[c])*invstd[c] + beta[c])
 * where the input carries a normalisation and/or a ReLU (zero padding is applied AFTER them).
 *
 * Images are dense (channels, rows, columns) and lie `stride_n` floats apart, so a run of channels
 * of a wider tensor is a valid operand: concatenation and merged convolutions cost nothing.
 */
#include "kernels/base/status.h"
#include "kernels/device/stream.h"

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
    int64_t p, q;      /* output rows, columns: spx_conv2d_shape_init sets them */
} spx_conv2d_shape;

#define SPX_CONV2D_MAX_FILTER 11

/**
 * Sets d->p and d->q from the rest: floor((h + pad_begin + pad_end - dilation*(r-1) - 1) / stride)
 * + 1.
 * @return SPX_OK; SPX_EINVAL with the offending number, or if the output would be empty or the
 * sizes overflow 2^40 elements
 */
SPX_MUST_CHECK spx_status spx_conv2d_shape_init(spx_conv2d_shape *d);

/** The input operand. Absent parts are NULL; gamma and beta come together, mean and invstd too. */
typedef struct spx_conv2d_input {
    const float *x;             /* (n, c, h, w) */
    int64_t stride_n;           /* floats from image to image, >= c*h*w */
    const float *mean, *invstd; /* [c] */
    const float *gamma, *beta;  /* [c], only with mean and invstd */
    bool relu;
} spx_conv2d_input;

typedef enum spx_conv2d_pass {
    SPX_CONV2D_FORWARD,
    SPX_CONV2D_BACKWARD_DATA,
    SPX_CONV2D_BACKWARD_WEIGHTS,
    SPX_CONV2D_PASS_COUNT
} spx_conv2d_pass;

/** Implementations. PLANAR: own kernels, lanes are pixels. ONEDNN: through reordered blocked
 * layouts. WINOGRAD: own kernels with fewer multiplications and larger rounding errors. */
typedef enum spx_conv2d_algo {
    SPX_CONV2D_REFERENCE,
    SPX_CONV2D_PLANAR,
    SPX_CONV2D_ONEDNN,
    SPX_CONV2D_WINOGRAD,
    SPX_CONV2D_ALGO_COUNT
} spx_conv2d_algo;

/** "reference", "planar", "onednn", "winograd". */
const char *spx_conv2d_algo_name(spx_conv2d_algo a);

/**
 * Whether algo can run this pass of this shape on this stream's device and processor.
 * PLANAR runs every shape on every x86-64 with AVX2; WINOGRAD there those of 3x3 and 5x5 filters
 * with stride 1 and dilation 1 or 2; REFERENCE everything everywhere.
 */
bool spx_conv2d_supports(const spx_stream *s, const spx_conv2d_shape *d, spx_conv2d_pass pass,
                         spx_conv2d_algo algo);

/** The algorithm taken without measuring: WINOGRAD where it runs and a count of cycles says that it
 * pays, else PLANAR where it runs, else REFERENCE. */
spx_conv2d_algo spx_conv2d_default_algo(const spx_stream *s, const spx_conv2d_shape *d,
                                        spx_conv2d_pass pass);

/** Bytes of scratch (aligned to SPX_ALIGN) that one call may use; 0 is common. */
size_t spx_conv2d_workspace(const spx_stream *s, const spx_conv2d_shape *d, spx_conv2d_pass pass,
                            spx_conv2d_algo algo);

/**
 * y = conv(x', w) + bias.
 * @param w    (k, c, r, s), dense
 * @param bias [k] or NULL
 * @param y    (n, k, p, q), images y_stride_n floats apart; overwritten; overlaps no operand
 * @param workspace spx_conv2d_workspace bytes; contents in and out undefined
 * @return SPX_OK, SPX_EINVAL, SPX_EUNSUPPORTED (see spx_conv2d_supports), SPX_EDEVICE
 */
SPX_MUST_CHECK spx_status spx_conv2d_forward(spx_stream *s, const spx_conv2d_shape *d,
                                             spx_conv2d_algo algo, const spx_conv2d_input *in,
                                             const float *w, const float *bias, float *y,
                                             int64_t y_stride_n, void *workspace);

/**
 * dx = (accumulate ? dx : 0) + d(sum dy*y)/dx', the gradient of the input AFTER its normalisation
 * and ReLU; the caller applies their gradients.
 * @param dy (n, k, p, q), images dy_stride_n floats apart
 * @param dx (n, c, h, w), images dx_stride_n floats apart; overlaps no operand
 */
SPX_MUST_CHECK spx_status spx_conv2d_backward_data(spx_stream *s, const spx_conv2d_shape *d,
                                                   spx_conv2d_algo algo, const float *dy,
                                                   int64_t dy_stride_n, const float *w,
                                                   bool accumulate, float *dx, int64_t dx_stride_n,
                                                   void *workspace);

/**
 * dw = (accumulate ? dw : 0) + d(sum dy*y)/dw; dbias likewise where not NULL. Bit-identical from
 * call to call for the same thread count.
 */
SPX_MUST_CHECK spx_status spx_conv2d_backward_weights(spx_stream *s, const spx_conv2d_shape *d,
                                                      spx_conv2d_algo algo,
                                                      const spx_conv2d_input *in, const float *dy,
                                                      int64_t dy_stride_n, bool accumulate,
                                                      float *dw, float *dbias, void *workspace);

#endif
