/* Runs plans of convolutions on CUDA: copies in, the candidate, copies out. */
#include "kernels/nn/conv2d/cuda/conv2d_plan_cuda_private.h"

#define ENGINE_ALIGN 16 /* bytes; of operands that the library reads or writes in place */

static void *part(void *workspace, size_t at)
{
    return (char *)workspace + at;
}

/* --- Copies ----------------------------------------------------------------------------------- */

/* Between x as the caller has it and the cropped, padded x of the library. */
static spx_conv2d_window x_window(const spx_conv2d_plan *p, bool inwards)
{
    const spx_conv2d_shape *d = &p->want.shape, *e = &p->problem.shape;
    const int64_t top = d->pad_begin < 0 ? -d->pad_begin : 0;
    return inwards ? (spx_conv2d_window){d->n, d->h, d->w, d->c, e->h, e->w, e->c, top, top}
                   : (spx_conv2d_window){d->n, e->h, e->w, e->c, d->h, d->w, d->c, -top, -top};
}

/* Pixels correspond; only channels are padded or cut. */
static spx_conv2d_window plain_window(int64_t rows, int64_t src_c, int64_t dst_c)
{
    return (spx_conv2d_window){1, rows, 1, src_c, rows, 1, dst_c, 0, 0};
}

/* Filters, whose rows are k * r * s of c. */
static spx_conv2d_window w_window(const spx_conv2d_plan *p, bool inwards)
{
    const spx_conv2d_shape *d = &p->want.shape, *e = &p->problem.shape;
    const int64_t taps = d->r * d->s;
    return inwards ? (spx_conv2d_window){1, d->k * taps, 1, d->c, e->k * taps, 1, e->c, 0, 0}
                   : (spx_conv2d_window){1, e->k * taps, 1, e->c, d->k * taps, 1, d->c, 0, 0};
}

static int64_t outputs(const spx_conv2d_plan *p)
{
    return p->want.shape.n * p->want.shape.p * p->want.shape.q;
}

/* The library's view of the operand in x's place: the operand, or its place in the workspace. */
static spx_operand inner_x(const spx_conv2d_plan *p, spx_operand x, void *workspace)
{
    return p->copy_x ? (spx_operand){part(workspace, p->x_at), p->problem.x_pixel, p->type} : x;
}

static spx_operand inner_y(const spx_conv2d_plan *p, spx_operand y, void *workspace)
{
    return p->copy_y ? (spx_operand){part(workspace, p->y_at), p->problem.y_pixel, p->type} : y;
}

static spx_status copy_x_in(const spx_conv2d_plan *p, spx_stream *s, spx_operand x,
                            spx_operand inner)
{
    const spx_conv2d_window g = x_window(p, true);
    return p->copy_x ? spx_conv2d_window_copy(s, &g, x, NULL, false, inner) : SPX_OK;
}

