/* The integer executor: the specification of what private inference computes. */
#include "host/model/deploy_private.h"

#include <assert.h>
#include <string.h>

/* ---- single ops ---- */

/* Sum of the window of output (i, j) inside the map. */
static uint64_t box_sum(const spx_deploy_op *op, const spx_deploy_value *in, const int64_t *x,
                        int64_t i, int64_t j)
{
    const int64_t top = i * op->stride - op->pad, left = j * op->stride - op->pad;
    const int64_t bottom = top + op->size > in->h ? in->h : top + op->size;
    const int64_t right = left + op->size > in->w ? in->w : left + op->size;
    uint64_t sum = 0;
    for (int64_t row = top < 0 ? 0 : top; row < bottom; row++) {
        for (int64_t column = left < 0 ? 0 : left; column < right; column++) {
            sum += (uint64_t)x[row * in->w + column];
        }
    }
    return sum;
}

static void apply_pool(const spx_deploy *m, const spx_deploy_op *op, const int64_t *x, int64_t *y)
{
    const spx_deploy_value *in = &m->value[op->in], *out = &m->value[op->out];
    for (int64_t c = 0; c < out->c; c++) {
        for (int64_t i = 0; i < out->h; i++) {
            const int64_t rows = op->denominator / spx_deploy_pool_window(op, in->h, i);
            assert(rows * spx_deploy_pool_window(op, in->h, i) == op->denominator); /* exact */
            for (int64_t j = 0; j < out->w; j++) {
                const int64_t columns = op->denominator / spx_deploy_pool_window(op, in->w, j);
                int64_t *to = &y[(c * out->h + i) * out->w + j];
                *to = (int64_t)((uint64_t)*to + (uint64_t)(rows * columns) *
                                                    box_sum(op, in, x + c * in->h * in->w, i, j));
            }
        }
    }
}

static void apply_pick(const spx_deploy *m, const spx_deploy_op *op, const int64_t *x, int64_t *y)
{
    const spx_deploy_value *in = &m->value[op->in], *out = &m->value[op->out];
    for (int64_t c = 0; c < op->channels; c++) {
        for (int64_t i = 0; i < out->h; i++) {
            const int64_t *from =
                x + ((op->in_first + c) * in->h + i * op->stride + op->offset) * in->w + op->offset;
            int64_t *to = y + ((op->out_first + c) * out->h + i) * out->w;
            for (int64_t j = 0; j < out->w; j++) {
                to[j] = (int64_t)((uint64_t)to[j] + ((uint64_t)from[j * op->stride] << op->shift));
            }
        }
    }
}

static void apply_bias(const spx_deploy *m, const spx_deploy_op *op, int64_t *y)
{
    const size_t n = spx_deploy_bias_count(m->value, op);
    assert(op->bias != NULL);
    for (size_t i = 0; i < n; i++) {
        y[i] = (int64_t)((uint64_t)y[i] + (uint64_t)op->bias[i]);
    }
}

static void apply(const spx_deploy *m, int i, spx_ring_range range, const int64_t *in, int64_t *out,
                  void *scratch, spx_pool *pool)
{
    const spx_deploy_op *op = &m->op[i];
    switch (op->kind) {
    case SPX_DEPLOY_CONV:
        assert(op->filter != NULL);
        spx_conv2d_ring_run(op->filter, in, range, out, scratch, pool);
        break;
    case SPX_DEPLOY_BIAS:
        apply_bias(m, op, out);
        break;
    case SPX_DEPLOY_POOL:
        apply_pool(m, op, in, out);
        break;
    default:
        assert(op->kind == SPX_DEPLOY_PICK);
        apply_pick(m, op, in, out);
        break;
    }
}

/* A share of in: any element of the ring that the result needs. */
static spx_ring_range share_range(const spx_deploy *m, const spx_deploy_op *op)
{
    return (spx_ring_range){.bits = m->value[op->out].ring};
}

/* The true value of in. */
static spx_ring_range plain_range(const spx_deploy *m, const spx_deploy_op *op)
{
    const spx_deploy_value *v = &m->value[op->in < 0 ? 0 : op->in];
    return (spx_ring_range){.bits = v->bits + v->is_signed,
                            .is_signed = v->kind == SPX_DEPLOY_LINEAR || v->is_signed};
}

size_t spx_deploy_scratch(const spx_deploy *m)
{
    size_t most = 0;
    for (int i = 0; i < m->n_ops; i++) {
        const spx_deploy_op *op = &m->op[i];
        if (op->filter != NULL) {
            const size_t a = spx_conv2d_ring_scratch(op->filter, share_range(m, op));
            const size_t b = spx_conv2d_ring_scratch(op->filter, plain_range(m, op));
            most = most < a ? a : most;
            most = most < b ? b : most;
        }
    }
    return most;
}

void spx_deploy_apply(const spx_deploy *m, int i, const int64_t *in, int64_t *out, void *scratch,
                      spx_pool *pool)
{
    apply(m, i, share_range(m, &m->op[i]), in, out, scratch, pool);
}

