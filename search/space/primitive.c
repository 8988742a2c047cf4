/* The primitives of both spaces, and the blocks that cells put around them. */
#include "search/space/cell.h"

#include <stdio.h>

const char *spx_join(char buf[static 128], const char *prefix, const char *part)
{
    (void)snprintf(buf, 128, "%s%s", prefix, part);
    return buf;
}

void spx_require_even(spx_graph *g, spx_tid x, const char *what)
{
    if (g->status == SPX_OK && x != SPX_NO_TENSOR &&
        (g->tensor[x].dim[2] % 2 != 0 || g->tensor[x].dim[3] % 2 != 0)) {
        spx_graph_fail(g, SPX_EINVAL,
                       "%s%s: halving needs even rows and columns, the map is %lldx%lld", g->scope,
                       what, (long long)g->tensor[x].dim[2], (long long)g->tensor[x].dim[3]);
    }
}

/* size x size convolution that keeps rows and columns (stride 1) or halves even ones (stride 2). */
static spx_conv_options same_conv(int64_t filters, int64_t size, int64_t stride, int64_t dilation)
{
    const int64_t pad = dilation * (size - 1) / 2;
    return (spx_conv_options){.filters = filters,
                              .size = size,
                              .stride = stride,
                              .dilation = dilation,
                              .pad_begin = pad,
                              .pad_end = pad};
}

static spx_tid conv_bn(spx_graph *g, spx_tid x, const char *prefix, const char *conv,
                       const char *bn, const spx_conv_options *o, bool affine)
{
    char name[128];
    x = spx_g_conv2d(g, x, spx_join(name, prefix, conv), o);
    return spx_g_batch_norm(g, x, spx_join(name, prefix, bn), affine);
}

spx_tid spx_build_std_conv(spx_graph *g, spx_tid x, int64_t channels, const char *prefix)
{
    const spx_conv_options o = same_conv(channels, 1, 1, 1);
    return conv_bn(g, x, prefix, "net.0", "net.1", &o, false);
}

spx_tid spx_build_relu_conv(spx_graph *g, spx_tid x, int64_t channels, const char *prefix)
{
    char name[128];
    spx_conv_options o = same_conv(channels, 1, 1, 1);
    o.bias = true;
    x = spx_g_relu(g, x, spx_join(name, prefix, "net.0"));
    return conv_bn(g, x, prefix, "net.2", "net.3", &o, false);
}

spx_tid spx_build_stem(spx_graph *g, spx_tid x, int64_t channels, const char *prefix)
{
    const spx_conv_options o = same_conv(channels, 3, 1, 1);
    return conv_bn(g, x, prefix, "0", "1", &o, true);
}

spx_tid spx_build_factorized_reduce(spx_graph *g, spx_tid x, int64_t channels, bool affine,
                                    const char *prefix)
{
    char name[128];
    spx_tid half[2];
    if (channels % 2 != 0) {
        spx_graph_fail(g, SPX_EINVAL, "%s%s: a factorized reduce to %lld channels: must be even",
                       g->scope, prefix, (long long)channels);
    }
    spx_require_even(g, x, prefix);
    spx_conv_options o = {.filters = channels / 2, .size = 1, .stride = 2, .dilation = 1};
    half[0] = spx_g_conv2d(g, x, spx_join(name, prefix, "conv1"), &o);
    /* x[1:, 1:]: one row and column are cropped in front; the stride leaves out the last one. */
    o.pad_begin = -1;
    half[1] = spx_g_conv2d(g, x, spx_join(name, prefix, "conv2"), &o);
    x = spx_g_concat(g, 2, half, spx_join(name, prefix, "concat"));
    return spx_g_batch_norm(g, x, spx_join(name, prefix, "bn"), affine);
}

spx_tid spx_build_preprocess(spx_graph *g, spx_tid x, int64_t channels, bool reduce,
                             const char *prefix)
{
    return reduce ? spx_build_factorized_reduce(g, x, channels, false, prefix)
                  : spx_build_std_conv(g, x, channels, prefix);
}

