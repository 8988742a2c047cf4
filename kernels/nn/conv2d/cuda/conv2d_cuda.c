/* Convolutions on CUDA: which plan is made for a want. */
#include "kernels/nn/conv2d/cuda/conv2d_plan_cuda_private.h"

#include <stdlib.h>

static spx_status candidates(spx_stream *s, const spx_conv2d_want *want, spx_conv2d_choices *out)
{
    spx_conv2d_cuda_plan p;
    spx_conv2d_library *l = NULL;
    spx_conv2d_plan_init(&p, s, want);
    SPX_RETURN_IF(spx_conv2d_library_of(s, &l));
    return spx_conv2d_plan_list(&p, l, out);
}

static spx_status choose(spx_conv2d_cuda_plan *p, spx_stream *s, const char *choice)
{
    spx_conv2d_library *l = NULL;
    if (p->base.want.reference) {
        return spx_conv2d_plan_take(p, NULL, SPX_CONV2D_DIRECT);
    }
    SPX_RETURN_IF(spx_conv2d_library_of(s, &l));
    if (l == NULL) {
        return spx_conv2d_plan_take(p, NULL, SPX_CONV2D_DIRECT);
    }
    if (choice != NULL && spx_conv2d_plan_take(p, l, choice) == SPX_OK) {
        return SPX_OK;
    }
    return p->base.want.unmeasured ? spx_conv2d_plan_first(p, l) : spx_conv2d_plan_measure(p, s, l);
}

static void destroy(spx_conv2d_plan *p)
{
    spx_conv2d_plan_forget((spx_conv2d_cuda_plan *)p);
    free(p);
}

static spx_status create(spx_conv2d_plan **out, spx_stream *s, const spx_conv2d_want *want,
                         const char *choice)
{
    spx_conv2d_cuda_plan *p = calloc(1, sizeof *p);
    if (p == NULL) {
        return SPX_FAIL(SPX_ENOMEM, "conv2d: plan");
    }
    spx_conv2d_plan_init(p, s, want);
    p->base.backend = &spx_conv2d_cuda;
    const spx_status st = choose(p, s, choice);
    if (st != SPX_OK) {
        destroy(&p->base);
        return st;
    }
    *out = &p->base;
    return SPX_OK;
}

static spx_status run(const spx_conv2d_plan *p, spx_stream *s, const spx_conv2d_call *call)
{
    return spx_conv2d_plan_run((const spx_conv2d_cuda_plan *)p, s, call);
}

const spx_conv2d_backend spx_conv2d_cuda = {.device = SPX_DEVICE_CUDA,
                                            .adds_forward = true,
                                            .candidates = candidates,
                                            .create = create,
                                            .destroy = destroy,
                                            .run = run};
