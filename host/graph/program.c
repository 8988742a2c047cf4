#include "host/graph/program.h"

#include "host/graph/autodiff_private.h"
#include "host/graph/exec_private.h"
#include "host/graph/graph_private.h"
#include "host/graph/layout_private.h"
#include "host/graph/node_lanes_private.h"
#include "host/graph/passes_private.h"
#include "host/graph/placement_private.h"
#include "kernels/base/alloc.h"
#include "kernels/base/log.h"
#include "kernels/device/device_memory.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct spx_program {
    spx_graph *g;
    spx_layout layout;
    const spx_device_traits *device;
    spx_exec exec;
    size_t workspace;
    spx_tid *output, *grad, *score;
    int n_output, n_grad, n_score; /* score: two of each masked ReLU */
    bool grad_weights, grad_arch;  /* what runs write */
    /* Devices with lanes; else nodes run as they stand. */
    bool scheduled, sequential; /* sequential: in the schedule's order, on lane 0 */
    spx_node_lanes schedule;
    spx_event *fork, **mark; /* [schedule.n], NULL where nobody waits */
    bool profiling;
    spx_event **clock; /* profiling with events: [n_nodes + 1] */
    double seconds[SPX_OP_COUNT];
    int64_t calls[SPX_OP_COUNT];
};

static void destroy_events(spx_event **list, int n)
{
    for (int i = 0; list != NULL && i < n; i++) {
        spx_event_destroy(list[i]);
    }
    free(list);
}

void spx_program_destroy(spx_program *p)
{
    if (p == NULL) {
        return;
    }
    spx_exec_clear(&p->exec); /* waits */
    destroy_events(p->mark, p->schedule.n);
    destroy_events(p->clock, p->g != NULL ? p->g->n_nodes + 1 : 0);
    spx_event_destroy(p->fork);
    spx_node_lanes_clear(&p->schedule);
    spx_graph_destroy(p->g);
    spx_layout_clear(&p->layout);
    free(p->output);
    free(p->grad);
    spx_free(p->score);
    free(p);
}

/* A copy of n ids; *out is NULL for none. */
static spx_status copy_ids(spx_tid **out, const spx_tid *ids, int n)
{
    *out = NULL;
    if (n > 0) {
        *out = malloc(sizeof(spx_tid) * (size_t)n);
        if (*out == NULL) {
            return SPX_FAIL(SPX_ENOMEM, "%d tensor ids", n);
        }
        memcpy(*out, ids, sizeof(spx_tid) * (size_t)n);
    }
    return SPX_OK;
}

static spx_status check_options(const spx_graph *g, const spx_program_options *o)
{
    SPX_RETURN_IF(spx_graph_status(g));
    if (o->n_loss > 0 && !o->grad_weights && !o->grad_arch && o->n_grad == 0) {
        return SPX_FAIL(SPX_EINVAL, "a program with losses but no gradient to compute");
    }
    if (o->n_loss == 0 && o->n_output == 0) {
        return SPX_FAIL(SPX_EINVAL, "a program that computes nothing");
    }
    if (!(o->recompute >= 0.0f && o->recompute <= 1.0f)) {
        return SPX_FAIL(SPX_EINVAL, "recomputed share %g is not in 0..1", (double)o->recompute);
    }
    if (o->score_relus && o->n_loss == 0) {
        return SPX_FAIL(SPX_EINVAL, "scores of ReLUs without a loss");
    }
    for (int k = 0; k < o->n_output + o->n_grad; k++) {
        const spx_tid t = k < o->n_output ? o->output[k] : o->grad[k - o->n_output];
        if (t < 0 || t >= g->n_tensors || g->tensor[t].parent != SPX_NO_TENSOR) {
            return SPX_FAIL(SPX_EINVAL, "output %d is no tensor of its own", k);
        }
    }
    return SPX_OK;
}

