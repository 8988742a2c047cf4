/*
 * What every op's run shares: where operands lie, what nodes cost, what is made before a run. On
 * CUDA activations are NHWC of the stream's type, weights have their channels innermost
 * (kernels/nn/operand.h). Under BF16 the products read a converted copy of the weights and of the
 * images, made before the first node of every run in an area of the workspace: weights first.
 */
#include "host/graph/exec_private.h"

#include "host/graph/tuning_private.h"
#include "kernels/nn/copy/copy.h"

#include <assert.h>
#include <stdlib.h>

#define CUDA_ALIGN 256
#define BF16_BYTES 2

const spx_device_traits *spx_device_traits_of(spx_device device)
{
    static const spx_device_traits cpu = {.align = SPX_ALIGN, .fuse_conv_inputs = true};
#ifdef SPX_HAVE_CUDA
    static const spx_device_traits cuda = {.align = CUDA_ALIGN,
                                           .slack = 16}; /* about two nodes for each lane */
#endif
    static const spx_device_traits *const all[SPX_DEVICE_COUNT] = {
        [SPX_DEVICE_CPU] = &cpu,
#ifdef SPX_HAVE_CUDA
        [SPX_DEVICE_CUDA] = &cuda,
#endif
    };
    return (unsigned)device < (unsigned)SPX_DEVICE_COUNT ? all[device] : NULL;
}

/* Inputs are read only by the graph's construction. */
static void *writable(const void *p)
{
    union {
        const void *in;
        void *out;
    } u = {p};
    return u.out;
}

static void *root_data(const spx_exec *e, spx_tid t)
{
    if (t == SPX_NO_TENSOR) {
        return NULL;
    }
    const spx_tensor *x = &e->g->tensor[t];
    switch (x->role) {
    case SPX_ROLE_WEIGHT:
        return (float *)e->b->weights.data + x->offset;
    case SPX_ROLE_ARCH:
        return (float *)e->b->arch.data + x->offset;
    case SPX_ROLE_STATE:
        return (float *)e->b->state.data + x->offset;
    case SPX_ROLE_WEIGHT_GRAD:
        return (float *)e->b->weight_grad.data + x->offset;
    case SPX_ROLE_ARCH_GRAD:
        return (float *)e->b->arch_grad.data + x->offset;
    case SPX_ROLE_INPUT:
        assert(e->input_slot[t] >= 0);
        return writable(e->b->input[e->input_slot[t]]);
    default:
        assert(e->offset[spx_root(e->g, t)] >= 0); /* some node touches it */
        return (char *)e->b->workspace.data + e->offset[spx_root(e->g, t)];
    }
}

void *spx_exec_data(const spx_exec *e, spx_tid t)
{
    char *root = root_data(e, t);
    if (root == NULL || e->g->tensor[t].role != SPX_ROLE_ACTIVATION ||
        e->g->tensor[t].parent == SPX_NO_TENSOR) {
        return root;
    }
    /* A run of channels: they lie side by side in a pixel (CUDA) or in an image (CPU). */
    const spx_tensor *x = &e->g->tensor[t];
    const int64_t channel =
        spx_stream_device(e->stream) == SPX_DEVICE_CPU ? x->dim[2] * x->dim[3] : 1;
    return root + (size_t)(x->first * channel) * spx_type_bytes(spx_exec_type(e, t));
}

void *spx_exec_scratch(const spx_exec *e)
{
    assert(e->lane >= 0 && e->lane < SPX_LANES_MAX);
    return (char *)e->b->workspace.data + e->scratch[e->lane];
}

size_t spx_exec_size(const spx_exec *e, spx_tid t)
{
    return (size_t)spx_tensor_count(&e->g->tensor[t]) * spx_type_bytes(spx_exec_type(e, t));
}

double spx_exec_flops(const spx_graph *g, const spx_node *nd)
{
    const spx_op_record *r = spx_op_record_of(nd->op);
    return r->macs != NULL ? 2.0 * (double)r->macs(g, nd) : 0;
}

double spx_exec_bytes(const spx_exec *e, const spx_node *nd)
{
    double sum = 0;
    for (int k = 0; k < nd->n_in + nd->n_out; k++) {
        const spx_tid t = k < nd->n_in ? nd->in[k] : nd->out[k - nd->n_in];
        if (t != SPX_NO_TENSOR) {
            const double bytes = (double)spx_exec_size(e, t);
            sum += k >= nd->n_in && nd->accumulate[k - nd->n_in] ? 2 * bytes : bytes;
        }
    }
    return sum;
}

spx_type spx_exec_type(const spx_exec *e, spx_tid t)
{
    const spx_tensor *x = &e->g->tensor[t];
    return x->role == SPX_ROLE_ACTIVATION && x->rank == 4 ? spx_activation_type(e->stream)
                                                          : SPX_TYPE_F32;
}

/* ---- operands ---- */

static bool is_bf16(const spx_exec *e)
{
    return spx_activation_type(e->stream) == SPX_TYPE_BF16;
}

static bool has_copy(const spx_exec *e, spx_tid t)
{
    return is_bf16(e) && e->g->tensor[t].role == SPX_ROLE_INPUT && e->g->tensor[t].rank == 4;
}

static char *copy_area(const spx_exec *e)
{
    return (char *)e->b->workspace.data + e->copies;
}

int64_t spx_exec_stride(const spx_exec *e, spx_tid t)
{
    const spx_tensor *root = &e->g->tensor[spx_root(e->g, t)];
    const bool pixels = root->rank == 4 && spx_stream_device(e->stream) != SPX_DEVICE_CPU;
    return pixels ? root->dim[1] : spx_tensor_count(root) / root->dim[0];
}

