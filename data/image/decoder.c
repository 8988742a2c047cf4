#include "data/image/decoder.h"

#include "data/augment/resample.h"
#include "data/image/image_jpeg_private.h"
#include "kernels/base/alloc.h"

#include <string.h>

/* Smooth upsampling of colours looks at neighbours, and takes a cut for the picture's edge; so what
 * is cut off keeps this distance from what is used: 4 pixels are a colour sample at most. */
#define MARGIN 8

/* Memory that grows and is kept. */
typedef struct room {
    void *at;
    size_t bytes;
} room;

struct spx_decoder {
    spx_jpeg jpeg;
    room pixels, scratch;
};

/* One sample to make. */
typedef struct request {
    spx_decoder *d;
    int channels;
    const spx_box *box;
    bool flip, planes;
    int height, width;
    uint8_t *out;
} request;

spx_status spx_decoder_create(spx_decoder **out)
{
    spx_status st;
    SPX_RETURN_IF(SPX_NEW(*out, 1));
    st = spx_jpeg_open(&(*out)->jpeg);
    if (st != SPX_OK) {
        spx_free(*out);
        *out = NULL;
    }
    return st;
}

void spx_decoder_destroy(spx_decoder *d)
{
    if (d != NULL) {
        spx_jpeg_close(&d->jpeg);
        spx_free(d->pixels.at);
        spx_free(d->scratch.at);
        spx_free(d);
    }
}

static spx_status reserve(room *r, size_t bytes)
{
    if (bytes > r->bytes) {
        spx_free(r->at);
        r->bytes = 0;
        SPX_RETURN_IF(spx_alloc(&r->at, bytes));
        r->bytes = bytes;
    }
    return SPX_OK;
}

static spx_status check_box(const char *name, const spx_box *b, int height, int width)
{
    if (b->y < 0 || b->x < 0 || b->height < 1 || b->width < 1 || b->height > height - b->y ||
        b->width > width - b->x) {
        return SPX_FAIL(SPX_EINVAL, "%s: a box of %dx%d at %d,%d in a picture of %dx%d", name,
                        b->height, b->width, b->y, b->x, height, width);
    }
    return SPX_OK;
}

static spx_status resample(const request *q, spx_resample *r)
{
    r->flip = q->flip;
    r->planes = q->planes;
    r->y.wanted = q->height;
    r->x.wanted = q->width;
    r->out = q->out;
    SPX_RETURN_IF(reserve(&q->d->scratch, spx_resample_room(r)));
    return spx_resample_run(r, q->d->scratch.at);
}

/* ---- JPEG ---- */

/* The strongest of libjpeg's fast scales that leaves the box no smaller than wanted. */
static int choose_shrink(const request *q, const spx_box *b)
{
    int shrink = 8;
    while (shrink > 1 && (b->height < shrink * q->height || b->width < shrink * q->width)) {
        shrink /= 2;
    }
    return shrink;
}

/* The decoded pixels that a box touches along an axis. */
static spx_resample_axis touched(int from, int length, int shrink, int *first)
{
    *first = from / shrink;
    return (spx_resample_axis){.from = from - *first * shrink,
                               .box = length,
                               .given = (from + length + shrink - 1) / shrink - *first,
                               .shrink = shrink};
}

/* Cuts the columns that are not needed. *first: the first needed one of those that are left. */
static void cut_columns(struct jpeg_decompress_struct *in, int *first, int count)
{
    const int left = *first < MARGIN ? 0 : *first - MARGIN;
    const int end = *first + count + MARGIN;
    JDIMENSION offset = (JDIMENSION)left, width = (JDIMENSION)(end - left);
    if (end > (int)in->output_width) {
        width = in->output_width - offset;
    }
    jpeg_crop_scanline(in, &offset, &width);
    *first -= (int)offset;
}

/* Decodes rows [top, top + rows), as `channels` bytes a pixel of what lies `stride` bytes apart. */
static spx_status decode_rows(spx_jpeg *j, int top, int rows, int channels, room *pixels,
                              bool partial)
{
    struct jpeg_decompress_struct *const in = &j->in;
    const size_t width = in->output_width, stride = width * (size_t)channels;
    const bool as_stored = in->out_color_components == channels;
    uint8_t *to, *spare;
    SPX_RETURN_IF(reserve(pixels, stride * (size_t)rows + width * 4));
    to = pixels->at;
    spare = to + stride * (size_t)rows;
    if (partial && top > MARGIN) {
        (void)jpeg_skip_scanlines(in, (JDIMENSION)(top - MARGIN));
    }
    while ((int)in->output_scanline < top) {
        (void)jpeg_read_scanlines(in, &spare, 1);
    }
    for (int y = 0; y < rows; y++, to += stride) {
        JSAMPROW row = as_stored ? to : spare;
        (void)jpeg_read_scanlines(in, &row, 1);
        if (!as_stored) {
            spx_jpeg_take_row(j, row, width, channels, to);
        }
    }
    return SPX_OK;
}

