/* Whether a draft is a model. Drafts come from files and from peers: nothing is taken on trust. */
#include "host/model/deploy_private.h"

#include <math.h>
#include <string.h>

#define MAX_SIDE 8192
#define MAX_CHANNELS (1 << 20)
#define MAX_TOTAL ((int64_t)1 << 28) /* elements of all values */
#define MAX_SHIFT 62
#define MAX_DENOMINATOR 2520
#define MAX_WEIGHT_BITS 23

#define BAD(...) SPX_FAIL(SPX_EFORMAT, __VA_ARGS__)

static bool in_range(int64_t v, int64_t min, int64_t max)
{
    return v >= min && v <= max;
}

static spx_status check_values(const spx_deploy_draft *d)
{
    int64_t total = 0;
    for (int i = 0; i < d->n_values; i++) {
        const spx_deploy_value *v = &d->value[i];
        int64_t count;
        if (!in_range(v->c, 1, MAX_CHANNELS) || !in_range(v->h, 1, MAX_SIDE) ||
            !in_range(v->w, 1, MAX_SIDE) || !spx_mul_i64(v->c, v->h * v->w, &count) ||
            count > MAX_TOTAL || (total += count) > MAX_TOTAL) {
            return BAD("deployed model: value %d: a size out of range", i);
        }
        if ((unsigned)v->kind > SPX_DEPLOY_ACTIVATION ||
            (v->kind == SPX_DEPLOY_IMAGE) != (i == 0)) {
            return BAD("deployed model: value %d: the first value, and no other, is the image", i);
        }
        const int most = v->kind == SPX_DEPLOY_IMAGE        ? 8
                         : v->kind == SPX_DEPLOY_ACTIVATION ? SPX_DEPLOY_MAX_ACTIVATION_BITS
                                                            : 64;
        if (!in_range(v->bits, i == 0 ? 8 : 1, most)) {
            return BAD("deployed model: value %d: a width of %d bits", i, v->bits);
        }
    }
    return SPX_OK;
}

int64_t spx_deploy_pool_side(const spx_deploy_op *op, int64_t side)
{
    const int64_t room = side + 2 * op->pad - op->size;
    return room < 0 ? 0 : room / op->stride + 1;
}

int64_t spx_deploy_pool_window(const spx_deploy_op *op, int64_t side, int64_t i)
{
    const int64_t begin = i * op->stride - op->pad, end = begin + op->size;
    return (end > side ? side : end) - (begin < 0 ? 0 : begin);
}

spx_conv2d_ring_shape spx_deploy_conv_shape(const spx_deploy_value *in, const spx_deploy_value *out,
                                            const spx_deploy_op *op)
{
    return (spx_conv2d_ring_shape){.c = in->c,
                                   .h = in->h,
                                   .w = in->w,
                                   .k = out->c,
                                   .p = out->h,
                                   .q = out->w,
                                   .size = op->size,
                                   .stride = op->stride,
                                   .dilation = op->dilation,
                                   .pad = op->pad};
}

static spx_status check_conv(const spx_deploy_draft *d, int i, bool has_weights)
{
    const spx_deploy_op *op = &d->op[i];
    const spx_conv2d_ring_shape shape =
        spx_deploy_conv_shape(&d->value[op->in], &d->value[op->out], op);
    if (!in_range(op->width, 1, MAX_WEIGHT_BITS)) {
        return BAD("deployed model: op %d: weights of %d bits", i, op->width);
    }
    if (spx_conv2d_ring_check(&shape) != SPX_OK) {
        return spx_fail_context(SPX_EFORMAT, "deployed model: op %d", i);
    }
    if (!has_weights) {
        return SPX_OK;
    }
    if (op->weights == NULL) {
        return BAD("deployed model: op %d: no weights", i);
    }
    const int32_t most = (int32_t)1 << (op->width - 1);
    const int64_t n = shape.k * shape.c * shape.size * shape.size;
    for (int64_t j = 0; j < n; j++) {
        if (op->weights[j] < -most || op->weights[j] >= most) {
            return BAD("deployed model: op %d: weight %lld does not fit %d bits", i, (long long)j,
                       op->width);
        }
    }
    return SPX_OK;
}

