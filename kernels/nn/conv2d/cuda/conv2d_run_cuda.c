/* Runs plans of convolutions on CUDA: copies in, the candidate, copies out. */
#include "kernels/nn/conv2d/cuda/conv2d_plan_cuda_private.h"

#define ENGINE_ALIGN 16 /* bytes; of operands that the library reads or writes in place */

static void *part(void *workspace, size_t at)
{
    return (char *)workspace + at;
}

/* --- Copies ----------------------------------------------------------------------------------- */

/* Between x as the caller has it and the cropped, padded x of the library. */
static spx_conv2d_window x_window(const spx_conv2d_cuda_plan *p, bool inwards)
{
    const spx_conv2d_shape *d = &p->base.want.shape, *e = &p->problem.shape;
    const int64_t top = d->pad_begin < 0 ? -d->pad_begin : 0;
    return inwards ? (spx_conv2d_window){d->n, d->h, d->w, d->c, e->h, e->w, e->c, top, top}
                   : (spx_conv2d_window){d->n, e->h, e->w, e->c, d->h, d->w, d->c, -top, -top};
}

/* Pixels correspond; only channels are padded or cut. */
static spx_conv2d_window plain_window(int64_t rows, int64_t src_c, int64_t dst_c)
{
    return (spx_conv2d_window){1, rows, 1, src_c, rows, 1, dst_c, 0, 0};
}

/* Filters, whose rows are k * r * s of a group's c. */
static spx_conv2d_window w_window(const spx_conv2d_cuda_plan *p, bool inwards)
{
    const spx_conv2d_shape *d = &p->base.want.shape, *e = &p->problem.shape;
    const int64_t taps = d->r * d->s, c = d->c / d->groups, inner_c = e->c / e->groups;
    return inwards ? (spx_conv2d_window){1, d->k * taps, 1, c, e->k * taps, 1, inner_c, 0, 0}
                   : (spx_conv2d_window){1, e->k * taps, 1, inner_c, d->k * taps, 1, c, 0, 0};
}

static int64_t outputs(const spx_conv2d_cuda_plan *p)
{
    return p->base.want.shape.n * p->base.want.shape.p * p->base.want.shape.q;
}

/* The library's view of the operand in x's place: the operand, or its place in the workspace. */
static spx_operand inner_x(const spx_conv2d_cuda_plan *p, spx_operand x, void *workspace)
{
    return p->copy_x ? (spx_operand){part(workspace, p->x_at), p->problem.x_pixel, p->base.type}
                     : x;
}

static spx_operand inner_y(const spx_conv2d_cuda_plan *p, spx_operand y, void *workspace)
{
    return p->copy_y ? (spx_operand){part(workspace, p->y_at), p->problem.y_pixel, p->base.type}
                     : y;
}

static spx_status copy_x_in(const spx_conv2d_cuda_plan *p, spx_stream *s, spx_operand x,
                            spx_operand inner)
{
    const spx_conv2d_window g = x_window(p, true);
    return p->copy_x ? spx_conv2d_window_copy(s, &g, x, NULL, false, inner) : SPX_OK;
}

static spx_status copy_y_in(const spx_conv2d_cuda_plan *p, spx_stream *s, spx_operand y,
                            spx_operand inner)
{
    const spx_conv2d_window g = plain_window(outputs(p), p->base.want.shape.k, p->problem.shape.k);
    return p->copy_y ? spx_conv2d_window_copy(s, &g, y, NULL, false, inner) : SPX_OK;
}

/* The library takes pointers without const for what it only reads. */
static void *unconst(const void *p)
{
    union {
        const void *in;
        void *out;
    } u = {p};
    return u.out;
}

/* Weights for the library, copied where they must be. */
static spx_status copy_w_in(const spx_conv2d_cuda_plan *p, spx_stream *s, const void *w,
                            void *workspace, void **out)
{
    const spx_conv2d_window g = w_window(p, true);
    *out = unconst(w);
    if (!p->copy_w) {
        return SPX_OK;
    }
    *out = part(workspace, p->w_at);
    const spx_operand from = {unconst(w), g.src_c, p->base.type},
                      to = {*out, g.dst_c, p->base.type};
    return spx_conv2d_window_copy(s, &g, from, NULL, false, to);
}

/* --- Passes through the library --------------------------------------------------------------- */

static spx_status forward(const spx_conv2d_cuda_plan *p, spx_stream *s, const spx_conv2d_call *call)
{
    const spx_operand x = inner_x(p, call->in.x, call->workspace),
                      y = inner_y(p, call->y, call->workspace);
    void *w;
    SPX_RETURN_IF(copy_x_in(p, s, call->in.x, x));
    SPX_RETURN_IF(copy_w_in(p, s, call->w, call->workspace, &w));
    SPX_RETURN_IF(spx_conv2d_engine_run(p->engine, s, x.data, w, y.data,
                                        part(call->workspace, p->scratch_at)));
    if (!p->copy_y && call->bias == NULL) {
        return SPX_OK;
    }
    const int64_t inner_k = p->copy_y ? p->problem.shape.k : p->base.want.shape.k;
    const spx_conv2d_window g = plain_window(outputs(p), inner_k, p->base.want.shape.k);
    return spx_conv2d_window_copy(s, &g, y, call->bias, p->copy_y && p->base.want.accumulate,
                                  call->y);
}

