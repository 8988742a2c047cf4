#ifndef SPX_TEST_JPEGS_H
#define SPX_TEST_JPEGS_H
/* JPEGs of many kinds, made by libjpeg itself, and decoded by a bare loop of it. */
#include "tests/support/spx_test.h"

#include <jpeglib.h>

typedef struct spx_jpeg_kind {
    int components; /* of in: 1 grey, 2, 3 RGB, 4 CMYK */
    J_COLOR_SPACE stored;
    int h, v;    /* sampling of the first component (and of the fourth); of the others 1 */
    int form;    /* 0 baseline, 1 progressive, 2 arithmetic, 3 a scan a component */
    int restart; /* MCUs between restart markers; 0: none */
} spx_jpeg_kind;

static const spx_jpeg_kind spx_jpeg_kinds[] = {
    {1, JCS_GRAYSCALE, 1, 1, 0, 0}, {3, JCS_YCbCr, 2, 2, 0, 0}, {3, JCS_YCbCr, 2, 1, 0, 3},
    {3, JCS_YCbCr, 1, 2, 0, 0},     {3, JCS_YCbCr, 1, 1, 0, 0}, {3, JCS_YCbCr, 4, 1, 0, 0},
    {3, JCS_YCbCr, 4, 2, 0, 0},     {3, JCS_RGB, 1, 1, 0, 0},   {4, JCS_CMYK, 1, 1, 0, 0},
    {4, JCS_YCCK, 2, 2, 0, 0},      {4, JCS_YCCK, 2, 1, 1, 0},  {1, JCS_GRAYSCALE, 2, 2, 1, 0},
    {3, JCS_YCbCr, 2, 2, 1, 0},     {3, JCS_YCbCr, 2, 1, 1, 5}, {3, JCS_YCbCr, 1, 1, 1, 0},
    {3, JCS_YCbCr, 2, 2, 2, 0},     {3, JCS_YCbCr, 2, 2, 3, 0}, {1, JCS_GRAYSCALE, 1, 1, 2, 4},
};
enum { SPX_JPEG_KINDS = sizeof spx_jpeg_kinds / sizeof *spx_jpeg_kinds };

/* *out = a JPEG of in, (height, width, components); free() it. */
static inline size_t spx_jpeg_make(unsigned char **out, const spx_jpeg_kind *kind, int width,
                                   int height, const uint8_t *in, int quality)
{
    static const jpeg_scan_info scans[] = {
        {1, {0}, 0, 63, 0, 0}, {1, {1}, 0, 63, 0, 0}, {1, {2}, 0, 63, 0, 0}};
    struct jpeg_compress_struct c;
    struct jpeg_error_mgr errors;
    unsigned long size = 0;
    *out = NULL;
    c.err = jpeg_std_error(&errors);
    jpeg_create_compress(&c);
    jpeg_mem_dest(&c, out, &size);
    c.image_width = (JDIMENSION)width;
    c.image_height = (JDIMENSION)height;
    c.input_components = kind->components;
    c.in_color_space = kind->components == 1   ? JCS_GRAYSCALE
                       : kind->components == 3 ? JCS_RGB
                       : kind->components == 4 ? JCS_CMYK
                                               : JCS_UNKNOWN;
    jpeg_set_defaults(&c);
    jpeg_set_colorspace(&c, kind->stored);
    jpeg_set_quality(&c, quality, TRUE);
    for (int i = 0; i < c.num_components; i++) {
        c.comp_info[i].h_samp_factor = i % 3 == 0 ? kind->h : 1;
        c.comp_info[i].v_samp_factor = i % 3 == 0 ? kind->v : 1;
    }
    c.restart_interval = (unsigned)kind->restart;
    c.arith_code = kind->form == 2;
    if (kind->form == 1) {
        jpeg_simple_progression(&c);
    } else if (kind->form == 3) {
        c.scan_info = scans;
        c.num_scans = 3;
    }
    jpeg_start_compress(&c, TRUE);
    while (c.next_scanline < c.image_height) {
        uint8_t line[4 * 4096];
        JSAMPROW row = line;
        const size_t n = (size_t)width * (size_t)kind->components;
        memcpy(line, in + c.next_scanline * n, n);
        (void)jpeg_write_scanlines(&c, &row, 1);
    }
    jpeg_finish_compress(&c);
    jpeg_destroy_compress(&c);
    return size;
}

