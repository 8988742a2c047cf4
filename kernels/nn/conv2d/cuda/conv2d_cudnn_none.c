/* In place of conv2d_cudnn.c where cuDNN's headers were not found, and in the emulation. */
#include "kernels/nn/conv2d/cuda/conv2d_cuda_private.h"

spx_status spx_conv2d_library_of(spx_stream *s, spx_conv2d_library **out)
{
    (void)s;
    *out = NULL;
    return SPX_OK;
}

size_t spx_conv2d_library_version(const spx_conv2d_library *l)
{
    (void)l;
    return 0;
}

spx_status spx_conv2d_library_candidates(const spx_conv2d_library *l, const spx_conv2d_problem *p,
                                         int most, char (*text)[SPX_CONV2D_TEXT], int *count)
{
    (void)l;
    (void)p;
    (void)most;
    (void)text;
    *count = 0;
    return SPX_OK;
}

spx_status spx_conv2d_engine_create(spx_conv2d_engine **out, const spx_conv2d_library *l,
                                    const spx_conv2d_problem *p, const char *text)
{
    (void)l;
    (void)p;
    *out = NULL;
    return SPX_FAIL(SPX_EUNSUPPORTED, "conv2d: this build has no cuDNN to run %s", text);
}

void spx_conv2d_engine_destroy(spx_conv2d_engine *e)
{
    (void)e;
}

size_t spx_conv2d_engine_workspace(const spx_conv2d_engine *e)
{
    (void)e;
    return 0;
}

spx_status spx_conv2d_engine_run(const spx_conv2d_engine *e, spx_stream *s, void *x, void *w,
                                 void *y, void *workspace)
{
    (void)e;
    (void)s;
    (void)x;
    (void)w;
    (void)y;
    (void)workspace;
    return SPX_FAIL(SPX_EUNSUPPORTED, "conv2d: this build has no cuDNN");
}
