/*
 * Final networks: stem, cells of a genotype, classifier, auxiliary head. Channels multiply by four
 * at reductions, so every cell has the same number of ReLUs ("ReLU balancing").
 */
#include "search/space/cell.h"

#include <string.h>

/* Whether the network is one for 224x224 images. */
static bool is_imagenet(const spx_final_config *c)
{
    return spx_is_imagenet(c->whole.rows > 0 ? &c->whole : &c->input);
}

static bool reduces_at(const spx_final_config *c, int64_t layer)
{
    for (int r = 0; r < c->n_reduce; r++) {
        if (c->reduce_at[r] == layer) {
            return true;
        }
    }
    return false;
}

static spx_status check_config(const spx_final_config *c)
{
    SPX_RETURN_IF(
        spx_check_sizes(c->batch, &c->input, c->classes, c->init_channels, c->layers, c->n_reduce));
    for (int r = 0; r < c->n_reduce; r++) {
        const int64_t at = c->reduce_at[r];
        if (at < 0 || at > 2 * c->layers / 3) {
            return SPX_FAIL(SPX_EINVAL,
                            "network: a reduction cell at %lld of %lld layers, must be 0 to %lld",
                            (long long)at, (long long)c->layers, (long long)(2 * c->layers / 3));
        }
        if (r > 0 && at <= c->reduce_at[r - 1]) {
            return SPX_FAIL(SPX_EINVAL, "network: reduction cells must be in ascending order");
        }
    }
    if (is_imagenet(c) && c->init_channels % 2 != 0) {
        return SPX_FAIL(SPX_EINVAL, "network: initial channels are %lld, must be even for 224x224",
                        (long long)c->init_channels);
    }
    if (!c->masked && (c->dropped.normal | c->dropped.reduce) != 0) {
        return SPX_FAIL(SPX_EINVAL, "network: ReLUs to drop, but no masks");
    }
    if (!(c->label_smoothing >= 0.0f && c->label_smoothing < 1.0f)) {
        return SPX_FAIL(SPX_EINVAL, "network: label smoothing %g, must be at least 0 and below 1",
                        (double)c->label_smoothing);
    }
    return SPX_OK;
}

/* conv3x3 of stride 2 and affine batch norm, named conv and bn. */
static spx_tid halve(spx_graph *g, spx_tid x, int64_t channels, const char *conv, const char *bn)
{
    const spx_conv_options o = {
        .filters = channels, .size = 3, .stride = 2, .dilation = 1, .pad_begin = 1, .pad_end = 1};
    return spx_g_batch_norm(g, spx_g_conv2d(g, x, conv, &o), bn, true);
}

/* 224 -> 56 (s0) -> 28 (s1). */
static void imagenet_stem(spx_network *n, int64_t channels, spx_tid *s0, spx_tid *s1)
{
    spx_graph *g = n->graph;
    spx_tid x = halve(g, n->image, channels / 2, "stem0.0", "stem0.1");
    x = spx_g_relu(g, x, "stem0.2");
    *s0 = halve(g, x, channels, "stem0.3", "stem0.4");
    x = spx_g_relu(g, *s0, "stem1.0");
    *s1 = halve(g, x, channels, "stem1.1", "stem1.2");
}

enum { AUX_WINDOW = 5 };

/* Rows, or columns, that the auxiliary head's pool makes of n. */
static int64_t pooled(int64_t n, int64_t window, int64_t stride)
{
    return n < window || window < 1 || stride < 1 ? 0 : (n - window) / stride + 1;
}

/* Its window and stride on a map of that side. Images that are smaller than the network is for have
 * no published ones: theirs stand to the map as the ImageNet head's to its 7x7. */
static void auxiliary_pool(const spx_final_config *c, int64_t side, int64_t *window,
                           int64_t *stride)
{
    const int64_t rows = c->input.rows;
    *window = AUX_WINDOW;
    *stride = is_imagenet(c) ? 2 : rows == 64 ? 6 : rows / 4 - 5;
    if (c->whole.rows > 0 && c->whole.rows != rows) {
        *stride = side < 4 ? 1 : (2 * side + 3) / 7;
        *window = side - *stride;
    }
}

