/*
 * Plans of convolutions on CUDA: which candidate runs, in which layout. The library has no crops,
 * runs fastest with channels in multiples of 4 (f32) or 8 (bf16), and gives gradients of bf16
 * weights in bf16: operands are copied to scratch and back where that is needed or faster.
 */
#include "kernels/nn/conv2d/cuda/conv2d_plan_cuda_private.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ALIGN 256 /* of parts of the workspace */

static size_t round_up(size_t bytes)
{
    return (bytes + ALIGN - 1) / ALIGN * ALIGN;
}

/* --- Layout ----------------------------------------------------------------------------------- */

/* Multiple of channels that vectors and tensor cores want. */
static int64_t channel_unit(spx_type t)
{
    return t == SPX_TYPE_BF16 ? 8 : 4;
}

/* Groups keep their channels: padding would stand between them. */
static int64_t pad_channels(const spx_conv2d_shape *d, int64_t c, spx_type t)
{
    return d->groups > 1 ? c : (c + channel_unit(t) - 1) / channel_unit(t) * channel_unit(t);
}

static bool cropped(const spx_conv2d_shape *d)
{
    return d->pad_begin < 0 || d->pad_end < 0;
}

/* A run of channels that starts on 16 bytes in every pixel. */
static bool aligned(int64_t first, spx_type t)
{
    return first % channel_unit(t) == 0;
}

/* The shape without its crops: only the rows and columns that are read. False where none are. */
static bool crop(const spx_conv2d_shape *d, spx_conv2d_shape *out)
{
    const int64_t begin = d->pad_begin < 0 ? -d->pad_begin : 0;
    const int64_t end = d->pad_end < 0 ? -d->pad_end : 0;
    *out = *d;
    out->h -= begin + end;
    out->w -= begin + end;
    out->pad_begin += begin;
    out->pad_end += end;
    return out->h > 0 && out->w > 0;
}

static size_t take(size_t *bytes, bool wanted, int64_t elements, size_t size)
{
    const size_t at = *bytes;
    *bytes += wanted ? round_up((size_t)elements * size) : 0;
    return at;
}

/* What the library is asked for, packed (channels padded, dense, cropped) or as operands lie, and
 * where copies are in the workspace. False where that cannot be. */
static bool lay_out(spx_conv2d_cuda_plan *p, bool packed)
{
    const spx_conv2d_want *want = &p->base.want;
    const spx_conv2d_shape *d = &want->shape;
    const size_t size = spx_type_bytes(p->base.type);
    const bool weights = want->pass == SPX_CONV2D_BACKWARD_WEIGHTS;
    spx_conv2d_problem *q = &p->problem;
    if (!packed && (cropped(d) || !aligned(want->x_first, p->base.type) ||
                    !aligned(want->y_first, p->base.type))) {
        return false;
    }
    if (!crop(d, &q->shape)) {
        return false;
    }
    q->x_pixel = want->x_stride;
    q->y_pixel = want->y_stride;
    p->copy_x = p->copy_y = p->copy_w = false;
    if (packed) {
        q->shape.c = q->x_pixel = pad_channels(d, d->c, p->base.type);
        q->shape.k = q->y_pixel = pad_channels(d, d->k, p->base.type);
        /* what is behind the channels of a slice is no padding */
        p->copy_x = cropped(d) || q->shape.c != d->c || want->x_stride != d->c;
        p->copy_y = q->shape.k != d->k || want->y_stride != d->k;
        p->copy_w = q->shape.c != d->c || q->shape.k != d->k;
        if (!p->copy_x && !p->copy_y && !p->copy_w) {
            return false; /* the same as not packed */
        }
    }
    p->copy_w = p->copy_w || (weights && p->base.type == SPX_TYPE_BF16);
    const spx_conv2d_shape *e = &q->shape;
    p->base.bytes = 0;
    p->x_at = take(&p->base.bytes, p->copy_x, e->n * e->h * e->w * e->c, size);
    p->y_at = take(&p->base.bytes, p->copy_y, e->n * e->p * e->q * e->k, size);
    p->w_at = take(&p->base.bytes, p->copy_w, spx_conv2d_weights(e), size);
    p->scratch_at = p->base.bytes;
    const bool copied = want->pass == SPX_CONV2D_FORWARD         ? p->copy_y
                        : want->pass == SPX_CONV2D_BACKWARD_DATA ? p->copy_x
                                                                 : p->copy_w;
    q->accumulate = want->accumulate && !copied;
    return true;
}

/* The own kernels, in place. */
static void lay_out_direct(spx_conv2d_cuda_plan *p)
{
    p->copy_x = p->copy_y = p->copy_w = false;
    p->x_at = p->y_at = p->w_at = p->scratch_at = 0;
    p->base.bytes = p->base.want.pass == SPX_CONV2D_BACKWARD_WEIGHTS
                        ? round_up(spx_conv2d_direct_weights_bytes(&p->base.want.shape))
                        : 0;
}

/* The bias's gradient is summed after the weights', in the same scratch. */
static void add_bias_bytes(spx_conv2d_cuda_plan *p)
{
    if (p->base.want.pass == SPX_CONV2D_BACKWARD_WEIGHTS && p->base.want.bias) {
        const size_t bytes = round_up(spx_conv2d_bias_bytes(&p->base.want.shape));
        p->base.bytes = p->base.bytes > bytes ? p->base.bytes : bytes;
    }
}

/* --- Choice ----------------------------------------------------------------------------------- */