/* Bytes of memory a program may hope for; 0 where the system does not say. */
static double device_memory(const spx_program *p)
{
    const spx_stream *s = p->exec.stream;
    spx_device_info info;
    const spx_status st = spx_device_describe(spx_stream_device(s), spx_stream_index(s), &info);
    return st == SPX_OK ? (double)info.memory_bytes : 0;
}

/* A workspace larger than the memory is refused before anything of its size is touched. */
static spx_status check_memory(const spx_program *p, double need)
{
    const bool cpu = spx_stream_device(p->exec.stream) == SPX_DEVICE_CPU;
    const double have = device_memory(p);
    if (have > 0 && need > have) {
        return SPX_FAIL(SPX_ENOMEM,
                        "one step needs %.1f GiB of activations, this %s has %.1f GiB; a smaller "
                        "batch needs less",
                        need / 0x1p30, cpu ? "machine" : "device", have / 0x1p30);
    }
    return SPX_OK;
}

/* Places the activations; without slack between them if that is what fits. */
static spx_status place_activations(spx_program *p, const spx_tid *keep, int n_keep)
{
    const int n = p->g->n_tensors;
    int64_t bytes = 0;
    size_t *size = malloc(sizeof *size * ((size_t)n + 1));
    spx_placement_options o = {.size = size,
                               .align = p->device->align,
                               .slack = p->device->slack,
                               .keep = keep,
                               .n_keep = n_keep};
    spx_status st;
    p->exec.offset = malloc(sizeof(int64_t) * ((size_t)n + 1));
    if (size == NULL || p->exec.offset == NULL) {
        free(size);
        return SPX_FAIL(SPX_ENOMEM, "program of %d tensors", n);
    }
    for (int t = 0; t < n; t++) {
        size[t] = spx_exec_size(&p->exec, t);
    }
    st = spx_place_memory(p->g, &o, p->exec.offset, &bytes);
    if (st == SPX_OK && o.slack > 0 && 2.0 * (double)bytes > device_memory(p)) {
        o.slack = 0;
        st = spx_place_memory(p->g, &o, p->exec.offset, &bytes);
    }
    free(size);
    p->exec.copies = (size_t)bytes;
    return st == SPX_OK ? check_memory(p, (double)bytes) : st;
}

/* Adds the statistics of ReLUs to what is kept. */
static spx_status keep_scores(spx_program *p, spx_tid **keep, int *n)
{
    spx_tid *more;
    SPX_RETURN_IF(spx_pass_score_relus(p->g, &p->score, &p->n_score));
    more = realloc(*keep, sizeof **keep * (size_t)(*n + p->n_score));
    if (more == NULL) {
        return SPX_FAIL(SPX_ENOMEM, "program");
    }
    memcpy(more + *n, p->score, sizeof *more * (size_t)p->n_score);
    *keep = more;
    *n += p->n_score;
    return SPX_OK;
}

