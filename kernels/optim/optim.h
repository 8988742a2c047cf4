#ifndef SPX_OPTIM_H
#define SPX_OPTIM_H
/*
 * Parameter updates over flat arenas: one call updates every parameter of a network. f32, [n] each;
 * arithmetic per element in float, norms in double. Arrays overlap only where they are the same.
 */
#include "kernels/base/status.h"
#include "kernels/device/stream.h"

#include <stddef.h>
#include <stdint.h>

/** *norm = sqrt(sum g[i]^2), one double; the same for the same n and thread count. */
SPX_MUST_CHECK spx_status spx_norm2(spx_stream *s, size_t n, const float *g, double *norm);

/** Clips a gradient of this 2-norm: min(1, max_norm / (norm + 1e-6)); 1 if max_norm <= 0. */
float spx_clip_factor(double norm, double max_norm);

/**
 * SGD with momentum and L2 weight decay (PyTorch's): d = clip*g + decay*w; buf = momentum*buf + d;
 * w -= lr*buf. (A buffer of zeros before the first step gives PyTorch's first step.)
 */
SPX_MUST_CHECK spx_status spx_sgd(spx_stream *s, size_t n, float lr, float momentum, float decay,
                                  float clip, const float *g, float *buf, float *w);

/** The look-ahead of bilevel search: out = w - xi*(momentum*buf + g + decay*w). No clipping. */
SPX_MUST_CHECK spx_status spx_sgd_lookahead(spx_stream *s, size_t n, float xi, float momentum,
                                            float decay, const float *g, const float *buf,
                                            const float *w, float *out);

/**
 * Adam with L2 weight decay added to the gradient (PyTorch's): d = g + decay*w;
 * m = b1*m + (1-b1)*d; v = b2*v + (1-b2)*d^2;
 * w -= lr/(1-b1^t) * m / (sqrt(v/(1-b2^t)) + eps), eps = 1e-8.
 * @param t step number, from 1
 */
SPX_MUST_CHECK spx_status spx_adam(spx_stream *s, size_t n, float lr, float b1, float b2,
                                   float decay, uint64_t t, const float *g, float *m, float *v,
                                   float *w);

/** out = x + a*y. out may be x or y. */
SPX_MUST_CHECK spx_status spx_axpy(spx_stream *s, size_t n, float a, const float *x, const float *y,
                                   float *out);

/** Exponential moving average: ema = decay*ema + (1-decay)*w. */
SPX_MUST_CHECK spx_status spx_ema(spx_stream *s, size_t n, float decay, const float *w, float *ema);

#endif
