/* Running a graph on stored numbers. */
#include "tests/golden_check/golden.h"

#include "kernels/base/alloc.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static spx_status alloc_arena(float **out, int64_t floats)
{
    return spx_calloc((void **)out, (size_t)floats + 1, sizeof **out);
}

spx_status golden_engine_open(golden_engine *e, const spx_graph *g, const spx_program_options *p,
                              const golden_options *o)
{
    spx_program_options options = *p;
    spx_status st;
    memset(e, 0, sizeof *e);
    e->graph = g;
    options.no_fusion = o->no_fusion;
    options.reference = o->reference;
    SPX_TRY(st, spx_program_create(&e->program, g, o->stream, &options), fail);
    e->layout = spx_program_layout(e->program);
    const int64_t *floats = e->layout->floats;
    SPX_TRY(st, alloc_arena(&e->weights, floats[SPX_ROLE_WEIGHT]), fail);
    SPX_TRY(st, alloc_arena(&e->weight_grad, floats[SPX_ROLE_WEIGHT]), fail);
    SPX_TRY(st, alloc_arena(&e->arch, floats[SPX_ROLE_ARCH]), fail);
    SPX_TRY(st, alloc_arena(&e->arch_grad, floats[SPX_ROLE_ARCH]), fail);
    SPX_TRY(st, alloc_arena(&e->state, floats[SPX_ROLE_STATE]), fail);
    const size_t workspace = spx_program_workspace_bytes(e->program);
    SPX_TRY(st, spx_alloc(&e->workspace, workspace + 1), fail);
    memset(e->workspace, 0xff,
           workspace); /* NaN: what the program does not write must not matter */
    for (int t = 0; t < g->n_tensors; t++) {
        e->n_inputs += g->tensor[t].role == SPX_ROLE_INPUT;
    }
    if (e->n_inputs > GOLDEN_MAX_INPUTS) {
        st = SPX_FAIL(SPX_EINVAL, "a graph of %d inputs", e->n_inputs);
        goto fail;
    }
    return SPX_OK;
fail:
    golden_engine_close(e);
    return st;
}

void golden_engine_close(golden_engine *e)
{
    spx_program_destroy(e->program);
    spx_free(e->weights);
    spx_free(e->weight_grad);
    spx_free(e->arch);
    spx_free(e->arch_grad);
    spx_free(e->state);
    spx_free(e->workspace);
    for (int i = 0; i < GOLDEN_MAX_INPUTS; i++) {
        spx_free(e->input[i]);
    }
    memset(e, 0, sizeof *e);
}

/* Where input `name` stands among the inputs; -1: nowhere. */
static int input_index(const spx_graph *g, const char *name, size_t *bytes)
{
    int k = 0;
    for (int t = 0; t < g->n_tensors; t++) {
        if (g->tensor[t].role == SPX_ROLE_INPUT) {
            if (strcmp(g->tensor[t].name, name) == 0) {
                *bytes = (size_t)spx_tensor_count(&g->tensor[t]) * 4; /* f32 and i32 alike */
                return k;
            }
            k++;
        }
    }
    return -1;
}

spx_status golden_engine_input(golden_engine *e, const char *name, void *data)
{
    size_t bytes = 0;
    const int k = input_index(e->graph, name, &bytes);
    spx_status st = k < 0 ? SPX_FAIL(SPX_EFORMAT, "the network has no input %s", name) : SPX_OK;
    if (st == SPX_OK && e->input[k] == NULL) {
        st = spx_alloc(&e->input[k], bytes); /* aligned, as the engine asks */
    }
    if (st == SPX_OK) {
        memcpy(e->input[k], data, bytes);
    }
    free(data);
    return st;
}

spx_status golden_engine_run(golden_engine *e, bool update_state)
{
    e->binding = (spx_binding){.weights = e->weights,
                               .arch = e->arch,
                               .state = e->state,
                               .update_state = update_state,
                               .weight_grad = e->weight_grad,
                               .arch_grad = e->arch_grad,
                               .workspace = e->workspace,
                               .input = (const void *const *)e->input};
    return spx_program_run(e->program, &e->binding);
}

/* ---- the probe; see golden.h ---- */

#define PROBE_SCALE 0x1p-60f

spx_tid golden_probe(spx_graph *g, spx_tid y)
{
    if (g->status != SPX_OK || y == SPX_NO_TENSOR) {
        return SPX_NO_TENSOR;
    }
    const int64_t n = g->tensor[y].dim[0];
    spx_g_scope(g, "%s", "");
    const spx_tid label = spx_g_input(g, "probe.label", SPX_I32, 1, &n);
    return spx_g_cross_entropy(g, spx_g_linear(g, y, "probe", 2 * n), label, 0.0f, "probe.loss");
}

spx_loss_seed golden_probe_seed(spx_tid loss, int64_t n)
{
    return (spx_loss_seed){loss, (float)n / PROBE_SCALE};
}

spx_status golden_probe_load(golden_engine *e, const float *v, size_t n, size_t count)
{
    const spx_layout_entry *w = spx_layout_find(e->layout, "probe.weight");
    int32_t *label = calloc(n, sizeof *label);
    if (w == NULL || (size_t)w->count != 2 * n * count || label == NULL) {
        free(label);
        return SPX_FAIL(SPX_EINVAL, "probe of %zu images", n);
    }
    float *minus = e->weights + w->offset, *plus = minus + n * count;
    for (size_t i = 0; i < n * count; i++) {
        plus[i] = PROBE_SCALE * v[i];
        minus[i] = -plus[i];
    }
    for (size_t i = 0; i < n; i++) {
        label[i] = (int32_t)i;
    }
    return golden_engine_input(e, "probe.label", label);
}