static spx_status check_pool(const spx_deploy_draft *d, int i)
{
    const spx_deploy_op *op = &d->op[i];
    const spx_deploy_value *in = &d->value[op->in], *out = &d->value[op->out];
    if (!in_range(op->size, 1, MAX_SIDE) || !in_range(op->stride, 1, MAX_SIDE) ||
        !in_range(op->pad, 0, op->size - 1) || !in_range(op->denominator, 1, MAX_SIDE) ||
        (op->denominator > MAX_DENOMINATOR && op->denominator != op->size) || out->c != in->c ||
        out->h != spx_deploy_pool_side(op, in->h) || out->w != spx_deploy_pool_side(op, in->w)) {
        return BAD("deployed model: op %d: a pool that does not fit its values", i);
    }
    for (int64_t j = 0; j < out->h + out->w; j++) {
        const int64_t n = j < out->h ? spx_deploy_pool_window(op, in->h, j)
                                     : spx_deploy_pool_window(op, in->w, j - out->h);
        if (n < 1 || op->denominator % n != 0) {
            return BAD("deployed model: op %d: a pool's denominator %lld over windows of %lld", i,
                       (long long)op->denominator, (long long)n);
        }
    }
    return SPX_OK;
}

static bool channels_fit(int64_t first, int64_t n, int64_t all)
{
    return in_range(n, 1, all) && in_range(first, 0, all - n);
}

static spx_status check_pick(const spx_deploy_draft *d, int i)
{
    const spx_deploy_op *op = &d->op[i];
    const spx_deploy_value *in = &d->value[op->in], *out = &d->value[op->out];
    if (!channels_fit(op->in_first, op->channels, in->c) ||
        !channels_fit(op->out_first, op->channels, out->c) || !in_range(op->stride, 1, MAX_SIDE) ||
        !in_range(op->offset, 0, MAX_SIDE) || !in_range(op->shift, 0, MAX_SHIFT) ||
        (out->h - 1) * op->stride + op->offset >= in->h ||
        (out->w - 1) * op->stride + op->offset >= in->w) {
        return BAD("deployed model: op %d: a selection that does not fit its values", i);
    }
    return SPX_OK;
}

static spx_status check_relu(const spx_deploy_draft *d, int i)
{
    const spx_deploy_op *op = &d->op[i];
    const spx_deploy_value *in = &d->value[op->in], *out = &d->value[op->out];
    if (in->c != out->c || in->h != out->h || in->w != out->w || in->kind != SPX_DEPLOY_LINEAR) {
        return BAD("deployed model: op %d: a ReLU that does not fit its values", i);
    }
    if (!in_range(op->dropped, 0, in->c * in->h * in->w)) {
        return BAD("deployed model: op %d: a mask that drops %lld of %lld elements", i,
                   (long long)op->dropped, (long long)(in->c * in->h * in->w));
    }
    if (!in_range(op->shift, 0, MAX_SHIFT) || !in_range(op->width, 2, 64) ||
        !in_range(op->bits, 1, SPX_DEPLOY_MAX_ACTIVATION_BITS) || op->bits != out->bits ||
        op->shift + op->bits + (op->dropped > 0) >= op->width || in->bits > op->width) {
        return BAD("deployed model: op %d: a ReLU of %d bits >> %d to %d, its operand has %d", i,
                   op->width, op->shift, op->bits, in->bits);
    }
    return SPX_OK;
}

