/* Reference networks of residual blocks; reference.h has their sources. */
#include "search/space/reference_private.h"

#include <string.h>

/* What the ResNets differ in. */
typedef struct residual {
    int64_t stem, stem_stride; /* channels; of the 3x3 stem */
    int64_t width[SPX_REF_STAGES];
    int blocks[SPX_REF_STAGES]; /* 0: no such stage */
    bool bottleneck, stem_relu;
    bool culled[SPX_REF_STAGES]; /* without any ReLU */
    bool thin;                   /* none after additions */
} residual;

static spx_tid stem(const spx_ref_net *r, const residual *d)
{
    const bool large = spx_ref_int(r, SPX_REF_FORM) == 224;
    spx_tid x = spx_ref_conv_bn(r, r->n->image, "conv1", "bn1", d->stem, large ? 7 : 3,
                                large ? 2 * d->stem_stride : d->stem_stride);
    x = d->stem_relu ? spx_g_relu(r->g, x, "relu") : x;
    return large ? spx_ref_pool(r, x, 3, 2, 1, "maxpool") : x;
}

/* A block of stage s. */
static spx_tid block(const spx_ref_net *r, const residual *d, int s, spx_tid x, int64_t stride)
{
    const int64_t w = d->width[s], out = d->bottleneck ? 4 * w : w;
    const bool inner = !d->culled[s], outer = inner && !d->thin;
    spx_tid y =
        spx_ref_conv_bn(r, x, "conv1", "bn1", w, d->bottleneck ? 1 : 3, d->bottleneck ? 1 : stride);
    y = inner ? spx_g_relu(r->g, y, "relu1") : y;
    y = spx_ref_conv_bn(r, y, "conv2", "bn2", w, 3, d->bottleneck ? stride : 1);
    if (d->bottleneck) {
        y = inner ? spx_g_relu(r->g, y, "relu2") : y;
        y = spx_ref_conv_bn(r, y, "conv3", "bn3", out, 1, 1);
    }
    if (stride != 1 || spx_ref_channels(r, x) != out) {
        x = spx_ref_conv_bn(r, x, "downsample.0", "downsample.1", out, 1, stride);
    }
    x = spx_ref_add(r, y, x, "add");
    return outer ? spx_g_relu(r->g, x, "relu") : x;
}

static void build(spx_ref_net *r, const residual *d)
{
    spx_tid x = stem(r, d);
    for (int s = 0; s < SPX_REF_STAGES && d->blocks[s] > 0; s++) {
        spx_ref_stage(r);
        for (int b = 0; b < d->blocks[s]; b++) {
            spx_g_scope(r->g, "layer%d.%d.", s + 1, b);
            x = block(r, d, s, x, b == 0 && s > 0 ? 2 : 1);
        }
        spx_ref_stage_end(r, x);
    }
    spx_ref_classify(r, x, "fc");
}

void spx_ref_resnet(spx_ref_net *r)
{
    const int64_t width = spx_ref_int(r, SPX_REF_WIDTH);
    residual d = {.stem = width,
                  .stem_stride = 1,
                  .bottleneck = r->f->bottleneck,
                  .stem_relu = spx_ref_int(r, SPX_REF_STEM_RELU) != 0};
    for (int s = 0; s < SPX_REF_STAGES; s++) {
        d.width[s] = width << s;
        d.blocks[s] = r->f->blocks[s];
    }
    build(r, &d);
}

void spx_ref_deepreduce(spx_ref_net *r)
{
    const double width = 64 * r->v[SPX_REF_SCALE].number;
    const spx_ref_value *cull = &r->v[SPX_REF_CULL];
    residual d = {.stem = (int64_t)width,
                  .stem_stride = (int64_t)(1 / r->v[SPX_REF_RHO].number),
                  .thin = spx_ref_int(r, SPX_REF_THIN) != 0};
    if ((double)d.stem != width) {
        spx_graph_fail(r->g, SPX_EINVAL,
                       "network deepreduce: alpha=%s: 64 alpha channels are no whole number",
                       r->v[SPX_REF_SCALE].text);
    }
    for (int s = 0; s < SPX_REF_STAGES; s++) {
        d.width[s] = d.stem << s;
        d.blocks[s] = r->v[SPX_REF_BLOCKS].list[s];
    }
    for (int i = 0; i < cull->n; i++) {
        d.culled[cull->list[i] - 1] = true;
    }
    build(r, &d);
}

void spx_ref_hybrenet(spx_ref_net *r)
{
    static const spx_ref_key factor[SPX_REF_STAGES] = {SPX_REF_M, SPX_REF_ALPHA, SPX_REF_BETA,
                                                       SPX_REF_GAMMA};
    residual d = {.stem = spx_ref_int(r, SPX_REF_M),
                  .stem_stride = 1,
                  .blocks = {2, 2, 2, 2},
                  .stem_relu = spx_ref_int(r, SPX_REF_STEM_RELU) != 0};
    int64_t width = 1;
    for (int s = 0; s < SPX_REF_STAGES; s++) {
        d.width[s] = width *= spx_ref_int(r, factor[s]);
    }
    build(r, &d);
}

/* ---- wide ones ---- */

/* Normalised and rectified before each convolution; a shortcut of another shape sees the same. */
static spx_tid wide_block(const spx_ref_net *r, spx_tid x, int64_t width, int64_t stride)
{
    spx_tid y = spx_g_relu(r->g, spx_g_batch_norm(r->g, x, "bn1", true), "relu1");
    if (spx_ref_channels(r, x) != width) {
        x = spx_ref_conv(r, y, "convShortcut", width, 1, stride);
    }
    y = spx_ref_conv_bn(r, y, "conv1", "bn2", width, 3, stride);
    y = spx_ref_conv(r, spx_g_relu(r->g, y, "relu2"), "conv2", width, 3, 1);
    return spx_ref_add(r, y, x, "add");
}

void spx_ref_wide_resnet(spx_ref_net *r)
{
    const int64_t width = spx_ref_int(r, SPX_REF_WIDTH);
    spx_tid x = spx_ref_conv(r, r->n->image, "conv1", width, 3, 1);
    for (int s = 0; s < SPX_REF_STAGES && r->f->blocks[s] > 0; s++) {
        spx_ref_stage(r);
        for (int b = 0; b < r->f->blocks[s]; b++) {
            spx_g_scope(r->g, "block%d.layer.%d.", s + 1, b);
            x = wide_block(r, x, (8 * width) << s, b == 0 && s > 0 ? 2 : 1);
        }
        if (r->f->blocks[s + 1] == 0) { /* the last one's norm and ReLU come after its blocks */
            spx_g_scope(r->g, "%s", "");
            x = spx_g_batch_norm(r->g, x, "bn1", true);
            x = spx_ref_int(r, SPX_REF_LAST_RELU) != 0 ? spx_g_relu(r->g, x, "relu") : x;
        }
        spx_ref_stage_end(r, x);
    }
    spx_ref_classify(r, x, "fc");
}
