#include "search/supernet/supernet.h"

#include "host/train/memory.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* Of the forward work, done twice: about 2 % of a step's time for 22 % of its memory
 * (host/graph/README.md). */
#define RECOMPUTE 0.05f

static spx_status make_program(spx_supernet *s, spx_pass pass, bool reference,
                               struct spx_tuning *tuning)
{
    spx_supernet_config c = s->config;
    spx_network net;
    spx_status st;
    c.training = pass != SPX_PASS_EVAL;
    SPX_RETURN_IF(spx_build_supernet(&net, &c));
    st = spx_memory_check(net.graph, s->stream, c.training ? 3 : 1);
    if (st == SPX_OK) {
        const spx_loss_seed seed = {net.loss, 1.0f};
        const spx_tid output[2] = {net.logits, net.loss};
        const spx_program_options o = {
            .loss = &seed,
            .n_loss = c.training ? 1 : 0,
            .grad_weights = pass == SPX_PASS_WEIGHTS || pass == SPX_PASS_BOTH,
            .grad_arch = pass == SPX_PASS_ALPHAS || pass == SPX_PASS_BOTH,
            .output = output,
            .n_output = c.training ? 2 : 1,
            .no_fusion = reference,
            .reference = reference,
            .tuning = tuning,
            .recompute = c.training ? RECOMPUTE : 0.0f,
        };
        st = spx_program_create(&s->program[pass], net.graph, s->stream, &o);
    }
    spx_network_clear(&net);
    return st;
}

spx_status spx_supernet_init(spx_supernet *out, spx_stream *stream, const spx_supernet_config *c,
                             unsigned passes, struct spx_tuning *tuning)
{
    spx_status st;
    size_t most = 0;
    memset(out, 0, sizeof *out);
    out->config = *c;
    out->stream = stream;
    for (int pass = 0; pass < SPX_PASS_COUNT; pass++) {
        size_t bytes;
        if ((passes & SPX_PASS_BIT(pass)) == 0) {
            continue;
        }
        SPX_TRY(st, make_program(out, (spx_pass)pass, (passes & SPX_PASSES_REFERENCE) != 0, tuning),
                fail);
        bytes = spx_program_workspace_bytes(out->program[pass]);
        most = bytes > most ? bytes : most;
        if (out->layout == NULL) {
            out->layout = spx_program_layout(out->program[pass]);
        } else if (!spx_layout_equal(out->layout, spx_program_layout(out->program[pass]))) {
            SPX_TRY(st, SPX_FAIL(SPX_EINVAL, "supernet: passes disagree about the layout"), fail);
        }
    }
    if (out->layout == NULL) {
        SPX_TRY(st, SPX_FAIL(SPX_EINVAL, "supernet: no passes"), fail);
    }
    SPX_TRY(st, spx_buffer_alloc(&out->workspace, stream, most), fail);
    return SPX_OK;
fail:
    spx_supernet_clear(out);
    return st;
}

void spx_supernet_clear(spx_supernet *s)
{
    for (int pass = 0; pass < SPX_PASS_COUNT; pass++) {
        spx_program_destroy(s->program[pass]);
    }
    spx_buffer_free(&s->workspace);
    memset(s, 0, sizeof *s);
}

spx_status spx_supernet_pass(spx_supernet *s, spx_pass pass, const spx_supernet_run *r,
                             spx_buffer *logits, spx_buffer *loss)
{
    spx_program *p = s->program[pass];
    const void *input[2] = {r->images, r->labels};
    const spx_binding b = {.weights = r->weights,
                           .arch = r->alphas,
                           .state = r->state,
                           .update_state = r->update_state,
                           .weight_grad = r->weight_grad,
                           .arch_grad = r->alpha_grad,
                           .workspace = s->workspace,
                           .input = input};
    if (p == NULL) {
        return SPX_FAIL(SPX_EINVAL, "supernet: built without pass %d", (int)pass);
    }
    SPX_RETURN_IF(spx_program_run(p, &b));
    if (logits != NULL) {
        *logits = spx_program_output(p, &b, 0);
    }
    if (loss != NULL && pass != SPX_PASS_EVAL) {
        *loss = spx_program_output(p, &b, 1);
    }
    return SPX_OK;
}

