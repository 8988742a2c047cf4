/*
 * JPEG through libjpeg-turbo, with the settings that Pillow leaves at their defaults (exact integer
 * DCT, smooth upsampling), so that pixels are those of published training.
 */
#include "data/image/image_jpeg_private.h"
#include "kernels/base/alloc.h"

#include <jerror.h>
#include <string.h>

/* Each scan costs a pass over all blocks, however few its bytes. Real encoders write about ten. */
#define MAX_SCANS 100
/* A coded block of 64 pixels takes at least 1 bit. Of a picture whose grey component alone is coded
 * and is the least sampled one the file could hold more; nobody makes those. */
#define MAX_PIXELS_PER_BYTE 1024
#define FIRST_ROOM ((size_t)64 << 10) /* of an encoded picture; doubled as needed */

/* ---- libjpeg's errors ---- */

static void on_error(j_common_ptr c)
{
    spx_jpeg_trap *t = (spx_jpeg_trap *)c->err;
    t->code = c->err->msg_code;
    (*c->err->format_message)(c, t->why);
    longjmp(t->back, 1);
}

/* Warnings (level -1) are about damage, after which libjpeg goes on with made-up pixels; but these
 * change no pixel. */
static bool is_harmless(int code)
{
    return code == JWRN_EXTRANEOUS_DATA || code == JWRN_ADOBE_XFORM || code == JWRN_JFIF_MAJOR ||
           code == JWRN_NOT_SEQUENTIAL;
}

static void on_message(j_common_ptr c, int level)
{
    if (level < 0 && !is_harmless(c->err->msg_code)) {
        on_error(c);
    }
}

static struct jpeg_error_mgr *trap_errors(spx_jpeg_trap *t)
{
    (void)jpeg_std_error(&t->errors);
    t->errors.error_exit = on_error;
    t->errors.emit_message = on_message;
    return &t->errors;
}

static spx_status trapped(const spx_jpeg_trap *t, const char *name)
{
    return t->code == JERR_OUT_OF_MEMORY
               ? SPX_FAIL(SPX_ENOMEM, "%s: libjpeg: %s", name, t->why)
               : SPX_FAIL(SPX_EFORMAT, "%s: damaged JPEG: %s", name, t->why);
}

/* libjpeg calls it while it takes in the scans of a progressive picture. */
static void on_progress(j_common_ptr c)
{
    spx_jpeg_trap *t = (spx_jpeg_trap *)c->err;
    if (((j_decompress_ptr)c)->input_scan_number > MAX_SCANS) {
        t->code = 0;
        (void)snprintf(t->why, sizeof t->why, "more than %d scans", MAX_SCANS);
        longjmp(t->back, 1);
    }
}

/* ---- reading ---- */

spx_status spx_jpeg_open(spx_jpeg *j)
{
    memset(j, 0, sizeof *j);
    j->in.err = trap_errors(&j->trap);
    if (setjmp(j->trap.back) != 0) {
        jpeg_destroy_decompress(&j->in);
        return trapped(&j->trap, "JPEG reader");
    }
    jpeg_create_decompress(&j->in);
    j->progress.progress_monitor = on_progress;
    j->in.progress = &j->progress;
    return SPX_OK;
}

void spx_jpeg_close(spx_jpeg *j)
{
    if (j->in.err != NULL) {
        jpeg_destroy_decompress(&j->in);
    }
}

/* Reads what stands before the pixels; libjpeg may jump back. */
static spx_status read_header(spx_jpeg *j)
{
    struct jpeg_decompress_struct *in = &j->in;
    jpeg_mem_src(in, j->bytes, (unsigned long)j->size);
    (void)jpeg_read_header(in, TRUE);
    SPX_RETURN_IF(spx_image_check_size(j->name, in->image_width, in->image_height,
                                       (uint64_t)j->size * MAX_PIXELS_PER_BYTE, j->size));
    switch (in->num_components) {
    case 1:
        in->out_color_space = JCS_GRAYSCALE;
        return SPX_OK;
    case 3:
        in->out_color_space = JCS_RGB;
        return SPX_OK;
    case 4:
        in->out_color_space = JCS_CMYK;
        return SPX_OK;
    default:
        return SPX_FAIL(SPX_EFORMAT, "%s: a JPEG of %d components, expected 1, 3 or 4", j->name,
                        in->num_components);
    }
}

