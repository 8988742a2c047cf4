/* Reference networks of plain and dense chains; reference.h has their sources. */
#include "search/space/reference_private.h"

#include <stdio.h>

/* ---- VGG-16 ---- */

#define VGG_MAP 7 /* of the form for 224x224, before its linear layers */

/* Convolutions, norms, ReLUs and pools are numbered as torchvision's list has them. */
static spx_tid vgg_features(spx_ref_net *r)
{
    static const int depth[] = {2, 2, 3, 3, 3}, times[] = {1, 2, 4, 8, 8};
    const bool norm = spx_ref_int(r, SPX_REF_NORM) != 0;
    spx_tid x = r->n->image;
    char name[24];
    int index = 0;
    for (int s = 0; s < 5; s++) {
        spx_ref_stage(r);
        spx_g_scope(r->g, "features.");
        for (int i = 0; i < depth[s]; i++) {
            (void)snprintf(name, sizeof name, "%d", index++);
            x = spx_ref_conv_bias(r, x, name, spx_ref_int(r, SPX_REF_WIDTH) * times[s], 3, 1);
            if (norm) {
                (void)snprintf(name, sizeof name, "%d", index++);
                x = spx_g_batch_norm(r->g, x, name, true);
            }
            (void)snprintf(name, sizeof name, "%d", index++);
            x = spx_g_relu(r->g, x, name);
        }
        spx_ref_stage_end(r, x);
        (void)snprintf(name, sizeof name, "%d", index++);
        x = spx_ref_pool(r, x, 2, 2, 0, name);
    }
    return x;
}

void spx_ref_vgg(spx_ref_net *r)
{
    const int64_t hidden = 64 * spx_ref_int(r, SPX_REF_WIDTH);
    const spx_conv_options whole = {
        .filters = hidden, .size = VGG_MAP, .stride = 1, .dilation = 1, .bias = true};
    spx_tid x = vgg_features(r);
    if (spx_ref_int(r, SPX_REF_FORM) != 224) {
        spx_ref_classify(r, x, "classifier");
        return;
    }
    if (x != SPX_NO_TENSOR &&
        (r->g->tensor[x].dim[2] != VGG_MAP || r->g->tensor[x].dim[3] != VGG_MAP)) {
        spx_graph_fail(r->g, SPX_EINVAL,
                       "network vgg16,form=224: its linear layers take 7x7, the map of %lldx%lld "
                       "inputs is %lldx%lld",
                       (long long)r->c->input.rows, (long long)r->c->input.columns,
                       (long long)r->g->tensor[x].dim[2], (long long)r->g->tensor[x].dim[3]);
    }
    spx_g_section(r->g, -1, false);
    spx_g_scope(r->g, "classifier.");
    x = spx_g_relu(r->g, spx_g_conv2d(r->g, x, "0", &whole), "1");
    x = spx_g_relu(r->g, spx_ref_conv_bias(r, x, "3", hidden, 1, 1), "4");
    spx_ref_classify(r, x, "classifier.6");
}

/* ---- DenseNet-121 ---- */

#define GROWTH 32

static spx_tid dense_layer(const spx_ref_net *r, spx_tid x)
{
    spx_tid parts[2] = {x, x};
    spx_tid y = spx_g_relu(r->g, spx_g_batch_norm(r->g, x, "norm1", true), "relu1");
    y = spx_ref_conv_bn(r, y, "conv1", "norm2", 4 * GROWTH, 1, 1);
    parts[1] = spx_ref_conv(r, spx_g_relu(r->g, y, "relu2"), "conv2", GROWTH, 3, 1);
    return spx_g_concat(r->g, 2, parts, "concat");
}

void spx_ref_densenet(spx_ref_net *r)
{
    spx_graph *g = r->g;
    spx_g_scope(g, "features.");
    spx_tid x = spx_ref_conv_bn(r, r->n->image, "conv0", "norm0", 2 * GROWTH, 7, 2);
    x = spx_ref_pool(r, spx_g_relu(g, x, "relu0"), 3, 2, 1, "pool0");
    for (int s = 0; s < SPX_REF_STAGES; s++) {
        spx_ref_stage(r);
        for (int i = 0; i < r->f->blocks[s]; i++) {
            spx_g_scope(g, "features.denseblock%d.denselayer%d.", s + 1, i + 1);
            x = dense_layer(r, x);
        }
        if (s + 1 < SPX_REF_STAGES) {
            spx_g_scope(g, "features.transition%d.", s + 1);
            x = spx_g_relu(g, spx_g_batch_norm(g, x, "norm", true), "relu");
            x = spx_ref_conv(r, x, "conv", spx_ref_channels(r, x) / 2, 1, 1);
            spx_ref_stage_end(r, x);
            x = spx_g_avg_pool(g, x, 2, 2, 0, "pool");
        }
    }
    spx_g_scope(g, "features.");
    x = spx_g_relu(g, spx_g_batch_norm(g, x, "norm5", true), "relu5");
    spx_ref_stage_end(r, x);
    spx_ref_classify(r, x, "classifier");
}

/* ---- MobileNetV2 ---- */

