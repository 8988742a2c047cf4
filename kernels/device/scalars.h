#ifndef SPX_DEVICE_SCALARS_H
#define SPX_DEVICE_SCALARS_H
/*
 * The numbers that differ from step to step. They lie in device memory (on the CPU: anywhere), so
 * that a recorded step can be replayed with others.
 */
#include <stdint.h>

typedef struct spx_scalars {
    uint64_t seed, step; /* of drop masks; step: steps done before this one */
    uint64_t adam_t;     /* Adam's step number, from 1 */
    float drop_prob;     /* 0 <= p < 1 */
    float lr, xi;        /* rate of the weights, of the look-ahead */
    float ema;           /* decay of the moving average in this step */
} spx_scalars;

/** What a step says of itself, likewise in device memory. `ok` is sticky: updates are skipped from
 * the first step whose loss or norm is not finite until the caller sets it again. */
typedef struct spx_guard {
    float clip; /* factor of the gradient, 0..1 */
    int32_t ok;
} spx_guard;

#endif
