#include "kernels/base/rng.h"

#include <math.h>

float spx_rng_normal(spx_rng *r)
{
    const float u = ((float)(spx_rng_u32(r) >> 8) + 1.0f) * 0x1p-24f; /* (0, 1]: log is finite */
    const float v = spx_rng_uniform(r);
    return sqrtf(-2.0f * logf(u)) * cosf(6.28318530717958647692f * v);
}
