#ifndef SPX_NN_CONV2D_PLANAR_H
#define SPX_NN_CONV2D_PLANAR_H
/*
 * Private: the planar kernels' interface. Activations are plain NCHW outside; the 8 elements of a
 * vector are either 8 adjacent output pixels of one image, or one output pixel of 8 images. Inputs
 * are packed so that every filter tap of every channel is a constant offset from an output's
 * address; then channel counts and dilation cost nothing.
 *
 * The file conv2d_planar_kernels_private.h is compiled once per instruction set into one of the
 * tables below.
 */
#include "kernels/nn/conv2d/conv2d_parts_private.h"

#define SPX_PLANAR_MAX_KB 5 /* output channels per register block */
#define SPX_PLANAR_MAX_PB 8 /* vectors (of pixels, or of taps) per register block */
#define SPX_PLANAR_SLACK 16 /* floats past the last packed plane that kernels may touch */

/** One product per output: where its input lies from the output's vector, and which weight it
 * takes. */
typedef struct spx_planar_tap {
    int64_t in, w;
} spx_planar_tap;

/**
 * out[k][v][e] = start + sum over g < groups, t < n of
 *                   w[g * w_step + tap[t].w * kb + k] * in[g * in_step + tap[t].in + voff[v] + e]
 */
typedef struct spx_planar_mac {
    const float *in;
    const spx_planar_tap *tap;
    int64_t n, groups, in_step, w_step;
    const int64_t *voff; /* [pb] one per vector of outputs */
    const float *w;
    float *out; /* channel k at out + k * out_stride; vectors 8 floats apart */
    int64_t out_stride;
    const float *bias; /* [kb] to start from; NULL = 0 */
    bool load;         /* start from out instead */
    int tail;          /* elements of the last vector that exist, 1..8 */
} spx_planar_mac;

/** A vector of outputs: where its input lies, and its output gradient. */
typedef struct spx_planar_spot {
    int64_t in, dy;
} spx_planar_spot;

/**
 * dw[k][t] += sum over images i, spots v < n, elements e of
 *     dy[i * dy_image + k * dy_plane + spot[v].dy + e] * in[i * in_image + off[t] + spot[v].in + e]
 */
typedef struct spx_planar_dot {
    const float *in;
    int64_t in_image;   /* floats from image (or group of images) to image */
    const int64_t *off; /* [pb] */
    const float *dy;
    int64_t dy_image, dy_plane;
    int64_t images;
    const spx_planar_spot *spot;
    int64_t n;
    int tail;  /* elements of the last spot that exist, 1..8 */
    float *dw; /* row k at dw + k * dw_stride */
    int64_t dw_stride;
} spx_planar_dot;

/** dst[i * pitch + j] = f(src[i * src_row + j * step]) for i < rows, j < count; writes nothing
 * else. */
typedef struct spx_planar_rows {
    const float *src;
    int64_t src_row, step;
    float *dst;
    int64_t pitch, rows, count; /* rows, count >= 1 */
    spx_conv2d_affine f;
} spx_planar_rows;

/**
 * One channel of up to 8 images between plain planes and vectors whose elements are the images.
 * gather: src planes to dst vectors, through f. scatter: src vectors to dst planes.
 */
typedef struct spx_planar_transpose {
    const float *src;
    float *dst;
    int64_t image_stride; /* of the plain side */
    int images;           /* 1..8 that exist; the elements of others become f(0), or are dropped */
    int64_t pixels;
    spx_conv2d_affine f; /* gather */
    const int64_t *pos;  /* scatter: the vector of each pixel; gather has them in order */
    bool add;            /* scatter: onto what is there */
} spx_planar_transpose;

typedef void (*spx_planar_mac_fn)(const spx_planar_mac *a);
typedef void (*spx_planar_dot_fn)(const spx_planar_dot *a);

typedef struct spx_planar_isa {
    int max_kb;                        /* channels per block; the k are cut into ceil(k/max_kb) */
    int max_pb[SPX_PLANAR_MAX_KB + 1]; /* vectors per block of kb channels that fit the registers */
    spx_planar_mac_fn mac[SPX_PLANAR_MAX_KB + 1][SPX_PLANAR_MAX_PB + 1];
    spx_planar_dot_fn dot[SPX_PLANAR_MAX_KB + 1][SPX_PLANAR_MAX_PB + 1];
    void (*pack)(const spx_planar_rows *a);
    void (*gather)(const spx_planar_transpose *a);
    void (*scatter)(const spx_planar_transpose *a);
    float (*sum)(const float *x, int64_t n);
} spx_planar_isa;

extern const spx_planar_isa spx_planar_avx2, spx_planar_avx512vl;

#endif