void spx_conv2d_plan_forget(spx_conv2d_cuda_plan *p)
{
    spx_conv2d_engine_destroy(p->engine);
    p->engine = NULL;
}

/* Makes p run a candidate. */
static spx_status take_candidate(spx_conv2d_cuda_plan *p, const spx_conv2d_library *l, bool packed,
                                 const char *candidate)
{
    spx_conv2d_plan_forget(p);
    if (!lay_out(p, packed)) {
        return SPX_FAIL(SPX_EUNSUPPORTED, "conv2d: no such layout");
    }
    SPX_RETURN_IF(spx_conv2d_engine_create(&p->engine, l, &p->problem, candidate));
    p->base.bytes += round_up(spx_conv2d_engine_workspace(p->engine));
    add_bias_bytes(p);
    return SPX_OK;
}

static spx_status take_direct(spx_conv2d_cuda_plan *p)
{
    spx_conv2d_plan_forget(p);
    if (!spx_conv2d_direct_fits(&p->base.want.shape)) {
        return SPX_FAIL(SPX_EUNSUPPORTED, "conv2d: too large for the own kernels");
    }
    lay_out_direct(p);
    add_bias_bytes(p);
    return SPX_OK;
}

/* "us=12.34," at *at, which moves behind it; no time where the text starts otherwise. */
static bool take_time(const char **at, double *seconds)
{
    int whole = 0, hundredths = 0, end = 0;
    *seconds = 0;
    if (strncmp(*at, "us=", 3) != 0) {
        return true;
    }
    if (!isdigit((unsigned char)(*at)[3]) ||
        sscanf(*at, "us=%8d.%2d,%n", &whole, &hundredths, &end) != 2 || end == 0 ||
        hundredths < 0) {
        return false;
    }
    *seconds = 1e-6 * (whole + 0.01 * hundredths);
    *at += end;
    return true;
}

static spx_status take_named(spx_conv2d_cuda_plan *p, const spx_conv2d_library *l, const char *name)
{
    char prefix[40];
    if (strcmp(name, SPX_CONV2D_DIRECT) == 0) {
        return take_direct(p);
    }
    for (int packed = 0; l != NULL && packed < 2; packed++) {
        const int n = snprintf(prefix, sizeof prefix, "cudnn=%zu,packed=%d,",
                               spx_conv2d_library_version(l), packed);
        if (strncmp(name, prefix, (size_t)n) == 0) {
            return take_candidate(p, l, packed != 0, name + n);
        }
    }
    return SPX_FAIL(SPX_EINVAL, "conv2d: \"%.80s\" is no choice of this library", name);
}

spx_status spx_conv2d_plan_take(spx_conv2d_cuda_plan *p, const spx_conv2d_library *l,
                                const char *choice)
{
    const char *name = choice;
    const size_t length = strlen(choice);
    if (length >= sizeof p->base.choice || !take_time(&name, &p->base.seconds)) {
        return SPX_FAIL(SPX_EINVAL, "conv2d: \"%.80s\" is no choice", choice);
    }
    SPX_RETURN_IF(take_named(p, l, name));
    memcpy(p->base.choice, choice, length + 1);
    return SPX_OK;
}

spx_status spx_conv2d_plan_list(spx_conv2d_cuda_plan *p, const spx_conv2d_library *l,
                                spx_conv2d_choices *out)
{
    char text[SPX_CONV2D_EACH][SPX_CONV2D_TEXT];
    out->count = 0;
    for (int packed = 0; l != NULL && packed < 2; packed++) {
        int n = 0;
        if (lay_out(p, packed != 0)) {
            SPX_RETURN_IF(spx_conv2d_library_candidates(l, &p->problem, SPX_CONV2D_EACH, text, &n));
        }
        for (int i = 0; i < n; i++) {
            const int written =
                snprintf(out->text[out->count], SPX_CONV2D_CHOICE, "cudnn=%zu,packed=%d,%s",
                         spx_conv2d_library_version(l), packed, text[i]);
            out->count += written < SPX_CONV2D_CHOICE;
        }
    }
    if (spx_conv2d_direct_fits(&p->base.want.shape)) {
        (void)snprintf(out->text[out->count++], SPX_CONV2D_CHOICE, SPX_CONV2D_DIRECT);
    }
    return SPX_OK;
}

spx_status spx_conv2d_plan_first(spx_conv2d_cuda_plan *p, const spx_conv2d_library *l)
{
    spx_conv2d_choices *c = malloc(sizeof *c);
    if (c == NULL) {
        return SPX_FAIL(SPX_ENOMEM, "conv2d: candidates");
    }
    spx_status st = spx_conv2d_plan_list(p, l, c);
    bool made = false;
    for (int i = 0; st == SPX_OK && !made && i < c->count; i++) {
        made = spx_conv2d_plan_take(p, l, c->text[i]) == SPX_OK;
    }
    free(c);
    return st != SPX_OK || made ? st
                                : SPX_FAIL(SPX_EUNSUPPORTED, "conv2d: nothing runs this shape");
}

void spx_conv2d_plan_init(spx_conv2d_cuda_plan *p, const spx_stream *s, const spx_conv2d_want *want)
{
    *p = (spx_conv2d_cuda_plan){.base = {.want = *want, .type = spx_activation_type(s)}};
    p->problem = (spx_conv2d_problem){.pass = want->pass,
                                      .type = p->base.type,
                                      .precision = spx_stream_precision(s),
                                      .deterministic = spx_stream_deterministic(s)};
}
