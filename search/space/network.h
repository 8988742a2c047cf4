#ifndef SPX_NETWORK_H
#define SPX_NETWORK_H
/*
 * Builders of the supernet and of final networks: they append to a graph and report its interesting
 * tensors. Parameter names equal the published implementation's (named_parameters, named_buffers).
 */
#include "host/graph/graph.h"
#include "search/space/genotype.h"

#define SPX_MAX_LAYERS 64
#define SPX_MAX_REDUCE 4
#define SPX_MAX_STAGES 8

typedef struct spx_input_shape {
    int64_t channels, rows, columns;
} spx_input_shape;

typedef enum spx_drop_path {
    SPX_DROP_PATH_OFF,   /* no masks in the graph */
    SPX_DROP_PATH_DRAWN, /* masks drawn in the run (drop_prob of its scalars) */
    SPX_DROP_PATH_BOUND /* masks are inputs (n), named like the published DropPath_ modules, already
                           divided by the keep probability; they follow image and label */
} spx_drop_path;

typedef struct spx_supernet_config {
    spx_space space; /* whose primitives are candidates */
    int64_t batch;
    spx_input_shape input;
    int64_t classes, init_channels, layers; /* published: 10, 16, 8 */
    int n_reduce;
    int reduce_loc[SPX_MAX_REDUCE]; /* in sixths: a reduction cell at loc*layers/6; published: 2, 4
                                     */
    bool gated;                     /* RELU_OPS: a gate a state and cell kind, beside the alphas */
    bool training;
} spx_supernet_config;

typedef struct spx_final_config {
    int64_t batch;
    spx_input_shape input; /* 224x224 selects the ImageNet stem */
    spx_input_shape whole; /* of training on smaller images than the network is for: its own input,
                              which chooses the stem; no rows: `input` is that */
    int64_t classes, init_channels, layers;
    int n_reduce;
    int reduce_at[SPX_MAX_REDUCE]; /* cell indices, ascending, each <= 2*layers/3 */
    bool training;
    bool auxiliary; /* build the auxiliary head; in evaluation too, so that both have the same
                       layout: it costs nothing there unless its tensors are asked for */
    spx_drop_path drop_path; /* training only */
    float label_smoothing;   /* training only; [0, 1) */
    bool masked;             /* every ReLU of the deployed network has a mask */
    bool masks_trained;      /* of role ARCH, not STATE */
    spx_cell_sites dropped;  /* masked: those that begin as 0; the others begin as 1 */
} spx_final_config;

/**
 * The reducing cells that a description or a plan lists, for spx_final_config.
 * @param a       what was found there; NULL is refused, too
 * @param layers  above every index
 * @return SPX_OK; SPX_EFORMAT naming reduce_at
 */
SPX_MUST_CHECK spx_status spx_reduce_at_parse(const json_t *a, int64_t layers,
                                              int at[SPX_MAX_REDUCE], int *n);
/** Such a list of at[0..n-1]; NULL when out of memory. */
json_t *spx_reduce_at_json(const int *at, int n);

/** Tensors of a built network. Those it has not are SPX_NO_TENSOR. */
typedef struct spx_network {
    spx_graph *graph;     /* owned: spx_network_clear */
    spx_tid image, label; /* inputs 0 and 1 */
    spx_tid logits, loss;
    spx_tid aux_logits, aux_loss;
    spx_tid alpha_normal[SPX_CELL_NODES], alpha_reduce[SPX_CELL_NODES];
    spx_tid cell[SPX_MAX_LAYERS]; /* output of each cell */
    int n_cells;
    spx_tid stage[SPX_MAX_STAGES]; /* final networks: the last map of each size, before what halves
                                      it; of reference networks as their papers count stages */
    int n_stages;
} spx_network;

/** Whether cell `layer` of a supernet reduces. */
bool spx_supernet_reduces(const spx_supernet_config *c, int64_t layer);

/** @return SPX_OK; SPX_EINVAL naming the offending number; SPX_ENOMEM. On failure
 * *out is cleared. */
SPX_MUST_CHECK spx_status spx_build_supernet(spx_network *out, const spx_supernet_config *c);
SPX_MUST_CHECK spx_status spx_build_final(spx_network *out, const spx_genotype *g,
                                          const spx_final_config *c);
void spx_network_clear(spx_network *n); /* zeroed or built */

/** The state whose ReLU a node of a final network is, below SPX_CELL_SITES; -1: it is none. */
int spx_cell_site_of(const spx_node *nd);

/** Whether a final network for this input has the ImageNet stem (224x224). */
bool spx_is_imagenet(const spx_input_shape *in);

/*
 * Parts, for tests and golden data. Like the graph's builders they stick their errors to the graph.
 */

/** One set of architecture parameters and its row softmaxes, shared by all cells of a kind. */
typedef struct spx_alphas {
    spx_tid alpha[SPX_CELL_NODES];  /* (2 + i, SPX_PRIMITIVE_COUNT), role ARCH, "NAME.i" */
    spx_tid weight[SPX_CELL_NODES]; /* their softmaxes */
    spx_tid
        gate; /* softmaxed (SPX_CELL_SITES, 2), of the ReLU on a state and of the state as it is;
                     SPX_NO_TENSOR: ReLUs have no gates */
} spx_alphas;

spx_alphas spx_build_alphas(spx_graph *g, const char *name);
/** Adds gates to them: (SPX_CELL_SITES, 2), role ARCH, "NAME", drawn as alphas are. */
void spx_build_gates(spx_graph *g, spx_alphas *a, const char *name);

/**
 * One search cell of a space over states s0, s1: returns its output, (n, channels, ...). Names are
 * `prefix` + "preproc0...." and so on.
 */
spx_tid spx_build_search_cell(spx_graph *g, spx_space space, spx_tid s0, spx_tid s1,
                              int64_t channels, bool previous_reduces, bool reduces,
                              const spx_alphas *a, const char *prefix);

/**
 * One primitive alone on x, its parameters named `prefix` + the published module's names
 * ("net.0.weight"); skip_connect of stride 1 is x itself. The ReLU of RELU_OPS is x's: the
 * caller's.
 * @param affine search: false, final networks: true
 * @param stride 1 or 2
 */
spx_tid spx_build_primitive(spx_graph *g, spx_tid x, spx_space space, spx_primitive p,
                            int64_t stride, bool affine, const char *prefix);

/** Concatenation of two 1x1 convolutions of stride 2, on x and on x[1:, 1:], then batch norm. */
spx_tid spx_build_factorized_reduce(spx_graph *g, spx_tid x, int64_t channels, bool affine,
                                    const char *prefix);

/** conv1x1 and batch norm without affine parts: a cell's preprocessing. */
spx_tid spx_build_std_conv(spx_graph *g, spx_tid x, int64_t channels, const char *prefix);

/** ReLU, conv1x1 with bias, batch norm without affine parts: the search cell's output block. */
spx_tid spx_build_relu_conv(spx_graph *g, spx_tid x, int64_t channels, const char *prefix);

/** conv3x3 of pad 1 and affine batch norm, named prefix + "0" and prefix + "1". */
spx_tid spx_build_stem(spx_graph *g, spx_tid x, int64_t channels, const char *prefix);

#endif
