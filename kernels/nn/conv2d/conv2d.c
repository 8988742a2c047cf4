/* Validation and dispatch of the convolution. */
#include "kernels/nn/conv2d/conv2d_private.h"

#include "kernels/base/alloc.h"
#include "kernels/device/backend.h"

#include <stddef.h>

#define MAX_ELEMENTS ((int64_t)1 << 40)
#define MAX_STRIDE 4
#define MAX_DILATION 8
#define MIN_PAD (-4)
#define MAX_PAD 1024

static const spx_conv2d_backend *backend_of(const spx_stream *s)
{
    return SPX_BACKEND(s, spx_conv2d_cpu, spx_conv2d_cuda);
}

/* --- Shapes ----------------------------------------------------------------------------------- */

static spx_status check_range(const char *what, int64_t v, int64_t lo, int64_t hi)
{
    if (v < lo || v > hi) {
        return SPX_FAIL(SPX_EINVAL, "conv2d: %s must be %lld..%lld, not %lld", what, (long long)lo,
                        (long long)hi, (long long)v);
    }
    return SPX_OK;
}

static spx_status check_volume(const char *what, int64_t a, int64_t b, int64_t c, int64_t d)
{
    int64_t v;
    if (!spx_mul_i64(a, b, &v) || !spx_mul_i64(v, c, &v) || !spx_mul_i64(v, d, &v) ||
        v > MAX_ELEMENTS) {
        return SPX_FAIL(SPX_EINVAL, "conv2d: %s of %lldx%lldx%lldx%lld is too large", what,
                        (long long)a, (long long)b, (long long)c, (long long)d);
    }
    return SPX_OK;
}

spx_status spx_conv2d_shape_init(spx_conv2d_shape *d)
{
    d->groups += d->groups == 0;
    const struct {
        const char *what;
        int64_t value, lo, hi;
    } ranges[] = {
        {"n", d->n, 1, MAX_ELEMENTS},
        {"c", d->c, 1, MAX_ELEMENTS},
        {"h", d->h, 1, MAX_ELEMENTS},
        {"w", d->w, 1, MAX_ELEMENTS},
        {"k", d->k, 1, MAX_ELEMENTS},
        {"r", d->r, 1, SPX_CONV2D_MAX_FILTER},
        {"s", d->s, 1, SPX_CONV2D_MAX_FILTER},
        {"stride", d->stride, 1, MAX_STRIDE},
        {"dilation", d->dilation, 1, MAX_DILATION},
        {"pad_begin", d->pad_begin, MIN_PAD, MAX_PAD},
        {"pad_end", d->pad_end, MIN_PAD, MAX_PAD},
        {"groups", d->groups, 1, SPX_CONV2D_MAX_GROUPS},
    };
    d->p = 0;
    d->q = 0;
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        SPX_RETURN_IF(check_range(ranges[i].what, ranges[i].value, ranges[i].lo, ranges[i].hi));
    }
    if (d->c % d->groups != 0 || d->k % d->groups != 0) {
        return SPX_FAIL(SPX_EINVAL, "conv2d: %lld groups divide %lld and %lld channels unevenly",
                        (long long)d->groups, (long long)d->c, (long long)d->k);
    }
    const int64_t room_h = d->h + d->pad_begin + d->pad_end - d->dilation * (d->r - 1) - 1;
    const int64_t room_w = d->w + d->pad_begin + d->pad_end - d->dilation * (d->s - 1) - 1;
    if (room_h < 0 || room_w < 0) {
        return SPX_FAIL(SPX_EINVAL, "conv2d: %lldx%lld is too small for this filter",
                        (long long)d->h, (long long)d->w);
    }
    const int64_t p = room_h / d->stride + 1, q = room_w / d->stride + 1;
    SPX_RETURN_IF(check_volume("input", d->n, d->c, d->h, d->w));
    SPX_RETURN_IF(check_volume("output", d->n, d->k, p, q));
    SPX_RETURN_IF(check_volume("filter", d->k, d->c, d->r, d->s));
    d->p = p;
    d->q = q;
    return SPX_OK;
}

static spx_status check_shape(const spx_conv2d_shape *d)
{
    spx_conv2d_shape again = *d;
    SPX_RETURN_IF(spx_conv2d_shape_init(&again));
    if (again.p != d->p || again.q != d->q || again.groups != d->groups) {
        return SPX_FAIL(SPX_EINVAL,
                        "conv2d: output is %lldx%lld of %lld groups, not %lldx%lld of %lld",
                        (long long)again.p, (long long)again.q, (long long)again.groups,
                        (long long)d->p, (long long)d->q, (long long)d->groups);
    }
    return SPX_OK;
}

/* --- Wants ------------------------------------------------------------------------------------ */

/* The channels of an operand from `first` on, by the device's rows: images, or pixels. */
static spx_status check_operand(const char *what, const spx_conv2d_backend *b, int64_t n,
                                int64_t channels, int64_t pixels, int64_t stride, int64_t first)
{
    const bool images = b->device == SPX_DEVICE_CPU;
    const int64_t rows = images ? n : n * pixels, row = images ? channels * pixels : channels;
    int64_t all;
    if (stride < row || (!images && (first < 0 || first > stride - row)) ||
        !spx_mul_i64(rows, stride, &all) || all > MAX_ELEMENTS) {
        return SPX_FAIL(SPX_EINVAL, "conv2d: %s of %s are %lld elements from %lld on, %lld apart",
                        images ? "images" : "pixels", what, (long long)row, (long long)first,
                        (long long)stride);
    }
    return SPX_OK;
}

