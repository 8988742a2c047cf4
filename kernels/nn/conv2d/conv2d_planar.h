#ifndef SPX_NN_CONV2D_PLANAR_H
#define SPX_NN_CONV2D_PLANAR_H
/*
 * Private: the planar kernels' interface. One layout, plain NCHW; the 8 lanes of a vector are 8
 * adjacent output pixels of one channel. Input planes are packed so that every filter tap of every
 * channel is a constant offset from an output pixel's address; then channel counts and dilation
 * cost nothing.
 *
 * The file conv2d_planar_kernels.inc.h is compiled once per instruction set into one of the tables
 * below.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SPX_PLANAR_LANES 8
#define SPX_PLANAR_MAX_KB 5 /* output channels per register block */
#define SPX_PLANAR_MAX_PB 8 /* vectors (of pixels, or of taps) per register block */
#define SPX_PLANAR_SLACK 16 /* floats past the last packed plane that kernels may touch */

/** out[k][v][lane] = start + sum over i < n of w[i][k] * in[off[i] + voff[v] + lane]. */
typedef struct spx_planar_mac {
    const float *in;
    const int64_t *off;  /* [n] one per (input channel, tap) */
    const int64_t *voff; /* [pb] one per vector of 8 output pixels */
    const float *w;      /* [n][kb] */
    int64_t n;           /* >= 1 */
    float *out;          /* channel k at out + k * out_stride; vectors 8 floats apart */
    int64_t out_stride;
    const float *bias; /* [kb] to start from; NULL = 0 */
    bool load;         /* start from out instead */
    int tail;          /* lanes of the last vector that exist, 1..8 */
} spx_planar_mac;

/** dw[k][t] += sum over images, v, lanes of dy[k][8 * v + lane] * in[off[t] + voff[v] + lane]. */
typedef struct spx_planar_dot {
    const float *in;
    int64_t in_image;    /* floats from image to image */
    const int64_t *off;  /* [pb] */
    const int64_t *voff; /* [vectors] */
    int64_t vectors;
    int tail; /* lanes of the last vector that exist, 1..8 */
    const float *dy;
    int64_t dy_plane, dy_image;
    int64_t images;
    float *dw; /* row k at dw + k * dw_stride */
    int64_t dw_stride;
} spx_planar_dot;

/** A run of packed floats of one line: dst[j] = src[first + step * j], zero outside [begin, end).
 */
typedef struct spx_planar_segment {
    int64_t dst;        /* from the start of the line */
    int64_t first;      /* input column of j = 0 */
    int64_t count;      /* floats */
    int64_t begin, end; /* the j whose input column exists */
} spx_planar_segment;

/** What happens to the pixels of a channel on their way: v -> max(0, (v - mean) * scale + shift).
 */
typedef struct spx_planar_affine {
    bool affine, relu;
    float mean, scale, shift;
} spx_planar_affine;

/** Packs lines whose input rows are row, row + step, ..; rows outside the image give zeros. */
typedef struct spx_planar_lines {
    const float *src; /* one channel of one image, (h, w) */
    int64_t h, w;
    int64_t row, step, count;
    const spx_planar_segment *segment; /* rising dst; a store may spill 7 floats past each */
    int segments;
    float *dst;
    int64_t pitch; /* floats from line to line */
    spx_planar_affine f;
} spx_planar_lines;

typedef void (*spx_planar_mac_fn)(const spx_planar_mac *a);
typedef void (*spx_planar_dot_fn)(const spx_planar_dot *a);

typedef struct spx_planar_isa {
    int max_kb;                        /* channels per block; the k are cut into ceil(k/max_kb) */
    int max_pb[SPX_PLANAR_MAX_KB + 1]; /* vectors per block of kb channels that fit the registers */
    spx_planar_mac_fn mac[SPX_PLANAR_MAX_KB + 1][SPX_PLANAR_MAX_PB + 1];
    spx_planar_dot_fn dot[SPX_PLANAR_MAX_KB + 1][SPX_PLANAR_MAX_PB + 1];
    void (*pack)(const spx_planar_lines *a);
    float (*sum)(const float *x, int64_t n);
} spx_planar_isa;

extern const spx_planar_isa spx_planar_avx2, spx_planar_avx512vl;

#endif
