#ifndef SPX_IMAGE_H
#define SPX_IMAGE_H
/* Single images: PNG files in and out, as 8-bit planes in the layout of packs. */
#include "kernels/base/status.h"

#include <stddef.h>
#include <stdint.h>

#define SPX_IMAGE_MAX_SIDE 8192

/** An image in memory. */
typedef struct spx_image {
    int channels, height, width; /* channels: 1 (grey) or 3 (red, green, blue; sRGB) */
    uint8_t *pixels;             /* (channels, height, width) */
} spx_image;

/** A black image. @return SPX_OK, SPX_EINVAL (channels or a side out of range), SPX_ENOMEM */
SPX_MUST_CHECK spx_status spx_image_create(spx_image *image, int channels, int height, int width);
void spx_image_clear(spx_image *image); /* takes a zeroed one */

/**
 * Reads a PNG file, converted to 8 bits and the wanted channels; transparency is laid over black.
 * @param image  filled; spx_image_clear frees it. Zeroed on failure
 * @return SPX_OK, SPX_EINVAL (channels), SPX_ENOTFOUND, SPX_EIO, SPX_EFORMAT (no PNG, damaged, a
 * side above SPX_IMAGE_MAX_SIDE), SPX_ENOMEM
 */
SPX_MUST_CHECK spx_status spx_image_read(spx_image *image, const char *path, int channels);

/** Writes a PNG file, whole or not at all. @return SPX_OK, SPX_EIO, SPX_ENOMEM */
SPX_MUST_CHECK spx_status spx_image_write(const spx_image *image, const char *path);

#endif
