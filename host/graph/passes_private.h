#ifndef SPX_PASSES_H
#define SPX_PASSES_H
/*
 * Rewrites of a forward graph, run before differentiation. None changes what is computed beyond the
 * order of float additions; none changes a parameter's name. ReLUs are counted before them.
 */
#include "host/graph/graph.h"

/**
 * Merges average pools of the same input and geometry, and after them batch statistics of the same
 * tensor (each keeps its own running statistics). Tensors of keep stay what they are.
 */
SPX_MUST_CHECK spx_status spx_pass_merge_twins(spx_graph *g, const spx_tid *keep, int n_keep);

/**
 * Merges convolutions that read the same input with the same geometry: one wide convolution whose
 * output channels and weights are runs of views. No bias, outputs not yet views.
 */
SPX_MUST_CHECK spx_status spx_pass_merge_convs(spx_graph *g);

/**
 * Flattens sums of single-use norm sums into one norm sum, and takes a ReLU behind a single-use
 * norm sum into it.
 */
SPX_MUST_CHECK spx_status spx_pass_fuse_sums(spx_graph *g, const spx_tid *keep, int n_keep);

/** A convolution that alone reads a batch norm (or a ReLU) applies it while it packs its input. */
SPX_MUST_CHECK spx_status spx_pass_fuse_conv_inputs(spx_graph *g, const spx_tid *keep, int n_keep);

/** Removes nodes none of whose outputs lead to a tensor of keep or to a parameter gradient. */
SPX_MUST_CHECK spx_status spx_pass_remove_dead(spx_graph *g, const spx_tid *keep, int n_keep);

/**
 * After differentiation: lets the backward nodes (from index n_forward on) read recomputed copies
 * of convolutions and pools (and of norms of one term), cheapest bytes first, worth at most share
 * (0..1) of the forward work.
 */
SPX_MUST_CHECK spx_status spx_pass_recompute(spx_graph *g, int n_forward, float share, bool norms);

/**
 * After differentiation: has the statistics of a batch made for every masked ReLU, by nodes before
 * its gradient's.
 * @param out  allocated: of each such ReLU, first layer first, the maps and the squares
 *             (kernels/nn/relu_score); spx_free
 * @return SPX_OK; SPX_EINVAL: there is none; SPX_ENOMEM
 */
SPX_MUST_CHECK spx_status spx_pass_score_relus(spx_graph *g, spx_tid **out, int *n_out);

/** Sets the offsets of parameters, states and gradients; views lie inside their parents. */
SPX_MUST_CHECK spx_status spx_graph_layout(spx_graph *g);

#endif
