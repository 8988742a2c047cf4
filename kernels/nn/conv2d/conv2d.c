/* Validation, names and dispatch of the convolution. */
#include "kernels/base/alloc.h"
#include "kernels/nn/conv2d/conv2d_private.h"

#include <stddef.h>

#define MAX_ELEMENTS ((int64_t)1 << 40)
#define MAX_STRIDE 4
#define MAX_DILATION 8
#define MIN_PAD (-4)
#define MAX_PAD 1024

static const char *const algo_names[SPX_CONV2D_ALGO_COUNT] = {
    [SPX_CONV2D_REFERENCE] = "reference",
    [SPX_CONV2D_PLANAR] = "planar",
    [SPX_CONV2D_ONEDNN] = "onednn",
    [SPX_CONV2D_WINOGRAD] = "winograd",
};

/* Implementations in this build; NULL where one was not compiled in. */
static const spx_conv2d_impl *const impls[SPX_CONV2D_ALGO_COUNT] = {
    [SPX_CONV2D_REFERENCE] = &spx_conv2d_ref,
#ifdef SPX_HAVE_PLANAR
    [SPX_CONV2D_PLANAR] = &spx_conv2d_planar,
    [SPX_CONV2D_WINOGRAD] = &spx_conv2d_winograd,
#endif
#ifdef SPX_HAVE_ONEDNN
    [SPX_CONV2D_ONEDNN] = &spx_conv2d_onednn,
#endif
};

const char *spx_conv2d_algo_name(spx_conv2d_algo a)
{
    return (unsigned)a < SPX_CONV2D_ALGO_COUNT ? algo_names[a] : "unknown";
}

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
    };
    d->p = 0;
    d->q = 0;
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        SPX_RETURN_IF(check_range(ranges[i].what, ranges[i].value, ranges[i].lo, ranges[i].hi));
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
    if (again.p != d->p || again.q != d->q) {
        return SPX_FAIL(SPX_EINVAL, "conv2d: output is %lldx%lld, not %lldx%lld",
                        (long long)again.p, (long long)again.q, (long long)d->p, (long long)d->q);
    }
    return SPX_OK;
}

static bool shape_is_sound(const spx_conv2d_shape *d)
{
    return check_shape(d) == SPX_OK;
}

bool spx_conv2d_supports(const spx_stream *s, const spx_conv2d_shape *d, spx_conv2d_pass pass,
                         spx_conv2d_algo algo)
{
    return (unsigned)algo < SPX_CONV2D_ALGO_COUNT && (unsigned)pass < SPX_CONV2D_PASS_COUNT &&
           impls[algo] != NULL && shape_is_sound(d) && impls[algo]->supports(s, d, pass);
}

spx_conv2d_algo spx_conv2d_default_algo(const spx_stream *s, const spx_conv2d_shape *d,
                                        spx_conv2d_pass pass)
{
#ifdef SPX_HAVE_PLANAR
    if (spx_conv2d_supports(s, d, pass, SPX_CONV2D_WINOGRAD) && spx_conv2d_winograd_pays(d, pass)) {
        return SPX_CONV2D_WINOGRAD;
    }
#endif
    return spx_conv2d_supports(s, d, pass, SPX_CONV2D_PLANAR) ? SPX_CONV2D_PLANAR
                                                              : SPX_CONV2D_REFERENCE;
}

size_t spx_conv2d_workspace(const spx_stream *s, const spx_conv2d_shape *d, spx_conv2d_pass pass,
                            spx_conv2d_algo algo)
{
    return spx_conv2d_supports(s, d, pass, algo) ? impls[algo]->workspace(s, d, pass) : 0;
}

static spx_status check_stride(const char *what, int64_t n, int64_t stride, int64_t image)
{
    int64_t all;
    if (stride < image || !spx_mul_i64(n, stride, &all) || all > MAX_ELEMENTS) {
        return SPX_FAIL(SPX_EINVAL, "conv2d: images of %s are %lld floats, their stride %lld", what,
                        (long long)image, (long long)stride);
    }
    return SPX_OK;
}

