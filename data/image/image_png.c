/* PNG: libpng's full interface for reading, none of whose colour conversions are used. */
#include "data/image/image_private.h"
#include "kernels/base/alloc.h"
#include "kernels/base/file.h"

#include <png.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#define MAX_DEFLATE_RATIO 1032 /* zlib's technical details: a match of 258 bytes in 2 bits */

static size_t plane_bytes(const spx_image *image)
{
    return (size_t)image->height * (size_t)image->width;
}

/* ---- reading ---- */

typedef struct palette_entry {
    uint8_t red, green, blue, alpha;
} palette_entry;

/* One PNG being decoded. It is reached through a pointer only, so that a longjmp of libpng leaves
 * every field as it was last set. */
typedef struct decoder {
    const char *path;
    const uint8_t *at; /* the file's bytes not read yet */
    size_t left, size;
    png_structp png;
    png_infop info;
    char why[160]; /* libpng's complaint */
    int samples;   /* of a pixel in a row: 1 grey or index, 2 grey + alpha, 3, 4 */
    int depth;     /* of a sample in a row, 8 or 16; fewer bits were scaled to 8, which is exact */
    bool interlaced, grey;
    int height, width, channels; /* channels: wanted; 0: the header alone */
    int colours;                 /* palette entries; 0: none */
    palette_entry palette[PNG_MAX_PALETTE_LENGTH];
    void *row;
    spx_image *image;
} decoder;

static void on_error(png_structp png, png_const_charp text)
{
    decoder *d = png_get_error_ptr(png);
    (void)snprintf(d->why, sizeof d->why, "%s", text);
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp text)
{
    (void)png, (void)text; /* about chunks that do not change sample values */
}

static void on_read(png_structp png, png_bytep to, size_t n)
{
    decoder *d = png_get_io_ptr(png);
    if (n > d->left) {
        png_error(png, "the file ends early");
    }
    memcpy(to, d->at, n);
    d->at += n;
    d->left -= n;
}

/* The palette with its transparency. */
static void take_palette(decoder *d)
{
    png_colorp colour = NULL;
    png_bytep alpha = NULL;
    int alphas = 0;
    (void)png_get_PLTE(d->png, d->info, &colour, &d->colours);
    (void)png_get_tRNS(d->png, d->info, &alpha, &alphas, NULL);
    for (int i = 0; i < d->colours; i++) {
        d->palette[i] = (palette_entry){colour[i].red, colour[i].green, colour[i].blue,
                                        i < alphas ? alpha[i] : UINT8_MAX};
    }
}

/* Reads the chunks before the pixels and asks for samples as stored: of libpng's conversions only
 * those that spread packed bits, and none that knows of gamma or colour profiles. */
static spx_status read_header(decoder *d)
{
    png_uint_32 width = 0, height = 0;
    int depth = 0, colour = 0, interlace = 0;
    uint64_t bits;
    png_read_info(d->png, d->info);
    (void)png_get_IHDR(d->png, d->info, &width, &height, &depth, &colour, &interlace, NULL, NULL);
    d->height = (int)height;
    d->width = (int)width;
    d->grey = (colour & PNG_COLOR_MASK_COLOR) == 0;
    bits = (uint64_t)depth * png_get_channels(d->png, d->info);
    SPX_RETURN_IF(spx_image_check_size(d->path, width, height,
                                       (uint64_t)d->size * 8 * MAX_DEFLATE_RATIO / bits, d->size));
    if (colour == PNG_COLOR_TYPE_PALETTE) {
        png_set_packing(d->png);
        take_palette(d);
    } else {
        png_set_expand_gray_1_2_4_to_8(d->png);
        if (png_get_valid(d->png, d->info, PNG_INFO_tRNS) != 0) {
            png_set_tRNS_to_alpha(d->png);
        }
    }
    png_read_update_info(d->png, d->info);
    d->samples = png_get_channels(d->png, d->info);
    d->depth = png_get_bit_depth(d->png, d->info);
    d->interlaced = interlace != PNG_INTERLACE_NONE;
    return SPX_OK;
}

/* Red, green, blue and alpha of pixel x of the row, at its depth. */
static void fetch(decoder *d, size_t x, uint32_t out[4])
{
    const uint8_t *row = d->row;
    uint32_t v[4] = {0};
    if (d->colours > 0) {
        const palette_entry *e = &d->palette[row[x]];
        if (row[x] >= d->colours) {
            png_error(d->png, "a pixel outside the palette");
        }
        out[0] = e->red, out[1] = e->green, out[2] = e->blue, out[3] = e->alpha;
        return;
    }
    for (size_t k = 0, n = (size_t)d->samples; k < n; k++) {
        const size_t i = x * n + k;
        v[k] = d->depth == 16 ? (uint32_t)row[2 * i] << 8 | row[2 * i + 1] : row[i];
    }
    out[0] = v[0];
    out[1] = d->samples >= 3 ? v[1] : v[0];
    out[2] = d->samples >= 3 ? v[2] : v[0];
    out[3] = d->samples % 2 == 0 ? v[d->samples - 1] : d->depth == 16 ? UINT16_MAX : UINT8_MAX;
}

