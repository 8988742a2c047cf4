#ifndef SPX_CELL_H
#define SPX_CELL_H
/* Cells and what all networks share; private to search/space. */
#include "search/space/network.h"

/** Fails the graph unless rows and columns of x are even, as halving them needs. */
void spx_require_even(spx_graph *g, spx_tid x, const char *what);

/** prefix + part in buf, cut at its end (names that long fail in the graph). */
const char *spx_join(char buf[static 128], const char *prefix, const char *part);

/** conv1x1 or factorized reduce: brings a cell's input to its channels and size. */
spx_tid spx_build_preprocess(spx_graph *g, spx_tid x, int64_t channels, bool reduce,
                             const char *prefix);

/** A state, and its ReLU: one for all primitives of RELU_OPS that read it. */
typedef struct spx_cell_state {
    spx_tid plain, rectified; /* SPX_NO_TENSOR: nobody has asked for the second yet */
} spx_cell_state;

/** How a cell's states are rectified. */
typedef struct spx_rectifier {
    spx_space space;
    uint8_t dropped; /* bit i: the mask of state i's ReLU begins as 0 */
    spx_tid gate;    /* (SPX_CELL_SITES, 2), softmaxed: readers of state i get g[i][0] of its ReLU
                           and g[i][1] of itself; SPX_NO_TENSOR: the ReLU */
    const char *prefix; /* of names: "relu.INDEX", "gated.INDEX" */
} spx_rectifier;

/** What a primitive reads of state `index`. */
spx_tid spx_read_state(spx_graph *g, spx_cell_state *s, int index, const spx_rectifier *r,
                       spx_primitive p, int64_t stride);

typedef struct spx_final_cell {
    int index;
    int64_t channels;
    bool previous_reduces, reduces;
    spx_drop_path drop_path;
    spx_space space;
    uint8_t dropped; /* as in spx_rectifier */
    const spx_cell_genes *genes;
} spx_final_cell;

/** A cell of a final network over states s0, s1; names as spx_g_scope says. */
spx_tid spx_build_final_cell(spx_graph *g, spx_tid s0, spx_tid s1, const spx_final_cell *c);

/** What both kinds of network ask of their sizes. SPX_EINVAL naming the number out of range. */
SPX_MUST_CHECK spx_status spx_check_sizes(int64_t batch, const spx_input_shape *in, int64_t classes,
                                          int64_t init_channels, int64_t layers, int n_reduce);

/** An empty network: its graph, and inputs image and label. */
SPX_MUST_CHECK spx_status spx_network_begin(spx_network *n, bool training, int64_t batch,
                                            const spx_input_shape *in);
/** The same of a final network, by its configuration; sets whether its ReLUs have masks. */
SPX_MUST_CHECK spx_status spx_network_begin_final(spx_network *n, const spx_final_config *c);
/** Global average pool of x, linear layer prefix + "linear", loss. */
void spx_network_classify(spx_network *n, spx_tid x, int64_t classes, float smoothing,
                          const char *prefix);
/** The graph's status; clears the network unless it is SPX_OK. */
SPX_MUST_CHECK spx_status spx_network_end(spx_network *n);

#endif
