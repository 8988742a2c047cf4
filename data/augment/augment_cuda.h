#ifndef SPX_AUGMENT_CUDA_H
#define SPX_AUGMENT_CUDA_H
/* augment.h on CUDA: whole batches out of a split that lies on the device; the same draws, the same
 * samples. */
#include "data/augment/augment.h"
#include "kernels/device/stream.h"

/** Where one image lies and how large it is, where images differ in size. */
typedef struct spx_augment_place {
    uint64_t offset; /* bytes from the first image */
    int32_t height, width;
} spx_augment_place;

/** Where a batch comes from; device memory. */
typedef struct spx_augment_from {
    const uint8_t *images;          /* of the split: (images, channels, from_height, from_width), or
                                       interleaved, by the shape */
    const spx_augment_place *place; /* [n]: where each sample's image lies, instead of by its index
                                       and the shape's stored size; or NULL. Only with resized_crop
                                     */
    const uint32_t *index;          /* [n]: which of the split's each is */
    const spx_normalise *normalise;
    uint64_t seed, epoch;
} spx_augment_from;

/**
 * out[i] = the sample that spx_augment_rng(seed, epoch, index[i]), spx_augment_choose and
 * spx_augment_apply make of image index[i].
 * @param out  (n, height, width, channels) f32, device memory
 * @return SPX_OK, SPX_EINVAL (places without resized_crop), SPX_EUNSUPPORTED (colour jitter: its
 *         contrast needs the whole sample first), SPX_EDEVICE
 */
SPX_MUST_CHECK spx_status spx_augment_batch_cuda(spx_stream *s, const spx_augment *a,
                                                 const spx_augment_shape *shape, int64_t n,
                                                 const spx_augment_from *from, float *out);

/**
 * out = the samples normalised, each with its square cut out: spx_augment_normalise of a batch.
 * @param a          its cutout
 * @param shape      channels, height, width of the samples
 * @param samples    (n, height, width, channels), device memory
 * @param cut        [n][2]: centre of each square, row and column, device memory; without cutout
 *                   not read
 * @param normalise  device memory
 * @param out        (n, height, width, channels) f32, device memory
 * @return SPX_OK, SPX_EDEVICE
 */
SPX_MUST_CHECK spx_status spx_normalise_batch_cuda(spx_stream *s, const spx_augment *a,
                                                   const spx_augment_shape *shape, int64_t n,
                                                   const uint8_t *samples, const int32_t *cut,
                                                   const spx_normalise *normalise, float *out);

#endif
