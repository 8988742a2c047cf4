#include "host/graph/program.h"

#include "host/graph/autodiff.h"
#include "host/graph/exec.h"
#include "host/graph/graph_impl.h"
#include "host/graph/layout_impl.h"
#include "host/graph/passes.h"
#include "host/graph/plan.h"
#include "host/graph/tuning.h"
#include "kernels/base/clock.h"

#include <stdlib.h>
#include <string.h>

struct spx_program {
    spx_graph *g;
    spx_layout layout;
    spx_exec exec;
    int64_t *offset;
    int *input_slot;
    spx_conv2d_algo *algo;
    size_t workspace;
    spx_tid *output, *grad;
    int n_output, n_grad;
    bool profiling;
    double seconds[SPX_OP_COUNT];
    int64_t calls[SPX_OP_COUNT];
};

void spx_program_destroy(spx_program *p)
{
    if (p == NULL) {
        return;
    }
    spx_graph_destroy(p->g);
    spx_layout_clear(&p->layout);
    free(p->offset);
    free(p->input_slot);
    free(p->algo);
    free(p->output);
    free(p->grad);
    free(p);
}

static bool is_conv(spx_op op)
{
    return op == SPX_OP_CONV2D || op == SPX_OP_CONV2D_BWD_DATA || op == SPX_OP_CONV2D_BWD_WEIGHTS;
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
    for (int k = 0; k < o->n_output + o->n_grad; k++) {
        const spx_tid t = k < o->n_output ? o->output[k] : o->grad[k - o->n_output];
        if (t < 0 || t >= g->n_tensors || g->tensor[t].parent != SPX_NO_TENSOR) {
            return SPX_FAIL(SPX_EINVAL, "output %d is no tensor of its own", k);
        }
    }
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
        SPX_TRY(st, spx_pass_merge_pools(p->g, keep, n), done);
        SPX_TRY(st, spx_pass_merge_convs(p->g), done);
        SPX_TRY(st, spx_pass_fuse_sums(p->g, keep, n), done);
        SPX_TRY(st, spx_pass_fuse_conv_inputs(p->g, keep, n), done);
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
            SPX_TRY(st, spx_pass_recompute(p->g, n_forward, o->recompute), done);
        }
        for (int k = 0; k < o->n_grad; k++) {
            keep[n++] = p->grad[k];
        }
    }
    st = spx_pass_remove_dead(p->g, keep, n);
    if (st == SPX_OK) {
        int64_t floats;
        p->offset = malloc(sizeof(int64_t) * (size_t)(p->g->n_tensors + 1));
        if (p->offset == NULL) {
            st = SPX_FAIL(SPX_ENOMEM, "program of %d tensors", p->g->n_tensors);
            goto done;
        }
        SPX_TRY(st, spx_plan_memory(p->g, keep, n, p->offset, &floats), done);
        p->exec.scratch = floats;
    }
done:
    free(keep);
    return st;
}

/* Algorithms of the convolutions, and the scratch they share. */
static spx_status choose_algorithms(spx_program *p, const spx_program_options *o)
{
    size_t most = 0;
    p->algo = calloc((size_t)p->g->n_nodes + 1, sizeof *p->algo);
    if (p->algo == NULL) {
        return SPX_FAIL(SPX_ENOMEM, "program of %d nodes", p->g->n_nodes);
    }
    for (int i = 0; i < p->g->n_nodes; i++) {
        const spx_node *nd = &p->g->node[i];
        spx_conv2d_shape d;
        spx_conv2d_pass pass;
        if (spx_op_table(nd->op, spx_stream_device(p->exec.stream)) == NULL) {
            return SPX_FAIL(SPX_EUNSUPPORTED, "%s: no %s on this device", nd->name,
                            spx_op_name(nd->op));
        }
        if (!is_conv(nd->op)) {
            continue;
        }
        SPX_RETURN_IF(spx_exec_conv_shape(p->g, nd, &d, &pass));
        p->algo[i] =
            o->reference ? SPX_CONV2D_REFERENCE : spx_conv2d_default_algo(p->exec.stream, &d, pass);
        if (!o->reference && o->tuning != NULL) {
            SPX_RETURN_IF(spx_tuning_choose(o->tuning, p->exec.stream, &d, pass, &p->algo[i]));
        }
        const size_t bytes = spx_conv2d_workspace(p->exec.stream, &d, pass, p->algo[i]);
        most = bytes > most ? bytes : most;
    }
    p->workspace = (size_t)p->exec.scratch * sizeof(float) + most;
    return SPX_OK;
}