spx_status spx_jpeg_run(spx_jpeg *j, const char *name, const void *bytes, size_t size,
                        spx_status (*work)(spx_jpeg *j, void *context), void *context)
{
    spx_status st;
    j->name = name;
    j->bytes = bytes;
    j->size = size;
    if (setjmp(j->trap.back) != 0) {
        st = trapped(&j->trap, j->name);
    } else {
        st = read_header(j);
        st = st == SPX_OK && work != NULL ? work(j, context) : st;
    }
    jpeg_abort_decompress(&j->in);
    return st;
}

static void take_cmyk(const uint8_t *row, size_t width, int channels, uint8_t *out)
{
    for (size_t x = 0; x < width; x++, row += 4) {
        /* Every writer of such files stores them inverted: 255 is no ink. What the ink k leaves, by
         * each of the inks c, m, y: k - (255 - c) * k / 255, rounded. */
        const uint32_t k = row[3];
        uint32_t s[3];
        for (int c = 0; c < 3; c++) {
            const uint32_t t = (255u - row[c]) * k + 128;
            s[c] = k - (((t >> 8) + t) >> 8);
        }
        if (channels == 1) {
            *out++ = (uint8_t)spx_image_luma(s[0], s[1], s[2]);
        } else {
            *out++ = (uint8_t)s[0], *out++ = (uint8_t)s[1], *out++ = (uint8_t)s[2];
        }
    }
}

void spx_jpeg_take_row(const spx_jpeg *j, const uint8_t *row, size_t width, int channels,
                       uint8_t *out)
{
    const int stored = j->in.out_color_components;
    if (stored == 4) {
        take_cmyk(row, width, channels, out);
    } else if (stored == channels) {
        memcpy(out, row, width * (size_t)channels);
    } else if (stored == 1) {
        for (size_t x = 0; x < width; x++) {
            out[3 * x] = out[3 * x + 1] = out[3 * x + 2] = row[x];
        }
    } else {
        for (size_t x = 0; x < width; x++) {
            out[x] = (uint8_t)spx_image_luma(row[3 * x], row[3 * x + 1], row[3 * x + 2]);
        }
    }
}

/* One picture being decoded whole; its buffer is freed by who made this. */
typedef struct whole {
    spx_image *image;
    int channels;
    void *row; /* libjpeg's, then the same in the wanted channels */
} whole;

static spx_status decode_whole(spx_jpeg *j, void *context)
{
    whole *w = context;
    const size_t width = j->in.image_width, channels = (size_t)w->channels;
    const size_t plane = width * j->in.image_height;
    uint8_t *pixels;
    SPX_RETURN_IF(
        spx_image_create(w->image, w->channels, (int)j->in.image_height, (int)j->in.image_width));
    SPX_RETURN_IF(spx_alloc(&w->row, width * 7)); /* CMYK, and RGB made of it */
    pixels = w->image->pixels;
    (void)jpeg_start_decompress(&j->in);
    while (j->in.output_scanline < j->in.output_height) {
        JSAMPROW row = w->row;
        uint8_t *const taken = row + 4 * width;
        (void)jpeg_read_scanlines(&j->in, &row, 1);
        spx_jpeg_take_row(j, row, width, w->channels, taken);
        for (size_t c = 0; c < channels; c++) {
            for (size_t x = 0; x < width; x++) {
                pixels[c * plane + x] = taken[x * channels + c];
            }
        }
        pixels += width;
    }
    (void)jpeg_finish_decompress(&j->in);
    return SPX_OK;
}

spx_status spx_jpeg_decode(spx_image *image, const char *name, const void *bytes, size_t size,
                           int channels)
{
    whole w = {.image = image, .channels = channels};
    spx_jpeg j;
    spx_status st;
    SPX_RETURN_IF(spx_jpeg_open(&j));
    st = spx_jpeg_run(&j, name, bytes, size, decode_whole, &w);
    spx_jpeg_close(&j);
    spx_free(w.row);
    if (st != SPX_OK) {
        spx_image_clear(image);
    }
    return st;
}

