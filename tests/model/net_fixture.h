#ifndef SPX_NET_FIXTURE_H
#define SPX_NET_FIXTURE_H
/* A final network with random weights and statistics, its float program, and what folding takes. */
#include "tests/support/spx_fixture.h"

#include "host/graph/program.h"
#include "host/model/fold.h"
#include "kernels/base/alloc.h"
#include "search/space/cell.h"
#include "search/space/network.h"
#include "search/space/reference.h"

typedef struct net_fixture {
    spx_final_config config;
    spx_network net;
    spx_program *program; /* output 0: logits, then the cells' outputs */
    spx_stream *stream;
    spx_buffer weights, state, workspace;
    spx_rng rng;
    double mean[4], std[4];
    int64_t kept; /* ReLUs that masks keep, of a masked network */
} net_fixture;

/* Any genotype: edges from two different earlier states, any primitive. */
static inline spx_genotype net_random_genotype(uint64_t seed)
{
    spx_genotype g = {0};
    spx_rng r;
    spx_rng_init(&r, seed, SPX_RNG_TEST, 11);
    for (int kind = 0; kind < 2; kind++) {
        spx_cell_genes *cell = kind == 0 ? &g.normal : &g.reduce;
        for (int i = 0; i < SPX_CELL_NODES; i++) {
            const uint32_t states = 2 + (uint32_t)i, first = spx_rng_below(&r, states);
            cell->edge[i][0].from = (int)first;
            cell->edge[i][1].from = (int)((first + 1 + spx_rng_below(&r, states - 1)) % states);
            for (int e = 0; e < SPX_NODE_EDGES; e++) {
                cell->edge[i][e].primitive = (spx_primitive)spx_rng_below(&r, SPX_NONE);
            }
        }
    }
    return g;
}

static inline bool net_is_mask(const spx_layout_entry *e)
{
    const size_t n = strlen(e->name);
    return n > 5 && strcmp(e->name + n - 5, ".mask") == 0;
}

/* Masks, one after another as the letters say, over and over: a keeps all, n none, c some channels,
 * e some elements. */
static inline void net_mask(net_fixture *n, const char *kinds)
{
    const spx_layout *l = spx_program_layout(n->program);
    size_t masks = 0;
    n->kept = 0;
    for (int i = 0; i < l->n; i++) {
        const spx_layout_entry *e = &l->entry[i];
        float *x = (float *)n->state.data + e->offset;
        if (!net_is_mask(e)) {
            continue;
        }
        const char kind = kinds[masks++ % strlen(kinds)];
        const int64_t map = e->dim[1] * e->dim[2];
        for (int64_t j = 0; j < e->count; j++) {
            const bool drawn = (spx_rng_u32(&n->rng) & 1) != 0;
            x[j] = kind == 'a'                   ? 1
                   : kind == 'n'                 ? 0
                   : kind == 'c' && j % map != 0 ? x[j - 1]
                   : kind == 'c' && j < map      ? 1 /* one at least is kept, and one is dropped */
                   : kind == 'c' && j >= e->count - map ? 0
                                                        : (float)drawn;
            n->kept += x[j] == 1;
        }
    }
}

/* Statistics and affine parts as of a trained network: scattered about 0 and 1. */
static inline void net_scatter(net_fixture *n, const spx_layout *l)
{
    for (int i = 0; i < l->n; i++) {
        const spx_layout_entry *e = &l->entry[i];
        float *x = (e->role == SPX_ROLE_STATE ? (float *)n->state.data : (float *)n->weights.data) +
                   e->offset;
        const bool mean = strstr(e->name, "running_mean") != NULL;
        const bool scatter = (e->role == SPX_ROLE_STATE && !net_is_mask(e)) || e->rank == 1;
        for (int64_t j = 0; j < e->count && scatter; j++) {
            x[j] = mean ? 0.1f * spx_rng_normal(&n->rng)
                        : x[j] * 0.5f + 0.25f + 0.5f * spx_rng_uniform(&n->rng);
        }
    }
}

