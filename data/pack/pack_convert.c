/* From a picture's file to what is stored of it. */
#define _POSIX_C_SOURCE 200809L
#include "data/augment/resample.h"
#include "data/pack/pack_crc_private.h"
#include "data/pack/pack_write_private.h"
#include "kernels/base/alloc.h"
#include "kernels/base/pool.h"

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

/* ---- one channel or three ---- */

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

#define LOOKED_AT 256 /* pictures at once; begun with one, which mostly has colour */

/* Pictures [first, first + n) of the list, and what was found. */
typedef struct look {
    const spx_pack_list *list;
    size_t first, n;
    bool grey[LOOKED_AT];
    spx_status st[LOOKED_AT];
    char why[LOOKED_AT][SPX_WHY_BYTES];
} look;

static void look_at(void *ctx, int worker, size_t begin, size_t end)
{
    look *k = ctx;
    (void)worker;
    for (size_t i = begin; i < end; i++) {
        void *bytes;
        size_t size;
        spx_status st = spx_pack_list_read(k->list, k->first + i, &bytes, &size);
        k->grey[i] = true;
        if (st == SPX_OK) {
            st = is_grey(spx_pack_list_item(k->list, k->first + i).name, bytes, size, &k->grey[i]);
            spx_free(bytes);
        }
        k->st[i] = st == SPX_EFORMAT || st == SPX_EUNSUPPORTED ? SPX_OK : st;
        if (k->st[i] != SPX_OK) {
            (void)snprintf(k->why[i], sizeof k->why[i], "%s", spx_error_message());
        }
    }
}

/* What the first picture says that has colour, or cannot be read; so threads change nothing. */
static spx_status look_at_some(spx_pool *pool, look *k, uint32_t *channels)
{
    spx_pool_run(pool, k->n, look_at, k);
    for (size_t i = 0; i < k->n && *channels == 1; i++) {
        if (k->st[i] != SPX_OK) {
            return SPX_FAIL(k->st[i], "%s", k->why[i]);
        }
        *channels = k->grey[i] ? 1 : 3;
    }
    return SPX_OK;
}

static spx_status look_at_all(spx_pool *pool, look *k, const spx_store_options *o,
                              uint32_t *channels)
{
    const size_t count = spx_pack_list_count(k->list);
    for (size_t most = 1; k->first < count && *channels == 1; k->first += k->n) {
        if (o->stop != NULL && o->stop(o->ctx)) {
            return SPX_FAIL(SPX_EINTERRUPTED, "stopped before the first picture was packed");
        }
        if (o->show != NULL && k->first > 0) {
            o->show(o->ctx, k->first, count);
        }
        k->n = count - k->first < most ? count - k->first : most;
        most = most < LOOKED_AT ? 2 * most : most;
        SPX_RETURN_IF(look_at_some(pool, k, channels));
    }
    return SPX_OK;
}

spx_status spx_convert_channels(const spx_pack_list *list, const spx_store_options *o,
                                uint32_t *channels)
{
    spx_pool *pool = NULL;
    look *k;
    spx_status st;
    *channels = 1;
    SPX_RETURN_IF(SPX_NEW(k, 1));
    k->list = list;
    st = spx_pool_create(&pool, o->threads);
    st = st == SPX_OK ? look_at_all(pool, k, o, channels) : st;
    spx_pool_destroy(pool);
    spx_free(k);
    return st;
}