/* What libjpeg gives, at num/8 of the size: (*height, *width, components), with room for
 * three channels; free() it. */
static inline uint8_t *spx_jpeg_plain(const unsigned char *bytes, size_t size, unsigned num,
                                      int *height, int *width, int *components)
{
    struct jpeg_decompress_struct d;
    struct jpeg_error_mgr errors;
    uint8_t *out;
    d.err = jpeg_std_error(&errors);
    jpeg_create_decompress(&d);
    jpeg_mem_src(&d, bytes, (unsigned long)size);
    (void)jpeg_read_header(&d, TRUE);
    d.scale_num = num;
    d.scale_denom = 8;
    if (d.num_components == 4) {
        d.out_color_space = JCS_CMYK;
    }
    (void)jpeg_start_decompress(&d);
    *height = (int)d.output_height;
    *width = (int)d.output_width;
    *components = d.output_components;
    out = malloc((size_t)*height * (size_t)*width * (size_t)(*components < 3 ? 3 : *components));
    while (d.output_scanline < d.output_height) {
        JSAMPROW row = out + d.output_scanline * (size_t)*width * (size_t)*components;
        (void)jpeg_read_scanlines(&d, &row, 1);
    }
    (void)jpeg_finish_decompress(&d);
    jpeg_destroy_decompress(&d);
    return out;
}

/* n pixels of libjpeg's as 1 or 3 channels, in place: of ink by its formula, grey by BT.601. */
static inline void spx_jpeg_convert(uint8_t *pixels, size_t n, int components, int channels)
{
    uint8_t *to = pixels;
    for (size_t i = 0; i < n && components >= channels; i++) {
        const uint8_t *const p = pixels + i * (size_t)components;
        double rgb[3];
        for (int c = 0; c < 3; c++) {
            const double k = p[components == 4 ? 3 : 0];
            rgb[c] = components == 1   ? p[0]
                     : components == 3 ? p[c]
                                       : k - floor((255.0 - p[c]) * k / 255.0 + 0.5);
        }
        if (channels == 1) {
            *to++ =
                components == 1
                    ? p[0]
                    : (uint8_t)((19595 * rgb[0] + 38470 * rgb[1] + 7471 * rgb[2] + 32768) / 65536);
        } else {
            *to++ = (uint8_t)rgb[0], *to++ = (uint8_t)rgb[1], *to++ = (uint8_t)rgb[2];
        }
    }
    for (size_t i = n; i-- > 0 && components < channels;) {
        const uint8_t v = pixels[i];
        pixels[3 * i] = pixels[3 * i + 1] = pixels[3 * i + 2] = v;
    }
}

/* A picture with edges, slopes and noise; (height, width, components); free() it. */
static inline uint8_t *spx_jpeg_scene(int width, int height, int components, unsigned seed)
{
    uint8_t *out = malloc((size_t)width * (size_t)height * (size_t)components), *to = out;
    unsigned noise = seed * 2654435761u + 1;
    for (int y = 0; y < height; y++) {
        for (int x = 0; x < width; x++) {
            for (int c = 0; c < components; c++) {
                const int edge = ((x + c * 5) / 9 + y / 7) % 2 * 90;
                noise = noise * 1664525u + 1013904223u;
                *to++ = (uint8_t)(edge + (x * 2 + y * 3 + c * 40) % 120 + (int)(noise >> 27));
            }
        }
    }
    return out;
}

#endif