/* Everything that rewrites the graph. */
static spx_status transform(spx_program *p, const spx_program_options *o)
{
    const int n_keep = o->n_output + o->n_loss + 2 * o->n_grad;
    spx_tid *keep = malloc(sizeof(spx_tid) * (size_t)(n_keep + 1));
    int n = 0;
    spx_status st = SPX_OK;
    if (keep == NULL) {
        return SPX_FAIL(SPX_ENOMEM, "program");
    }
    for (int k = 0; k < o->n_output; k++) {
        keep[n++] = o->output[k];
    }
    for (int k = 0; k < o->n_grad; k++) {
        keep[n++] = o->grad[k];
    }
    for (int k = 0; k < o->n_loss; k++) {
        keep[n++] = o->loss[k].loss;
    }
    if (!o->no_fusion) {
        SPX_TRY(st, spx_pass_merge_twins(p->g, keep, n), done);
        SPX_TRY(st, spx_pass_merge_convs(p->g), done);
        SPX_TRY(st, spx_pass_fuse_sums(p->g, keep, n), done);
        if (p->device->fuse_conv_inputs) {
            SPX_TRY(st, spx_pass_fuse_conv_inputs(p->g, keep, n), done);
        }
    }
    for (int k = 0; k < n; k++) {
        if (p->g->tensor[keep[k]].parent != SPX_NO_TENSOR) {
            st = SPX_FAIL(SPX_EINVAL, "output %d is part of a merged tensor", k);
            goto done;
        }
    }
    SPX_TRY(st, spx_graph_layout(p->g), done);
    SPX_TRY(st, spx_layout_make(&p->layout, p->g), done);
    n = o->n_output + o->n_grad;
    if (o->n_loss > 0) {
        const int n_forward = p->g->n_nodes;
        SPX_TRY(st,
                spx_differentiate(p->g, o->loss, o->n_loss, o->grad_weights, o->grad_arch, o->grad,
                                  o->n_grad, p->grad),
                done);
        if (o->recompute > 0.0f) {
            SPX_TRY(st,
                    spx_pass_recompute(p->g, n_forward, o->recompute, !p->device->fuse_conv_inputs),
                    done);
        }
        for (int k = 0; k < o->n_grad; k++) {
            keep[n++] = p->grad[k];
        }
        if (o->score_relus) {
            SPX_TRY(st, keep_scores(p, &keep, &n), done);
        }
    }
    st = spx_pass_remove_dead(p->g, keep, n);
    if (st == SPX_OK) {
        st = place_activations(p, keep, n);
    }
done:
    free(keep);
    return st;
}

static spx_status create_marks(spx_program *p)
{
    p->mark = calloc((size_t)p->schedule.n + 1, sizeof(spx_event *));
    if (p->mark == NULL) {
        return SPX_FAIL(SPX_ENOMEM, "events of %d nodes", p->schedule.n);
    }
    for (int i = 0; i < p->schedule.n; i++) {
        if (p->schedule.launch[i].marked) {
            SPX_RETURN_IF(spx_event_create(&p->mark[i], p->exec.stream));
        }
    }
    return spx_event_create(&p->fork, p->exec.stream);
}

static spx_status schedule(spx_program *p, const spx_program_options *o)
{
    const int lanes = o->shuffle != 0 ? SPX_LANES_MAX : spx_stream_lanes(p->exec.stream);
    if (lanes == 1) {
        return SPX_OK;
    }
    SPX_RETURN_IF(spx_node_lanes_make(&p->schedule, &p->exec, lanes));
    p->scheduled = true;
    p->sequential = o->shuffle != 0;
    return p->sequential ? spx_node_lanes_shuffle(&p->schedule, o->shuffle) : create_marks(p);
}

/* The workspace: activations, the converted copies, then each lane's scratch. */
static void place_scratch(spx_program *p)
{
    const size_t align = (size_t)p->device->align;
    size_t most[SPX_LANES_MAX] = {0}, at = p->exec.copies + p->exec.copy_bytes;
    for (int i = 0; i < p->g->n_nodes; i++) {
        const int node = p->scheduled ? p->schedule.launch[i].node : i;
        const int lane = p->scheduled ? p->schedule.launch[i].lane : 0;
        const size_t need = p->exec.need[node];
        most[lane] = need > most[lane] ? need : most[lane];
    }
    for (int lane = 0; lane < SPX_LANES_MAX; lane++) {
        p->exec.scratch[lane] = at;
        at += (most[lane] + align - 1) / align * align;
    }
    p->workspace = at;
}

static spx_status number_inputs(spx_program *p)
{
    int n = 0;
    p->exec.input_slot = malloc(sizeof(int) * (size_t)(p->g->n_tensors + 1));
    if (p->exec.input_slot == NULL) {
        return SPX_FAIL(SPX_ENOMEM, "program of %d tensors", p->g->n_tensors);
    }
    for (int t = 0; t < p->g->n_tensors; t++) {
        p->exec.input_slot[t] = p->g->tensor[t].role == SPX_ROLE_INPUT ? n++ : -1;
    }
    return SPX_OK;
}

