/* The typed builders: one function per op, each checking its operands and inferring its shape. */
#include "host/graph/graph_private.h"
#include "kernels/nn/conv2d/conv2d.h"
#include "kernels/nn/norm_sum/norm_sum.h"
#include "kernels/nn/pool/pool2d.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* "<name>.<part>" as a parameter. */
static spx_tid param_part(spx_graph *g, spx_role role, const char *name, const char *part, int rank,
                          const int64_t *dim, spx_init init)
{
    char full[256];
    const int n = snprintf(full, sizeof full, "%s%s%s", name, name[0] != '\0' ? "." : "", part);
    if (n < 0 || (size_t)n >= sizeof full) {
        spx_graph_fail(g, SPX_EINVAL, "parameter name too long: %.80s...", name);
        return SPX_NO_TENSOR;
    }
    return spx_g_param(g, role, full, rank, dim, init);
}

spx_tid spx_g_conv2d(spx_graph *g, spx_tid x, const char *name, const spx_conv_options *o)
{
    spx_conv2d_shape d;
    spx_tid w, b = SPX_NO_TENSOR;
    spx_node *nd;
    spx_init init = {SPX_INIT_UNIFORM, 0.0f};
    spx_status st;
    if (!spx_g_valid(g, x, 4, name)) {
        return SPX_NO_TENSOR;
    }
    const int64_t *dim = g->tensor[x].dim;
    d = (spx_conv2d_shape){.n = dim[0],
                           .c = dim[1],
                           .h = dim[2],
                           .w = dim[3],
                           .k = o->filters,
                           .r = o->size,
                           .s = o->size,
                           .stride = o->stride,
                           .dilation = o->dilation,
                           .pad_begin = o->pad_begin,
                           .pad_end = o->pad_end};
    st = spx_conv2d_shape_init(&d);
    if (st != SPX_OK) {
        spx_g_fail_from(g, st, name);
        return SPX_NO_TENSOR;
    }
    init.value = 1.0f / sqrtf((float)(d.c * d.r * d.s));
    w = param_part(g, SPX_ROLE_WEIGHT, name, "weight", 4, (int64_t[]){d.k, d.c, d.r, d.s}, init);
    if (o->bias) {
        b = param_part(g, SPX_ROLE_WEIGHT, name, "bias", 1, (int64_t[]){d.k}, init);
    }
    nd = spx_graph_new_node(g, SPX_OP_CONV2D, 7, 1, name);
    if (nd == NULL) {
        return SPX_NO_TENSOR;
    }
    nd->in[0] = x;
    nd->in[1] = w;
    nd->in[2] = b;
    nd->attr = (spx_attr){
        .stride = d.stride, .dilation = d.dilation, .pad_begin = d.pad_begin, .pad_end = d.pad_end};
    return spx_g_output(g, nd, 0, 4, (int64_t[]){d.n, d.k, d.p, d.q});
}

spx_tid spx_g_batch_norm(spx_graph *g, spx_tid x, const char *name, bool affine)
{
    spx_tid rm, rv, gamma = SPX_NO_TENSOR, beta = SPX_NO_TENSOR, mean, invstd;
    spx_node *nd;
    int64_t dim[4], c;
    if (!spx_g_valid(g, x, 4, name)) {
        return SPX_NO_TENSOR;
    }
    memcpy(dim, g->tensor[x].dim, sizeof dim);
    c = dim[1];
    if (affine) {
        gamma = param_part(g, SPX_ROLE_WEIGHT, name, "weight", 1, &c,
                           (spx_init){SPX_INIT_CONSTANT, 1.0f});
        beta = param_part(g, SPX_ROLE_WEIGHT, name, "bias", 1, &c,
                          (spx_init){SPX_INIT_CONSTANT, 0.0f});
    }
    rm = param_part(g, SPX_ROLE_STATE, name, "running_mean", 1, &c,
                    (spx_init){SPX_INIT_CONSTANT, 0.0f});
    rv = param_part(g, SPX_ROLE_STATE, name, "running_var", 1, &c,
                    (spx_init){SPX_INIT_CONSTANT, 1.0f});
    nd = spx_graph_new_node(g, g->training ? SPX_OP_BN_STATS : SPX_OP_BN_RUNNING,
                            g->training ? 3 : 2, 2, name);
    if (nd == NULL) {
        return SPX_NO_TENSOR;
    }
    if (g->training) {
        nd->in[0] = x;
    }
    nd->in[nd->n_in - 2] = rm;
    nd->in[nd->n_in - 1] = rv;
    mean = spx_g_output(g, nd, 0, 1, &c);
    invstd = spx_g_output(g, nd, 1, 1, &c);
    nd = spx_graph_new_node(g, SPX_OP_NORM_SUM, SPX_TERM_FIELDS, 1, name);
    if (nd == NULL) {
        return SPX_NO_TENSOR;
    }
    nd->in[SPX_TERM_X] = x;
    nd->in[SPX_TERM_MEAN] = mean;
    nd->in[SPX_TERM_INVSTD] = invstd;
    nd->in[SPX_TERM_GAMMA] = gamma;
    nd->in[SPX_TERM_BETA] = beta;
    return spx_g_output(g, nd, 0, 4, dim);
}

