/* Running a graph on stored numbers. */
#include "tests/golden_check/golden.h"

#include "kernels/base/alloc.h"
#include "kernels/device/device_memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The arenas, each in the host's memory and in the device's. */
static const struct {
    spx_role role, like; /* like: whose layout it has */
    size_t host;         /* of golden_engine */
} arenas[] = {
    {SPX_ROLE_WEIGHT, SPX_ROLE_WEIGHT, offsetof(golden_engine, weights)},
    {SPX_ROLE_WEIGHT_GRAD, SPX_ROLE_WEIGHT, offsetof(golden_engine, weight_grad)},
    {SPX_ROLE_ARCH, SPX_ROLE_ARCH, offsetof(golden_engine, arch)},
    {SPX_ROLE_ARCH_GRAD, SPX_ROLE_ARCH, offsetof(golden_engine, arch_grad)},
    {SPX_ROLE_STATE, SPX_ROLE_STATE, offsetof(golden_engine, state)},
};
#define N_ARENAS ((int)(sizeof arenas / sizeof arenas[0]))

static float **arena_of(golden_engine *e, int a)
{
    return (float **)(void *)((char *)e + arenas[a].host);
}

static spx_status make_workspace(golden_engine *e)
{
    const size_t bytes = spx_program_workspace_bytes(e->program);
    void *nan;
    spx_status st;
    SPX_RETURN_IF(spx_buffer_alloc(&e->workspace, e->stream, bytes));
    SPX_RETURN_IF(spx_alloc(&nan, bytes + 1));
    memset(nan, 0xff, bytes + 1); /* what the program does not write must not matter */
    st = spx_upload(e->stream, e->workspace.data, nan, bytes);
    spx_free(nan);
    return st;
}

/* Room for every output and gradient. */
static spx_status make_outputs(golden_engine *e, const spx_program_options *p)
{
    e->n_outputs = p->n_output;
    e->n_grads = p->n_grad;
    if (p->n_output + p->n_grad > GOLDEN_MAX_OUTPUTS) {
        return SPX_FAIL(SPX_EINVAL, "a program of %d outputs", p->n_output + p->n_grad);
    }
    for (int i = 0; i < p->n_output + p->n_grad; i++) {
        const spx_tid t = i < p->n_output ? p->output[i] : p->grad[i - p->n_output];
        const size_t count = (size_t)spx_tensor_count(&e->graph->tensor[t]);
        SPX_RETURN_IF(spx_alloc((void **)&e->output[i], count * sizeof(float)));
    }
    return SPX_OK;
}