spx_status spx_program_create(spx_program **out, const spx_graph *g, spx_stream *stream,
                              const spx_program_options *o)
{
    spx_status st;
    spx_program *p;
    *out = NULL;
    SPX_RETURN_IF(check_options(g, o));
    p = calloc(1, sizeof *p);
    if (p == NULL) {
        return SPX_FAIL(SPX_ENOMEM, "program");
    }
    SPX_TRY(st, spx_graph_clone(&p->g, g), fail);
    SPX_TRY(st, copy_ids(&p->output, o->output, o->n_output), fail);
    SPX_TRY(st, copy_ids(&p->grad, o->grad, o->n_grad), fail);
    p->n_output = o->n_output;
    p->n_grad = o->n_grad;
    p->grad_weights = o->n_loss > 0 && o->grad_weights;
    p->grad_arch = o->n_loss > 0 && o->grad_arch;
    p->exec.g = p->g;
    p->exec.stream = stream;
    p->device = spx_device_traits_of(spx_stream_device(stream));
    if (p->device == NULL) {
        st = SPX_FAIL(SPX_EUNSUPPORTED, "this build runs no networks on %s",
                      spx_device_name(spx_stream_device(stream)));
        goto fail;
    }
    SPX_TRY(st, transform(p, o), fail);
    SPX_TRY(st, number_inputs(p), fail);
    SPX_TRY(st, spx_exec_choose(&p->exec, o), fail);
    SPX_TRY(st, schedule(p, o), fail);
    place_scratch(p);
    SPX_TRY(st, check_memory(p, (double)p->workspace), fail);
    SPX_LOG(GRAPH, INFO, "program: %d nodes, workspace of %zu bytes", p->g->n_nodes, p->workspace);
    *out = p;
    return SPX_OK;
fail:
    spx_program_destroy(p);
    return st;
}

const spx_layout *spx_program_layout(const spx_program *p)
{
    return &p->layout;
}

size_t spx_program_workspace_bytes(const spx_program *p)
{
    return p->workspace;
}

const spx_graph *spx_program_graph(const spx_program *p)
{
    return p->g;
}

const spx_tensor *spx_program_output_tensor(const spx_program *p, int i)
{
    assert(i >= 0 && i < p->n_output);
    return &p->g->tensor[p->output[i]];
}

static spx_status run_node(spx_program *p, int node)
{
    const spx_node *nd = &p->g->node[node];
    spx_stream_label(p->exec.stream, nd->name);
    return spx_fail_context(spx_op_record_of(nd->op)->run(&p->exec, node), "%s (%s)", nd->name,
                            spx_op_name(nd->op));
}

/* One node after the other, as they stand or as scheduled. */
static spx_status run_in_order(spx_program *p)
{
    for (int i = 0; i < p->g->n_nodes; i++) {
        p->exec.lane = p->scheduled ? p->schedule.launch[i].lane : 0; /* whose scratch is used */
        SPX_RETURN_IF(run_node(p, p->scheduled ? p->schedule.launch[i].node : i));
    }
    return SPX_OK;
}

/* Lane 0 hands over to the others before they begin, and waits for them in the end. */
static spx_status run_on_lanes(spx_program *p)
{
    spx_stream *s = p->exec.stream;
    const spx_node_lanes *l = &p->schedule;
    bool begun[SPX_LANES_MAX] = {true};
    SPX_RETURN_IF(spx_event_record(p->fork, s));
    for (int i = 0; i < l->n; i++) {
        const spx_launch *t = &l->launch[i];
        spx_stream_set_lane(s, t->lane);
        p->exec.lane = t->lane;
        if (!begun[t->lane]) {
            SPX_RETURN_IF(spx_event_wait(p->fork, s));
            begun[t->lane] = true;
        }
        for (int k = 0; k < t->n_wait; k++) {
            SPX_RETURN_IF(spx_event_wait(p->mark[l->wait[t->first_wait + k]], s));
        }
        SPX_RETURN_IF(run_node(p, t->node));
        if (t->marked) {
            SPX_RETURN_IF(spx_event_record(p->mark[i], s));
        }
    }
    spx_stream_set_lane(s, 0);
    for (int lane = 1; lane < l->lanes; lane++) {
        if (l->end[lane] >= 0) {
            SPX_RETURN_IF(spx_event_wait(p->mark[l->end[lane]], s));
        }
    }
    return SPX_OK;
}

