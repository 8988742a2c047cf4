#ifndef SPX_OPTIM_MATH_H
#define SPX_OPTIM_MATH_H
/* The formulas of optim.h, one element or one number each, for every device. */
#include "kernels/base/host_device.h"
#include "kernels/device/scalars.h"

#include <math.h>
#include <stdbool.h>

#define SPX_ADAM_EPS 1e-8f
#define SPX_DIFFERENCE_STEP 0.01

static inline SPX_HOST_DEVICE float spx_sgd_gradient(float decay, float clip, float g, float w)
{
    return clip * g + decay * w;
}

static inline SPX_HOST_DEVICE float spx_sgd_momentum(float momentum, float d, float buf)
{
    return momentum * buf + d;
}

/* buf as it is after the step */
static inline SPX_HOST_DEVICE float spx_sgd_weight(float lr, float momentum, bool nesterov, float d,
                                                   float buf, float w)
{
    return w - lr * (nesterov ? d + momentum * buf : buf);
}

static inline SPX_HOST_DEVICE float spx_lookahead_weight(float xi, float momentum, float decay,
                                                         float g, float buf, float w)
{
    return w - xi * (momentum * buf + g + decay * w);
}

/* What Adam's step t multiplies by, the same for all elements. */
typedef struct spx_adam_factors {
    float step; /* lr / (1 - b1^t) */
    float root; /* 1 / sqrt(1 - b2^t) */
} spx_adam_factors;

static inline SPX_HOST_DEVICE spx_adam_factors spx_adam_factors_of(float lr, float b1, float b2,
                                                                   uint64_t t)
{
    spx_adam_factors f;
    f.step = lr * (float)(1.0 / (1.0 - pow((double)b1, (double)t)));
    f.root = (float)(1.0 / sqrt(1.0 - pow((double)b2, (double)t)));
    return f;
}

static inline SPX_HOST_DEVICE float spx_adam_m(float b1, float d, float m)
{
    return b1 * m + (1.0f - b1) * d;
}

static inline SPX_HOST_DEVICE float spx_adam_v(float b2, float d, float v)
{
    return b2 * v + (1.0f - b2) * d * d;
}

static inline SPX_HOST_DEVICE float spx_adam_weight(spx_adam_factors f, float m, float v, float w)
{
    return w - f.step * m / (sqrtf(v) * f.root + SPX_ADAM_EPS);
}

/* The derivative of penalty*|w|, w >= 0. */
static inline SPX_HOST_DEVICE float spx_mask_gradient(float penalty, float g, float w)
{
    return g + (w > 0 ? penalty : 0.0f);
}

static inline SPX_HOST_DEVICE float spx_mask_clamped(float w)
{
    return w > 1 ? 1.0f : w > 0 ? w : w == w ? 0.0f : w; /* what is no number stays none */
}

static inline SPX_HOST_DEVICE float spx_axpy_at(float factor, float x, float y)
{
    return x + factor * y;
}

static inline SPX_HOST_DEVICE float spx_ema_at(float decay, float w, float ema)
{
    return decay * ema + (1.0f - decay) * w;
}

/* What a difference is multiplied by; 0 where eps is. */
static inline SPX_HOST_DEVICE double spx_difference_scale(float eps, bool published)
{
    return eps == 0 ? 0.0 : published ? (double)eps / 2 : 1 / (2 * (double)eps);
}

static inline SPX_HOST_DEVICE float spx_difference_at(double scale, float plus, float minus)
{
    return (float)(scale * ((double)plus - (double)minus));
}

static inline SPX_HOST_DEVICE float spx_difference_eps(double norm)
{
    return isfinite(norm) && norm > 0 ? (float)(SPX_DIFFERENCE_STEP / norm) : 0.0f;
}

static inline SPX_HOST_DEVICE spx_guard spx_guard_next(spx_guard guard, double norm, double loss,
                                                       double max_norm)
{
    const double factor = max_norm / (norm + 1e-6);
    guard.clip = max_norm <= 0 || factor >= 1 ? 1.0f : (float)factor;
    guard.ok = guard.ok != 0 && isfinite(norm) && isfinite(loss);
    return guard;
}

#endif
