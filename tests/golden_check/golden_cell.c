/* search_cell_*.h5: one cell of the supernet. */
#include "tests/golden_check/golden.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct cell_case {
    int64_t s0[4], s1[4], out[4];
    bool previous_reduces, reduces;
    spx_space space;
} cell_case;

/* The cell as a graph, and its interesting tensors. */
typedef struct cell_graph {
    spx_graph *g;
    spx_tid s0, s1, y;
    spx_alphas alphas;
} cell_graph;

static spx_status describe(cell_case *c, const spx_h5 *f)
{
    int64_t previous, reduces;
    SPX_RETURN_IF(golden_int(f, "", "reduction_p", &previous));
    SPX_RETURN_IF(golden_int(f, "", "reduction", &reduces));
    c->previous_reduces = previous != 0;
    c->reduces = reduces != 0;
    c->space = spx_h5_has_attr(f, "", "space") ? SPX_SPACE_RELU_OPS : SPX_SPACE_SPHYNX;
    SPX_RETURN_IF(golden_dims(f, "s0", 4, c->s0));
    SPX_RETURN_IF(golden_dims(f, "s1", 4, c->s1));
    return golden_dims(f, "output_train", 4, c->out);
}

static spx_status build(cell_graph *n, const cell_case *c, bool training)
{
    SPX_RETURN_IF(spx_graph_create(&n->g, training));
    n->s0 = spx_g_input(n->g, "s0", SPX_F32, 4, c->s0);
    n->s1 = spx_g_input(n->g, "s1", SPX_F32, 4, c->s1);
    n->alphas = spx_build_alphas(n->g, "alpha");
    n->y = spx_build_search_cell(n->g, c->space, n->s0, n->s1, c->out[1], c->previous_reduces,
                                 c->reduces, &n->alphas, "");
    return spx_graph_status(n->g);
}

static size_t count(const int64_t d[4])
{
    return (size_t)(d[0] * d[1] * d[2] * d[3]);
}

static spx_status load(golden_engine *e, const spx_h5 *f, const cell_case *c)
{
    float *x;
    SPX_RETURN_IF(golden_floats(f, "s0", count(c->s0), &x));
    SPX_RETURN_IF(golden_engine_input(e, "s0", x));
    SPX_RETURN_IF(golden_floats(f, "s1", count(c->s1), &x));
    SPX_RETURN_IF(golden_engine_input(e, "s1", x));
    SPX_RETURN_IF(golden_load(f, "param", e->layout, SPX_ROLE_WEIGHT, e->weights, "probe.", true));
    SPX_RETURN_IF(golden_load(f, "buffer_before", e->layout, SPX_ROLE_STATE, e->state, NULL, true));
    for (int i = 0; i < SPX_CELL_NODES; i++) {
        char stored[16], own[16];
        (void)snprintf(stored, sizeof stored, "alpha/%d", i);
        (void)snprintf(own, sizeof own, "alpha.%d", i);
        const spx_layout_entry *a = spx_layout_find(e->layout, own);
        SPX_RETURN_IF(spx_h5_read(f, stored, SPX_H5_F32, e->arch + a->offset, (size_t)a->count));
    }
    return SPX_OK;
}

static spx_status check_eval(golden_report *r, const golden_options *o, const cell_case *c)
{
    cell_graph n = {0};
    golden_engine e = {0};
    spx_status st;
    SPX_TRY(st, build(&n, c, false), done);
    const spx_program_options p = {.output = &n.y, .n_output = 1};
    SPX_TRY(st, golden_engine_open(&e, n.g, &p, o), done);
    SPX_TRY(st, load(&e, r->file, c), done);
    SPX_TRY(st, golden_engine_run(&e, false), done);
    st = golden_compare_one(r, "output_eval", GOLDEN_EXACT, golden_output(&e, 0), count(c->out));
done:
    golden_engine_close(&e);
    spx_graph_destroy(n.g);
    return st;
}