/* Program and weights of n->net. */
static inline void net_start(net_fixture *n, uint64_t seed)
{
    spx_tid output[1 + SPX_MAX_LAYERS];
    spx_rng_init(&n->rng, seed, SPX_RNG_TEST, 12);
    output[0] = n->net.logits;
    memcpy(output + 1, n->net.cell, sizeof n->net.cell);
    const spx_program_options o = {.output = output, .n_output = 1 + n->net.n_cells};
    CHECK_OK(spx_stream_create(&n->stream, SPX_DEVICE_CPU, 1));
    CHECK_OK(spx_program_create(&n->program, n->net.graph, n->stream, &o));
    const spx_layout *l = spx_program_layout(n->program);
    CHECK_OK(spx_layout_arena(l, NULL, SPX_ROLE_WEIGHT, &n->weights));
    CHECK_OK(spx_layout_arena(l, NULL, SPX_ROLE_STATE, &n->state));
    CHECK_OK(spx_buffer_alloc(&n->workspace, NULL, spx_program_workspace_bytes(n->program)));
    CHECK_OK(spx_layout_init(l, seed, &n->weights, NULL, &n->state));
    net_scatter(n, l);
    for (int i = 0; i < 4; i++) {
        n->mean[i] = 0.3 + 0.1 * i;
        n->std[i] = 0.2 + 0.05 * i;
    }
}

static inline void net_open(net_fixture *n, const spx_genotype *g, const spx_final_config *c,
                            uint64_t seed)
{
    memset(n, 0, sizeof *n);
    n->config = *c;
    CHECK_OK(spx_build_final(&n->net, g, c));
    net_start(n, seed);
}

static inline spx_tid net_mobile_conv(spx_graph *g, spx_tid x, const char *name, int64_t filters,
                                      int64_t size, int64_t stride, int64_t groups)
{
    const spx_conv_options o = {.filters = filters,
                                .size = size,
                                .stride = stride,
                                .dilation = 1,
                                .pad_begin = size / 2,
                                .pad_end = size / 2,
                                .groups = groups};
    spx_g_scope(g, "%s.", name);
    return spx_g_batch_norm(g, spx_g_conv2d(g, x, "conv", &o), "norm", true);
}

/* A cut of MobileNetV2: a stem of stride 2, inverted residuals of each of its kinds (no widening,
 * a stride, two additions in a row), the last 1x1 convolution; ReLU6s, which cut something off. */
static inline void net_open_mobile(net_fixture *n, const spx_final_config *c, uint64_t seed)
{
    static const int64_t rows[][3] = {{1, 1, 1}, {6, 2, 2}, {6, 2, 1}, {6, 2, 1}, {6, 3, 2}};
    memset(n, 0, sizeof *n);
    n->config = *c;
    CHECK_OK(spx_network_begin(&n->net, false, c->batch, &c->input));
    spx_graph *g = n->net.graph;
    spx_tid x = net_mobile_conv(g, n->net.image, "stem", 2 * c->init_channels, 3, 2, 1);
    x = spx_g_relu6(g, x, "relu");
    for (size_t b = 0; b < sizeof rows / sizeof rows[0]; b++) {
        const int64_t in = g->tensor[x].dim[1], wide = rows[b][0] * in,
                      out = rows[b][1] * c->init_channels, stride = rows[b][2];
        char name[3][24];
        for (int i = 0; i < 3; i++) {
            (void)snprintf(name[i], sizeof name[i], "b%zu.%d", b, i);
        }
        spx_tid y = x;
        if (wide > in) {
            y = spx_g_relu6(g, net_mobile_conv(g, y, name[0], wide, 1, 1, 1), "relu");
        }
        y = spx_g_relu6(g, net_mobile_conv(g, y, name[1], wide, 3, stride, wide), "relu");
        y = net_mobile_conv(g, y, name[2], out, 1, 1, 1);
        const spx_sum_term term[2] = {{x, SPX_NO_TENSOR, 0, SPX_NO_TENSOR},
                                      {y, SPX_NO_TENSOR, 0, SPX_NO_TENSOR}};
        x = stride == 1 && in == out ? spx_g_sum(g, 2, term, "sum") : y;
    }
    x = spx_g_relu6(g, net_mobile_conv(g, x, "last", 4 * c->init_channels, 1, 1, 1), "relu");
    spx_network_classify(&n->net, x, c->classes, 0, "");
    CHECK_OK(spx_network_end(&n->net));
    net_start(n, seed);
    const spx_layout_entry *e = spx_layout_find(spx_program_layout(n->program), "b3.0.norm.weight");
    for (int64_t j = 0; j < e->count; j++) {
        ((float *)n->weights.data)[e->offset + j] *= 6;
    }
}

/* A published network, of no masks but where c asks for them. */
static inline void net_open_reference(net_fixture *n, const char *text, const spx_final_config *c,
                                      uint64_t seed)
{
    char canonical[SPX_REFERENCE_CHARS];
    memset(n, 0, sizeof *n);
    n->config = *c;
    CHECK_OK(spx_reference_parse(canonical, text, &c->input));
    CHECK_OK(spx_build_reference(&n->net, canonical, c));
    net_start(n, seed);
}