/* One node at a time, a mark between any two. */
static spx_status run_timed(spx_program *p)
{
    spx_stream *s = p->exec.stream;
    const int n = p->g->n_nodes;
    SPX_RETURN_IF(spx_event_record(p->clock[0], s));
    for (int i = 0; i < n; i++) {
        p->exec.lane = p->scheduled ? p->schedule.launch[i].lane : 0;
        SPX_RETURN_IF(run_node(p, p->scheduled ? p->schedule.launch[i].node : i));
        SPX_RETURN_IF(spx_event_record(p->clock[i + 1], s));
    }
    SPX_RETURN_IF(spx_stream_sync(s));
    for (int i = 0; i < n; i++) {
        const int node = p->scheduled ? p->schedule.launch[i].node : i;
        const spx_op op = p->g->node[node].op;
        double seconds;
        SPX_RETURN_IF(spx_event_seconds(p->clock[i], p->clock[i + 1], &seconds));
        p->seconds[op] += seconds;
        p->calls[op]++;
    }
    return SPX_OK;
}

static spx_status check_binding(const spx_program *p, const spx_binding *b)
{
    const size_t weights = spx_layout_bytes(&p->layout, SPX_ROLE_WEIGHT),
                 arch = spx_layout_bytes(&p->layout, SPX_ROLE_ARCH);
    const struct {
        const char *what;
        const spx_buffer *buffer;
        size_t bytes;
    } part[] = {{"weights", &b->weights, weights},
                {"architecture parameters", &b->arch, arch},
                {"states", &b->state, spx_layout_bytes(&p->layout, SPX_ROLE_STATE)},
                {"gradient of the weights", &b->weight_grad, p->grad_weights ? weights : 0},
                {"gradient of the architecture", &b->arch_grad, p->grad_arch ? arch : 0},
                {"workspace", &b->workspace, p->workspace}};
    for (size_t i = 0; i < sizeof part / sizeof part[0]; i++) {
        SPX_RETURN_IF(spx_buffer_check(part[i].buffer, spx_stream_device(p->exec.stream),
                                       part[i].bytes, part[i].what));
    }
    return SPX_OK;
}

spx_status spx_program_run(spx_program *p, const spx_binding *b)
{
    spx_status st;
    SPX_RETURN_IF(check_binding(p, b));
    p->exec.b = b;
    spx_stream_label(p->exec.stream, "inputs and weights");
    st = spx_exec_begin(&p->exec);
    if (st == SPX_OK) {
        st = p->profiling                     ? run_timed(p)
             : p->scheduled && !p->sequential ? run_on_lanes(p)
                                              : run_in_order(p);
    }
    spx_stream_set_lane(p->exec.stream, 0);
    spx_stream_label(p->exec.stream, NULL);
    return st;
}

spx_status spx_program_profile_begin(spx_program *p)
{
    memset(p->seconds, 0, sizeof p->seconds);
    memset(p->calls, 0, sizeof p->calls);
    if (p->clock == NULL) {
        p->clock = calloc((size_t)p->g->n_nodes + 1, sizeof(spx_event *));
        if (p->clock == NULL) {
            return SPX_FAIL(SPX_ENOMEM, "events of %d nodes", p->g->n_nodes);
        }
        for (int i = 0; i <= p->g->n_nodes; i++) {
            SPX_RETURN_IF(spx_event_create(&p->clock[i], p->exec.stream));
        }
    }
    p->profiling = true;
    return SPX_OK;
}