static spx_status check_input(const spx_conv2d_shape *d, const spx_conv2d_input *in)
{
    if (in == NULL || in->x == NULL) {
        return SPX_FAIL(SPX_EINVAL, "conv2d: no input");
    }
    if ((in->mean == NULL) != (in->invstd == NULL) || (in->gamma == NULL) != (in->beta == NULL) ||
        (in->gamma != NULL && in->mean == NULL)) {
        return SPX_FAIL(SPX_EINVAL, "conv2d: incomplete input normalisation");
    }
    return check_stride("x", d->n, in->stride_n, d->c * d->h * d->w);
}

/* Checks what all passes share, then runs the implementation. */
static spx_status dispatch(spx_stream *s, spx_conv2d_algo algo, const spx_conv2d_call *call)
{
    SPX_RETURN_IF(
        check_stride("y", call->d->n, call->y_stride_n, call->d->k * call->d->p * call->d->q));
    if ((unsigned)algo >= SPX_CONV2D_ALGO_COUNT) {
        return SPX_FAIL(SPX_EINVAL, "conv2d: no algorithm %d", (int)algo);
    }
    if (!spx_conv2d_supports(s, call->d, call->pass, algo)) {
        return SPX_FAIL(SPX_EUNSUPPORTED, "conv2d: %s cannot run this here",
                        spx_conv2d_algo_name(algo));
    }
    if (call->workspace == NULL && impls[algo]->workspace(s, call->d, call->pass) > 0) {
        return SPX_FAIL(SPX_EINVAL, "conv2d: no workspace");
    }
    return impls[algo]->run(s, call);
}

spx_status spx_conv2d_forward(spx_stream *s, const spx_conv2d_shape *d, spx_conv2d_algo algo,
                              const spx_conv2d_input *in, const float *w, const float *bias,
                              float *y, int64_t y_stride_n, void *workspace)
{
    const spx_conv2d_call call = {.d = d,
                                  .pass = SPX_CONV2D_FORWARD,
                                  .in = in,
                                  .w = w,
                                  .bias = bias,
                                  .y = y,
                                  .y_stride_n = y_stride_n,
                                  .workspace = workspace};
    SPX_RETURN_IF(check_shape(d));
    SPX_RETURN_IF(check_input(d, in));
    if (w == NULL || y == NULL) {
        return SPX_FAIL(SPX_EINVAL, "conv2d forward: operand missing");
    }
    return dispatch(s, algo, &call);
}

spx_status spx_conv2d_backward_data(spx_stream *s, const spx_conv2d_shape *d, spx_conv2d_algo algo,
                                    const float *dy, int64_t dy_stride_n, const float *w,
                                    bool accumulate, float *dx, int64_t dx_stride_n,
                                    void *workspace)
{
    const spx_conv2d_call call = {.d = d,
                                  .pass = SPX_CONV2D_BACKWARD_DATA,
                                  .w = w,
                                  .dy = dy,
                                  .dx = dx,
                                  .y_stride_n = dy_stride_n,
                                  .dx_stride_n = dx_stride_n,
                                  .accumulate = accumulate,
                                  .workspace = workspace};
    SPX_RETURN_IF(check_shape(d));
    SPX_RETURN_IF(check_stride("dx", d->n, dx_stride_n, d->c * d->h * d->w));
    if (w == NULL || dy == NULL || dx == NULL) {
        return SPX_FAIL(SPX_EINVAL, "conv2d backward-data: operand missing");
    }
    return dispatch(s, algo, &call);
}

spx_status spx_conv2d_backward_weights(spx_stream *s, const spx_conv2d_shape *d,
                                       spx_conv2d_algo algo, const spx_conv2d_input *in,
                                       const float *dy, int64_t dy_stride_n, bool accumulate,
                                       float *dw, float *dbias, void *workspace)
{
    const spx_conv2d_call call = {.d = d,
                                  .pass = SPX_CONV2D_BACKWARD_WEIGHTS,
                                  .in = in,
                                  .dy = dy,
                                  .dw = dw,
                                  .dbias = dbias,
                                  .y_stride_n = dy_stride_n,
                                  .accumulate = accumulate,
                                  .workspace = workspace};
    SPX_RETURN_IF(check_shape(d));
    SPX_RETURN_IF(check_input(d, in));
    if (dy == NULL || dw == NULL) {
        return SPX_FAIL(SPX_EINVAL, "conv2d backward-weights: operand missing");
    }
    return dispatch(s, algo, &call);
}
