#ifndef SPX_IMAGE_JPEG_PRIVATE_H
#define SPX_IMAGE_JPEG_PRIVATE_H
/* A JPEG being read through libjpeg, whose errors become statuses. */
#include "data/image/image_private.h"

#include <setjmp.h>
#include <stdio.h>

#include <jpeglib.h>

/* Where libjpeg's errors go. The first member, so that libjpeg's pointer leads to all of it. */
typedef struct spx_jpeg_trap {
    struct jpeg_error_mgr errors;
    jmp_buf back;
    int code; /* libjpeg's number of the error */
    char why[JMSG_LENGTH_MAX];
} spx_jpeg_trap;

/* One reader, for many pictures one after the other. It is reached through a pointer only, so that
 * a longjmp leaves every field as it was last set. */
typedef struct spx_jpeg {
    struct jpeg_decompress_struct in;
    spx_jpeg_trap trap;
    struct jpeg_progress_mgr progress;
    const char *name; /* of the picture, for messages */
    const void *bytes;
    size_t size;
} spx_jpeg;

/** @return SPX_OK, SPX_ENOMEM */
SPX_MUST_CHECK spx_status spx_jpeg_open(spx_jpeg *j);
void spx_jpeg_close(spx_jpeg *j); /* takes a zeroed one */

/**
 * Reads the header, then calls work, within which libjpeg may jump back; then lets go of the
 * picture, so that the next can be read.
 * @param work  NULL: the header alone. It owns nothing that a jump would lose
 * @return SPX_OK, what work returned, SPX_EFORMAT (damaged, or of a kind or size that is not read),
 * SPX_ENOMEM
 */
SPX_MUST_CHECK spx_status spx_jpeg_run(spx_jpeg *j, const char *name, const void *bytes,
                                       size_t size, spx_status (*work)(spx_jpeg *j, void *context),
                                       void *context);

/**
 * out = width pixels of one row of libjpeg's, as 1 or 3 channels, interleaved.
 * @param row       in.out_color_components samples a pixel
 * @param channels  3, or 1: grey, by spx_image_luma where the picture has colours
 */
void spx_jpeg_take_row(const spx_jpeg *j, const uint8_t *row, size_t width, int channels,
                       uint8_t *out);

#endif
