#ifndef SPX_GRAPH_H
#define SPX_GRAPH_H
/*
 * A network as plain data: typed ops over tensors of known shape. Builders append to it; counting,
 * differentiation, passes, planning and every executor read it.
 *
 * Builder functions do not return a status: the first error sticks to the graph, later calls do
 * nothing and return SPX_NO_TENSOR, and spx_graph_status reports it. So a network builder is
 * straight-line code with one check at its end.
 *
 * Layout: activations are NCHW f32. A tensor may be a VIEW: a run of channels of its parent (how
 * concatenations and merged convolutions cost nothing), or of rows of a parameter.
 */
#include "kernels/base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef int32_t spx_tid;
#define SPX_NO_TENSOR ((spx_tid)-1)
#define SPX_MAX_RANK 4

typedef enum spx_dtype { SPX_F32, SPX_I32 } spx_dtype;

/** Where a tensor lives. */
typedef enum spx_role {
    SPX_ROLE_ACTIVATION,  /* planned workspace */
    SPX_ROLE_INPUT,       /* bound by the caller for each run */
    SPX_ROLE_WEIGHT,      /* weights arena */
    SPX_ROLE_ARCH,        /* architecture parameters (alphas) */
    SPX_ROLE_STATE,       /* batch-norm running statistics */
    SPX_ROLE_WEIGHT_GRAD, /* gradients, laid out like the weights */
    SPX_ROLE_ARCH_GRAD,   /* likewise of the architecture parameters */
    SPX_ROLE_COUNT
} spx_role;

typedef enum spx_init_kind { SPX_INIT_CONSTANT, SPX_INIT_UNIFORM, SPX_INIT_NORMAL } spx_init_kind;

/** CONSTANT: value; UNIFORM: in [-value, value); NORMAL: standard deviation value. */
typedef struct spx_init {
    spx_init_kind kind;
    float value;
} spx_init;

typedef struct spx_tensor {
    char *name; /* parameters, states, inputs: unique; activations: path of the node, or NULL */
    spx_dtype dtype;
    spx_role role;
    int rank;
    int64_t dim[SPX_MAX_RANK];
    spx_tid parent; /* views: the tensor this is a part of (never itself a view); else NO_TENSOR */
    int64_t first;  /* views: first channel (activations) or first row (parameters) in parent */
    spx_init init;  /* parameters and states */
    int64_t offset; /* parameters, states, gradients: floats into the arena; set by layout */
} spx_tensor;

/**
 * Every op: what its enumerator SPX_OP_... and its record spx_op_... (host/graph/ops: operands,
 * shapes, gradient) are called. Differentiation appends those from CONV2D_BWD_DATA on.
 */
#define SPX_OPS(X)                                                                                 \
    X(CONV2D, conv2d)                                                                              \
    X(BN_STATS, bn_stats)                                                                          \
    X(BN_RUNNING, bn_running)                                                                      \
    X(NORM_SUM, norm_sum)                                                                          \
    X(RELU, relu)                                                                                  \
    X(AVG_POOL, avg_pool)                                                                          \
    X(MAX_POOL, max_pool)                                                                          \
    X(LINEAR, linear)                                                                              \
    X(SOFTMAX, softmax)                                                                            \
    X(DROP_MASK, drop_mask)                                                                        \
    X(CROSS_ENTROPY, cross_entropy)                                                                \
    X(ATTENTION_MAP, attention_map)                                                                \
    X(DISTILLATION, distillation)                                                                  \
    X(SQUARED_DIFFERENCE, squared_difference)                                                      \
    X(FLATTEN, flatten)                                                                            \
    X(RELU_DISTANCE, relu_distance)                                                                \
    X(CONV2D_BWD_DATA, conv2d_bwd_data)                                                            \
    X(CONV2D_BWD_WEIGHTS, conv2d_bwd_weights)                                                      \
    X(NORM_SUM_REDUCE, norm_sum_reduce)                                                            \
    X(NORM_SUM_APPLY, norm_sum_apply)                                                              \
    X(RELU_BWD, relu_bwd)                                                                          \
    X(AVG_POOL_BWD, avg_pool_bwd)                                                                  \
    X(MAX_POOL_BWD, max_pool_bwd)                                                                  \
    X(LINEAR_BWD_DATA, linear_bwd_data)                                                            \
    X(LINEAR_BWD_WEIGHTS, linear_bwd_weights)                                                      \
    X(SOFTMAX_BWD, softmax_bwd)                                                                    \
    X(CROSS_ENTROPY_BWD, cross_entropy_bwd)                                                        \
    X(ATTENTION_MAP_BWD, attention_map_bwd)                                                        \
    X(DISTILLATION_BWD, distillation_bwd)                                                          \
    X(SQUARED_DIFFERENCE_BWD, squared_difference_bwd)                                              \
    X(FLATTEN_BWD, flatten_bwd)                                                                    \
    X(RELU_SCORE, relu_score)                                                                      \
    X(FILL, fill)