/* Convolution "<name>.0", its norm "<name>.1", a ReLU6; each channel by itself where depthwise. */
static spx_tid mobile_conv(const spx_ref_net *r, spx_tid x, const char *name, int64_t filters,
                           int64_t size, int64_t stride, bool depthwise)
{
    char part[40];
    const spx_conv_options o = {.filters = filters,
                                .size = size,
                                .stride = stride,
                                .dilation = 1,
                                .pad_begin = (size - 1) / 2,
                                .pad_end = (size - 1) / 2,
                                .groups = depthwise ? filters : 1};
    (void)snprintf(part, sizeof part, "%s.0", name);
    x = spx_g_conv2d(r->g, x, part, &o);
    (void)snprintf(part, sizeof part, "%s.1", name);
    x = spx_g_batch_norm(r->g, x, part, true);
    (void)snprintf(part, sizeof part, "%s.2", name);
    return spx_g_relu6(r->g, x, part);
}

/* Widens by a factor, filters each channel, narrows without ReLU; added to x where it can be. */
static spx_tid mobile_block(const spx_ref_net *r, spx_tid x, int64_t factor, int64_t channels,
                            int64_t stride)
{
    const int64_t in = spx_ref_channels(r, x);
    const bool widens = factor != 1;
    spx_tid y = widens ? mobile_conv(r, x, "conv.0", factor * in, 1, 1, false) : x;
    y = mobile_conv(r, y, widens ? "conv.1" : "conv.0", factor * in, 3, stride, true);
    y = spx_ref_conv_bn(r, y, widens ? "conv.2" : "conv.1", widens ? "conv.3" : "conv.2", channels,
                        1, 1);
    return stride == 1 && in == channels ? spx_ref_add(r, x, y, "add") : y;
}

void spx_ref_mobilenet(spx_ref_net *r)
{
    static const struct {
        int factor, channels, blocks, stride;
    } rows[] = {{1, 16, 1, 1}, {6, 24, 2, 2},  {6, 32, 3, 2}, {6, 64, 4, 2},
                {6, 96, 3, 1}, {6, 160, 3, 2}, {6, 320, 1, 1}};
    int index = 0;
    spx_g_scope(r->g, "features.");
    spx_tid x = mobile_conv(r, r->n->image, "0", 32, 3, 2, false);
    spx_ref_stage(r);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (rows[i].stride == 2) {
            spx_ref_stage_end(r, x);
            spx_ref_stage(r);
        }
        for (int b = 0; b < rows[i].blocks; b++) {
            spx_g_scope(r->g, "features.%d.", ++index);
            x = mobile_block(r, x, rows[i].factor, rows[i].channels, b == 0 ? rows[i].stride : 1);
        }
    }
    spx_g_scope(r->g, "features.");
    x = mobile_conv(r, x, "18", 1280, 1, 1, false);
    spx_ref_stage_end(r, x);
    spx_ref_classify(r, x, "classifier.1");
}

/* ---- SqueezeNet 1.1 ---- */

/* Rounds up, as published. The mean of what lies beyond the edge is none: average pools do not. */
static spx_tid squeeze_pool(const spx_ref_net *r, spx_tid x, const char *name)
{
    const spx_max_pool_options o = {{3, 3}, {2, 2}, {0, 0}, true};
    return r->v[SPX_REF_POOL].text[0] == 'a' ? spx_ref_pool(r, x, 3, 2, 0, name)
                                             : spx_g_max_pool(r->g, x, &o, name);
}

static spx_tid fire(const spx_ref_net *r, spx_tid x, int64_t squeezed, int64_t expanded)
{
    spx_graph *g = r->g;
    x = spx_g_relu(g, spx_ref_conv_bias(r, x, "squeeze", squeezed, 1, 1), "squeeze_activation");
    const spx_tid part[2] = {
        spx_g_relu(g, spx_ref_conv_bias(r, x, "expand1x1", expanded, 1, 1), "expand1x1_activation"),
        spx_g_relu(g, spx_ref_conv_bias(r, x, "expand3x3", expanded, 3, 1),
                   "expand3x3_activation")};
    return spx_g_concat(g, 2, part, "concat");
}

void spx_ref_squeezenet(spx_ref_net *r)
{
    static const struct {
        int squeezed, expanded; /* 0: a pool, which ends a stage */
    } rows[] = {{0, 0}, {16, 64},  {16, 64},  {0, 0},    {32, 128}, {32, 128},
                {0, 0}, {48, 192}, {48, 192}, {64, 256}, {64, 256}};
    const spx_conv_options stem = {
        .filters = 64, .size = 3, .stride = 2, .dilation = 1, .bias = true};
    char name[16];
    spx_ref_stage(r);
    spx_g_scope(r->g, "features.");
    spx_tid x = spx_g_relu(r->g, spx_g_conv2d(r->g, r->n->image, "0", &stem), "1");
    for (int i = 0; i < (int)(sizeof rows / sizeof rows[0]); i++) {
        if (rows[i].squeezed > 0) {
            spx_g_scope(r->g, "features.%d.", 2 + i);
            x = fire(r, x, rows[i].squeezed, rows[i].expanded);
            continue;
        }
        spx_ref_stage_end(r, x);
        spx_ref_stage(r);
        spx_g_scope(r->g, "features.");
        (void)snprintf(name, sizeof name, "%d", 2 + i);
        x = squeeze_pool(r, x, name);
    }
    spx_g_scope(r->g, "classifier.");
    x = spx_g_relu(r->g, spx_ref_conv_bias(r, x, "1", r->c->classes, 1, 1), "2");
    spx_ref_stage_end(r, x);
    spx_ref_classify(r, x, NULL);
}
