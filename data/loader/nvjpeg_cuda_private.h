#ifndef SPX_NVJPEG_CUDA_PRIVATE_H
#define SPX_NVJPEG_CUDA_PRIVATE_H
/*
 * JPEGs decoded on the GPU by NVIDIA's nvJPEG (docs.nvidia.com/cuda/nvjpeg), of version 12.1 or
 * later, which is looked for when it is first wanted: SPHYNX_NVJPEG names the library, "none"
 * switches it off. Chroma is interpolated as libjpeg does it, nothing is turned by EXIF.
 */
#include "kernels/device/stream.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct spx_nvjpeg spx_nvjpeg;

/** Decodings that may be under way at once. */
#define SPX_NVJPEG_SLOTS 2

/** A picture to decode. */
typedef struct spx_nvjpeg_picture {
    const uint8_t *bytes; /* [size], until the stream has done what was queued */
    size_t size;
    uint8_t *to; /* (height, width, channels), device memory */
    size_t row;  /* bytes of one of its rows */
    bool left;   /* receives that nvJPEG does not take the picture */
} spx_nvjpeg_picture;

/**
 * @param s         of CUDA, borrowed
 * @param channels  1 or 3, of what is made
 * @param most      pictures at a time
 * @param threads   of the CPU that may help
 * @return SPX_OK, SPX_EUNSUPPORTED (no such library; the message says what to do), SPX_EDEVICE,
 *         SPX_ENOMEM
 */
SPX_MUST_CHECK spx_status spx_nvjpeg_create(spx_nvjpeg **out, spx_stream *s, int channels,
                                            size_t most, int threads);
void spx_nvjpeg_destroy(spx_nvjpeg *v); /* NULL is a no-op; waits for the stream */

/** Whether nvJPEG takes a picture and finds that size in it. Threads may call it at once. */
bool spx_nvjpeg_takes(const spx_nvjpeg *v, const uint8_t *bytes, size_t size, int height,
                      int width);

/**
 * Queues the decoding of n pictures on the current lane.
 * @param slot  below SPX_NVJPEG_SLOTS: what was queued with it before is done
 * @param n     0 is a no-op
 * @return SPX_OK, SPX_EDEVICE
 */
SPX_MUST_CHECK spx_status spx_nvjpeg_decode(spx_nvjpeg *v, int slot, spx_nvjpeg_picture *pictures,
                                            size_t n);

#endif