typedef enum spx_op {
#define SPX_OP_ENUMERATOR(NAME, record) SPX_OP_##NAME,
    SPX_OPS(SPX_OP_ENUMERATOR)
#undef SPX_OP_ENUMERATOR
        SPX_OP_COUNT
} spx_op;

/** Inputs of a convolution; the last four normalise x, and all from BIAS on may be absent. */
enum {
    SPX_CONV2D_X,
    SPX_CONV2D_W,
    SPX_CONV2D_BIAS,
    SPX_CONV2D_MEAN,
    SPX_CONV2D_INVSTD,
    SPX_CONV2D_GAMMA,
    SPX_CONV2D_BETA,
    SPX_CONV2D_INPUTS
};
/** Inputs of a linear layer. */
enum { SPX_LINEAR_X, SPX_LINEAR_W, SPX_LINEAR_BIAS, SPX_LINEAR_INPUTS };
/** Inputs of a RELU. The mask (c, h, w), which may be absent: y = mask max(0, x) + (1-mask) x. */
enum { SPX_RELU_X, SPX_RELU_MASK, SPX_RELU_INPUTS };
/** Inputs of BN_RUNNING. */
enum { SPX_RUNNING_MEAN, SPX_RUNNING_VAR, SPX_RUNNING_INPUTS };
/** Inputs of one norm-sum term, in this order; absent ones are SPX_NO_TENSOR. */
enum {
    SPX_TERM_X,
    SPX_TERM_MEAN,
    SPX_TERM_INVSTD,
    SPX_TERM_GAMMA,
    SPX_TERM_BETA,
    SPX_TERM_COEF,
    SPX_TERM_MASK,
    SPX_TERM_FIELDS
};
/** Outputs per term of NORM_SUM_REDUCE. */
enum {
    SPX_REDUCE_DY,
    SPX_REDUCE_DY_XHAT,
    SPX_REDUCE_DGAMMA,
    SPX_REDUCE_DBETA,
    SPX_REDUCE_DCOEF,
    SPX_REDUCE_FIELDS
};

/** What a node was built with beside its operands: a struct of its op's own (host/graph/ops), laid
 * into these bytes; zeros where there is none. */
#define SPX_ATTR_BYTES 64
typedef struct spx_attr {
    unsigned char bytes[SPX_ATTR_BYTES];
} spx_attr;

typedef struct spx_node {
    spx_op op;
    spx_attr attr;
    bool relu; /* a rectifier fused into it: on the input of a product, on the output of a sum */
    int n_in, n_out;
    spx_tid *in, *out;
    bool *accumulate;    /* [n_out]: add to the output instead of overwriting it */
    int32_t *coef_index; /* [terms] of norm sums: element of the coef tensor (0 where none) */
    char *name;          /* path ("cells.0.dag.1.2.3"), for audits and errors */
    int block;           /* index of the cell it belongs to; -1 stem, classifier, auxiliary head */
    bool auxiliary;      /* belongs to the auxiliary head: not counted in the deployed network */
} spx_node;

/** Attributes that others than the op itself read. */
typedef struct spx_conv2d_attr {
    int64_t stride, dilation, pad_begin, pad_end, groups; /* groups >= 1 */
} spx_conv2d_attr;
typedef struct spx_avg_pool_attr {
    int64_t size, stride, pad;
} spx_avg_pool_attr;
spx_conv2d_attr spx_conv2d_attr_of(const spx_node *nd);     /* of a CONV2D */
spx_avg_pool_attr spx_avg_pool_attr_of(const spx_node *nd); /* of an AVG_POOL */
float spx_relu_clip_of(const spx_node *nd); /* of a RELU: its largest output; 0: there is none */

