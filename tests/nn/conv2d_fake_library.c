/*
 * A library of convolutions that the engine's plans can be tried with anywhere: linked before the
 * real one, it runs the own kernels on what it is handed. Like the real one it refuses crops and
 * gives gradients of bf16 weights in bf16. Its third candidate cannot be made, its second wants
 * scratch, which it fills.
 */
#include "kernels/device/device_memory.h"
#include "kernels/nn/conv2d/cuda/conv2d_cuda_private.h"
#include "kernels/nn/copy/copy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct spx_conv2d_library {
    size_t version;
};

struct spx_conv2d_engine {
    spx_conv2d_problem p;
    size_t gradient, workspace; /* bytes: of an f32 gradient, of all */
};

spx_status spx_conv2d_library_of(spx_stream *s, spx_conv2d_library **out)
{
    static spx_conv2d_library fake = {90000};
    (void)s;
    *out = &fake;
    return SPX_OK;
}

size_t spx_conv2d_library_version(const spx_conv2d_library *l)
{
    return l->version;
}

spx_status spx_conv2d_library_candidates(const spx_conv2d_library *l, const spx_conv2d_problem *p,
                                         int most, char (*text)[SPX_CONV2D_TEXT], int *count)
{
    (void)l;
    (void)p;
    *count = most < 3 ? most : 3;
    for (int i = 0; i < *count; i++) {
        (void)snprintf(text[i], SPX_CONV2D_TEXT, "engine=%d,knobs=", i);
    }
    return SPX_OK;
}

spx_status spx_conv2d_engine_create(spx_conv2d_engine **out, const spx_conv2d_library *l,
                                    const spx_conv2d_problem *p, const char *text)
{
    (void)l;
    *out = NULL;
    if (p->shape.pad_begin < 0 || p->shape.pad_end < 0) {
        return SPX_FAIL(SPX_EINVAL, "fake: negative padding");
    }
    if (strcmp(text, "engine=0,knobs=") != 0 && strcmp(text, "engine=1,knobs=") != 0) {
        return SPX_FAIL(SPX_EUNSUPPORTED, "fake: no %s", text);
    }
    spx_conv2d_engine *e = calloc(1, sizeof *e);
    if (e == NULL) {
        return SPX_FAIL(SPX_ENOMEM, "fake");
    }
    e->p = *p;
    if (p->pass == SPX_CONV2D_BACKWARD_WEIGHTS) {
        const spx_conv2d_shape *d = &p->shape;
        e->gradient = (size_t)spx_conv2d_weights(d) * sizeof(float);
        e->gradient = (e->gradient + 255) / 256 * 256;
        e->workspace = e->gradient + spx_conv2d_direct_weights_bytes(d);
    } else if (text[strlen("engine=")] == '1') {
        e->workspace = 1000;
    }
    *out = e;
    return SPX_OK;
}

void spx_conv2d_engine_destroy(spx_conv2d_engine *e)
{
    free(e);
}

size_t spx_conv2d_engine_workspace(const spx_conv2d_engine *e)
{
    return e->workspace;
}

static spx_status weights(const spx_conv2d_engine *e, spx_stream *s, spx_operand x, spx_operand dy,
                          void *w, void *workspace)
{
    const spx_conv2d_shape *d = &e->p.shape;
    float *const parts = (float *)(void *)((char *)workspace + e->gradient);
    const bool bf16 = e->p.type == SPX_TYPE_BF16;
    if (bf16 && e->p.accumulate) {
        return SPX_FAIL(SPX_EINVAL, "fake: adds to no bf16 gradient");
    }
    SPX_RETURN_IF(spx_conv2d_direct_backward_weights(s, d, x, dy, e->p.accumulate,
                                                     bf16 ? workspace : w, parts));
    return bf16 ? spx_to_bf16(s, spx_conv2d_weights(d), workspace, w) : SPX_OK;
}

spx_status spx_conv2d_engine_run(const spx_conv2d_engine *e, spx_stream *s, void *x, void *w,
                                 void *y, void *workspace)
{
    const spx_conv2d_shape *d = &e->p.shape;
    const spx_operand a = {x, e->p.x_pixel, e->p.type}, b = {y, e->p.y_pixel, e->p.type};
    if (e->workspace > 0) {
        SPX_RETURN_IF(spx_device_zero(s, workspace, e->workspace));
    }
    switch (e->p.pass) {
    case SPX_CONV2D_FORWARD:
        return spx_conv2d_direct_forward(s, d, a, w, NULL, e->p.accumulate, b);
    case SPX_CONV2D_BACKWARD_DATA:
        return spx_conv2d_direct_backward_data(s, d, b, w, e->p.accumulate, a);
    default:
        return weights(e, s, a, b, w, workspace);
    }
}