/* A workspace larger than the memory is refused before anything of its size is touched. */
static spx_status check_memory(const spx_program *p)
{
    const double need = (double)p->exec.scratch * sizeof(float),
                 have = (double)spx_memory_physical();
    if (have > 0 && need > have) {
        return SPX_FAIL(SPX_ENOMEM,
                        "one step needs %.1f GiB of activations, this machine has %.1f GiB; a "
                        "smaller batch needs less",
                        need / 0x1p30, have / 0x1p30);
    }
    return SPX_OK;
}

static spx_status number_inputs(spx_program *p)
{
    int n = 0;
    p->input_slot = malloc(sizeof(int) * (size_t)(p->g->n_tensors + 1));
    if (p->input_slot == NULL) {
        return SPX_FAIL(SPX_ENOMEM, "program of %d tensors", p->g->n_tensors);
    }
    for (int t = 0; t < p->g->n_tensors; t++) {
        p->input_slot[t] = p->g->tensor[t].role == SPX_ROLE_INPUT ? n++ : -1;
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
    SPX_TRY(st, transform(p, o), fail);
    p->exec.stream = stream;
    SPX_TRY(st, check_memory(p), fail);
    SPX_TRY(st, choose_algorithms(p, o), fail);
    SPX_TRY(st, number_inputs(p), fail);
    p->exec.g = p->g;
    p->exec.offset = p->offset;
    p->exec.input_slot = p->input_slot;
    p->exec.algo = p->algo;
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

spx_status spx_program_run(spx_program *p, const spx_binding *b)
{
    const spx_device device = spx_stream_device(p->exec.stream);
    p->exec.b = b;
    for (int i = 0; i < p->g->n_nodes; i++) {
        const spx_node *nd = &p->g->node[i];
        const double start = p->profiling ? spx_seconds() : 0;
        const spx_status st = spx_op_table(nd->op, device)(&p->exec, i);
        if (st != SPX_OK) {
            return spx_fail_context(st, "%s (%s)", nd->name, spx_op_name(nd->op));
        }
        if (p->profiling) {
            SPX_RETURN_IF(spx_stream_sync(p->exec.stream));
            p->seconds[nd->op] += spx_seconds() - start;
            p->calls[nd->op]++;
        }
    }
    return SPX_OK;
}

void spx_program_profile_begin(spx_program *p)
{
    p->profiling = true;
    memset(p->seconds, 0, sizeof p->seconds);
    memset(p->calls, 0, sizeof p->calls);
}

void spx_program_profile(const spx_program *p, spx_op op, double *seconds, int64_t *calls,
                         double *flops)
{
    *seconds = p->seconds[op];
    *calls = p->calls[op];
    *flops = 0;
    for (int i = 0; i < p->g->n_nodes; i++) {
        const spx_node *nd = &p->g->node[i];
        spx_conv2d_shape d;
        spx_conv2d_pass pass;
        if (nd->op == op && is_conv(op) && spx_exec_conv_shape(p->g, nd, &d, &pass) == SPX_OK) {
            *flops += 2.0 * (double)(d.n * d.k * d.p * d.q) * (double)(d.c * d.r * d.s);
        }
    }
}

const float *spx_program_output(const spx_program *p, const spx_binding *b, int i)
{
    spx_exec e = p->exec;
    e.b = b;
    return spx_exec_data(&e, p->output[i]);
}

const float *spx_program_grad(const spx_program *p, const spx_binding *b, int i)
{
    spx_exec e = p->exec;
    e.b = b;
    return spx_exec_data(&e, p->grad[i]);
}