/* `which` of the alphas' quantities, four tensors GROUP/0..3. */
static spx_status compare_alphas(golden_report *r, const golden_engine *e, const char *group)
{
    golden_begin(r, group, GOLDEN_EXACT);
    for (int i = 0; i < SPX_CELL_NODES; i++) {
        char stored[32], own[16];
        (void)snprintf(stored, sizeof stored, "%s/%d", group, i);
        (void)snprintf(own, sizeof own, "alpha.%d", i);
        const spx_layout_entry *a = spx_layout_find(e->layout, own);
        const float *got = e->arch_grad + a->offset;
        if (group[0] == 'w') {
            got = golden_output(e, 1 + i);
        } else if (group[5] == 'w') {
            got = golden_gradient(e, 2 + i);
        }
        SPX_RETURN_IF(golden_compare(r, stored, got, (size_t)a->count));
    }
    golden_end(r);
    return SPX_OK;
}

static spx_status compare_train(golden_report *r, const golden_engine *e, const cell_case *c,
                                golden_rule gradients)
{
    SPX_RETURN_IF(
        golden_compare_one(r, "output_train", GOLDEN_EXACT, golden_output(e, 0), count(c->out)));
    SPX_RETURN_IF(compare_alphas(r, e, "w_dag"));
    SPX_RETURN_IF(golden_compare_one(r, "grad_s0", gradients, golden_gradient(e, 0), count(c->s0)));
    SPX_RETURN_IF(golden_compare_one(r, "grad_s1", gradients, golden_gradient(e, 1), count(c->s1)));
    SPX_RETURN_IF(compare_alphas(r, e, "grad_w_dag"));
    SPX_RETURN_IF(compare_alphas(r, e, "grad_alpha"));
    SPX_RETURN_IF(golden_compare_group(r, "grad_param", gradients, e->layout, e->weight_grad, NULL,
                                       NULL, NULL));
    return golden_compare_group(r, "buffer_after", GOLDEN_EXACT, e->layout, NULL, NULL, e->state,
                                NULL);
}

static spx_status check_train(golden_report *r, const golden_options *o, const cell_case *c)
{
    cell_graph n = {0};
    golden_engine e = {0};
    float *upstream = NULL;
    spx_status st;
    SPX_TRY(st, build(&n, c, true), done);
    const spx_loss_seed loss = golden_probe_seed(golden_probe(n.g, n.y), c->out[0]);
    const spx_tid *w = n.alphas.weight;
    const spx_tid outputs[] = {n.y, w[0], w[1], w[2], w[3]};
    const spx_tid grads[] = {n.s0, n.s1, w[0], w[1], w[2], w[3]};
    const spx_program_options p = {.loss = &loss,
                                   .n_loss = 1,
                                   .grad_weights = true,
                                   .grad_arch = true,
                                   .output = outputs,
                                   .n_output = 5,
                                   .grad = grads,
                                   .n_grad = 6};
    SPX_TRY(st, golden_engine_open(&e, n.g, &p, o), done);
    SPX_TRY(st, load(&e, r->file, c), done);
    SPX_TRY(st, golden_floats(r->file, "grad_output", count(c->out), &upstream), done);
    SPX_TRY(st,
            golden_probe_load(&e, upstream, (size_t)c->out[0], count(c->out) / (size_t)c->out[0]),
            done);
    golden_rule gradients = GOLDEN_EXACT;
    gradients.zero = golden_zero_noise(upstream, c->out);
    SPX_TRY(st, golden_engine_run(&e, true), done);
    st = compare_train(r, &e, c, gradients);
done:
    free(upstream);
    golden_engine_close(&e);
    spx_graph_destroy(n.g);
    return st;
}

spx_status golden_check_cell(golden_report *r, const golden_options *o)
{
    cell_case c;
    SPX_RETURN_IF(describe(&c, r->file));
    SPX_RETURN_IF(check_eval(r, o, &c));
    return check_train(r, o, &c);
}