/* Whether term j fits the first one; keeps an error if not. */
static bool check_term(spx_graph *g, const spx_sum_term *first, const spx_sum_term *t, int j,
                       const char *name)
{
    const int64_t *d;
    if (!spx_g_valid(g, t->x, 4, name)) {
        return false;
    }
    d = g->tensor[first->x].dim;
    if (memcmp(d, g->tensor[t->x].dim, sizeof g->tensor[t->x].dim) != 0) {
        const int64_t *e = g->tensor[t->x].dim;
        spx_graph_fail(
            g, SPX_EINVAL, "%s%s: term %d is %lldx%lldx%lldx%lld, term 0 is %lldx%lldx%lldx%lld",
            g->scope, name, j, (long long)e[0], (long long)e[1], (long long)e[2], (long long)e[3],
            (long long)d[0], (long long)d[1], (long long)d[2], (long long)d[3]);
        return false;
    }
    if (t->coef != SPX_NO_TENSOR && (!spx_g_valid(g, t->coef, 0, name) || t->coef_index < 0 ||
                                     t->coef_index >= spx_tensor_count(&g->tensor[t->coef]))) {
        spx_graph_fail(g, SPX_EINVAL, "%s%s: term %d: coefficient %d is out of range", g->scope,
                       name, j, (int)t->coef_index);
        return false;
    }
    if (t->mask != SPX_NO_TENSOR &&
        (!spx_g_valid(g, t->mask, 1, name) || g->tensor[t->mask].dim[0] != d[0])) {
        spx_graph_fail(g, SPX_EINVAL, "%s%s: term %d: mask is not (%lld)", g->scope, name, j,
                       (long long)d[0]);
        return false;
    }
    return true;
}

spx_tid spx_g_sum(spx_graph *g, int k, const spx_sum_term *term, const char *name)
{
    spx_node *nd;
    if (g->status != SPX_OK) {
        return SPX_NO_TENSOR;
    }
    if (k < 1 || k > SPX_NORM_SUM_MAX) {
        spx_graph_fail(g, SPX_EINVAL, "%s%s: a sum of %d terms (1..%d)", g->scope, name, k,
                       SPX_NORM_SUM_MAX);
        return SPX_NO_TENSOR;
    }
    for (int j = 0; j < k; j++) {
        if (!check_term(g, &term[0], &term[j], j, name)) {
            return SPX_NO_TENSOR;
        }
    }
    nd = spx_graph_new_node(g, SPX_OP_NORM_SUM, k * SPX_TERM_FIELDS, 1, name);
    if (nd == NULL) {
        return SPX_NO_TENSOR;
    }
    for (int j = 0; j < k; j++) {
        nd->in[j * SPX_TERM_FIELDS + SPX_TERM_X] = term[j].x;
        nd->in[j * SPX_TERM_FIELDS + SPX_TERM_COEF] = term[j].coef;
        nd->in[j * SPX_TERM_FIELDS + SPX_TERM_MASK] = term[j].mask;
        nd->coef_index[j] = term[j].coef != SPX_NO_TENSOR ? term[j].coef_index : 0;
    }
    int64_t dim[4];
    memcpy(dim, g->tensor[term[0].x].dim, sizeof dim);
    return spx_g_output(g, nd, 0, 4, dim);
}