static inline spx_tid net_conv_norm(spx_graph *g, spx_tid x, const char *name, int64_t filters,
                                    int64_t size, int64_t stride)
{
    const spx_conv_options o = {.filters = filters,
                                .size = size,
                                .stride = stride,
                                .dilation = 1,
                                .pad_begin = size / 2,
                                .pad_end = size / 2};
    spx_g_scope(g, "%s.", name);
    return spx_g_batch_norm(g, spx_g_conv2d(g, x, "conv", &o), "norm", true);
}

/* A stem and two stages of two residual blocks each, the second of half the side: what is added is
 * an activation itself in three of the blocks, and a strided 1x1 convolution's in one. The second
 * stage has ReLU6s, which cut much off: its third block's norm is large. */
static inline void net_open_residual(net_fixture *n, const spx_final_config *c, uint64_t seed)
{
    memset(n, 0, sizeof *n);
    n->config = *c;
    CHECK_OK(spx_network_begin(&n->net, false, c->batch, &c->input));
    spx_graph *g = n->net.graph;
    if (c->masked) {
        spx_graph_mask_relus(g, SPX_ROLE_STATE);
    }
    spx_tid x = net_conv_norm(g, n->net.image, "stem", c->init_channels, 3, 1);
    x = spx_g_relu(g, x, "relu");
    for (int block = 0; block < 4; block++) {
        const int64_t stride = block == 2 ? 2 : 1, filters = c->init_channels << (block / 2);
        char name[3][16];
        for (int i = 0; i < 3; i++) {
            (void)snprintf(name[i], sizeof name[i], "b%d.%d", block, i);
        }
        const spx_tid skip = stride == 2 ? net_conv_norm(g, x, name[2], filters, 1, 2) : x;
        spx_tid y = net_conv_norm(g, x, name[0], filters, 3, stride);
        y = block < 2 ? spx_g_relu(g, y, "relu") : spx_g_relu6(g, y, "relu");
        y = net_conv_norm(g, y, name[1], filters, 3, 1);
        const spx_sum_term term[2] = {{y, SPX_NO_TENSOR, 0, SPX_NO_TENSOR},
                                      {skip, SPX_NO_TENSOR, 0, SPX_NO_TENSOR}};
        x = spx_g_sum(g, 2, term, "sum");
        x = block < 2 ? spx_g_relu(g, x, "relu") : spx_g_relu6(g, x, "relu");
        n->net.cell[n->net.n_cells++] = x;
    }
    spx_network_classify(&n->net, x, c->classes, 0, "");
    CHECK_OK(spx_network_end(&n->net));
    net_start(n, seed);
    const spx_layout_entry *e = spx_layout_find(spx_program_layout(n->program), "b2.1.norm.weight");
    for (int64_t j = 0; j < e->count; j++) {
        ((float *)n->weights.data)[e->offset + j] *= 6;
    }
}

static inline void net_close(net_fixture *n)
{
    spx_program_destroy(n->program);
    spx_stream_destroy(n->stream);
    spx_buffer_free(&n->weights);
    spx_buffer_free(&n->state);
    spx_buffer_free(&n->workspace);
    spx_network_clear(&n->net);
}

static inline spx_fold_input net_source(const net_fixture *n)
{
    return (spx_fold_input){.graph = n->net.graph,
                            .image = n->net.image,
                            .logits = n->net.logits,
                            .layout = spx_program_layout(n->program),
                            .weights = n->weights,
                            .state = n->state,
                            .mean = n->mean,
                            .std = n->std};
}

/* Runs the float program on pixels (c, h, w) of one image; its batch is 1. */
static inline const float *net_run(const net_fixture *n, const uint8_t *pixels, float *image)
{
    const spx_input_shape *in = &n->config.input;
    const void *input[2] = {image, NULL};
    spx_binding b = {
        .weights = n->weights, .state = n->state, .workspace = n->workspace, .input = input};
    for (int64_t i = 0; i < in->channels * in->rows * in->columns; i++) {
        const int64_t c = i / (in->rows * in->columns);
        image[i] = (float)((pixels[i] / 255.0 - n->mean[c]) / n->std[c]);
    }
    CHECK_OK(spx_program_run(n->program, &b));
    return spx_program_output(n->program, &b, 0).data;
}

#endif
