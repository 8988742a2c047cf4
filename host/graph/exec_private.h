#ifndef SPX_EXEC_H
#define SPX_EXEC_H
/*
 * Private to host/graph: running the nodes of a planned graph on a device. An op's `run` unpacks
 * its operands once and hands them to the stream's device.
 */
#include "host/graph/op_private.h"
#include "host/graph/program.h"
#include "kernels/nn/operand.h"

struct spx_shared_plan;

typedef struct spx_exec {
    const spx_graph *g;
    spx_stream *stream;
    /* What the program made; see program.c. */
    int64_t *offset;               /* [n_tensors] of activations in the workspace, bytes */
    int *input_slot;               /* [n_tensors] index into binding->input */
    size_t copies;                 /* bytes from the workspace's start to the converted copies */
    size_t scratch[SPX_LANES_MAX]; /* likewise to the scratch of each lane */
    /* What spx_exec_choose made. */
    size_t copy_bytes;             /* of the copies */
    size_t *need;                  /* [n_nodes] bytes of scratch */
    double *cost;                  /* [n_nodes] seconds a node is thought to take, to order nodes */
    struct spx_shared_plan **plan; /* [n_nodes], of convolutions */
    /* CUDA, BF16: floats of the weights, converted first of the copies; [n_tensors] bytes
     * from there to the converted inputs */
    int64_t weights, *copy;
    /* Of this run. */
    const spx_binding *b;
    int lane;
} spx_exec;

/** What programs ask about a device; NULL where this build has none. */
typedef struct spx_device_traits {
    int64_t align;         /* bytes, of everything in the workspace */
    bool fuse_conv_inputs; /* convolutions can normalise their input */
    int slack; /* nodes for which memory stays as it is after its last reader: room for lanes */
} spx_device_traits;
const spx_device_traits *spx_device_traits_of(spx_device device);

/** Decides how each node runs: sets what spx_exec says. */
SPX_MUST_CHECK spx_status spx_exec_choose(spx_exec *e, const spx_program_options *o);
/** Frees what spx_exec_choose made; the arrays of e, too. */
void spx_exec_clear(spx_exec *e);
/** What comes before a run's nodes. */
SPX_MUST_CHECK spx_status spx_exec_begin(const spx_exec *e);

/** Elements from image to image, or from pixel to pixel, of tensor t as an operand. */
int64_t spx_exec_stride(const spx_exec *e, spx_tid t);
/** Tensor t in this run; absent for SPX_NO_TENSOR. */
spx_operand spx_exec_operand(const spx_exec *e, spx_tid t);
/** Weights as products read them. */
const void *spx_exec_filter(const spx_exec *e, spx_tid t);

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
/** The current lane's scratch. */
void *spx_exec_scratch(const spx_exec *e);

#endif
