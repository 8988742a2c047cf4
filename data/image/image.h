#ifndef SPX_IMAGE_H
#define SPX_IMAGE_H
/* Single images: JPEG and PNG, told apart by content, as 8-bit planes in the layout of packs. */
#include "kernels/base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SPX_IMAGE_MAX_SIDE 8192

/** An image in memory. */
typedef struct spx_image {
    int channels, height, width; /* channels: 1 (grey) or 3 (red, green, blue) */
    uint8_t *pixels;             /* (channels, height, width) */
    bool transparent;            /* reading: some pixel was, and was laid over black */
} spx_image;

/** A black image. @return SPX_OK, SPX_EINVAL (channels or a side out of range), SPX_ENOMEM */
SPX_MUST_CHECK spx_status spx_image_create(spx_image *image, int channels, int height, int width);
void spx_image_clear(spx_image *image); /* takes a zeroed one */

/** What a picture's header says. */
typedef struct spx_image_info {
    int height, width; /* 1..SPX_IMAGE_MAX_SIDE */
    bool grey;         /* stored without colours; not whether all its colours are grey */
    bool jpeg;         /* else PNG */
    bool plain;        /* JPEG, grey or YCbCr, Huffman-coded: what every decoder takes alike */
} spx_image_info;

/**
 * Reads a JPEG or PNG of any kind, whatever its name ends in, as 8 bits and the wanted channels.
 * Sample values are taken as stored, as training data is: no gamma, colour profile or linear light
 * (PNG's gAMA, cHRM, iCCP, sRGB, cICP and JPEG's profiles change nothing). EXIF's orientation does
 * not turn them, as torchvision's datasets do not. Colour becomes grey by
 * (19595 R + 38470 G + 7471 B + 32768) >> 16 at the stored depth (ITU-R BT.601's weights, as Pillow
 * converts "RGB" to "L").
 *
 * PNG: fewer than 8 bits are scaled by 255 / (2^bits - 1), which is exact; 16 bits are divided by
 * 257 and rounded, so that v * 257 and v are the same. JPEG: grey, colour, CMYK and YCCK, these
 * taken as inverted, by k - (255 - c) k / 255, as Pillow converts them to "RGB"; baseline,
 * progressive (of at most 100 scans), arithmetically coded where the library can. Data that ends
 * early or has bad codes is refused, bytes too many between segments are not.
 * @param image  filled; spx_image_clear frees it. Zeroed on failure
 * @param path   a file, or a stream that spx_file_read reads
 * @return SPX_OK, SPX_EINVAL (channels), SPX_ENOTFOUND, SPX_EIO, SPX_EFORMAT (another format,
 * damaged, a side above SPX_IMAGE_MAX_SIDE, more pixels than the file can hold), SPX_ENOMEM
 */
SPX_MUST_CHECK spx_status spx_image_read(spx_image *image, const char *path, int channels);

/** The same from size bytes in memory; name is for messages. */
SPX_MUST_CHECK spx_status spx_image_decode(spx_image *image, const char *name, const void *bytes,
                                           size_t size, int channels);

/** Only the header, with the same checks of it and statuses. */
SPX_MUST_CHECK spx_status spx_image_probe(spx_image_info *out, const char *name, const void *bytes,
                                          size_t size);

/** Writes a PNG file, whole or not at all. @return SPX_OK, SPX_EIO, SPX_ENOMEM */
SPX_MUST_CHECK spx_status spx_image_write(const spx_image *image, const char *path);

/**
 * *bytes = the image as a baseline JPEG, colours at half resolution (4:2:0); the same image gives
 * the same bytes with the same libjpeg.
 * @param quality  1..100, libjpeg's scale
 * @param bytes    freed by spx_free; NULL on failure
 * @return SPX_OK, SPX_EINVAL (quality), SPX_ENOMEM
 */
SPX_MUST_CHECK spx_status spx_image_encode_jpeg(const spx_image *image, int quality, void **bytes,
                                                size_t *size);

#endif