/* What a model sees of one pixel: laid over black, then grey if that is wanted, both at the stored
 * depth; 16 bits become 8 last, by a division with rounding. So v * 257 in 16 bits and v in 8 give
 * the same, whatever the steps between. */
static void store(decoder *d, size_t x, size_t place)
{
    const uint32_t most = d->depth == 16 ? UINT16_MAX : UINT8_MAX;
    const size_t plane = plane_bytes(d->image), channels = (size_t)d->image->channels;
    uint32_t s[4];
    fetch(d, x, s);
    if (s[3] != most) {
        d->image->transparent = true;
        for (size_t k = 0; k < 3; k++) {
            s[k] = (s[k] * s[3] + most / 2) / most; /* at most 2^32 - 2^16 */
        }
    }
    if (channels == 1 && d->samples <= 2 && d->colours == 0) {
        s[1] = s[2] = s[0]; /* grey stays grey: the weights' sum is 65536 */
    } else if (channels == 1) {
        s[0] = spx_image_luma(s[0], s[1], s[2]);
    }
    for (size_t k = 0; k < channels; k++) {
        d->image->pixels[k * plane + place] = (uint8_t)(d->depth == 16 ? (s[k] + 128) / 257 : s[k]);
    }
}

/* Rows as the file has them; those of an interlaced image are put where its passes say, so that no
 * second image is needed. */
static void read_rows(decoder *d)
{
    const int height = d->image->height, width = d->image->width;
    const int passes = d->interlaced ? PNG_INTERLACE_ADAM7_PASSES : 1;
    for (int pass = 0; pass < passes; pass++) {
        const int rows = d->interlaced ? PNG_PASS_ROWS(height, pass) : height;
        const int columns = d->interlaced ? PNG_PASS_COLS(width, pass) : width;
        for (int r = 0; r < rows && columns > 0; r++) {
            const int y = d->interlaced ? PNG_ROW_FROM_PASS_ROW(r, pass) : r;
            png_read_row(d->png, d->row, NULL);
            for (int c = 0; c < columns; c++) {
                const int x = d->interlaced ? PNG_COL_FROM_PASS_COL(c, pass) : c;
                store(d, (size_t)c, (size_t)y * (size_t)width + (size_t)x);
            }
        }
    }
    png_read_end(d->png, NULL);
}

/* Everything of libpng that may jump back. */
static spx_status decode(decoder *d)
{
    if (setjmp(png_jmpbuf(d->png)) != 0) {
        return SPX_FAIL(SPX_EFORMAT, "%s: damaged PNG: %s", d->path, d->why);
    }
    png_set_read_fn(d->png, d, on_read);
    png_set_user_limits(d->png, PNG_UINT_31_MAX, PNG_UINT_31_MAX); /* read_header has its own */
    png_set_crc_action(d->png, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
    SPX_RETURN_IF(read_header(d));
    if (d->channels > 0) {
        SPX_RETURN_IF(spx_image_create(d->image, d->channels, d->height, d->width));
        SPX_RETURN_IF(spx_alloc(&d->row, png_get_rowbytes(d->png, d->info)));
        read_rows(d);
    }
    return SPX_OK;
}

static spx_status run(decoder *d)
{
    spx_status st;
    d->png = png_create_read_struct(PNG_LIBPNG_VER_STRING, d, on_error, on_warning);
    d->info = d->png != NULL ? png_create_info_struct(d->png) : NULL;
    st = d->info != NULL ? decode(d) : SPX_FAIL(SPX_ENOMEM, "%s: libpng does not start", d->path);
    png_destroy_read_struct(&d->png, &d->info, NULL);
    spx_free(d->row);
    return st;
}

spx_status spx_png_decode(spx_image *image, const char *name, const void *bytes, size_t size,
                          int channels)
{
    decoder d = {.path = name,
                 .at = bytes,
                 .left = size,
                 .size = size,
                 .image = image,
                 .channels = channels};
    spx_status st;
    if (channels < 1) {
        return SPX_FAIL(SPX_EINVAL, "%s: %d channels wanted, expected 1 or 3", name, channels);
    }
    st = run(&d);
    if (st != SPX_OK) {
        spx_image_clear(image);
    }
    return st;
}

spx_status spx_png_probe(spx_image_info *out, const char *name, const void *bytes, size_t size)
{
    decoder d = {.path = name, .at = bytes, .left = size, .size = size};
    SPX_RETURN_IF(run(&d));
    *out = (spx_image_info){.height = d.height, .width = d.width, .grey = d.grey};
    return SPX_OK;
}

/* ---- writing ---- */

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