static spx_status take_info(spx_jpeg *j, void *context)
{
    spx_image_info *out = context;
    *out = (spx_image_info){
        .height = (int)j->in.image_height,
        .width = (int)j->in.image_width,
        .grey = j->in.num_components == 1,
        .jpeg = true,
        .plain = (j->in.jpeg_color_space == JCS_GRAYSCALE || j->in.jpeg_color_space == JCS_YCbCr) &&
                 !j->in.arith_code};
    return SPX_OK;
}

spx_status spx_jpeg_probe(spx_image_info *out, const char *name, const void *bytes, size_t size)
{
    spx_jpeg j;
    spx_status st;
    SPX_RETURN_IF(spx_jpeg_open(&j));
    st = spx_jpeg_run(&j, name, bytes, size, take_info, out);
    spx_jpeg_close(&j);
    return st;
}

/* ---- writing ---- */

/* A JPEG being made; what it holds is freed by who made this. */
typedef struct encoder {
    struct jpeg_compress_struct out;
    spx_jpeg_trap trap;
    struct jpeg_destination_mgr to;
    void *row, *made;
    size_t room;
} encoder;

static void on_begin(j_compress_ptr c)
{
    (void)c;
}

/* libjpeg calls it where all room is used. */
static boolean on_full(j_compress_ptr c)
{
    encoder *e = c->client_data;
    const size_t used = e->room;
    void *larger;
    if (spx_alloc(&larger, 2 * used) != SPX_OK) {
        ERREXIT1(c, JERR_OUT_OF_MEMORY, 0);
    }
    memcpy(larger, e->made, used);
    spx_free(e->made);
    e->made = larger;
    e->room = 2 * used;
    e->to.next_output_byte = (JOCTET *)larger + used;
    e->to.free_in_buffer = used;
    return TRUE;
}

static void write_rows(encoder *e, const spx_image *image)
{
    const size_t width = (size_t)image->width, channels = (size_t)image->channels;
    const size_t plane = width * (size_t)image->height;
    const uint8_t *from = image->pixels;
    for (; e->out.next_scanline < e->out.image_height; from += width) {
        JSAMPROW row = e->row;
        for (size_t c = 0; c < channels; c++) {
            for (size_t x = 0; x < width; x++) {
                row[x * channels + c] = from[c * plane + x];
            }
        }
        (void)jpeg_write_scanlines(&e->out, &row, 1);
    }
}

/* Everything of libjpeg that may jump back. */
static spx_status encode(encoder *e, const spx_image *image, int quality)
{
    e->out.err = trap_errors(&e->trap);
    if (setjmp(e->trap.back) != 0) {
        return SPX_FAIL(SPX_ENOMEM, "libjpeg: cannot encode: %s", e->trap.why);
    }
    jpeg_create_compress(&e->out);
    e->out.client_data = e;
    e->out.dest = &e->to;
    e->to = (struct jpeg_destination_mgr){.next_output_byte = e->made,
                                          .free_in_buffer = e->room,
                                          .init_destination = on_begin,
                                          .empty_output_buffer = on_full,
                                          .term_destination = on_begin};
    e->out.image_width = (JDIMENSION)image->width;
    e->out.image_height = (JDIMENSION)image->height;
    e->out.input_components = image->channels;
    e->out.in_color_space = image->channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
    jpeg_set_defaults(&e->out);
    jpeg_set_quality(&e->out, quality, TRUE);
    e->out.optimize_coding = TRUE;
    jpeg_start_compress(&e->out, TRUE);
    write_rows(e, image);
    jpeg_finish_compress(&e->out);
    return SPX_OK;
}

spx_status spx_image_encode_jpeg(const spx_image *image, int quality, void **bytes, size_t *size)
{
    encoder e = {.room = FIRST_ROOM};
    spx_status st;
    *bytes = NULL;
    *size = 0;
    if (quality < 1 || quality > 100) {
        return SPX_FAIL(SPX_EINVAL, "JPEG of quality %d, expected 1 to 100", quality);
    }
    SPX_TRY(st, spx_alloc(&e.row, (size_t)image->width * (size_t)image->channels), done);
    SPX_TRY(st, spx_alloc(&e.made, e.room), done);
    st = encode(&e, image, quality);
    jpeg_destroy_compress(&e.out);
done:
    spx_free(e.row);
    if (st != SPX_OK) {
        spx_free(e.made);
        return st;
    }
    *bytes = e.made;
    *size = e.room - e.to.free_in_buffer;
    return SPX_OK;
}
