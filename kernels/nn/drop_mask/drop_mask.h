#ifndef SPX_NN_DROP_MASK_H
#define SPX_NN_DROP_MASK_H
#include "kernels/base/status.h"
#include "kernels/device/stream.h"

#include <stdint.h>

/**
 * Drop-path masks: mask[i] = 1/(1-p) with probability 1-p, else 0; drawn from
 * (seed, SPX_RNG_DROP_PATH, step, key, i), so they do not depend on device, threads or order.
 * Pointers are memory of the stream's device: what varies from step to step is read there, so that
 * a recorded step can be replayed.
 * @param n    masks, 1..2^32 - 1
 * @param p    one float, 0 <= *p < 1 (the CPU refuses others); 0 gives all ones
 * @param seed, step  one number each
 * @param key  tells the drop-paths of one network apart
 * @param mask [n], overwritten
 * @return SPX_OK, SPX_EINVAL, SPX_EDEVICE
 */
SPX_MUST_CHECK spx_status spx_drop_mask(spx_stream *s, int64_t n, const float *p,
                                        const uint64_t *seed, const uint64_t *step, uint32_t key,
                                        float *mask);

#endif