static spx_status copy_y_in(const spx_conv2d_plan *p, spx_stream *s, spx_operand y,
                            spx_operand inner)
{
    const spx_conv2d_window g = plain_window(outputs(p), p->want.shape.k, p->problem.shape.k);
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
static spx_status copy_w_in(const spx_conv2d_plan *p, spx_stream *s, const void *w, void *workspace,
                            void **out)
{
    const spx_conv2d_window g = w_window(p, true);
    *out = unconst(w);
    if (!p->copy_w) {
        return SPX_OK;
    }
    *out = part(workspace, p->w_at);
    const spx_operand from = {unconst(w), g.src_c, p->type}, to = {*out, g.dst_c, p->type};
    return spx_conv2d_window_copy(s, &g, from, NULL, false, to);
}

/* --- Passes through the library --------------------------------------------------------------- */

static spx_status forward(const spx_conv2d_plan *p, spx_stream *s, const spx_conv2d_operands *o,
                          void *workspace)
{
    const spx_operand x = inner_x(p, o->x, workspace), y = inner_y(p, o->y, workspace);
    void *w;
    SPX_RETURN_IF(copy_x_in(p, s, o->x, x));
    SPX_RETURN_IF(copy_w_in(p, s, o->w, workspace, &w));
    SPX_RETURN_IF(
        spx_conv2d_engine_run(p->engine, s, x.data, w, y.data, part(workspace, p->scratch_at)));
    if (!p->copy_y && o->bias == NULL) {
        return SPX_OK;
    }
    const int64_t inner_k = p->copy_y ? p->problem.shape.k : p->want.shape.k;
    const spx_conv2d_window g = plain_window(outputs(p), inner_k, p->want.shape.k);
    return spx_conv2d_window_copy(s, &g, y, o->bias, p->copy_y && p->want.accumulate, o->y);
}

static spx_status backward_data(const spx_conv2d_plan *p, spx_stream *s,
                                const spx_conv2d_operands *o, void *workspace)
{
    const spx_operand dx = inner_x(p, o->x, workspace), dy = inner_y(p, o->y, workspace);
    const spx_conv2d_window g = x_window(p, false);
    void *w;
    SPX_RETURN_IF(copy_y_in(p, s, o->y, dy));
    SPX_RETURN_IF(copy_w_in(p, s, o->w, workspace, &w));
    SPX_RETURN_IF(
        spx_conv2d_engine_run(p->engine, s, dx.data, w, dy.data, part(workspace, p->scratch_at)));
    return p->copy_x ? spx_conv2d_window_copy(s, &g, dx, NULL, p->want.accumulate, o->x) : SPX_OK;
}

static spx_status backward_weights(const spx_conv2d_plan *p, spx_stream *s,
                                   const spx_conv2d_operands *o, void *workspace)
{
    const spx_operand x = inner_x(p, o->x, workspace), dy = inner_y(p, o->y, workspace);
    const spx_conv2d_window g = w_window(p, false);
    void *const dw = p->copy_w ? part(workspace, p->w_at) : (void *)o->dw;
    const spx_operand from = {dw, g.src_c, p->type}, to = {o->dw, g.dst_c, SPX_TYPE_F32};
    SPX_RETURN_IF(copy_x_in(p, s, o->x, x));
    SPX_RETURN_IF(copy_y_in(p, s, o->y, dy));
    SPX_RETURN_IF(
        spx_conv2d_engine_run(p->engine, s, x.data, dw, dy.data, part(workspace, p->scratch_at)));
    return p->copy_w ? spx_conv2d_window_copy(s, &g, from, NULL, p->want.accumulate, to) : SPX_OK;
}

/* --- Any plan --------------------------------------------------------------------------------- */

static spx_status run_direct(const spx_conv2d_plan *p, spx_stream *s, const spx_conv2d_operands *o,
                             void *workspace)
{
    const spx_conv2d_shape *d = &p->want.shape;
    switch (p->want.pass) {
    case SPX_CONV2D_FORWARD:
        return spx_conv2d_direct_forward(s, d, o->x, o->w, o->bias, p->want.accumulate, o->y);
    case SPX_CONV2D_BACKWARD_DATA:
        return spx_conv2d_direct_backward_data(s, d, o->y, o->w, p->want.accumulate, o->x);
    default:
        return spx_conv2d_direct_backward_weights(s, d, o->x, o->y, p->want.accumulate, o->dw,
                                                  workspace);
    }
}

static spx_status run_engine(const spx_conv2d_plan *p, spx_stream *s, const spx_conv2d_operands *o,
                             void *workspace)
{
    const void *const in_place[] = {p->copy_x ? NULL : o->x.data, p->copy_y ? NULL : o->y.data,
                                    p->copy_w ? NULL : o->w, p->copy_w ? NULL : o->dw, workspace};
    for (size_t i = 0; i < sizeof in_place / sizeof in_place[0]; i++) {
        if ((uintptr_t)in_place[i] % ENGINE_ALIGN != 0) {
            return SPX_FAIL(SPX_EINVAL, "conv2d: an operand is not aligned to %d bytes",
                            ENGINE_ALIGN);
        }
    }
    switch (p->want.pass) {
    case SPX_CONV2D_FORWARD:
        return forward(p, s, o, workspace);
    case SPX_CONV2D_BACKWARD_DATA:
        return backward_data(p, s, o, workspace);
    default:
        return backward_weights(p, s, o, workspace);
    }
}

spx_status spx_conv2d_plan_run(const spx_conv2d_plan *p, spx_stream *s,
                               const spx_conv2d_operands *o, void *workspace)
{
    SPX_RETURN_IF(p->engine != NULL ? run_engine(p, s, o, workspace)
                                    : run_direct(p, s, o, workspace));
    return o->dbias != NULL ? spx_conv2d_bias_gradient(s, &p->want.shape, o->y, p->want.accumulate,
                                                       o->dbias, workspace)
                            : SPX_OK;
}

/* --- Public entries --------------------------------------------------------------------------- */

static spx_status check(const spx_conv2d_plan *p, const spx_stream *s, spx_conv2d_pass pass,
                        const spx_conv2d_operands *o, const void *weights, bool bias,
                        const void *workspace)
{
    if (p->want.pass != pass) {
        return SPX_FAIL(SPX_EINVAL, "conv2d: the plan is for another pass");
    }
    if (spx_stream_device(s) != SPX_DEVICE_CUDA) {
        return SPX_FAIL(SPX_EINVAL, "conv2d: plans run on streams of cuda");
    }
    if (o->x.data == NULL || o->y.data == NULL || weights == NULL ||
        (workspace == NULL && p->bytes > 0)) {
        return SPX_FAIL(SPX_EINVAL, "conv2d: operand missing");
    }
    if (o->x.stride != p->want.x_pixel || o->y.stride != p->want.y_pixel || o->x.type != p->type ||
        o->y.type != p->type || (bias && !p->want.bias)) {
        return SPX_FAIL(SPX_EINVAL, "conv2d: operands are not those of the plan");
    }
    return SPX_OK;
}

spx_status spx_conv2d_forward_cuda(const spx_conv2d_plan *p, spx_stream *s, spx_operand x,
                                   const void *w, const float *bias, spx_operand y, void *workspace)
{
    const spx_conv2d_operands o = {.x = x, .y = y, .w = w, .bias = bias};
    SPX_RETURN_IF(check(p, s, SPX_CONV2D_FORWARD, &o, w, bias != NULL, workspace));
    return spx_conv2d_plan_run(p, s, &o, workspace);
}

spx_status spx_conv2d_backward_data_cuda(const spx_conv2d_plan *p, spx_stream *s, spx_operand dy,
                                         const void *w, spx_operand dx, void *workspace)
{
    const spx_conv2d_operands o = {.x = dx, .y = dy, .w = w};
    SPX_RETURN_IF(check(p, s, SPX_CONV2D_BACKWARD_DATA, &o, w, false, workspace));
    return spx_conv2d_plan_run(p, s, &o, workspace);
}

spx_status spx_conv2d_backward_weights_cuda(const spx_conv2d_plan *p, spx_stream *s, spx_operand x,
                                            spx_operand dy, float *dw, float *dbias,
                                            void *workspace)
{
    const spx_conv2d_operands o = {.x = x, .y = dy, .dw = dw, .dbias = dbias};
    SPX_RETURN_IF(check(p, s, SPX_CONV2D_BACKWARD_WEIGHTS, &o, dw, dbias != NULL, workspace));
    return spx_conv2d_plan_run(p, s, &o, workspace);
}