spx_status golden_engine_open(golden_engine *e, const spx_graph *g, const spx_program_options *p,
                              const golden_options *o)
{
    spx_program_options options = *p;
    spx_status st;
    memset(e, 0, sizeof *e);
    e->graph = g;
    e->stream = o->stream;
    options.no_fusion = o->no_fusion;
    options.reference = o->reference;
    SPX_TRY(st, spx_program_create(&e->program, g, o->stream, &options), fail);
    e->layout = spx_program_layout(e->program);
    for (int a = 0; a < N_ARENAS; a++) {
        spx_buffer *device = &e->arena[arenas[a].role], host;
        SPX_TRY(st, spx_layout_arena(e->layout, NULL, arenas[a].like, &host), fail);
        *arena_of(e, a) = host.data; /* for spx_free */
        SPX_TRY(st, spx_layout_arena(e->layout, e->stream, arenas[a].like, device), fail);
    }
    SPX_TRY(st, make_workspace(e), fail);
    SPX_TRY(st, make_outputs(e, p), fail);
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
    for (int a = 0; a < N_ARENAS; a++) {
        spx_free(*arena_of(e, a));
        spx_buffer_free(&e->arena[arenas[a].role]);
    }
    spx_buffer_free(&e->workspace);
    for (int i = 0; i < GOLDEN_MAX_INPUTS; i++) {
        spx_free(e->input[i]);
        spx_device_free(e->stream, e->bound[i]);
    }
    for (int i = 0; i < GOLDEN_MAX_OUTPUTS; i++) {
        spx_free(e->output[i]);
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

/* Copies (n, c, hw) to (n, hw, c). */
static void to_nhwc(const float *x, const int64_t d[4], float *y)
{
    const int64_t c = d[1], hw = d[2] * d[3];
    for (int64_t n = 0; n < d[0]; n++) {
        for (int64_t k = 0; k < c; k++) {
            for (int64_t i = 0; i < hw; i++) {
                y[(n * hw + i) * c + k] = x[(n * c + k) * hw + i];
            }
        }
    }
}

spx_status golden_put_images(spx_stream *s, const float *x, const int64_t dims[4], void *device)
{
    const size_t bytes = (size_t)(dims[0] * dims[1] * dims[2] * dims[3]) * sizeof(float);
    void *turned;
    spx_status st;
    if (spx_stream_device(s) == SPX_DEVICE_CPU) {
        return spx_upload(s, device, x, bytes);
    }
    SPX_RETURN_IF(spx_alloc(&turned, bytes));
    to_nhwc(x, dims, turned);
    st = spx_upload(s, device, turned, bytes);
    spx_free(turned);
    return st;
}

static spx_status upload_input(golden_engine *e, const spx_tensor *t, int k)
{
    const size_t bytes = (size_t)spx_tensor_count(t) * 4; /* f32 and i32 alike */
    if (e->bound[k] == NULL) {
        SPX_RETURN_IF(spx_device_alloc(e->stream, &e->bound[k], bytes));
    }
    return t->rank == 4 ? golden_put_images(e->stream, e->input[k], t->dim, e->bound[k])
                        : spx_upload(e->stream, e->bound[k], e->input[k], bytes);
}

/* What was given; the rest stays unbound. */
static spx_status upload_inputs(golden_engine *e)
{
    int k = 0;
    for (int t = 0; t < e->graph->n_tensors; t++) {
        if (e->graph->tensor[t].role == SPX_ROLE_INPUT) {
            if (e->input[k] != NULL) {
                SPX_RETURN_IF(upload_input(e, &e->graph->tensor[t], k));
            }
            k++;
        }
    }
    return SPX_OK;
}

static spx_buffer host_arena(golden_engine *e, int a)
{
    return (spx_buffer){.data = *arena_of(e, a),
                        .bytes = spx_layout_bytes(e->layout, arenas[a].like)};
}

spx_status golden_engine_run(golden_engine *e, bool update_state)
{
    const spx_binding b = {.weights = e->arena[SPX_ROLE_WEIGHT],
                           .arch = e->arena[SPX_ROLE_ARCH],
                           .state = e->arena[SPX_ROLE_STATE],
                           .update_state = update_state,
                           .weight_grad = e->arena[SPX_ROLE_WEIGHT_GRAD],
                           .arch_grad = e->arena[SPX_ROLE_ARCH_GRAD],
                           .workspace = e->workspace,
                           .input = (const void *const *)e->bound};
    for (int a = 0; a < N_ARENAS; a++) {
        const spx_buffer host = host_arena(e, a);
        SPX_RETURN_IF(spx_layout_upload(e->layout, e->stream, arenas[a].like, &host,
                                        &e->arena[arenas[a].role]));
    }
    SPX_RETURN_IF(upload_inputs(e));
    SPX_RETURN_IF(spx_program_run(e->program, &b));
    for (int a = 0; a < N_ARENAS; a++) {
        const spx_buffer host = host_arena(e, a);
        SPX_RETURN_IF(spx_layout_download(e->layout, e->stream, arenas[a].like,
                                          &e->arena[arenas[a].role], &host));
    }
    for (int i = 0; i < e->n_outputs; i++) {
        SPX_RETURN_IF(spx_program_read(e->program, &b, i, e->output[i]));
    }
    for (int i = 0; i < e->n_grads; i++) {
        SPX_RETURN_IF(spx_program_read_grad(e->program, &b, i, e->output[e->n_outputs + i]));
    }
    return SPX_OK;
}

const float *golden_output(const golden_engine *e, int i)
{
    return e->output[i];
}

const float *golden_gradient(const golden_engine *e, int i)
{
    return e->output[e->n_outputs + i];
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