void spx_program_profile(const spx_program *p, spx_op op, spx_op_profile *out)
{
    *out = (spx_op_profile){.seconds = p->seconds[op], .calls = p->calls[op]};
    for (int i = 0; i < p->g->n_nodes; i++) {
        if (p->g->node[i].op == op) {
            out->flops += spx_exec_flops(p->g, &p->g->node[i]);
            out->bytes += spx_exec_bytes(&p->exec, &p->g->node[i]);
        }
    }
}

spx_buffer spx_program_output(const spx_program *p, const spx_binding *b, int i)
{
    spx_exec e = p->exec;
    assert(i >= 0 && i < p->n_output);
    e.b = b;
    return (spx_buffer){.device = spx_stream_device(e.stream),
                        .data = spx_exec_data(&e, p->output[i]),
                        .bytes = spx_exec_size(&e, p->output[i])};
}

int spx_program_scores(const spx_program *p)
{
    return p->n_score / 2;
}

spx_relu_statistics spx_program_score(const spx_program *p, const spx_binding *b, int k)
{
    spx_exec e = p->exec;
    assert(k >= 0 && k < spx_program_scores(p));
    const spx_tid map = p->score[2 * k], square = p->score[2 * k + 1];
    e.b = b;
    return (spx_relu_statistics){.n = p->g->tensor[square].dim[0],
                                 .count = p->g->tensor[map].dim[1],
                                 .map = spx_exec_data(&e, map),
                                 .square = spx_exec_data(&e, square)};
}

static float from_bf16(uint16_t bits)
{
    const uint32_t wide = (uint32_t)bits << 16;
    float x;
    memcpy(&x, &wide, sizeof x);
    return x;
}

/* host (n, c, hw) f32 = raw (n, hw, c) of that type. */
static void from_nhwc(const void *raw, spx_type type, const int64_t dim[4], float *host)
{
    const int64_t c = dim[1], hw = dim[2] * dim[3];
    for (int64_t n = 0; n < dim[0]; n++) {
        for (int64_t k = 0; k < c; k++) {
            for (int64_t i = 0; i < hw; i++) {
                const int64_t from = (n * hw + i) * c + k;
                *host++ = type == SPX_TYPE_BF16 ? from_bf16(((const uint16_t *)raw)[from])
                                                : ((const float *)raw)[from];
            }
        }
    }
}

static spx_status read_tensor(const spx_program *p, const spx_binding *b, spx_tid t, float *host)
{
    spx_stream *s = p->exec.stream;
    const spx_tensor *x = &p->g->tensor[t];
    const spx_type type = spx_exec_type(&p->exec, t);
    const size_t bytes = (size_t)spx_tensor_count(x) * spx_type_bytes(type);
    spx_exec e = p->exec;
    void *raw = NULL;
    spx_status st;
    e.b = b;
    if (spx_stream_device(s) == SPX_DEVICE_CPU || x->rank != 4) {
        SPX_RETURN_IF(spx_download(s, host, spx_exec_data(&e, t), bytes));
        return spx_stream_sync(s);
    }
    SPX_RETURN_IF(spx_alloc(&raw, bytes));
    SPX_TRY(st, spx_download(s, raw, spx_exec_data(&e, t), bytes), done);
    SPX_TRY(st, spx_stream_sync(s), done);
    from_nhwc(raw, type, x->dim, host);
done:
    spx_free(raw);
    return st;
}

spx_status spx_program_read(const spx_program *p, const spx_binding *b, int i, float *host)
{
    assert(i >= 0 && i < p->n_output);
    return read_tensor(p, b, p->output[i], host);
}

spx_status spx_program_read_grad(const spx_program *p, const spx_binding *b, int i, float *host)
{
    assert(i >= 0 && i < p->n_grad);
    return read_tensor(p, b, p->grad[i], host);
}
