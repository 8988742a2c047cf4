#ifndef SPX_NN_CONV2D_WINOGRAD_H
#define SPX_NN_CONV2D_WINOGRAD_H
/*
 * Private: the Winograd kernels' interface. A tile of 4x4 outputs is computed from alpha x alpha
 * inputs, alpha = 4 + taps - 1, through alpha * alpha products per channel instead of 16 * taps *
 * taps. The 8 elements of every vector are the same pixel of 8 images, so that transforms, dilation
 * and odd sizes need no shuffles.
 *
 * The file conv2d_winograd_kernels_private.h is compiled once per instruction set into one of the
 * tables below. "Vectors" are 8 floats.
 */
#include "kernels/nn/conv2d/conv2d_parts_private.h"

#define SPX_WINO_TILE 4      /* outputs of a tile, both ways */
#define SPX_WINO_MAX_ALPHA 8 /* inputs of a tile, both ways */
#define SPX_WINO_MAX_TAPS 5
#define SPX_WINO_MAX_KB 6   /* output channels per register block */
#define SPX_WINO_MAX_TB 4   /* tiles per register block */
#define SPX_WINO_MAX_DOT 12 /* rows per register block of backward-weights */
#define SPX_WINO_MAX_DV 4   /* vectors per register block of backward-weights */

/** Pixels [0, count) of a row of 8 planes from or to vectors. */
typedef struct spx_wino_transpose {
    const float *src;
    float *dst;
    int64_t stride; /* of the plain side, from plane to plane */
    int planes;     /* 1..8 that exist; elements of the others are 0, or are dropped */
    int64_t count;
    const spx_conv2d_affine *f; /* gather: of plane i at f[i * f_step] */
    int64_t f_step;
    bool add; /* scatter: onto what is there */
} spx_wino_transpose;

/** Where a tile lies: point f of channel c of its transformed input at v + c * v_c + f * v_f; its
 * outputs at y. */
typedef struct spx_wino_tile {
    int64_t v, v_c, y;
} spx_wino_tile;

/** A row of tiles of one channel: its alpha rows of padded input, in vectors. */
typedef struct spx_wino_line {
    const float *row[SPX_WINO_MAX_ALPHA];
    int64_t cols;              /* vectors in a row: dilation * (4 * tiles + alpha - 4) */
    int64_t dilation;          /* column j of tile t of phase b is dilation * (4 * t + j) + b */
    int64_t tiles;             /* of one phase */
    float *tmp;                /* [alpha][cols] vectors */
    const spx_wino_tile *tile; /* [dilation][tiles] */
    int64_t c, v_f;
    float *v;
} spx_wino_line;

/** m[k][t][f] = sum over c of u[f][c][k] * v[f][c][t] for a block of k and t, all points f. */
typedef struct spx_wino_gemm {
    const float *u, *v;
    int64_t u_f, v_f; /* floats from point to point */
    int64_t points, channels;
    float *m;
    int64_t m_k, m_t; /* floats from channel to channel, tile to tile; points are vectors */
} spx_wino_gemm;

/** Tiles of one output channel, back to 4 rows of outputs in vectors. */
typedef struct spx_wino_back {
    const float *m; /* [tiles], m_t floats apart */
    int64_t m_t, tiles;
    const spx_wino_tile *tile;
    float bias;
    float *y;
    int64_t pitch, step; /* floats from row to row, column to column */
} spx_wino_back;

/** out[i][element of v] += sum over tiles t of row[t][i] * vec[t][element of v], in one point. */
typedef struct spx_wino_dot {
    const float *row, *vec;
    int64_t row_t, vec_t; /* floats from tile to tile */
    int64_t tiles;
    float *out;
    int64_t pitch; /* floats from i to i + 1 */
} spx_wino_dot;

/** dw[element] = (add ? dw[element] : 0) + G^T (sum over parts of u) G. */
typedef struct spx_wino_unfilter {
    const double (*g)[SPX_WINO_MAX_TAPS]; /* [alpha][taps] */
    const float *u;                       /* vectors, u_f floats from point to point */
    int64_t u_f, parts, part;
    float *dw; /* [elements][taps][taps], step floats from element to element */
    int64_t step;
    int elements;
    bool add;
} spx_wino_unfilter;

/** u[f][k] = (G w[k] G^T)[f] for the kb filters of a block; points u_f floats apart. */
typedef struct spx_wino_filter {
    const double (*g)[SPX_WINO_MAX_TAPS]; /* [alpha][taps] */
    const float *w; /* filter k at w + k * w_k; its taps step = 1 or -1 floats apart */
    int64_t w_k, step;
    int kb;
    float *u;
    int64_t u_f;
} spx_wino_filter;

typedef struct spx_wino_isa {
    int max_kb, max_tb;
    void (*gather)(const spx_wino_transpose *a);
    void (*scatter)(const spx_wino_transpose *a);
    /* The first is for 3 taps, the second for 5. */
    void (*filter[2])(const spx_wino_filter *a);
    void (*unfilter[2])(const spx_wino_unfilter *a);
    void (*line[2])(const spx_wino_line *a);
    void (*back[2])(const spx_wino_back *a);
    /* Lines of output gradients, 4 rows and 4 columns a tile. */
    void (*gradient[2])(const spx_wino_line *a);
    float (*sum)(const float *x, int64_t n);
    int max_rows[SPX_WINO_MAX_DV + 1]; /* rows per block of this many vectors */
    void (*dot[SPX_WINO_MAX_DOT + 1][SPX_WINO_MAX_DV + 1])(const spx_wino_dot *a);
    void (*gemm[SPX_WINO_MAX_KB + 1][SPX_WINO_MAX_TB + 1])(const spx_wino_gemm *a);
} spx_wino_isa;

extern const spx_wino_isa spx_wino_avx2, spx_wino_avx512vl;

#endif