void spx_deploy_relu(const spx_deploy *m, int i, size_t n, const int64_t *in, int64_t *out)
{
    const spx_deploy_op *op = &m->op[i];
    const int above = 64 - op->width;
    assert(op->kind == SPX_DEPLOY_RELU && op->shift + op->bits < op->width && op->width <= 64);
    for (size_t j = 0; j < n; j++) {
        /* Of a dropped one, what is clamped is moved up to begin at 0: as circuits have it. */
        const int up = !spx_deploy_keeps(op, j);
        const int64_t low = (int64_t)up << op->bits, most = ((int64_t)1 << (op->bits + up)) - 1;
        const uint64_t x = (uint64_t)in[j] + ((uint64_t)low << op->shift);
        const int64_t v = (int64_t)(x << above) >> above >> op->shift;
        out[j] = (v < 0 ? 0 : v > most ? most : v) - low;
    }
}

/* ---- whole images ---- */

/* Values [total]; scratch for any op. */
static void run_image(const spx_deploy *m, const size_t *begin, const uint8_t *image,
                      int64_t *values, void *scratch, spx_pool *pool)
{
    memset(values, 0, begin[m->n_values] * sizeof *values);
    for (size_t i = 0; i < begin[1]; i++) {
        values[i] = image[i];
    }
    for (int i = 0; i < m->n_ops; i++) {
        const spx_deploy_op *op = &m->op[i];
        const int64_t *in = values + (op->in < 0 ? 0 : begin[op->in]);
        int64_t *out = values + begin[op->out];
        if (op->kind == SPX_DEPLOY_RELU) {
            spx_deploy_relu(m, i, begin[op->out + 1] - begin[op->out], in, out);
        } else {
            apply(m, i, plain_range(m, op), in, out, scratch, pool);
        }
    }
}

/* [n_values + 1]; free with spx_free. */
static spx_status begins(const spx_deploy *m, size_t **out)
{
    SPX_RETURN_IF(SPX_NEW(*out, (size_t)m->n_values + 1));
    for (int v = 0; v < m->n_values; v++) {
        (*out)[v + 1] = (*out)[v] + spx_deploy_count(m, v);
    }
    return SPX_OK;
}

static spx_status check_whole(const spx_deploy *m)
{
    return m->has_weights ? SPX_OK
                          : SPX_FAIL(SPX_EINVAL, "integer executor: a model without weights");
}

spx_status spx_deploy_run_values(const spx_deploy *m, spx_pool *pool, const uint8_t *image,
                                 int64_t *values)
{
    size_t *begin = NULL;
    void *scratch = NULL;
    spx_status st;
    SPX_RETURN_IF(check_whole(m));
    SPX_TRY(st, begins(m, &begin), end);
    SPX_TRY(st, spx_alloc(&scratch, spx_deploy_scratch(m)), end);
    run_image(m, begin, image, values, scratch, pool);
end:
    spx_free(begin);
    spx_free(scratch);
    return st;
}

typedef struct images {
    const spx_deploy *m;
    const size_t *begin;
    const uint8_t *image;
    int64_t *logits;
    unsigned char *memory; /* per worker: values, scratch */
    size_t values_bytes, worker_bytes;
} images;

static void run_images(void *ctx, int worker, size_t first, size_t end)
{
    const images *r = ctx;
    unsigned char *own = r->memory + (size_t)worker * r->worker_bytes;
    int64_t *values = (int64_t *)(void *)own;
    const size_t pixels = r->begin[1], classes = spx_deploy_count(r->m, r->m->logits);
    for (size_t i = first; i < end; i++) {
        run_image(r->m, r->begin, r->image + i * pixels, values, own + r->values_bytes, NULL);
        memcpy(r->logits + i * classes, values + r->begin[r->m->logits],
               classes * sizeof *r->logits);
    }
}

static size_t rounded(size_t bytes)
{
    return (bytes + SPX_ALIGN - 1) / SPX_ALIGN * SPX_ALIGN;
}

spx_status spx_deploy_run_integer(const spx_deploy *m, spx_pool *pool, size_t n,
                                  const uint8_t *image, int64_t *logits)
{
    const size_t workers = pool != NULL ? (size_t)spx_pool_threads(pool) : 1;
    images r = {.m = m, .image = image, .logits = logits};
    size_t *begin = NULL;
    void *memory = NULL;
    spx_status st;
    SPX_RETURN_IF(check_whole(m));
    SPX_TRY(st, begins(m, &begin), end);
    r.begin = begin;
    r.values_bytes = rounded(begin[m->n_values] * sizeof *logits);
    r.worker_bytes = r.values_bytes + rounded(spx_deploy_scratch(m));
    SPX_TRY(st, spx_alloc(&memory, workers * r.worker_bytes), end);
    r.memory = memory;
    if (pool != NULL) {
        spx_pool_run(pool, n, run_images, &r);
    } else {
        run_images(&r, 0, 0, n);
    }
end:
    spx_free(begin);
    spx_free(memory);
    return st;
}
