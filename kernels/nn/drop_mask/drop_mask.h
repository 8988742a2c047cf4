#ifndef SPX_NN_DROP_MASK_H
#define SPX_NN_DROP_MASK_H
#include "kernels/base/status.h"
#include "kernels/device/stream.h"

#include <stdint.h>

/**
 * Drop-path masks: mask[i] = 1/(1-p) with probability 1-p, else 0; drawn from
 * (seed, SPX_RNG_DROP_PATH, step, key, i), so they do not depend on threads or order.
 * @param p 0 <= p < 1; 0 gives all ones
 * @param key tells the drop-paths of one network apart
 */
SPX_MUST_CHECK spx_status spx_drop_mask(spx_stream *s, int64_t n, float p, uint64_t seed,
                                        uint64_t step, uint32_t key, float *mask);

#endif
