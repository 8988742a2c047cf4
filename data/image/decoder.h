#ifndef SPX_DECODER_H
#define SPX_DECODER_H
/* Boxes of pictures at a wanted size, as training reads them: many pictures by one thread. */
#include "data/image/image.h"

/** A part of a picture, in its own pixels. */
typedef struct spx_box {
    int y, x, height, width;
} spx_box;

/** The memory of one thread for reading one picture after the other. */
typedef struct spx_decoder spx_decoder;

/** @return SPX_OK, SPX_ENOMEM */
SPX_MUST_CHECK spx_status spx_decoder_create(spx_decoder **out);
void spx_decoder_destroy(spx_decoder *d); /* takes NULL */

/**
 * out = the box of the picture, resized to height x width by the filter of data/augment/resize.h.
 *
 * Where the box of a JPEG shrinks to a half or less along both sides, it is decoded at 1/2, 1/4 or
 * 1/8 of its size (libjpeg's scaled DCT), no smaller than wanted, and resized from there. The whole
 * picture decoded so and then resized gives the same bytes; only what the box needs is computed.
 * Data behind the box is not looked at: damage there is not found.
 * @param d         used by one thread at a time
 * @param name      for messages
 * @param bytes     [size], a JPEG or PNG as spx_image_decode reads it
 * @param channels  1 or 3, converted as by spx_image_decode
 * @param box       inside the picture; NULL: all of it
 * @param flip      mirrored left-right
 * @param height, width  1..SPX_IMAGE_MAX_SIDE
 * @param planes    out is (channels, height, width), else (height, width, channels)
 * @return SPX_OK, SPX_EINVAL (channels, box, size), SPX_EFORMAT (as spx_image_decode), SPX_ENOMEM
 */
SPX_MUST_CHECK spx_status spx_decoder_sample(spx_decoder *d, const char *name, const void *bytes,
                                             size_t size, int channels, const spx_box *box,
                                             bool flip, int height, int width, bool planes,
                                             uint8_t *out);

#endif
