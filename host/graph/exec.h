#ifndef SPX_EXEC_H
#define SPX_EXEC_H
/*
 * Private to host/graph: running the nodes of a planned graph on a device. The op table has one row
 * per op and one column per device; a new device adds a column, a new op a row.
 */
#include "host/graph/program.h"
#include "kernels/nn/conv2d/conv2d.h"

typedef struct spx_exec {
    const spx_graph *g;
    spx_stream *stream;
    const int64_t *offset;       /* [n_tensors] of activations in the workspace, floats */
    const int *input_slot;       /* [n_tensors] index into binding->input */
    const spx_conv2d_algo *algo; /* [n_nodes], of convolution nodes */
    int64_t scratch;             /* floats from the workspace's start to the scratch area */
    const spx_binding *b;        /* of this run */
} spx_exec;

typedef spx_status (*spx_op_run)(const spx_exec *e, int node);

/** NULL where the device has no such op. */
spx_op_run spx_op_table(spx_op op, spx_device device);

/** Geometry of a convolution node (any pass). */
SPX_MUST_CHECK spx_status spx_exec_conv_shape(const spx_graph *g, const spx_node *nd,
                                              spx_conv2d_shape *d, spx_conv2d_pass *pass);

/** First element of tensor t in this run; NULL for SPX_NO_TENSOR. */
void *spx_exec_data(const spx_exec *e, spx_tid t);

#endif
