#ifndef SPX_OPTIM_H
#define SPX_OPTIM_H
/*
 * Parameter updates over flat arenas: one call updates every parameter of a network. f32, [n] each;
 * arithmetic per element in float, norms in double. Arrays overlap only where they are the same.
 *
 * Every pointer is memory of the stream's device, scalars included: a step is queued whole, without
 * the host looking at a number in its middle. The formulas are written once for both devices, in
 * optim_math_private.h.
 */
#include "kernels/base/status.h"
#include "kernels/device/scalars.h"
#include "kernels/device/stream.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Bytes of scratch of spx_norm2, aligned to 256: zeroed before its first use, left fit for the
 * next one, which may not run at the same time. */
size_t spx_norm2_workspace(const spx_stream *s, size_t n);
/** *norm = sqrt(sum g[i]^2), one double; the same for the same n and thread
 * count (CUDA: always). */
SPX_MUST_CHECK spx_status spx_norm2(spx_stream *s, size_t n, const float *g, double *norm,
                                    void *workspace);

/**
 * guard->clip = the factor that clips a gradient of this 2-norm, min(1, max_norm / (norm + 1e-6)),
 * 1 if max_norm <= 0; guard->ok = 0 unless it was 1 and loss (may be NULL) and norm are finite.
 */
SPX_MUST_CHECK spx_status spx_guard_update(spx_stream *s, const double *norm, const float *loss,
                                           double max_norm, spx_guard *guard);

/** Elements that are treated alike: what layouts align their entries to. */
#define SPX_SGD_BLOCK 16

/** What becomes of such a block. */
typedef enum spx_sgd_group {
    SPX_SGD_DECAYED, /* updated, with weight decay */
    SPX_SGD_PLAIN,   /* updated, without */
    SPX_SGD_LEFT     /* left as it is, as is its buf */
} spx_sgd_group;

typedef struct spx_sgd_rule {
    float momentum, decay;
    bool nesterov;
    const uint8_t *group; /* spx_sgd_group of each block, ceil(n / SPX_SGD_BLOCK) of them, device
                             memory; NULL: all are DECAYED */
} spx_sgd_rule;

/**
 * SGD with momentum and L2 weight decay (PyTorch's): d = clip*g + decay*w; buf = momentum*buf + d;
 * w -= lr*buf; with nesterov w -= lr*(d + momentum*buf). (A buffer of zeros before the first step
 * gives PyTorch's first step.) Nothing changes where guard->ok is 0.
 */
SPX_MUST_CHECK spx_status spx_sgd(spx_stream *s, size_t n, const float *lr,
                                  const spx_sgd_rule *rule, const spx_guard *guard, const float *g,
                                  float *buf, float *w);

/** The look-ahead of bilevel search: out = w - xi*(momentum*buf + g + decay*w). No clipping. */
SPX_MUST_CHECK spx_status spx_sgd_lookahead(spx_stream *s, size_t n, const float *xi,
                                            float momentum, float decay, const float *g,
                                            const float *buf, const float *w, float *out);

/**
 * Adam with L2 weight decay added to the gradient (PyTorch's): d = g + decay*w;
 * m = b1*m + (1-b1)*d; v = b2*v + (1-b2)*d^2;
 * w -= lr/(1-b1^t) * m / (sqrt(v/(1-b2^t)) + eps), eps = 1e-8. guard->clip is not applied; nothing
 * changes where guard->ok is 0.
 * @param t step number, from 1
 */
SPX_MUST_CHECK spx_status spx_adam(spx_stream *s, size_t n, float lr, float b1, float b2,
                                   float decay, const uint64_t *t, const spx_guard *guard,
                                   const float *g, float *m, float *v, float *w);

/**
 * The same for masks of ReLUs, numbers of 0..1 whose sum is penalised (SNL, ICML 2022): d = g +
 * *penalty where w > 0, else g; then Adam's step, without decay, and w is cut to 0..1.
 * @param penalty >= 0
 */
SPX_MUST_CHECK spx_status spx_adam_masks(spx_stream *s, size_t n, float lr, float b1, float b2,
                                         const float *penalty, const uint64_t *t,
                                         const spx_guard *guard, const float *g, float *m, float *v,
                                         float *w);

/** out = x + scale * *a * y. out may be x or y. */
SPX_MUST_CHECK spx_status spx_axpy(spx_stream *s, size_t n, const float *a, float scale,
                                   const float *x, const float *y, float *out);

/** *eps = 0.01 / *norm, the step of the finite difference (DARTS, arXiv 1806.09055); 0 where the
 * norm is 0 or not finite. */
SPX_MUST_CHECK spx_status spx_difference_step(spx_stream *s, const double *norm, float *eps);

/** out = (plus - minus) / (2*eps), in double; as published: (plus - minus) / 2 * eps; 0 where eps
 * is 0. */
SPX_MUST_CHECK spx_status spx_central_difference(spx_stream *s, size_t n, const float *eps,
                                                 bool published, const float *plus,
                                                 const float *minus, float *out);

/** Exponential moving average: ema = decay*ema + (1-decay)*w. Nothing changes where
 * guard->ok is 0. */
SPX_MUST_CHECK spx_status spx_ema(spx_stream *s, size_t n, const float *decay,
                                  const spx_guard *guard, const float *w, float *ema);

#endif
