#include "data/image/image_private.h"
#include "kernels/base/alloc.h"
#include "kernels/base/file.h"

#include <inttypes.h>
#include <string.h>

#define MAX_FILE_BYTES ((size_t)64 << 20)

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
    *image = (spx_image){.channels = channels, .height = height, .width = width, .pixels = pixels};
    return SPX_OK;
}

void spx_image_clear(spx_image *image)
{
    spx_free(image->pixels);
    *image = (spx_image){0};
}

spx_status spx_image_check_size(const char *name, uint32_t width, uint32_t height, uint64_t most,
                                size_t file_bytes)
{
    if (width < 1 || width > SPX_IMAGE_MAX_SIDE || height < 1 || height > SPX_IMAGE_MAX_SIDE) {
        return SPX_FAIL(SPX_EFORMAT,
                        "%s: %" PRIu32 "x%" PRIu32 " pixels, expected sides of at most %d", name,
                        width, height, SPX_IMAGE_MAX_SIDE);
    }
    if ((uint64_t)width * height > most) {
        return SPX_FAIL(SPX_EFORMAT,
                        "%s: %" PRIu32 "x%" PRIu32 " pixels, more than its %zu bytes can hold",
                        name, width, height, file_bytes);
    }
    return SPX_OK;
}

spx_status spx_image_format(const char *name, const void *bytes, size_t size, bool *jpeg)
{
    static const struct kind {
        const char *magic, *name;
    } kinds[] = {{"\x89PNG\r\n\x1a\n", "PNG"},
                 {"\xff\xd8\xff", "JPEG"},
                 {"GIF8", "GIF"},
                 {"BM", "BMP"},
                 {"II*", "TIFF"},
                 {"MM", "TIFF"},
                 {"RIFF", "WebP"},
                 {"P5", "PGM"},
                 {"P6", "PPM"}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        const size_t n = strlen(kinds[i].magic);
        if (size > n && memcmp(bytes, kinds[i].magic, n) == 0) {
            *jpeg = i == 1;
            return i < 2 ? SPX_OK
                         : SPX_FAIL(SPX_EFORMAT,
                                    "%s: looks like a %s image; JPEG and PNG are what is read: "
                                    "convert it first",
                                    name, kinds[i].name);
        }
    }
    return SPX_FAIL(SPX_EFORMAT, "%s: offset 0: expected a JPEG or PNG image%s", name,
                    size == 0 ? ", found an empty file" : "");
}

spx_status spx_image_probe(spx_image_info *out, const char *name, const void *bytes, size_t size)
{
    bool jpeg;
    *out = (spx_image_info){0};
    SPX_RETURN_IF(spx_image_format(name, bytes, size, &jpeg));
    return (jpeg ? spx_jpeg_probe : spx_png_probe)(out, name, bytes, size);
}

spx_status spx_image_decode(spx_image *image, const char *name, const void *bytes, size_t size,
                            int channels)
{
    bool jpeg;
    *image = (spx_image){0};
    SPX_RETURN_IF(spx_image_format(name, bytes, size, &jpeg));
    return (jpeg ? spx_jpeg_decode : spx_png_decode)(image, name, bytes, size, channels);
}

spx_status spx_image_read(spx_image *image, const char *path, int channels)
{
    void *bytes;
    size_t size;
    spx_status st;
    *image = (spx_image){0};
    SPX_RETURN_IF(spx_file_read(path, MAX_FILE_BYTES, &bytes, &size));
    st = spx_image_decode(image, path, bytes, size, channels);
    spx_free(bytes);
    return st;
}
