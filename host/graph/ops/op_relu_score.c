/* What a batch tells of the positions of masked ReLUs (kernels/nn/relu_score). Nobody builds it: a
 * pass puts it before what hands a masked ReLU's gradient on, whose operands it reads. */
#include "host/graph/exec_private.h"
#include "host/graph/passes_private.h"
#include "kernels/base/alloc.h"
#include "kernels/nn/relu_score/relu_score.h"

enum { SCORE_X, SCORE_G, SCORE_INPUTS };
enum { SCORE_MAP, SCORE_SQUARE, SCORE_OUTPUTS };

static bool is_masked(const spx_node *nd)
{
    return nd->op == SPX_OP_RELU_BWD && nd->in[SPX_RELU_BWD_MASK] != SPX_NO_TENSOR;
}

/* Appends the node for node i. */
static spx_status append(spx_graph *g, int i)
{
    const spx_tid x = g->node[i].in[SPX_RELU_BWD_Y], dy = g->node[i].in[SPX_RELU_BWD_DY];
    int64_t d[SPX_MAX_RANK];
    memcpy(d, g->tensor[x].dim, sizeof d);
    const spx_tid map = spx_graph_new_tensor(g, SPX_ROLE_ACTIVATION, SPX_F32, 2,
                                             (int64_t[]){SPX_SCORE_MAPS, d[1] * d[2] * d[3]}, NULL);
    const spx_tid square =
        spx_graph_new_tensor(g, SPX_ROLE_ACTIVATION, SPX_F32, 1, (int64_t[]){d[0]}, NULL);
    spx_node *nd =
        spx_graph_new_node(g, SPX_OP_RELU_SCORE, SCORE_INPUTS, SCORE_OUTPUTS, g->node[i].name);
    if (nd == NULL) {
        return spx_graph_status(g);
    }
    nd->block = g->node[i].block;
    nd->in[SCORE_X] = x;
    nd->in[SCORE_G] = dy;
    nd->out[SCORE_MAP] = map;
    nd->out[SCORE_SQUARE] = square;
    return SPX_OK;
}

/* Moves what was appended behind n nodes to before the nodes it was appended for. */
static spx_status move(spx_graph *g, int n)
{
    spx_node *list;
    int score = n, k = 0;
    SPX_RETURN_IF(SPX_NEW(list, (size_t)g->n_nodes + 1));
    for (int i = 0; i < n; i++) {
        if (is_masked(&g->node[i])) {
            list[k++] = g->node[score++];
        }
        list[k++] = g->node[i];
    }
    memcpy(g->node, list, sizeof *list * (size_t)k);
    spx_free(list);
    return SPX_OK;
}

spx_status spx_pass_score_relus(spx_graph *g, spx_tid **out, int *n_out)
{
    const int n = g->n_nodes;
    int scores, k = 0;
    for (int i = 0; i < n; i++) {
        if (is_masked(&g->node[i])) {
            SPX_RETURN_IF(append(g, i));
        }
    }
    scores = g->n_nodes - n;
    if (scores == 0) {
        return SPX_FAIL(SPX_EINVAL, "a graph without masked ReLUs has none to score");
    }
    SPX_RETURN_IF(SPX_NEW(*out, SCORE_OUTPUTS * (size_t)scores));
    for (int i = g->n_nodes - 1; i >= n; i--) { /* gradients come last layer first */
        memcpy(*out + SCORE_OUTPUTS * k++, g->node[i].out, SCORE_OUTPUTS * sizeof **out);
    }
    *n_out = SCORE_OUTPUTS * scores;
    return move(g, n);
}

static spx_status run(const spx_exec *e, int i)
{
    const spx_node *nd = &e->g->node[i];
    const int64_t *d = e->g->tensor[nd->in[SCORE_X]].dim;
    return spx_relu_score(e->stream, d[0], d[1], d[2] * d[3], spx_exec_operand(e, nd->in[SCORE_X]),
                          spx_exec_operand(e, nd->in[SCORE_G]),
                          spx_exec_data(e, nd->out[SCORE_MAP]),
                          spx_exec_data(e, nd->out[SCORE_SQUARE]));
}

const spx_op_record spx_op_relu_score = {
    .name = "relu_score",
    .in = {{"x", 4}, {"g", 4}},
    .out = {{"map", 2}, {"square", 1}},
    .run = run,
};
