#ifndef SPX_AUGMENT_CUDA_H
#define SPX_AUGMENT_CUDA_H
/* augment.h on CUDA: whole batches out of a split that lies on the device; the same draws, the same
 * samples. */
#include "data/augment/augment.h"
#include "kernels/device/stream.h"

/** Where a batch comes from; device memory. */
typedef struct spx_augment_from {
    const uint8_t *images; /* of the split: (images, channels, from_height, from_width) */
    const uint32_t *index; /* [n]: which of them */
    const spx_normalise *normalise;
    uint64_t seed, epoch;
} spx_augment_from;

/**
 * out[i] = the sample that spx_augment_rng(seed, epoch, index[i]), spx_augment_choose and
 * spx_augment_apply make of image index[i].
 * @param out  (n, height, width, channels) f32, device memory
 * @return SPX_OK, SPX_EDEVICE
 */
SPX_MUST_CHECK spx_status spx_augment_batch_cuda(spx_stream *s, const spx_augment *a,
                                                 const spx_augment_shape *shape, int64_t n,
                                                 const spx_augment_from *from, float *out);

#endif