spx_operand spx_exec_operand(const spx_exec *e, spx_tid t)
{
    if (t == SPX_NO_TENSOR) {
        return (spx_operand){0};
    }
    const int64_t stride = spx_exec_stride(e, t);
    if (has_copy(e, t)) {
        return (spx_operand){copy_area(e) + e->copy[t], stride, SPX_TYPE_BF16};
    }
    return (spx_operand){spx_exec_data(e, t), stride, spx_exec_type(e, t)};
}

const void *spx_exec_filter(const spx_exec *e, spx_tid t)
{
    return is_bf16(e) ? copy_area(e) + BF16_BYTES * e->g->tensor[t].offset : spx_exec_data(e, t);
}

/* ---- before the first run ---- */

/* Floats of the weights arena that tensors lie in. */
static int64_t weight_floats(const spx_graph *g)
{
    int64_t end = 0;
    for (int t = 0; t < g->n_tensors; t++) {
        const int64_t e = g->tensor[t].offset + spx_tensor_count(&g->tensor[t]);
        if (g->tensor[t].role == SPX_ROLE_WEIGHT && e > end) {
            end = e;
        }
    }
    return end;
}

/* Places the copies of weights and images. */
static spx_status place_copies(spx_exec *e)
{
    size_t at;
    if (!is_bf16(e)) {
        return SPX_OK;
    }
    e->weights = weight_floats(e->g);
    at = BF16_BYTES * (size_t)e->weights;
    e->copy = malloc(sizeof *e->copy * ((size_t)e->g->n_tensors + 1));
    if (e->copy == NULL) {
        return SPX_FAIL(SPX_ENOMEM, "program of %d tensors", e->g->n_tensors);
    }
    for (int t = 0; t < e->g->n_tensors; t++) {
        if (has_copy(e, t)) {
            at = (at + CUDA_ALIGN - 1) / CUDA_ALIGN * CUDA_ALIGN;
            e->copy[t] = (int64_t)at;
            at += BF16_BYTES * (size_t)spx_tensor_count(&e->g->tensor[t]);
        }
    }
    e->copy_bytes = (at + CUDA_ALIGN - 1) / CUDA_ALIGN * CUDA_ALIGN;
    return SPX_OK;
}

/* Rough rates of a data-centre device: they only order nodes. */
#define LAUNCH_SECONDS 3e-6
#define BYTES_PER_SECOND 1.5e12
#define FLOPS_PER_SECOND 3e13

/* Seconds node nd is thought to take; the CPU has no lanes to order nodes for. */
static double guess_cost(const spx_exec *e, const spx_node *nd)
{
    const double move = spx_exec_bytes(e, nd) / BYTES_PER_SECOND;
    const double add = spx_exec_flops(e->g, nd) / FLOPS_PER_SECOND;
    return spx_stream_device(e->stream) == SPX_DEVICE_CPU
               ? 1.0
               : LAUNCH_SECONDS + (move > add ? move : add);
}

spx_status spx_exec_choose(spx_exec *e, const spx_program_options *o)
{
    const size_t n = (size_t)e->g->n_nodes + 1;
    struct spx_tuning *plans = o->tuning;
    spx_status st = SPX_OK;
    e->need = calloc(n, sizeof *e->need);
    e->cost = calloc(n, sizeof *e->cost);
    e->plan = calloc(n, sizeof(struct spx_shared_plan *));
    if (e->need == NULL || e->cost == NULL || e->plan == NULL) {
        return SPX_FAIL(SPX_ENOMEM, "program of %d nodes", e->g->n_nodes);
    }
    if (plans == NULL) {
        SPX_RETURN_IF(spx_tuning_create(&plans)); /* so that nodes share plans */
    }
    for (int i = 0; i < e->g->n_nodes && st == SPX_OK; i++) {
        const spx_node *nd = &e->g->node[i];
        const spx_op_record *r = spx_op_record_of(nd->op);
        if (r->choose != NULL) {
            st = r->choose(e, o, plans, i);
        } else if (r->scratch != NULL) {
            e->need[i] = r->scratch(e, nd);
        }
        if (e->cost[i] == 0) {
            e->cost[i] = guess_cost(e, nd);
        }
    }
    if (plans != o->tuning) {
        spx_tuning_destroy(plans);
    }
    return st == SPX_OK ? place_copies(e) : st;
}

void spx_exec_clear(spx_exec *e)
{
    if (e->plan != NULL) { /* what they own may still be running; where waiting fails, nothing is */
        const spx_status released = spx_shared_plans_release(e->stream, e->plan, e->g->n_nodes);
        (void)released;
    }
    free(e->offset);
    free(e->input_slot);
    free(e->need);
    free(e->cost);
    free(e->plan);
    free(e->copy);
}

/* ---- before every run ---- */

spx_status spx_exec_begin(const spx_exec *e)
{
    if (!is_bf16(e)) {
        return SPX_OK;
    }
    if (e->weights > 0) {
        SPX_RETURN_IF(spx_to_bf16(e->stream, e->weights, e->b->weights.data, copy_area(e)));
    }
    for (int t = 0; t < e->g->n_tensors; t++) {
        if (has_copy(e, t)) {
            SPX_RETURN_IF(spx_to_bf16(e->stream, spx_tensor_count(&e->g->tensor[t]),
                                      e->b->input[e->input_slot[t]], copy_area(e) + e->copy[t]));
        }
    }
    return SPX_OK;
}