/* The auxiliary classifier on x: pools its map to 2x2, then to a point. */
static void auxiliary_head(spx_network *n, spx_tid x, const spx_final_config *c)
{
    spx_graph *g = n->graph;
    const bool imagenet = is_imagenet(c);
    int64_t window, stride;
    auxiliary_pool(c, x != SPX_NO_TENSOR ? g->tensor[x].dim[2] : 0, &window, &stride);
    const spx_conv_options narrow = {.filters = 128, .size = 1, .stride = 1, .dilation = 1};
    const spx_conv_options point = {.filters = 768, .size = 2, .stride = 1, .dilation = 1};
    spx_g_section(g, -1, true);
    spx_g_scope(g, "aux_head.");
    if (stride < 1) {
        spx_graph_fail(
            g, SPX_EINVAL,
            "network: no auxiliary head for %lldx%lld inputs (train --aux-weight 0 does without)",
            (long long)c->input.rows, (long long)c->input.columns);
    }
    x = spx_g_relu(g, x, "net.0");
    if (x != SPX_NO_TENSOR && (pooled(g->tensor[x].dim[2], window, stride) != 2 ||
                               pooled(g->tensor[x].dim[3], window, stride) != 2)) {
        spx_graph_fail(g, SPX_EINVAL,
                       "network: no auxiliary head for %lldx%lld inputs and these reductions: of "
                       "%lldx%lld its pool does not make 2x2 (train --aux-weight 0 does without)",
                       (long long)c->input.rows, (long long)c->input.columns,
                       (long long)g->tensor[x].dim[2], (long long)g->tensor[x].dim[3]);
    }
    x = spx_g_avg_pool(g, x, window, stride, 0, "net.1");
    x = spx_g_batch_norm(g, spx_g_conv2d(g, x, "net.2", &narrow), "net.3", true);
    x = spx_g_relu(g, x, "net.4");
    x = spx_g_conv2d(g, x, "net.5", &point);
    if (!imagenet) { /* the published ImageNet head lacks this batch norm */
        x = spx_g_batch_norm(g, x, "net.6", true);
    }
    x = spx_g_relu(g, x, imagenet ? "net.6" : "net.7");
    n->aux_logits = spx_g_linear(g, x, "linear", c->classes);
    n->aux_loss = spx_g_cross_entropy(g, n->aux_logits, n->label,
                                      c->training ? c->label_smoothing : 0.0f, "loss");
}

static spx_tid build_cells(spx_network *n, const spx_genotype *genes, const spx_final_config *c,
                           spx_tid s0, spx_tid s1)
{
    spx_graph *g = n->graph;
    spx_final_cell cell = {.channels = c->init_channels,
                           .drop_path = c->training ? c->drop_path : SPX_DROP_PATH_OFF,
                           .space = genes->space,
                           /* the ImageNet stem's s0 is twice the size of s1 */
                           .reduces = is_imagenet(c)};
    for (int i = 0; i < (int)c->layers; i++) {
        cell.index = i;
        cell.previous_reduces = cell.reduces;
        cell.reduces = reduces_at(c, i);
        cell.channels *= cell.reduces ? 4 : 1;
        cell.genes = cell.reduces ? &genes->reduce : &genes->normal;
        cell.dropped = cell.reduces ? c->dropped.reduce : c->dropped.normal;
        if (cell.reduces && i > 0) {
            n->stage[n->n_stages++] = s1;
        }
        spx_g_section(g, i, false);
        spx_g_scope(g, "cells.%d.", i);
        const spx_tid y = spx_build_final_cell(g, s0, s1, &cell);
        s0 = s1;
        s1 = y;
        n->cell[n->n_cells++] = y;
        if (c->auxiliary && i == 4 * c->layers / 6) {
            auxiliary_head(n, y, c);
        }
    }
    n->stage[n->n_stages++] = s1;
    return s1;
}

spx_status spx_build_final(spx_network *out, const spx_genotype *g, const spx_final_config *c)
{
    memset(out, 0, sizeof *out);
    SPX_RETURN_IF(spx_genotype_check(g));
    SPX_RETURN_IF(check_config(c));
    SPX_RETURN_IF(spx_network_begin_final(out, c));
    spx_tid s0, s1;
    if (is_imagenet(c)) {
        imagenet_stem(out, c->init_channels, &s0, &s1);
    } else {
        s0 = s1 = spx_build_stem(out->graph, out->image, 3 * c->init_channels, "stem.");
    }
    s1 = build_cells(out, g, c, s0, s1);
    spx_network_classify(out, s1, c->classes, c->training ? c->label_smoothing : 0.0f, "");
    return spx_network_end(out);
}
