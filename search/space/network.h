#ifndef SPX_NETWORK_H
#define SPX_NETWORK_H
/*
 * Builders of the supernet and of final networks: they append to a graph and report its interesting
 * tensors. Parameter names equal the published implementation's (named_parameters, named_buffers).
 */
#include "host/graph/graph.h"
#include "search/space/genotype.h"

#define SPX_MAX_LAYERS 64

typedef struct spx_input_shape {
    int64_t channels, rows, columns;
} spx_input_shape;

typedef enum spx_drop_path {
    SPX_DROP_PATH_OFF,   /* no masks in the graph */
    SPX_DROP_PATH_DRAWN, /* masks drawn in the run (drop_prob of the binding) */
    SPX_DROP_PATH_BOUND  /* masks are inputs (n), named like the published DropPath_ modules */
} spx_drop_path;

typedef struct spx_supernet_config {
    int64_t batch;
    spx_input_shape input;
    int64_t classes, init_channels, layers; /* published: 10, 16, 8 */
    int n_reduce;
    int reduce_loc[4]; /* in sixths: a reduction cell at loc*layers/6; published: 2, 4 */
    bool training;
} spx_supernet_config;

typedef struct spx_final_config {
    int64_t batch;
    spx_input_shape input; /* 224x224 selects the ImageNet stem */
    int64_t classes, init_channels, layers;
    int n_reduce;
    int reduce_at[4]; /* cell indices, ascending */
    bool training;
    bool auxiliary; /* build the auxiliary head (training only) */
    spx_drop_path drop_path;
    float label_smoothing;
} spx_final_config;

/** Tensors of a built network. Those it has not are SPX_NO_TENSOR. */
typedef struct spx_network {
    spx_graph *graph; /* owned: spx_network_clear */
    spx_tid image, label;      /* inputs 0 and 1 */
    spx_tid logits, loss;
    spx_tid aux_logits, aux_loss;
    spx_tid alpha_normal[SPX_CELL_NODES], alpha_reduce[SPX_CELL_NODES];
    spx_tid cell[SPX_MAX_LAYERS]; /* output of each cell */
    int n_cells;
} spx_network;

/** @return SPX_OK; SPX_EINVAL naming the offending number; SPX_ENOMEM. On failure *out is cleared. */
SPX_MUST_CHECK spx_status spx_build_supernet(spx_network *out, const spx_supernet_config *c);
SPX_MUST_CHECK spx_status spx_build_final(spx_network *out, const spx_genotype *g,
                                          const spx_final_config *c);
void spx_network_clear(spx_network *n); /* zeroed or built */

/**
 * One search cell alone, for tests: appends to g a cell over states s0, s1 with its own alphas as
 * ARCH parameters "alpha.0".."alpha.3" and returns its output.
 */
spx_tid spx_build_search_cell(spx_graph *g, spx_tid s0, spx_tid s1, int64_t channels,
                              bool previous_reduces, bool reduces);

/** One primitive alone on x (search: affine false); spx_primitive names as published modules. */
spx_tid spx_build_primitive(spx_graph *g, spx_tid x, spx_primitive p, int64_t stride, bool affine);

#endif
