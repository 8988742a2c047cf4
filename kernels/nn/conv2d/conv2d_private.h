#ifndef SPX_NN_CONV2D_PRIVATE_H
#define SPX_NN_CONV2D_PRIVATE_H
/* Private to this folder: what an implementation of spx_conv2d offers to the dispatch. */
#include "kernels/nn/conv2d/conv2d.h"

/** One validated call; a pass reads only its own operands, the others are NULL. */
typedef struct spx_conv2d_call {
    const spx_conv2d_shape *d;
    spx_conv2d_pass pass;
    const spx_conv2d_input *in; /* forward, backward-weights */
    const float *w;             /* forward, backward-data */
    const float *bias;          /* forward; NULL for none */
    float *y;                   /* forward */
    const float *dy;            /* backward */
    float *dx;                  /* backward-data */
    float *dw, *dbias;          /* backward-weights; dbias may be NULL */
    int64_t y_stride_n;         /* of y or dy */
    int64_t dx_stride_n;
    bool accumulate;
    void *workspace;
} spx_conv2d_call;

typedef struct spx_conv2d_impl {
    bool (*supports)(const spx_stream *s, const spx_conv2d_shape *d, spx_conv2d_pass pass);
    size_t (*workspace)(const spx_stream *s, const spx_conv2d_shape *d, spx_conv2d_pass pass);
    spx_status (*run)(spx_stream *s, const spx_conv2d_call *call);
} spx_conv2d_impl;

extern const spx_conv2d_impl spx_conv2d_ref;
#ifdef SPX_HAVE_PLANAR
extern const spx_conv2d_impl spx_conv2d_planar, spx_conv2d_winograd;

/** Whether WINOGRAD, which runs this shape, takes fewer cycles than PLANAR by a count of them. */
bool spx_conv2d_winograd_pays(const spx_conv2d_shape *d, spx_conv2d_pass pass);
#endif
#ifdef SPX_HAVE_ONEDNN
extern const spx_conv2d_impl spx_conv2d_onednn;
#endif

#endif