typedef struct spx_graph {
    bool training; /* batch norm by batch statistics (else by running ones) */
    spx_tensor *tensor;
    int n_tensors;
    spx_node *node;
    int n_nodes;
    size_t room_tensors, room_nodes; /* of the arrays */
    spx_status status;               /* first error of a builder */
    char error[512];
    char scope[256]; /* prefix of names, see spx_g_scope */
    int block;
    bool auxiliary;
    spx_role mask_role; /* of the masks of ReLUs; ACTIVATION: they have none */
    float mask_begin;   /* what masks appended from now on begin as: 1; 0: linear */
} spx_graph;

SPX_MUST_CHECK spx_status spx_graph_create(spx_graph **out, bool training);
void spx_graph_destroy(spx_graph *g); /* NULL is a no-op */
SPX_MUST_CHECK spx_status spx_graph_clone(spx_graph **out, const spx_graph *g);
/** The first builder error (with its message restored), or SPX_OK. */
SPX_MUST_CHECK spx_status spx_graph_status(const spx_graph *g);
/** Makes a builder error of one's own, keeping an earlier one. */
void spx_graph_fail(spx_graph *g, spx_status st, const char *fmt, ...) SPX_PRINTF(3, 4);

/** Sets what following nodes belong to: cell index (-1: none) and whether the auxiliary head. */
void spx_g_section(spx_graph *g, int block, bool auxiliary);
/** Sets the prefix put before the names passed to the builders below ("cells.3."); "" for none. */
void spx_g_scope(spx_graph *g, const char *fmt, ...) SPX_PRINTF(2, 3);

spx_tid spx_g_input(spx_graph *g, const char *name, spx_dtype dtype, int rank, const int64_t *dim);
/** A parameter or state, named scope + name; names must be unique. */
spx_tid spx_g_param(spx_graph *g, spx_role role, const char *name, int rank, const int64_t *dim,
                    spx_init init);

typedef struct spx_conv_options {
    int64_t filters, size, stride, dilation, pad_begin, pad_end; /* square filter of size x size */
    int64_t groups; /* divides the channels in and out; 0 and 1: none */
    bool bias;
} spx_conv_options;

/**
 * x (n, c, h, w) -> (n, filters, p, q). Creates name.weight (filters, c/groups, size, size; uniform
 * within 1/sqrt(fan-in), PyTorch's default) and, with bias, name.bias (likewise).
 */
spx_tid spx_g_conv2d(spx_graph *g, spx_tid x, const char *name, const spx_conv_options *o);

/**
 * Batch norm of x over (n, h, w). Creates states name.running_mean (0), name.running_var (1) and,
 * where affine, weights name.weight (1), name.bias (0). eps 1e-5, momentum 0.1.
 */
spx_tid spx_g_batch_norm(spx_graph *g, spx_tid x, const char *name, bool affine);

typedef struct spx_sum_term {
    spx_tid x;    /* (n, c, h, w) */
    spx_tid coef; /* tensor whose element coef_index weighs the term; or SPX_NO_TENSOR */
    int32_t coef_index;
    spx_tid mask; /* (n), or SPX_NO_TENSOR */
} spx_sum_term;

/** sum of coef*mask*x over k terms of equal shape, 1 <= k <= SPX_NORM_SUM_MAX. */
spx_tid spx_g_sum(spx_graph *g, int k, const spx_sum_term *term, const char *name);
/**
 * Channels of x[0..k-1], in order. The inputs become views of the result where they can
 * (activation, not yet a view, read by no linear layer), else they are copied.
 */
spx_tid spx_g_concat(spx_graph *g, int k, const spx_tid *x, const char *name);
spx_tid spx_g_relu(spx_graph *g, spx_tid x, const char *name);
/** The same with outputs of at most 6. */
spx_tid spx_g_relu6(spx_graph *g, spx_tid x, const char *name);
/**
 * From now on every ReLU outside the auxiliary head has a mask of its input's (c, h, w), named
 * name.mask, of ones at first: SPX_ROLE_STATE, or SPX_ROLE_ARCH where masks are trained.
 */
void spx_graph_mask_relus(spx_graph *g, spx_role role);
/** Padding is not counted in the mean. */
spx_tid spx_g_avg_pool(spx_graph *g, spx_tid x, int64_t size, int64_t stride, int64_t pad,
                       const char *name);
