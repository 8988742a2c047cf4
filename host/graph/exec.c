/* What every device's backend shares: where tensors lie, what nodes cost. */
#include "host/graph/exec_private.h"

#include "host/graph/op_private.h"

const spx_backend *spx_backend_of(spx_device device)
{
    static const spx_backend *const backends[SPX_DEVICE_COUNT] = {
        [SPX_DEVICE_CPU] = &spx_backend_cpu,
#ifdef SPX_HAVE_CUDA
        [SPX_DEVICE_CUDA] = &spx_backend_cuda,
#endif
    };
    return (unsigned)device < (unsigned)SPX_DEVICE_COUNT ? backends[device] : NULL;
}

/* Inputs and weights are read only by the graph's construction. */
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
        return writable(e->b->weights + x->offset);
    case SPX_ROLE_ARCH:
        return writable(e->b->arch + x->offset);
    case SPX_ROLE_STATE:
        return e->b->state + x->offset;
    case SPX_ROLE_WEIGHT_GRAD:
        return e->b->weight_grad + x->offset;
    case SPX_ROLE_ARCH_GRAD:
        return e->b->arch_grad + x->offset;
    case SPX_ROLE_INPUT:
        return writable(e->b->input[e->input_slot[t]]);
    default:
        return (char *)e->b->workspace + e->offset[spx_root(e->g, t)];
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

spx_norm_grad spx_exec_norm_grad(const spx_exec *e, const spx_node *nd, int j)
{
    const spx_tid *out = nd->out + (ptrdiff_t)j * SPX_REDUCE_FIELDS;
    const bool *accumulate = nd->accumulate + (ptrdiff_t)j * SPX_REDUCE_FIELDS;
    float *dcoef = spx_exec_data(e, out[SPX_REDUCE_DCOEF]);
    return (spx_norm_grad){.sum_dy = spx_exec_data(e, out[SPX_REDUCE_DY]),
                           .sum_dy_xhat = spx_exec_data(e, out[SPX_REDUCE_DY_XHAT]),
                           .dgamma = spx_exec_data(e, out[SPX_REDUCE_DGAMMA]),
                           .dbeta = spx_exec_data(e, out[SPX_REDUCE_DBETA]),
                           .accumulate_affine = accumulate[SPX_REDUCE_DGAMMA],
                           .dcoef = dcoef != NULL ? dcoef + nd->coef_index[j] : NULL,
                           .accumulate_coef = accumulate[SPX_REDUCE_DCOEF]};
}

void *spx_exec_scratch(const spx_exec *e)
{
    return (char *)e->b->workspace + e->scratch[e->lane];
}

size_t spx_exec_size(const spx_exec *e, spx_tid t)
{
    return (size_t)spx_tensor_count(&e->g->tensor[t]) * spx_type_bytes(spx_exec_type(e, t));
}

spx_status spx_exec_conv_shape(const spx_graph *g, const spx_node *nd, spx_conv2d_shape *d,
                               spx_conv2d_pass *pass)
{
    spx_tid x, w;
    switch (nd->op) {
    case SPX_OP_CONV2D:
        *pass = SPX_CONV2D_FORWARD;
        x = nd->in[0];
        w = nd->in[1];
        break;
    case SPX_OP_CONV2D_BWD_DATA:
        *pass = SPX_CONV2D_BACKWARD_DATA;
        x = nd->out[0];
        w = nd->in[1];
        break;
    default:
        *pass = SPX_CONV2D_BACKWARD_WEIGHTS;
        x = nd->in[0];
        w = nd->out[0];
        break;
    }
    const int64_t *xd = g->tensor[x].dim, *wd = g->tensor[w].dim;
    *d = (spx_conv2d_shape){.n = xd[0],
                            .c = xd[1],
                            .h = xd[2],
                            .w = xd[3],
                            .k = wd[0],
                            .r = wd[2],
                            .s = wd[3],
                            .stride = nd->attr.stride,
                            .dilation = nd->attr.dilation,
                            .pad_begin = nd->attr.pad_begin,
                            .pad_end = nd->attr.pad_end};
    return spx_conv2d_shape_init(d);
}

spx_norm_dims spx_exec_norm_dims(const spx_graph *g, spx_tid t)
{
    const int64_t *d = g->tensor[t].dim;
    return (spx_norm_dims){.n = d[0], .c = d[1], .hw = d[2] * d[3]};
}

spx_status spx_exec_pool_shape(const spx_graph *g, const spx_node *nd, spx_tid x,
                               spx_pool2d_shape *d)
{
    const int64_t *dim = g->tensor[x].dim;
    *d = (spx_pool2d_shape){.n = dim[0],
                            .c = dim[1],
                            .h = dim[2],
                            .w = dim[3],
                            .size = nd->attr.size,
                            .stride = nd->attr.stride,
                            .pad = nd->attr.pad_begin};
    return spx_pool2d_shape_init(d);
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
