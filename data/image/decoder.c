#include "data/image/decoder.h"

#include "data/augment/resize.h"
#include "kernels/base/alloc.h"

struct spx_decoder {
    int unused;
};

spx_status spx_decoder_create(spx_decoder **out)
{
    return SPX_NEW(*out, 1);
}

void spx_decoder_destroy(spx_decoder *d)
{
    spx_free(d);
}

static bool inside(const spx_box *b, const spx_image *image)
{
    return b->y >= 0 && b->x >= 0 && b->height >= 1 && b->width >= 1 &&
           b->height <= image->height - b->y && b->width <= image->width - b->x;
}

spx_status spx_decoder_sample(spx_decoder *d, const char *name, const void *bytes, size_t size,
                              int channels, const spx_box *box, bool flip, int height, int width,
                              bool planes, uint8_t *out)
{
    spx_image image;
    spx_box all;
    (void)d;
    if (height < 1 || height > SPX_RESIZE_MAX || width < 1 || width > SPX_RESIZE_MAX) {
        return SPX_FAIL(SPX_EINVAL, "%s: a sample of %dx%d, expected sides of 1 to %d", name,
                        height, width, SPX_RESIZE_MAX);
    }
    SPX_RETURN_IF(spx_image_decode(&image, name, bytes, size, channels));
    all = box != NULL ? *box : (spx_box){0, 0, image.height, image.width};
    if (!inside(&all, &image)) {
        spx_image_clear(&image);
        return SPX_FAIL(SPX_EINVAL, "%s: a box outside the picture", name);
    }
    for (int c = 0; c < channels; c++) {
        const uint8_t *const from =
            image.pixels + ((ptrdiff_t)c * image.height + all.y) * image.width + all.x;
        for (int y = 0; y < height; y++) {
            const spx_resize_taps rows = spx_resize_at(y, all.height, height);
            for (int x = 0; x < width; x++) {
                const spx_resize_taps columns = spx_resize_at(x, all.width, width);
                const ptrdiff_t at = (ptrdiff_t)y * width + (flip ? width - 1 - x : x);
                out[planes ? (ptrdiff_t)c * height * width + at : at * channels + c] =
                    spx_resize_pixel(from, image.width, 1, &rows, &columns);
            }
        }
    }
    spx_image_clear(&image);
    return SPX_OK;
}