static spx_status backward_data(const spx_conv2d_cuda_plan *p, spx_stream *s,
                                const spx_conv2d_call *call)
{
    const spx_operand dx = inner_x(p, call->in.x, call->workspace),
                      dy = inner_y(p, call->y, call->workspace);
    const spx_conv2d_window g = x_window(p, false);
    void *w;
    SPX_RETURN_IF(copy_y_in(p, s, call->y, dy));
    SPX_RETURN_IF(copy_w_in(p, s, call->w, call->workspace, &w));
    SPX_RETURN_IF(spx_conv2d_engine_run(p->engine, s, dx.data, w, dy.data,
                                        part(call->workspace, p->scratch_at)));
    return p->copy_x ? spx_conv2d_window_copy(s, &g, dx, NULL, p->base.want.accumulate, call->in.x)
                     : SPX_OK;
}

static spx_status backward_weights(const spx_conv2d_cuda_plan *p, spx_stream *s,
                                   const spx_conv2d_call *call)
{
    const spx_operand x = inner_x(p, call->in.x, call->workspace),
                      dy = inner_y(p, call->y, call->workspace);
    const spx_conv2d_window g = w_window(p, false);
    void *const dw = p->copy_w ? part(call->workspace, p->w_at) : (void *)call->dw;
    const spx_operand from = {dw, g.src_c, p->base.type}, to = {call->dw, g.dst_c, SPX_TYPE_F32};
    SPX_RETURN_IF(copy_x_in(p, s, call->in.x, x));
    SPX_RETURN_IF(copy_y_in(p, s, call->y, dy));
    SPX_RETURN_IF(spx_conv2d_engine_run(p->engine, s, x.data, dw, dy.data,
                                        part(call->workspace, p->scratch_at)));
    return p->copy_w ? spx_conv2d_window_copy(s, &g, from, NULL, p->base.want.accumulate, to)
                     : SPX_OK;
}

/* --- Any plan --------------------------------------------------------------------------------- */

static spx_status run_direct(const spx_conv2d_cuda_plan *p, spx_stream *s,
                             const spx_conv2d_call *call)
{
    const spx_conv2d_shape *d = &p->base.want.shape;
    switch (p->base.want.pass) {
    case SPX_CONV2D_FORWARD:
        return spx_conv2d_direct_forward(s, d, call->in.x, call->w, call->bias,
                                         p->base.want.accumulate, call->y);
    case SPX_CONV2D_BACKWARD_DATA:
        return spx_conv2d_direct_backward_data(s, d, call->y, call->w, p->base.want.accumulate,
                                               call->in.x);
    default:
        return spx_conv2d_direct_backward_weights(
            s, d, call->in.x, call->y, p->base.want.accumulate, call->dw, call->workspace);
    }
}

static spx_status run_engine(const spx_conv2d_cuda_plan *p, spx_stream *s,
                             const spx_conv2d_call *call)
{
    const void *const in_place[] = {p->copy_x ? NULL : call->in.x.data,
                                    p->copy_y ? NULL : call->y.data, p->copy_w ? NULL : call->w,
                                    p->copy_w ? NULL : call->dw, call->workspace};
    for (size_t i = 0; i < sizeof in_place / sizeof in_place[0]; i++) {
        if ((uintptr_t)in_place[i] % ENGINE_ALIGN != 0) {
            return SPX_FAIL(SPX_EINVAL, "conv2d: an operand is not aligned to %d bytes",
                            ENGINE_ALIGN);
        }
    }
    switch (p->base.want.pass) {
    case SPX_CONV2D_FORWARD:
        return forward(p, s, call);
    case SPX_CONV2D_BACKWARD_DATA:
        return backward_data(p, s, call);
    default:
        return backward_weights(p, s, call);
    }
}

spx_status spx_conv2d_plan_run(const spx_conv2d_cuda_plan *p, spx_stream *s,
                               const spx_conv2d_call *call)
{
    assert(call->in.mean == NULL && call->in.gamma == NULL && !call->in.relu);
    SPX_RETURN_IF(p->engine != NULL ? run_engine(p, s, call) : run_direct(p, s, call));
    return call->dbias != NULL
               ? spx_conv2d_bias_gradient(s, &p->base.want.shape, call->y, p->base.want.accumulate,
                                          call->dbias, call->workspace)
               : SPX_OK;
}
