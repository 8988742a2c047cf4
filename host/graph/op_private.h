#ifndef SPX_OP_PRIVATE_H
#define SPX_OP_PRIVATE_H
/*
 * Private to host/graph and its folder ops: what an op is. There is one constant record per op; the
 * passes, differentiation and the executor ask it and name no op.
 */
#include "host/graph/graph_private.h"

#include <string.h>

struct spx_diff;
struct spx_exec;
struct spx_program_options;
struct spx_tuning;

/** One operand of an op. */
typedef struct spx_slot {
    const char *name; /* NULL: the list ends here */
    int rank;         /* 0: any */
    bool optional;    /* may be SPX_NO_TENSOR */
    bool updated;     /* an input that is written, too */
    bool dense;       /* an input that may not be a run of a wider tensor's channels */
    bool element;     /* an output of which one element is written: its term's coef_index */
} spx_slot;

#define SPX_SLOTS_MAX 12 /* with the end */

typedef struct spx_shape {
    int rank;
    int64_t dim[SPX_MAX_RANK];
} spx_shape;

/** Functions are NULL and properties false where an op has nothing of the kind. */
typedef struct spx_op_record {
    const char *name;
    spx_slot in[SPX_SLOTS_MAX], out[SPX_SLOTS_MAX];
    int repeat_in, repeat_out; /* so many last slots come any number of times; 0: once */

    /** Checks the operands of a new node and says what its outputs are like. */
    spx_status (*infer)(const spx_graph *g, const spx_node *nd, spx_shape *out);
    /** Appends the nodes that hand dy, the gradient of node i's first output, on to its inputs. */
    void (*gradient)(struct spx_diff *d, int i, spx_tid dy);
    /** Multiply-adds of products, for the whole batch. */
    int64_t (*macs)(const spx_graph *g, const spx_node *nd);
    /** Work of making the output again, in a convolution's operations; 0: it cannot be. */
    double (*redo)(const spx_graph *g, const spx_node *nd);

    /** Runs node i on the run's device. */
    spx_status (*run)(const struct spx_exec *e, int i);
    /** Bytes of scratch `run` needs, where nothing is chosen. */
    size_t (*scratch)(const struct spx_exec *e, const spx_node *nd);
    /** Decides how node i runs: sets its need, and its cost where known. Plans are shared by
     * `plans`. */
    spx_status (*choose)(struct spx_exec *e, const struct spx_program_options *o,
                         struct spx_tuning *plans, int i);

    bool loss;          /* what is differentiated: its gradient is called for it, without a dy */
    bool ends_gradient; /* none goes through: it has no input, or its reader's covers it */
    bool rectifier;     /* a ReLU, which private evaluation pays for by the element */
    bool sum;     /* operands are norm-sum terms: sums of sums flatten, a ReLU behind one fuses */
    bool product; /* operands are a convolution's: those of one input merge, a norm or a ReLU
                     before one fuses */
    bool merges_twins; /* nodes of the same input and attributes are one; repeated slots add up */
} spx_op_record;

const spx_op_record *spx_op_record_of(spx_op op);
/** The slot of input (output) k of a node, repeated ones counted; NULL where there is none. */
const spx_slot *spx_op_input(const spx_op_record *r, int k);
const spx_slot *spx_op_output(const spx_op_record *r, int k);

/** Inputs of a RELU_BWD. Y: with a mask x, which it cannot be told from. */
enum { SPX_RELU_BWD_Y, SPX_RELU_BWD_DY, SPX_RELU_BWD_MASK, SPX_RELU_BWD_INPUTS };

/** How many slots of a list come once, before those that repeat. */
int spx_op_fixed(const spx_slot *list, int repeat);

/** Terms of a node that has a norm sum's, whose first one is input `first`. */
static inline int spx_node_terms(const spx_node *nd, int first)
{
    return (nd->n_in - first) / SPX_TERM_FIELDS;
}

/**
 * Defines, for an op's attributes: TYPE TYPE_of(node), and spx_attr TYPE_attr(value) for
 * spx_g_append. Where merges_twins the type may have no padding: nodes are compared by bytes.
 */
#define SPX_OP_ATTR(linkage, type)                                                                 \
    _Static_assert(sizeof(type) <= SPX_ATTR_BYTES, "attributes are too large");                    \
    linkage type type##_of(const spx_node *nd)                                                     \
    {                                                                                              \
        type a;                                                                                    \
        memcpy(&a, nd->attr.bytes, sizeof a);                                                      \
        return a;                                                                                  \
    }                                                                                              \
    static inline spx_attr type##_attr(type a)                                                     \
    {                                                                                              \
        spx_attr b = {{0}};                                                                        \
        memcpy(b.bytes, &a, sizeof a);                                                             \
        return b;                                                                                  \
    }

/* ---- for the builders ---- */

/**
 * Appends a node over in[0..n_in-1] and its outputs; checks them by the op's record. What the op
 * wants dense and is a view is copied before.
 * @param attr NULL: none
 * @return the first output, or SPX_NO_TENSOR with an error kept
 */
spx_tid spx_g_append(spx_graph *g, spx_op op, const spx_attr *attr, int n_in, const spx_tid *in,
                     const char *name);
/** "<name>.<part>" as a parameter. */
spx_tid spx_g_param_part(spx_graph *g, spx_role role, const char *name, const char *part, int rank,
                         const int64_t *dim, spx_init init);
/** Whether some node so far wants t dense. */
bool spx_g_read_dense(const spx_graph *g, spx_tid t);
/** An output of the shape of t. */
static inline spx_shape spx_shape_of(const spx_graph *g, spx_tid t)
{
    const spx_tensor *x = &g->tensor[t];
    return (spx_shape){x->rank, {x->dim[0], x->dim[1], x->dim[2], x->dim[3]}};
}

/** infer of ops whose output has the shape of their first input. */
spx_status spx_infer_as_input(const spx_graph *g, const spx_node *nd, spx_shape *out);

#define SPX_OP_DECLARATION(NAME, record) extern const spx_op_record spx_op_##record;
SPX_OPS(SPX_OP_DECLARATION)
#undef SPX_OP_DECLARATION

#endif