spx_tid spx_g_global_avg_pool(spx_graph *g, spx_tid x, const char *name); /* -> (n, c, 1, 1) */
/** Rows and columns; as torch.nn.MaxPool2d has them, see kernels/nn/max_pool/max_pool.h. */
typedef struct spx_max_pool_options {
    int64_t size[2], stride[2], pad[2];
    bool ceil_mode;
} spx_max_pool_options;
spx_tid spx_g_max_pool(spx_graph *g, spx_tid x, const spx_max_pool_options *o, const char *name);
/** x (n, ...) flattened -> (n, outputs); creates name.weight, name.bias. */
spx_tid spx_g_linear(spx_graph *g, spx_tid x, const char *name, int64_t outputs);
spx_tid spx_g_softmax(spx_graph *g, spx_tid x, const char *name); /* rows of (rows, cols) */
/** A drop-path mask (n): 1/(1-p) with probability 1-p, else 0; p, seed and step come
 * with each run. */
spx_tid spx_g_drop_mask(spx_graph *g, int64_t n, uint32_t key, const char *name);
/** Mean softmax cross-entropy of logits (n, classes) against labels (n) of SPX_I32 -> (1). */
spx_tid spx_g_cross_entropy(spx_graph *g, spx_tid logits, spx_tid labels, float smoothing,
                            const char *name);
/** Where x (n, c, h, w) is large: its channels' squares summed, over their norm -> (n, h*w). */
spx_tid spx_g_attention_map(spx_graph *g, spx_tid x, const char *name);
/** T^2 * KL(softmax(target/T) || softmax(logits/T)), mean over n, of (n, classes) each -> (1). No
 * gradient goes to the target. See kernels/nn/distill/distill.h, as for the next. */
spx_tid spx_g_distillation(spx_graph *g, spx_tid logits, spx_tid target, float temperature,
                           const char *name);
#define SPX_DIFFERENCE_MAX 64
/** sum over k pairs, 1 <= k <= SPX_DIFFERENCE_MAX, of mean((x[j] - y[j])^2), of equal matrices each
 * -> (1). No gradient goes to y. */
spx_tid spx_g_squared_difference(spx_graph *g, int k, const spx_tid *x, const spx_tid *y,
                                 const char *name);
/** x (n, c, h, w) as (n, c*h*w), f32 at every precision and in that order on every device: logits,
 * or what another program takes as an input. */
spx_tid spx_g_flatten(spx_graph *g, spx_tid x, const char *name);
/** Where y (n, c, h, w) is far from such values: sum over n of |y - target| -> (c*h*w). No gradient
 * comes from it. See kernels/nn/relu_distance/relu_distance.h. */
spx_tid spx_g_relu_distance(spx_graph *g, spx_tid y, spx_tid target, const char *name);

/** A term of what is differentiated: the sum of weight*loss. */
typedef struct spx_loss_seed {
    spx_tid loss;
    float weight;
} spx_loss_seed;

/** Elements of a tensor. */
int64_t spx_tensor_count(const spx_tensor *t);
/** Index of the input, parameter or state of that full name (scope + name), or SPX_NO_TENSOR. */
spx_tid spx_graph_find(const spx_graph *g, const char *name);

/** What a network costs, by walking its (unoptimised) graph; per image where it depends on the
 * batch. */
typedef struct spx_counts {
    int64_t relus;      /* ReLU inputs per image, without the auxiliary head */
    int64_t params;     /* weights, without the auxiliary head */
    int64_t params_aux; /* weights of the auxiliary head */
    int64_t macs; /* multiply-adds of convolutions and linear layers per image, no auxiliary */
    int64_t arch; /* architecture parameters */
} spx_counts;

void spx_graph_count(const spx_graph *g, spx_counts *out);
/** Counts of node i alone (params of the parameters it reads). */
void spx_node_count(const spx_graph *g, int i, spx_counts *out);

const char *spx_op_name(spx_op op);

/* For passes and differentiation: raw appends. */
spx_tid spx_graph_new_tensor(spx_graph *g, spx_role role, spx_dtype dtype, int rank,
                             const int64_t *dim, const char *name);
spx_node *spx_graph_new_node(spx_graph *g, spx_op op, int n_in, int n_out, const char *name);

#endif