/* One channel's samples become three equal ones. */
static void repeat_channel(const request *q)
{
    const size_t n = (size_t)q->height * (size_t)q->width;
    if (q->planes) {
        memcpy(q->out + n, q->out, n);
        memcpy(q->out + 2 * n, q->out, n);
        return;
    }
    for (size_t i = n; i-- > 0;) {
        const uint8_t v = q->out[i];
        q->out[3 * i] = q->out[3 * i + 1] = q->out[3 * i + 2] = v;
    }
}

static spx_status sample_jpeg(spx_jpeg *j, void *context)
{
    const request *const q = context;
    struct jpeg_decompress_struct *const in = &j->in;
    const spx_box all = {0, 0, (int)in->image_height, (int)in->image_width};
    const spx_box *const b = q->box != NULL ? q->box : &all;
    const int channels = in->num_components == 1 ? 1 : q->channels;
    /* Scans that are kept until the last may be smoothed across blocks; libraries differ in which
     * rows of an arithmetically coded picture they can skip. Both are rare. */
    const bool partial = !jpeg_has_multiple_scans(in) && !in->arith_code;
    const int shrink = choose_shrink(q, b);
    int top, left;
    spx_resample r = {.channels = channels};
    SPX_RETURN_IF(check_box(j->name, b, all.height, all.width));
    r.y = touched(b->y, b->height, shrink, &top);
    r.x = touched(b->x, b->width, shrink, &left);
    in->scale_num = (unsigned)(8 / shrink);
    in->scale_denom = 8;
    (void)jpeg_start_decompress(in);
    if (partial && in->max_h_samp_factor <= 2 && in->max_v_samp_factor <= 2) {
        cut_columns(in, &left, r.x.given); /* of other samplings libjpeg loses columns at a scale */
    }
    SPX_RETURN_IF(decode_rows(j, top, r.y.given, channels, &q->d->pixels, partial));
    r.row = (ptrdiff_t)in->output_width * channels;
    r.src = (const uint8_t *)q->d->pixels.at + (ptrdiff_t)left * channels;
    SPX_RETURN_IF(resample(q, &r));
    if (channels < q->channels) {
        repeat_channel(q);
    }
    return SPX_OK;
}

/* ---- PNG: whole ---- */

static spx_status sample_png(const request *q, const char *name, const void *bytes, size_t size)
{
    spx_image image;
    spx_box all, b;
    spx_resample r = {.channels = q->channels};
    spx_status st;
    SPX_RETURN_IF(spx_png_decode(&image, name, bytes, size, q->channels));
    all = (spx_box){0, 0, image.height, image.width};
    b = q->box != NULL ? *q->box : all;
    SPX_TRY(st, check_box(name, &b, all.height, all.width), done);
    r.y = (spx_resample_axis){.box = b.height, .given = b.height, .shrink = 1};
    r.x = (spx_resample_axis){.box = b.width, .given = b.width, .shrink = 1};
    r.row = image.width;
    r.plane = (ptrdiff_t)image.height * image.width;
    r.src = image.pixels + (ptrdiff_t)b.y * r.row + b.x;
    st = resample(q, &r);
done:
    spx_image_clear(&image);
    return st;
}

spx_status spx_decoder_sample(spx_decoder *d, const char *name, const void *bytes, size_t size,
                              int channels, const spx_box *box, bool flip, int height, int width,
                              bool planes, uint8_t *out)
{
    request q = {d, channels, box, flip, planes, height, width, out};
    bool jpeg;
    if (height < 1 || height > SPX_RESIZE_MAX || width < 1 || width > SPX_RESIZE_MAX ||
        (channels != 1 && channels != 3)) {
        return SPX_FAIL(SPX_EINVAL,
                        "%s: a sample of %dx%dx%d, expected 1 or 3 channels and sides of 1 to %d",
                        name, channels, height, width, SPX_RESIZE_MAX);
    }
    SPX_RETURN_IF(spx_image_format(name, bytes, size, &jpeg));
    return jpeg ? spx_jpeg_run(&d->jpeg, name, bytes, size, sample_jpeg, &q)
                : sample_png(&q, name, bytes, size);
}