/* Every supernet has these. */
static float *row_of(const spx_layout *l, const char *name, float *arena)
{
    const spx_layout_entry *e = spx_layout_find(l, name);
    assert(e != NULL && e->count % SPX_PRIMITIVE_COUNT == 0);
    return arena + e->offset;
}

spx_status spx_supernet_alphas(const spx_supernet *s, const spx_buffer *alphas,
                               float *normal[SPX_CELL_NODES], float *reduce[SPX_CELL_NODES])
{
    float *at = alphas->data;
    SPX_RETURN_IF(spx_buffer_check(alphas, SPX_DEVICE_CPU,
                                   spx_layout_bytes(s->layout, SPX_ROLE_ARCH), "alphas"));
    for (int i = 0; i < SPX_CELL_NODES; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "alpha_normal.%d", i);
        normal[i] = row_of(s->layout, name, at);
        (void)snprintf(name, sizeof name, "alpha_reduce.%d", i);
        reduce[i] = row_of(s->layout, name, at);
    }
    return SPX_OK;
}

spx_status spx_supernet_gates(const spx_supernet *s, const spx_buffer *alphas, float *gate[2])
{
    SPX_RETURN_IF(spx_buffer_check(alphas, SPX_DEVICE_CPU,
                                   spx_layout_bytes(s->layout, SPX_ROLE_ARCH), "gates"));
    if (!s->config.gated) {
        return SPX_FAIL(SPX_EINVAL, "supernet: it has no gates");
    }
    gate[0] = (float *)alphas->data + spx_layout_find(s->layout, "gate_normal")->offset;
    gate[1] = (float *)alphas->data + spx_layout_find(s->layout, "gate_reduce")->offset;
    return SPX_OK;
}

spx_status spx_supernet_genotype(const spx_supernet *s, const spx_buffer *alphas, spx_genotype *out)
{
    float *normal[SPX_CELL_NODES], *reduce[SPX_CELL_NODES];
    SPX_RETURN_IF(spx_supernet_alphas(s, alphas, normal, reduce));
    spx_genotype_from_alphas(out, (const float *const *)normal, (const float *const *)reduce);
    out->space = s->config.space;
    return SPX_OK;
}

/* Entropy of softmax(row) over that of the uniform distribution; *largest is the row's argmax. */
static double row_entropy(const float row[SPX_PRIMITIVE_COUNT], int *largest)
{
    double sum = 0, mean = 0;
    int top = 0;
    for (int k = 1; k < SPX_PRIMITIVE_COUNT; k++) {
        top = row[k] > row[top] ? k : top;
    }
    for (int k = 0; k < SPX_PRIMITIVE_COUNT; k++) {
        const double d = (double)row[k] - (double)row[top];
        sum += exp(d);
        mean += exp(d) * d;
    }
    *largest = top;
    return (log(sum) - mean / sum) / log((double)SPX_PRIMITIVE_COUNT); /* -sum p log p */
}

spx_status spx_supernet_collapse(const spx_supernet *s, const spx_buffer *alphas, spx_collapse *out)
{
    float *cell[2][SPX_CELL_NODES];
    spx_genotype g;
    int skips = 0, nones = 0;
    double entropy = 0;
    SPX_RETURN_IF(spx_supernet_alphas(s, alphas, cell[0], cell[1]));
    spx_genotype_from_alphas(&g, (const float *const *)cell[0], (const float *const *)cell[1]);
    for (int i = 0; i < SPX_CELL_NODES; i++) {
        for (int e = 0; e < SPX_NODE_EDGES; e++) {
            skips += g.normal.edge[i][e].primitive == SPX_SKIP_CONNECT;
        }
        for (int kind = 0; kind < 2; kind++) {
            for (int from = 0; from < 2 + i; from++) {
                int top;
                entropy += row_entropy(cell[kind][i] + from * SPX_PRIMITIVE_COUNT, &top);
                nones += top == SPX_NONE;
            }
        }
    }
    out->skip_share = (double)skips / (SPX_CELL_NODES * SPX_NODE_EDGES);
    out->none_share = (double)nones / (2 * SPX_CELL_EDGES);
    out->entropy = entropy / (2 * SPX_CELL_EDGES);
    out->warn = out->skip_share > 0.5 || out->none_share > 0.5;
    return SPX_OK;
}