/* Whether t is read or written as somebody's parent already. */
static bool has_views(const spx_graph *g, spx_tid t)
{
    for (int i = 0; i < g->n_tensors; i++) {
        if (g->tensor[i].parent == t) {
            return true;
        }
    }
    return false;
}

spx_tid spx_g_concat(spx_graph *g, int k, const spx_tid *x, const char *name)
{
    int64_t dim[4] = {0};
    int64_t channels = 0;
    spx_tid y;
    for (int j = 0; j < k; j++) {
        if (!spx_g_valid(g, x[j], 4, name)) {
            return SPX_NO_TENSOR;
        }
        const int64_t *d = g->tensor[x[j]].dim, *f = g->tensor[x[0]].dim;
        if (d[0] != f[0] || d[2] != f[2] || d[3] != f[3]) {
            spx_graph_fail(g, SPX_EINVAL, "%s%s: part %d is %lldx%lld, part 0 is %lldx%lld",
                           g->scope, name, j, (long long)d[2], (long long)d[3], (long long)f[2],
                           (long long)f[3]);
            return SPX_NO_TENSOR;
        }
        channels += d[1];
        memcpy(dim, d, sizeof dim);
    }
    dim[1] = channels;
    y = spx_graph_new_tensor(g, SPX_ROLE_ACTIVATION, SPX_F32, 4, dim, NULL);
    channels = 0;
    for (int j = 0; j < k && y != SPX_NO_TENSOR; j++) {
        spx_tid part = x[j];
        if (g->tensor[part].role != SPX_ROLE_ACTIVATION ||
            g->tensor[part].parent != SPX_NO_TENSOR || has_views(g, part)) {
            const spx_sum_term copy = {.x = part, .coef = SPX_NO_TENSOR, .mask = SPX_NO_TENSOR};
            part = spx_g_sum(g, 1, &copy, name);
            if (part == SPX_NO_TENSOR) {
                return SPX_NO_TENSOR;
            }
        }
        g->tensor[part].parent = y;
        g->tensor[part].first = channels;
        channels += g->tensor[part].dim[1];
    }
    return y;
}

spx_tid spx_g_relu(spx_graph *g, spx_tid x, const char *name)
{
    int64_t dim[4];
    spx_node *nd;
    if (!spx_g_valid(g, x, 4, name)) {
        return SPX_NO_TENSOR;
    }
    memcpy(dim, g->tensor[x].dim, sizeof dim);
    nd = spx_graph_new_node(g, SPX_OP_RELU, 1, 1, name);
    if (nd == NULL) {
        return SPX_NO_TENSOR;
    }
    nd->in[0] = x;
    return spx_g_output(g, nd, 0, 4, dim);
}

spx_tid spx_g_avg_pool(spx_graph *g, spx_tid x, int64_t size, int64_t stride, int64_t pad,
                       const char *name)
{
    spx_pool2d_shape d;
    spx_node *nd;
    spx_status st;
    if (!spx_g_valid(g, x, 4, name)) {
        return SPX_NO_TENSOR;
    }
    const int64_t *dim = g->tensor[x].dim;
    d = (spx_pool2d_shape){.n = dim[0],
                           .c = dim[1],
                           .h = dim[2],
                           .w = dim[3],
                           .size = size,
                           .stride = stride,
                           .pad = pad};
    st = spx_pool2d_shape_init(&d);
    if (st != SPX_OK) {
        spx_g_fail_from(g, st, name);
        return SPX_NO_TENSOR;
    }
    nd = spx_graph_new_node(g, SPX_OP_AVG_POOL, 1, 1, name);
    if (nd == NULL) {
        return SPX_NO_TENSOR;
    }
    nd->in[0] = x;
    nd->attr = (spx_attr){.size = size, .stride = stride, .pad_begin = pad};
    return spx_g_output(g, nd, 0, 4, (int64_t[]){d.n, d.c, d.p, d.q});
}