static spx_status check_want(const spx_conv2d_backend *b, const spx_conv2d_want *want)
{
    const spx_conv2d_shape *d = &want->shape;
    const char *device = spx_device_name(b->device);
    SPX_RETURN_IF(check_shape(d));
    if ((unsigned)want->pass >= SPX_CONV2D_PASS_COUNT) {
        return SPX_FAIL(SPX_EINVAL, "conv2d: no pass %d", (int)want->pass);
    }
    if ((want->bias || want->fused) && want->pass == SPX_CONV2D_BACKWARD_DATA) {
        return SPX_FAIL(SPX_EINVAL, "conv2d backward-data: has no bias and reads no input");
    }
    if (want->fused && !b->fuses) {
        return SPX_FAIL(SPX_EUNSUPPORTED, "conv2d: %s normalises or rectifies no input on the way",
                        device);
    }
    if (want->accumulate && want->pass == SPX_CONV2D_FORWARD && !b->adds_forward) {
        return SPX_FAIL(SPX_EUNSUPPORTED, "conv2d forward: %s adds to no output", device);
    }
    SPX_RETURN_IF(check_operand("x", b, d->n, d->c, d->h * d->w, want->x_stride, want->x_first));
    return check_operand("y", b, d->n, d->k, d->p * d->q, want->y_stride, want->y_first);
}

spx_status spx_conv2d_candidates(spx_stream *s, const spx_conv2d_want *want,
                                 spx_conv2d_choices *out)
{
    out->count = 0;
    SPX_RETURN_IF(check_want(backend_of(s), want));
    return backend_of(s)->candidates(s, want, out);
}

/* --- Plans ------------------------------------------------------------------------------------ */

spx_status spx_conv2d_plan_create(spx_conv2d_plan **out, spx_stream *s, const spx_conv2d_want *want,
                                  const char *choice)
{
    *out = NULL;
    SPX_RETURN_IF(check_want(backend_of(s), want));
    return backend_of(s)->create(out, s, want, choice);
}

void spx_conv2d_plan_destroy(spx_conv2d_plan *p)
{
    if (p != NULL) {
        p->backend->destroy(p);
    }
}

const char *spx_conv2d_plan_choice(const spx_conv2d_plan *p)
{
    return p->choice;
}

size_t spx_conv2d_plan_workspace(const spx_conv2d_plan *p)
{
    return p->bytes;
}

double spx_conv2d_plan_seconds(const spx_conv2d_plan *p)
{
    return p->seconds;
}

/* --- Runs ------------------------------------------------------------------------------------- */

static spx_status check_input(const spx_conv2d_plan *p, const spx_conv2d_input *in)
{
    if ((in->mean == NULL) != (in->invstd == NULL) || (in->gamma == NULL) != (in->beta == NULL) ||
        (in->gamma != NULL && in->mean == NULL)) {
        return SPX_FAIL(SPX_EINVAL, "conv2d: incomplete input normalisation");
    }
    if ((in->mean != NULL || in->relu) && !p->want.fused) {
        return SPX_FAIL(SPX_EINVAL, "conv2d: the plan is for an input as it lies");
    }
    return SPX_OK;
}

/* Checks what all passes share, then runs the plan; missing: an operand of the pass's own. */
static spx_status run(const spx_conv2d_plan *p, spx_stream *s, spx_conv2d_pass pass,
                      spx_conv2d_call *call, bool missing)
{
    const spx_conv2d_want *want = &p->want;
    if (want->pass != pass || p->backend->device != spx_stream_device(s)) {
        return SPX_FAIL(SPX_EINVAL, "conv2d: the plan is for another pass or device");
    }
    if (missing || call->in.x.data == NULL || call->y.data == NULL ||
        (call->workspace == NULL && p->bytes > 0)) {
        return SPX_FAIL(SPX_EINVAL, "conv2d: operand missing");
    }
    if (call->in.x.stride != want->x_stride || call->y.stride != want->y_stride ||
        call->in.x.type != p->type || call->y.type != p->type ||
        ((call->bias != NULL || call->dbias != NULL) && !want->bias)) {
        return SPX_FAIL(SPX_EINVAL, "conv2d: operands are not those of the plan");
    }
    SPX_RETURN_IF(check_input(p, &call->in));
    call->d = &want->shape;
    call->pass = pass;
    call->accumulate = want->accumulate;
    return p->backend->run(p, s, call);
}

spx_status spx_conv2d_forward(const spx_conv2d_plan *p, spx_stream *s, const spx_conv2d_input *in,
                              const void *w, const float *bias, spx_operand y, void *workspace)
{
    spx_conv2d_call call = {.in = *in, .y = y, .w = w, .bias = bias, .workspace = workspace};
    return run(p, s, SPX_CONV2D_FORWARD, &call, w == NULL);
}

spx_status spx_conv2d_backward_data(const spx_conv2d_plan *p, spx_stream *s, spx_operand dy,
                                    const void *w, spx_operand dx, void *workspace)
{
    spx_conv2d_call call = {.in = {.x = dx}, .y = dy, .w = w, .workspace = workspace};
    return run(p, s, SPX_CONV2D_BACKWARD_DATA, &call, w == NULL);
}

spx_status spx_conv2d_backward_weights(const spx_conv2d_plan *p, spx_stream *s,
                                       const spx_conv2d_input *in, spx_operand dy, float *dw,
                                       float *dbias, void *workspace)
{
    spx_conv2d_call call = {.in = *in, .y = dy, .dw = dw, .dbias = dbias, .workspace = workspace};
    return run(p, s, SPX_CONV2D_BACKWARD_WEIGHTS, &call, dw == NULL);
}