/* g[site][0] of the ReLU, g[site][1] of what it reads. */
static spx_tid build_gated(spx_graph *g, spx_tid x, int site, const spx_rectifier *r)
{
    char name[128];
    (void)snprintf(name, sizeof name, "%srelu.%d", r->prefix, site);
    const spx_tid y = spx_g_relu(g, x, name);
    spx_sum_term term[2];
    for (int k = 0; k < 2; k++) {
        term[k] = (spx_sum_term){.x = k == 0 ? y : x,
                                 .coef = r->gate,
                                 .coef_index = 2 * site + k,
                                 .mask = SPX_NO_TENSOR};
    }
    if (r->gate == SPX_NO_TENSOR) {
        return y;
    }
    (void)snprintf(name, sizeof name, "%sgated.%d", r->prefix, site);
    return spx_g_sum(g, 2, term, name);
}

spx_tid spx_read_state(spx_graph *g, spx_cell_state *s, int index, const spx_rectifier *r,
                       spx_primitive p, int64_t stride)
{
    if (!spx_primitive_rectifies(r->space, p, stride)) {
        return s->plain;
    }
    if (s->rectified == SPX_NO_TENSOR) {
        const float begin = g->mask_begin;
        g->mask_begin = (r->dropped >> index & 1) != 0 ? 0.0f : begin;
        s->rectified = build_gated(g, s->plain, index, r);
        g->mask_begin = begin;
    }
    return s->rectified;
}

/* What a convolution primitive is made of. */
static const struct recipe {
    int64_t size, dilation;
    bool twice; /* a second convolution, of stride 1, and its batch norm; without it, in RELU_OPS,
                   depthwise separable */
} recipes[SPX_PRIMITIVE_COUNT] = {
    [SPX_VAN_CONV_3X3] = {3, 1, true},
    [SPX_VAN_CONV_5X5] = {5, 1, true},
    [SPX_VAN_DIL_CONV_3X3] = {3, 2, false},
    [SPX_VAN_DIL_CONV_5X5] = {5, 2, false},
};

spx_tid spx_build_primitive(spx_graph *g, spx_tid x, spx_space space, spx_primitive p,
                            int64_t stride, bool affine, const char *prefix)
{
    char name[128];
    if (p < 0 || p >= SPX_NONE || (stride != 1 && stride != 2)) {
        spx_graph_fail(g, SPX_EINVAL, "%s%s: no such primitive: %s of stride %lld", g->scope,
                       prefix, spx_primitive_name(space, p), (long long)stride);
        return SPX_NO_TENSOR;
    }
    if (g->status != SPX_OK || x == SPX_NO_TENSOR) {
        return SPX_NO_TENSOR;
    }
    const int64_t channels = g->tensor[x].dim[1];
    if (p == SPX_SKIP_CONNECT) {
        return stride == 1 ? x : spx_build_factorized_reduce(g, x, channels, affine, prefix);
    }
    if (p == SPX_AVG_POOL_3X3) {
        x = spx_g_avg_pool(g, x, 3, stride, 1, spx_join(name, prefix, "pool"));
        return spx_g_batch_norm(g, x, spx_join(name, prefix, "bn"), affine);
    }
    const struct recipe *r = &recipes[p];
    spx_conv_options o = same_conv(channels, r->size, stride, r->dilation);
    if (space == SPX_SPACE_RELU_OPS && !r->twice) {
        const spx_conv_options point = same_conv(channels, 1, 1, 1);
        o.groups = channels;
        x = spx_g_conv2d(g, x, spx_join(name, prefix, "net.0"), &o);
        return conv_bn(g, x, prefix, "net.1", "net.2", &point, affine);
    }
    x = conv_bn(g, x, prefix, "net.0", "net.1", &o, affine);
    if (r->twice) {
        o.stride = 1;
        x = conv_bn(g, x, prefix, "net.2", "net.3", &o, affine);
    }
    return x;
}
