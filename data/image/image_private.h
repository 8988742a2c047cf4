#ifndef SPX_IMAGE_PRIVATE_H
#define SPX_IMAGE_PRIVATE_H
/* What data/image's files share: one reader a format behind one way in. */
#include "data/image/image.h"

/** A pixel's grey value; at most 16 bits a sample. The weights' sum is 65536. */
static inline uint32_t spx_image_luma(uint32_t r, uint32_t g, uint32_t b)
{
    return (uint32_t)(((uint64_t)19595 * r + (uint64_t)38470 * g + (uint64_t)7471 * b + 32768) >>
                      16);
}

/**
 * Whether a header's size can be true, before anything of that size is allocated.
 * @param most  pixels that the file's bytes can hold
 * @return SPX_OK, SPX_EFORMAT
 */
SPX_MUST_CHECK spx_status spx_image_check_size(const char *name, uint32_t width, uint32_t height,
                                               uint64_t most, size_t file_bytes);

/* As spx_image_decode and spx_image_probe; bytes are known to begin as the format's do. */
SPX_MUST_CHECK spx_status spx_png_decode(spx_image *image, const char *name, const void *bytes,
                                         size_t size, int channels);
SPX_MUST_CHECK spx_status spx_png_probe(spx_image_info *out, const char *name, const void *bytes,
                                        size_t size);
SPX_MUST_CHECK spx_status spx_jpeg_decode(spx_image *image, const char *name, const void *bytes,
                                          size_t size, int channels);
SPX_MUST_CHECK spx_status spx_jpeg_probe(spx_image_info *out, const char *name, const void *bytes,
                                         size_t size);

/**
 * Which of the formats that are read bytes begin as.
 * @return SPX_OK, SPX_EFORMAT (none of them; the message says what it looks like)
 */
SPX_MUST_CHECK spx_status spx_image_format(const char *name, const void *bytes, size_t size,
                                           bool *jpeg);

#endif
