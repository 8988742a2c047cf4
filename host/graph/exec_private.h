#ifndef SPX_EXEC_H
#define SPX_EXEC_H
/*
 * Private to host/graph: running the nodes of a planned graph on a device. Every device has one
 * backend, with one function per op; a new device adds a file, a new op a line to each.
 */
#include "host/graph/program.h"
#include "kernels/nn/conv2d/conv2d.h"
#include "kernels/nn/nhwc.h"
#include "kernels/nn/norm_sum/norm_sum.h"
#include "kernels/nn/pool/pool2d.h"

struct spx_shared_plan;

typedef struct spx_exec {
    const spx_graph *g;
    spx_stream *stream;
    /* What the program made; see program.c. */
    int64_t *offset;               /* [n_tensors] of activations in the workspace, bytes */
    int *input_slot;               /* [n_tensors] index into binding->input */
    size_t copies;                 /* bytes from the workspace's start to the backend's own area */
    size_t scratch[SPX_LANES_MAX]; /* likewise to the scratch of each lane */
    /* What the backend's `choose` made. */
    size_t copy_bytes;             /* of its own area */
    size_t *need;                  /* [n_nodes] bytes of scratch */
    double *cost;                  /* [n_nodes] seconds a node is thought to take, to order nodes */
    spx_conv2d_algo *algo;         /* CPU: [n_nodes], of convolutions */
    struct spx_shared_plan **plan; /* CUDA: likewise */
    /* CUDA, BF16: floats of the weights, converted at the begin of its own area; [n_tensors] bytes
     * from there to the converted inputs */
    int64_t weights, *copy;
    /* Of this run. */
    const spx_binding *b;
    int lane;
} spx_exec;

typedef spx_status (*spx_op_run)(const spx_exec *e, int node);

typedef struct spx_backend {
    spx_op_run run[SPX_OP_COUNT]; /* NULL where the device has no such op */
    int64_t align;                /* bytes, of everything in the workspace */
    bool fuse_conv_inputs;        /* convolutions can normalise their input */
    int slack; /* nodes for which memory stays as it is after its last reader: room for lanes */
    /** Decides how each node runs: sets what spx_exec says. */
    spx_status (*choose)(spx_exec *e, const spx_program_options *o);
    /** Frees what `choose` made beyond arrays; NULL: nothing. */
    void (*drop)(spx_exec *e);
    /** What comes before a run's nodes; NULL: nothing. */
    spx_status (*begin)(const spx_exec *e);
} spx_backend;

/** NULL where this build has none for the device. */
const spx_backend *spx_backend_of(spx_device device);
extern const spx_backend spx_backend_cpu, spx_backend_cuda;

/** Geometry of a convolution node (any pass). */
SPX_MUST_CHECK spx_status spx_exec_conv_shape(const spx_graph *g, const spx_node *nd,
                                              spx_conv2d_shape *d, spx_conv2d_pass *pass);
/** Dimensions of a rank-4 tensor as norm_sum.h wants them. */
spx_norm_dims spx_exec_norm_dims(const spx_graph *g, spx_tid t);
/** Geometry of a pooling node whose unpooled side is x. */
SPX_MUST_CHECK spx_status spx_exec_pool_shape(const spx_graph *g, const spx_node *nd, spx_tid x,
                                              spx_pool2d_shape *d);
static inline bool spx_op_is_conv(spx_op op)
{
    return op == SPX_OP_CONV2D || op == SPX_OP_CONV2D_BWD_DATA || op == SPX_OP_CONV2D_BWD_WEIGHTS;
}

/** Floating-point operations of a node: of convolutions and linear layers. */
double spx_exec_flops(const spx_graph *g, const spx_node *nd);
/** Bytes a node moves: all its operands, an output it adds to twice. */
double spx_exec_bytes(const spx_exec *e, const spx_node *nd);

/** Element type of tensor t; SPX_I32 inputs aside. */
spx_type spx_exec_type(const spx_exec *e, spx_tid t);
/** Bytes of tensor t, gaps of a view not counted. */
size_t spx_exec_size(const spx_exec *e, spx_tid t);

/** First element of tensor t in this run; NULL for SPX_NO_TENSOR. */
void *spx_exec_data(const spx_exec *e, spx_tid t);
/** Where the reductions of term j of a NORM_SUM_REDUCE node go. */
spx_norm_grad spx_exec_norm_grad(const spx_exec *e, const spx_node *nd, int j);
/** The current lane's scratch. */
void *spx_exec_scratch(const spx_exec *e);

#endif
