#include "data/image/image.h"

#include "kernels/base/alloc.h"
#include "kernels/base/file.h"

#include <png.h>
#include <string.h>

#define MAX_FILE_BYTES ((size_t)64 << 20)

static size_t plane_bytes(const spx_image *image)
{
    return (size_t)image->height * (size_t)image->width;
}

spx_status spx_image_create(spx_image *image, int channels, int height, int width)
{
    void *pixels;
    *image = (spx_image){0};
    if ((channels != 1 && channels != 3) || height < 1 || height > SPX_IMAGE_MAX_SIDE ||
        width < 1 || width > SPX_IMAGE_MAX_SIDE) {
        return SPX_FAIL(SPX_EINVAL,
                        "image of %dx%dx%d, expected 1 or 3 channels and sides of 1 to %d",
                        channels, height, width, SPX_IMAGE_MAX_SIDE);
    }
    SPX_RETURN_IF(spx_calloc(&pixels, (size_t)channels * (size_t)height * (size_t)width, 1));
    *image = (spx_image){channels, height, width, pixels};
    return SPX_OK;
}

void spx_image_clear(spx_image *image)
{
    spx_free(image->pixels);
    *image = (spx_image){0};
}

/* libpng interleaves channels; packs keep them apart. */
static void interleave(const spx_image *image, uint8_t *to)
{
    const size_t n = plane_bytes(image), channels = (size_t)image->channels;
    for (size_t c = 0; c < channels; c++) {
        for (size_t i = 0; i < n; i++) {
            to[i * channels + c] = image->pixels[c * n + i];
        }
    }
}

static void separate(const uint8_t *from, spx_image *image)
{
    const size_t n = plane_bytes(image), channels = (size_t)image->channels;
    for (size_t c = 0; c < channels; c++) {
        for (size_t i = 0; i < n; i++) {
            image->pixels[c * n + i] = from[i * channels + c];
        }
    }
}

/* Decodes an opened PNG; png is freed by the caller. */
static spx_status decode(png_image *png, spx_image *image, const char *path, int channels)
{
    const png_color black = {0, 0, 0};
    void *interleaved = NULL;
    spx_status st = SPX_OK;
    if (png->width > SPX_IMAGE_MAX_SIDE || png->height > SPX_IMAGE_MAX_SIDE) {
        return SPX_FAIL(SPX_EFORMAT, "%s: offset 16: %ux%u pixels, expected sides of at most %d",
                        path, (unsigned)png->width, (unsigned)png->height, SPX_IMAGE_MAX_SIDE);
    }
    png->format = channels == 1 ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB;
    SPX_RETURN_IF(spx_image_create(image, channels, (int)png->height, (int)png->width));
    SPX_RETURN_IF(spx_alloc(&interleaved, PNG_IMAGE_SIZE(*png)));
    if (png_image_finish_read(png, &black, interleaved, 0, NULL) == 0) {
        st = SPX_FAIL(SPX_EFORMAT, "%s: damaged PNG: %s", path, png->message);
    } else {
        separate(interleaved, image);
    }
    spx_free(interleaved);
    return st;
}

spx_status spx_image_read(spx_image *image, const char *path, int channels)
{
    png_image png = {.version = PNG_IMAGE_VERSION};
    void *bytes;
    size_t size;
    spx_status st;
    *image = (spx_image){0};
    SPX_RETURN_IF(spx_file_read(path, MAX_FILE_BYTES, &bytes, &size));
    if (size == 0 || png_image_begin_read_from_memory(&png, bytes, size) == 0) {
        st = SPX_FAIL(SPX_EFORMAT, "%s: offset 0: expected a PNG image%s%s", path,
                      size == 0 ? "" : ": ", size == 0 ? "" : png.message);
    } else {
        st = decode(&png, image, path, channels);
    }
    png_image_free(&png);
    spx_free(bytes);
    if (st != SPX_OK) {
        spx_image_clear(image);
    }
    return st;
}

spx_status spx_image_write(const spx_image *image, const char *path)
{
    png_image png = {.version = PNG_IMAGE_VERSION,
                     .width = (png_uint_32)image->width,
                     .height = (png_uint_32)image->height,
                     .format = image->channels == 1 ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB};
    png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(png);
    void *interleaved = NULL, *encoded = NULL;
    spx_status st;
    SPX_TRY(st, spx_alloc(&interleaved, PNG_IMAGE_SIZE(png)), done);
    SPX_TRY(st, spx_alloc(&encoded, size), done);
    interleave(image, interleaved);
    if (png_image_write_to_memory(&png, encoded, &size, 0, interleaved, 0, NULL) == 0) {
        st = SPX_FAIL(SPX_ENOMEM, "%s: cannot encode: %s", path, png.message);
    } else {
        const spx_span part = {encoded, size};
        st = spx_file_replace(path, &part, 1);
    }
done:
    png_image_free(&png);
    spx_free(interleaved);
    spx_free(encoded);
    return st;
}
