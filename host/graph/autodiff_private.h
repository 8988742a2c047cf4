#ifndef SPX_AUTODIFF_H
#define SPX_AUTODIFF_H

#include "host/graph/op_private.h"

/**
 * Appends the nodes that compute gradients of sum(weight*loss) to a training graph: of all weights
 * (WEIGHT_GRAD tensors at the weights' offsets), of all architecture parameters (ARCH_GRAD) and of
 * the tensors wrt[0..n_wrt-1], whose gradients' ids go to wrt_grad. Needs spx_graph_layout first.
 * Parameters the losses do not depend on get zeros.
 * @return SPX_OK, SPX_EINVAL (not a training graph, a loss that is none), SPX_ENOMEM
 */
SPX_MUST_CHECK spx_status spx_differentiate(spx_graph *g, const spx_loss_seed *loss, int n_loss,
                                            bool weights, bool arch, const spx_tid *wrt, int n_wrt,
                                            spx_tid *wrt_grad);

/* ---- for the ops' gradients ---- */

/** A node that adds to the gradient of a tensor, not yet emitted. */
typedef struct spx_pending {
    spx_tid target; /* whose gradient; SPX_NO_TENSOR once emitted */
    spx_op op;      /* of one output */
    bool relu;      /* of the node */
    int n_in;
    spx_tid in[SPX_SLOTS_MAX];
    int32_t coef_index;
    int next; /* index of the next pending of the same target, or -1 */
} spx_pending;

typedef struct spx_diff {
    spx_graph *g;
    int n_forward; /* nodes before differentiation */
    int n_tensors; /* tensors before differentiation */
    int current;   /* forward node being visited */
    bool weights, arch;
    float loss_weight;  /* of the loss being visited */
    bool *requires;     /* [n_tensors] depends on something wanted */
    bool *viewed;       /* [n_tensors] has views */
    int *first_pending; /* [n_tensors] */
    spx_tid *grad;      /* [n_tensors] */
    bool *written;      /* [n_tensors] of the gradient */
    spx_pending *list;
    int n_list;
    size_t room; /* of list */
} spx_diff;

/** Whether t depends on something whose gradient is wanted. */
static inline bool spx_diff_requires(const spx_diff *d, spx_tid t)
{
    return t != SPX_NO_TENSOR && d->requires[t];
}

/**
 * A gradient node that belongs to forward node i and has its attributes; in and out are filled by
 * the caller. NULL: the graph has an error. Moves the array of nodes.
 */
spx_node *spx_diff_emit(spx_diff *d, spx_op op, int i, int n_in, int n_out);
/** Emits a node whose one output goes into the gradient of target. NULL: the graph has an error. */
spx_node *spx_diff_emit_data(spx_diff *d, spx_op op, int i, int n_in, const spx_tid *in,
                             spx_tid target);
/** Fills target with zeros. */
void spx_diff_fill(spx_diff *d, spx_tid target, int i);
/**
 * Prepares one contribution to the gradient of t: returns the gradient tensor and sets *accumulate
 * to whether it already holds something.
 */
spx_tid spx_diff_contribute(spx_diff *d, spx_tid t, bool *accumulate);
/** Makes the gradient of a parameter, where it is wanted, an output of a gradient node. */
void spx_diff_param(spx_diff *d, int node, int slot, spx_tid param);
/** Puts a node off until its target's producer is reached. */
void spx_diff_postpone(spx_diff *d, spx_pending p);
/** The gradient of k norm-sum terms `in` of node i; y is the output where relu, else ignored. */
void spx_norm_sum_diff_terms(spx_diff *d, int i, int k, const spx_tid *in,
                             const int32_t *coef_index, bool relu, spx_tid y, spx_tid dy);
/** Hands dy, of a ReLU within node i, on to its input x and to its mask, which may be absent; y is
 * its output, or x. */
void spx_relu_diff(spx_diff *d, int i, spx_tid y, spx_tid dy, spx_tid mask, spx_tid x);

#endif