spx_tid spx_g_global_avg_pool(spx_graph *g, spx_tid x, const char *name)
{
    if (!spx_g_valid(g, x, 4, name)) {
        return SPX_NO_TENSOR;
    }
    if (g->tensor[x].dim[2] != g->tensor[x].dim[3]) {
        spx_graph_fail(g, SPX_EINVAL, "%s%s: global pool of a map that is not square", g->scope,
                       name);
        return SPX_NO_TENSOR;
    }
    return spx_g_avg_pool(g, x, g->tensor[x].dim[2], 1, 0, name);
}

spx_tid spx_g_linear(spx_graph *g, spx_tid x, const char *name, int64_t outputs)
{
    int64_t n, f;
    spx_node *nd;
    spx_tid w, b;
    if (!spx_g_valid(g, x, 0, name)) {
        return SPX_NO_TENSOR;
    }
    n = g->tensor[x].dim[0];
    f = spx_tensor_count(&g->tensor[x]) / n;
    const spx_init init = {SPX_INIT_UNIFORM, 1.0f / sqrtf((float)f)};
    w = param_part(g, SPX_ROLE_WEIGHT, name, "weight", 2, (int64_t[]){outputs, f}, init);
    b = param_part(g, SPX_ROLE_WEIGHT, name, "bias", 1, &outputs, init);
    nd = spx_graph_new_node(g, SPX_OP_LINEAR, 3, 1, name);
    if (nd == NULL) {
        return SPX_NO_TENSOR;
    }
    nd->in[0] = x;
    nd->in[1] = w;
    nd->in[2] = b;
    return spx_g_output(g, nd, 0, 2, (int64_t[]){n, outputs});
}

spx_tid spx_g_softmax(spx_graph *g, spx_tid x, const char *name)
{
    int64_t dim[2];
    spx_node *nd;
    if (!spx_g_valid(g, x, 2, name)) {
        return SPX_NO_TENSOR;
    }
    memcpy(dim, g->tensor[x].dim, sizeof dim);
    nd = spx_graph_new_node(g, SPX_OP_SOFTMAX, 1, 1, name);
    if (nd == NULL) {
        return SPX_NO_TENSOR;
    }
    nd->in[0] = x;
    return spx_g_output(g, nd, 0, 2, dim);
}

spx_tid spx_g_drop_mask(spx_graph *g, int64_t n, uint32_t key, const char *name)
{
    spx_node *nd = spx_graph_new_node(g, SPX_OP_DROP_MASK, 0, 1, name);
    if (nd == NULL) {
        return SPX_NO_TENSOR;
    }
    nd->attr.key = key;
    return spx_g_output(g, nd, 0, 1, &n);
}

spx_tid spx_g_cross_entropy(spx_graph *g, spx_tid logits, spx_tid labels, float smoothing,
                            const char *name)
{
    spx_node *nd;
    if (!spx_g_valid(g, logits, 2, name) || !spx_g_valid(g, labels, 1, name)) {
        return SPX_NO_TENSOR;
    }
    if (g->tensor[labels].dtype != SPX_I32 ||
        g->tensor[labels].dim[0] != g->tensor[logits].dim[0]) {
        spx_graph_fail(g, SPX_EINVAL, "%s%s: labels must be int32 (%lld)", g->scope, name,
                       (long long)g->tensor[logits].dim[0]);
        return SPX_NO_TENSOR;
    }
    if (!(smoothing >= 0.0f && smoothing <= 1.0f)) {
        spx_graph_fail(g, SPX_EINVAL, "%s%s: label smoothing %g is not in 0..1", g->scope, name,
                       (double)smoothing);
        return SPX_NO_TENSOR;
    }
    nd = spx_graph_new_node(g, SPX_OP_CROSS_ENTROPY, 2, 1, name);
    if (nd == NULL) {
        return SPX_NO_TENSOR;
    }
    nd->in[0] = logits;
    nd->in[1] = labels;
    nd->attr.smoothing = smoothing;
    return spx_g_output(g, nd, 0, 1, (int64_t[]){1});
}
