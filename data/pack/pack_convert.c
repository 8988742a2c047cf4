/* From a picture's file to what is stored of it. */
#define _POSIX_C_SOURCE 200809L
#include "data/augment/resample.h"
#include "data/pack/pack_crc_private.h"
#include "data/pack/pack_write_private.h"
#include "kernels/base/alloc.h"

#include <stdio.h>
#include <string.h>

/* *image becomes its box at another size. */
static spx_status resize(spx_image *image, int y0, int x0, int box_height, int box_width,
                         int height, int width)
{
    const size_t row = (size_t)image->width;
    spx_image small;
    spx_resample r = {.y = {.box = box_height, .given = box_height, .shrink = 1, .wanted = height},
                      .x = {.box = box_width, .given = box_width, .shrink = 1, .wanted = width},
                      .channels = image->channels,
                      .src = image->pixels + (size_t)y0 * row + (size_t)x0,
                      .row = (ptrdiff_t)row,
                      .plane = (ptrdiff_t)(row * (size_t)image->height),
                      .planes = true};
    void *scratch;
    spx_status st;
    SPX_RETURN_IF(spx_image_create(&small, image->channels, height, width));
    r.out = small.pixels;
    st = spx_alloc(&scratch, spx_resample_room(&r));
    if (st == SPX_OK) {
        st = spx_resample_run(&r, scratch);
        spx_free(scratch);
    }
    spx_image_clear(st == SPX_OK ? image : &small);
    if (st == SPX_OK) {
        *image = small;
    }
    return st;
}

/* The largest centred square, as planes. */
static spx_status make_square(spx_image *image, int side)
{
    const int edge = image->height < image->width ? image->height : image->width;
    return resize(image, (image->height - edge) / 2, (image->width - edge) / 2, edge, edge, side,
                  side);
}

static int scaled(int side, int to, int shortest)
{
    return (int)(((int64_t)side * to * 2 + shortest) / (2 * (int64_t)shortest));
}

/* The short side no longer than side, as JPEG; image becomes what these bytes show. */
static spx_status make_jpeg(spx_image *image, const char *name, const spx_store_options *o,
                            void **bytes, size_t *size)
{
    const int shortest = image->height < image->width ? image->height : image->width;
    const int channels = image->channels;
    spx_image_info info;
    void *encoded;
    SPX_RETURN_IF(spx_image_probe(&info, name, *bytes, *size));
    if (shortest <= o->side && info.jpeg) {
        return SPX_OK; /* as it is */
    }
    if (shortest > o->side) {
        SPX_RETURN_IF(resize(image, 0, 0, image->height, image->width,
                             scaled(image->height, o->side, shortest),
                             scaled(image->width, o->side, shortest)));
    }
    SPX_RETURN_IF(spx_image_encode_jpeg(image, o->quality, &encoded, size));
    spx_free(*bytes);
    *bytes = encoded;
    spx_image_clear(image);
    return spx_image_decode(image, name, *bytes, *size, channels);
}

spx_status spx_convert(const spx_store_options *o, int channels, const char *name, void **bytes,
                       size_t size, spx_record *r)
{
    spx_image image = {0};
    spx_status st;
    (void)crypto_hash_sha256(r->sha, *bytes, size);
    SPX_TRY(st, spx_image_decode(&image, name, *bytes, size, channels), done);
    if (o->form == SPX_STORE_JPEG) {
        SPX_TRY(st, make_jpeg(&image, name, o, bytes, &size), done);
    } else if (o->form == SPX_STORE_RAW) {
        SPX_TRY(st, make_square(&image, o->side), done);
        spx_free(*bytes);
        *bytes = NULL;
        size = (size_t)image.channels * (size_t)image.height * (size_t)image.width;
        SPX_TRY(st, spx_alloc(bytes, size), done);
        memcpy(*bytes, image.pixels, size);
    }
    if (size > SPX_STORE_MAX_PICTURE) {
        st = SPX_FAIL(SPX_EFORMAT, "%s: %zu bytes, expected at most %zu", name, size,
                      SPX_STORE_MAX_PICTURE);
        goto done;
    }
    r->size = (uint32_t)size;
    r->crc = spx_pack_crc(*bytes, size);
    r->height = (uint32_t)image.height;
    r->width = (uint32_t)image.width;
    spx_store_moments_add(&r->moments, &image);
done:
    spx_image_clear(&image);
    return st;
}

/* Whether a picture has no colour; only one that is stored with colours is decoded. */
static spx_status is_grey(const char *name, const void *bytes, size_t size, bool *grey)
{
    spx_image_info info;
    spx_image image;
    size_t plane;
    *grey = true;
    SPX_RETURN_IF(spx_image_probe(&info, name, bytes, size));
    if (info.grey) {
        return SPX_OK;
    }
    SPX_RETURN_IF(spx_image_decode(&image, name, bytes, size, 3));
    plane = (size_t)image.height * (size_t)image.width;
    *grey = memcmp(image.pixels, image.pixels + plane, plane) == 0 &&
            memcmp(image.pixels, image.pixels + 2 * plane, plane) == 0;
    spx_image_clear(&image);
    return SPX_OK;
}

spx_status spx_convert_channels(const spx_pack_list *list, const spx_store_options *o,
                                uint32_t *channels)
{
    *channels = 1;
    for (size_t i = 0; i < spx_pack_list_count(list) && *channels == 1; i++) {
        bool grey = true;
        void *bytes;
        size_t size;
        spx_status st = spx_pack_list_read(list, i, &bytes, &size);
        if (st == SPX_OK) {
            st = is_grey(spx_pack_list_item(list, i).name, bytes, size, &grey);
            *channels = grey ? 1 : 3;
            spx_free(bytes);
        }
        if (st != SPX_OK && st != SPX_EFORMAT && st != SPX_EUNSUPPORTED) {
            return st;
        }
        if (o->stop != NULL && o->stop(o->ctx)) {
            return SPX_FAIL(SPX_EINTERRUPTED, "stopped before the first picture was packed");
        }
    }
    return SPX_OK;
}