/* Values are complete before they are read, activations set by one ReLU, all else by linear ops. */
static spx_status check_order(const spx_deploy_draft *d, int i, unsigned char *written,
                              unsigned char *read)
{
    const spx_deploy_op *op = &d->op[i];
    const bool unary = op->kind != SPX_DEPLOY_BIAS;
    if ((unsigned)op->kind >= SPX_DEPLOY_OP_KINDS || !in_range(op->out, 1, d->n_values - 1) ||
        !in_range(op->in, unary ? 0 : -1, unary ? d->n_values - 1 : -1) || op->in == op->out) {
        return BAD("deployed model: op %d: an unknown kind or value", i);
    }
    const bool sets = op->kind == SPX_DEPLOY_RELU;
    if (sets != (d->value[op->out].kind == SPX_DEPLOY_ACTIVATION) || (sets && written[op->out])) {
        return BAD("deployed model: op %d: activations are set by one ReLU, nothing else", i);
    }
    if (read[op->out] || (unary && op->in > 0 && !written[op->in])) {
        return BAD("deployed model: op %d: a value is read before it is complete", i);
    }
    written[op->out] = 1;
    if (unary) {
        read[op->in] = 1;
    }
    return SPX_OK;
}

static spx_status check_op(const spx_deploy_draft *d, int i, bool has_weights)
{
    switch (d->op[i].kind) {
    case SPX_DEPLOY_CONV:
        return check_conv(d, i, has_weights);
    case SPX_DEPLOY_BIAS:
        return has_weights && d->op[i].bias == NULL ? BAD("deployed model: op %d: no bias", i)
                                                    : SPX_OK;
    case SPX_DEPLOY_POOL:
        return check_pool(d, i);
    case SPX_DEPLOY_PICK:
        return check_pick(d, i);
    default:
        return check_relu(d, i);
    }
}

static spx_status check_end(const spx_deploy_draft *d, const unsigned char *written,
                            const unsigned char *read)
{
    const spx_deploy_value *l = &d->value[d->logits];
    if (l->kind != SPX_DEPLOY_LINEAR || l->h != 1 || l->w != 1 || read[d->logits] ||
        !(isfinite(d->logit_scale) && d->logit_scale > 0)) {
        return BAD("deployed model: malformed logits");
    }
    for (int i = 0; i < d->n_values; i++) {
        if ((i > 0 && !written[i]) || (i != d->logits && !read[i])) {
            return BAD("deployed model: value %d is not used", i);
        }
    }
    return SPX_OK;
}

spx_status spx_deploy_check_masks(const spx_deploy_draft *d)
{
    for (int i = 0; i < d->n_ops; i++) {
        const spx_deploy_op *op = &d->op[i];
        const size_t bytes = op->dropped > 0 ? spx_deploy_mask_bytes(d->value, op) : 0;
        const spx_deploy_value *v = &d->value[op->out];
        int64_t kept = 0;
        if (op->dropped > 0 && op->keep == NULL) {
            return BAD("deployed model: op %d: no mask", i);
        }
        for (size_t j = 0; j < 8 * bytes; j++) {
            kept += op->keep[j / 8] >> (j % 8) & 1;
        }
        if (bytes > 0 && (kept != v->c * v->h * v->w - op->dropped ||
                          op->keep[bytes - 1] >> ((v->c * v->h * v->w - 1) % 8) > 1)) {
            return BAD("deployed model: op %d: a mask that keeps %lld elements, not %lld", i,
                       (long long)kept, (long long)(v->c * v->h * v->w - op->dropped));
        }
    }
    return SPX_OK;
}

spx_status spx_deploy_check(const spx_deploy_draft *d, bool has_weights)
{
    unsigned char written[SPX_DEPLOY_MAX_VALUES] = {0}, read[SPX_DEPLOY_MAX_VALUES] = {0};
    if (!in_range(d->n_values, 2, SPX_DEPLOY_MAX_VALUES) ||
        !in_range(d->n_ops, 1, SPX_DEPLOY_MAX_OPS) || !in_range(d->logits, 1, d->n_values - 1)) {
        return BAD("deployed model: %d values, %d ops", d->n_values, d->n_ops);
    }
    SPX_RETURN_IF(check_values(d));
    for (int i = 0; i < d->n_ops; i++) {
        SPX_RETURN_IF(check_order(d, i, written, read));
        SPX_RETURN_IF(check_op(d, i, has_weights));
    }
    return check_end(d, written, read);
}
