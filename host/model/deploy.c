/* Models in memory: making them from drafts, and what is derived from values and ops. */
#include "host/model/deploy.h"

#include "host/model/deploy_private.h"

#include <assert.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

/* ---- rows ---- */

void spx_deploy_value_row(const spx_deploy_value *v, int32_t row[SPX_DEPLOY_VALUE_FIELDS])
{
    const int64_t field[] = {v->kind, v->c, v->h, v->w, v->bits};
    for (int i = 0; i < SPX_DEPLOY_VALUE_FIELDS; i++) {
        row[i] = (int32_t)field[i];
    }
}

void spx_deploy_ops_free(spx_deploy_op *op, int n)
{
    for (int i = 0; op != NULL && i < n; i++) {
        spx_free((void *)(uintptr_t)op[i].weights);
        spx_free((void *)(uintptr_t)op[i].bias);
        spx_free((void *)(uintptr_t)op[i].keep);
    }
    spx_free(op);
}

void spx_deploy_value_parse(const int32_t row[SPX_DEPLOY_VALUE_FIELDS], spx_deploy_value *v)
{
    *v = (spx_deploy_value){
        .kind = (spx_deploy_kind)row[0], .c = row[1], .h = row[2], .w = row[3], .bits = row[4]};
}

void spx_deploy_op_row(const spx_deploy_op *op, int32_t row[SPX_DEPLOY_OP_FIELDS])
{
    const int64_t many = op->kind == SPX_DEPLOY_RELU ? op->dropped : op->channels;
    const int64_t field[] = {op->kind,     op->in,     op->out,         op->size,     op->stride,
                             op->dilation, op->pad,    op->denominator, op->in_first, op->out_first,
                             many,         op->offset, op->shift,       op->bits,     op->width};
    for (int i = 0; i < SPX_DEPLOY_OP_FIELDS; i++) {
        row[i] = (int32_t)field[i];
    }
}

void spx_deploy_op_parse(const int32_t row[SPX_DEPLOY_OP_FIELDS], spx_deploy_op *op)
{
    *op = (spx_deploy_op){.kind = (spx_deploy_op_kind)row[0],
                          .in = row[1],
                          .out = row[2],
                          .size = row[3],
                          .stride = row[4],
                          .dilation = row[5],
                          .pad = row[6],
                          .denominator = row[7],
                          .in_first = row[8],
                          .out_first = row[9],
                          .channels = row[10],
                          .offset = row[11],
                          .shift = row[12],
                          .bits = row[13],
                          .width = row[14]};
    if (op->kind == SPX_DEPLOY_RELU) {
        op->dropped = op->channels;
        op->channels = 0;
    }
}

/* ---- sizes ---- */

static size_t count_of(const spx_deploy_value *v)
{
    return (size_t)(v->c * v->h * v->w);
}

size_t spx_deploy_weight_count(const spx_deploy_value *value, const spx_deploy_op *op)
{
    return (size_t)(value[op->out].c * value[op->in].c * op->size * op->size);
}

size_t spx_deploy_bias_count(const spx_deploy_value *value, const spx_deploy_op *op)
{
    return count_of(&value[op->out]);
}

size_t spx_deploy_mask_bytes(const spx_deploy_value *value, const spx_deploy_op *op)
{
    return (count_of(&value[op->out]) + 7) / 8;
}

size_t spx_deploy_count(const spx_deploy *m, int v)
{
    return count_of(&m->value[v]);
}

size_t spx_deploy_begin(const spx_deploy *m, int v)
{
    size_t begin = 0;
    for (int i = 0; i < v; i++) {
        begin += count_of(&m->value[i]);
    }
    return begin;
}

size_t spx_deploy_total(const spx_deploy *m)
{
    return spx_deploy_begin(m, m->n_values);
}

int spx_deploy_schema(const spx_deploy *m)
{
    for (int i = 0; i < m->n_ops; i++) {
        if (m->op[i].dropped > 0) {
            return SPX_DEPLOY_SCHEMA;
        }
    }
    return m->preprocessing[0] != '\0' ? 2 : 1;
}

int64_t spx_deploy_interactive(const spx_deploy *m)
{
    int64_t n = 0;
    for (int i = 0; i < m->n_values; i++) {
        n += m->value[i].kind == SPX_DEPLOY_ACTIVATION ? (int64_t)count_of(&m->value[i]) : 0;
    }
    return n;
}

int64_t spx_deploy_relus(const spx_deploy *m)
{
    int64_t n = spx_deploy_interactive(m);
    for (int i = 0; i < m->n_ops; i++) {
        n -= m->op[i].dropped;
    }
    return n;
}

/* ---- what is derived ---- */

static int max_int(int a, int b)
{
    return a > b ? a : b;
}

/* Bits that consumers need. Readers of a value stand behind its writers, so one pass back is
 * enough. */
static void derive_rings(spx_deploy *m)
{
    for (int v = 0; v < m->n_values; v++) {
        m->value[v].ring = v == m->logits ? m->value[v].bits : 1;
    }
    for (int i = m->n_ops - 1; i >= 0; i--) {
        const spx_deploy_op *op = &m->op[i];
        if (op->kind != SPX_DEPLOY_BIAS) {
            const int need = op->kind == SPX_DEPLOY_RELU   ? op->width
                             : op->kind == SPX_DEPLOY_PICK ? m->value[op->out].ring - op->shift
                                                           : m->value[op->out].ring;
            m->value[op->in].ring = max_int(m->value[op->in].ring, need);
        }
    }
}

static void derive_segments(spx_deploy *m)
{
    int segment = m->n_segments - 1;
    for (int v = 0; v < m->n_values; v++) {
        m->value[v].segment = v == 0 ? -1 : segment;
    }
    for (int i = m->n_ops - 1; i >= 0; i--) {
        const spx_deploy_op *op = &m->op[i];
        int serves = m->value[op->out].segment;
        if (op->kind == SPX_DEPLOY_RELU) {
            m->relu[--segment] = i;
            m->value[op->out].segment = segment;
            serves = segment;
        }
        if (op->kind != SPX_DEPLOY_BIAS && m->value[op->in].kind == SPX_DEPLOY_LINEAR &&
            m->value[op->in].segment > serves) {
            m->value[op->in].segment = serves;
        }
    }
}

/* Depths, and for each value that of its convolutions (0 where it has none). */
static void derive_depths(spx_deploy *m, int *conv_depth)
{
    for (int i = 0; i < m->n_ops; i++) {
        const spx_deploy_op *op = &m->op[i];
        if (op->kind == SPX_DEPLOY_BIAS || op->kind == SPX_DEPLOY_RELU) {
            continue;
        }
        const int depth = m->value[op->in].depth + (op->kind == SPX_DEPLOY_CONV);
        m->value[op->out].depth = max_int(m->value[op->out].depth, depth);
        if (op->kind == SPX_DEPLOY_CONV) {
            conv_depth[op->out] = max_int(conv_depth[op->out], depth);
            m->max_depth = max_int(m->max_depth, depth);
        }
    }
}

/* A value that convolutions write or such a convolution, with where its exchange stands. */
typedef struct placed {
    int segment, depth, index;
} placed;

static int by_place(const void *a, const void *b)
{
    const placed *x = a, *y = b;
    const int order[] = {x->segment - y->segment, x->depth - y->depth, x->index - y->index};
    return order[0] != 0 ? order[0] : order[1] != 0 ? order[1] : order[2];
}

static int by_number(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

static bool together(const placed *a, const placed *b)
{
    return a->segment == b->segment && a->depth == b->depth;
}

/* Collects one exchange, whose outputs and convolutions stand at the head of value and conv, into
 * list, which has room; returns where the list ends. */
static int *collect_exchange(const spx_deploy *m, spx_deploy_exchange *e, const placed **value,
                             const placed *values_end, const placed **conv, const placed *convs_end,
                             int *list)
{
    const placed *first = *value;
    *e = (spx_deploy_exchange){.segment = first->segment, .depth = first->depth, .out = list};
    for (; *value < values_end && together(*value, first); ++*value) {
        *list++ = (*value)->index;
        e->n_out++;
    }
    e->conv = list;
    for (; *conv < convs_end && together(*conv, first); ++*conv) {
        *list++ = (*conv)->index;
        e->n_conv++;
    }
    e->in = list;
    for (int i = 0; i < e->n_conv; i++) {
        list[i] = m->op[e->conv[i]].in;
    }
    qsort(list, (size_t)e->n_conv, sizeof *list, by_number);
    for (int i = 0; i < e->n_conv; i++) {
        if (e->n_in == 0 || list[e->n_in - 1] != list[i]) {
            list[e->n_in++] = list[i];
        }
    }
    return list + e->n_in;
}

/* Sorting brings together what belongs to one exchange: a model has up to thousands of segments,
 * depths and ops, and a walk over all of them for each exchange would keep a client busy for
 * minutes with a model that a hostile server made up. */
static spx_status derive_exchanges(spx_deploy *m, const int *conv_depth)
{
    void *memory = NULL;
    placed *place, *end;
    /* Every op is in at most one list of convolutions, every value in one of outputs; the inputs
     * of an exchange are no more than its convolutions. */
    SPX_RETURN_IF(spx_calloc(&memory, (size_t)(2 * m->n_ops + m->n_values), sizeof(int)));
    m->memory = memory;
    int *list = memory;
    SPX_RETURN_IF(SPX_NEW(m->exchange, (size_t)m->n_values));
    SPX_RETURN_IF(spx_calloc(&memory, (size_t)(m->n_ops + m->n_values), sizeof *place));
    place = end = memory;
    for (int v = 0; v < m->n_values; v++) {
        if (conv_depth[v] > 0) {
            *end++ = (placed){m->value[v].segment, conv_depth[v], v};
        }
    }
    placed *conv = end;
    for (int i = 0; i < m->n_ops; i++) {
        const int out = m->op[i].out;
        if (m->op[i].kind == SPX_DEPLOY_CONV) {
            *end++ = (placed){m->value[out].segment, conv_depth[out], i};
        }
    }
    qsort(place, (size_t)(conv - place), sizeof *place, by_place);
    qsort(conv, (size_t)(end - conv), sizeof *conv, by_place);
    const placed *value = place, *next = conv;
    while (value < conv) {
        assert(m->n_exchanges < m->n_values);
        list = collect_exchange(m, &m->exchange[m->n_exchanges++], &value, conv, &next, end, list);
    }
    assert(list - (int *)m->memory <= 2 * m->n_ops + m->n_values);
    spx_free(memory);
    return SPX_OK;
}

/* ---- hash ---- */

static void hash_words(crypto_generichash_state *s, const void *words, size_t n, size_t bytes)
{
    /* Little-endian whatever the machine; in blocks. */
    unsigned char block[4096];
    const unsigned char *from = words;
    const uint16_t one = 1;
    const bool little = *(const unsigned char *)&one == 1;
    assert(sizeof block % bytes == 0); /* no word across blocks */
    while (n > 0) {
        const size_t now = n < sizeof block / bytes ? n : sizeof block / bytes;
        for (size_t i = 0; i < now * bytes; i++) {
            block[i] = from[little ? i : i - i % bytes + bytes - 1 - i % bytes];
        }
        (void)crypto_generichash_update(s, block, now * bytes);
        from += now * bytes;
        n -= now;
    }
}

static void make_hash(spx_deploy *m)
{
    crypto_generichash_state s;
    const size_t public_text = strlen(m->preprocessing);
    const int32_t head[] = {spx_deploy_schema(m), m->n_values, m->n_ops, m->logits};
    (void)crypto_generichash_init(&s, NULL, 0, sizeof m->hash);
    hash_words(&s, head, 4, sizeof head[0]);
    hash_words(&s, &m->logit_scale, 1, sizeof m->logit_scale);
    for (int v = 0; v < m->n_values; v++) {
        int32_t row[SPX_DEPLOY_VALUE_FIELDS];
        spx_deploy_value_row(&m->value[v], row);
        hash_words(&s, row, SPX_DEPLOY_VALUE_FIELDS, sizeof row[0]);
    }
    for (int i = 0; i < m->n_ops; i++) {
        const spx_deploy_op *op = &m->op[i];
        int32_t row[SPX_DEPLOY_OP_FIELDS];
        spx_deploy_op_row(op, row);
        hash_words(&s, row, SPX_DEPLOY_OP_FIELDS, sizeof row[0]);
        if (op->weights != NULL) {
            hash_words(&s, op->weights, spx_deploy_weight_count(m->value, op), sizeof(int32_t));
        }
        if (op->bias != NULL) {
            hash_words(&s, op->bias, spx_deploy_bias_count(m->value, op), sizeof(int64_t));
        }
        if (op->keep != NULL) {
            hash_words(&s, op->keep, spx_deploy_mask_bytes(m->value, op), 1);
        }
    }
    (void)crypto_generichash_update(&s, (const unsigned char *)m->about, strlen(m->about));
    if (public_text > 0) { /* with a zero in front, which no text holds */
        (void)crypto_generichash_update(&s, (const unsigned char *)"", 1);
        (void)crypto_generichash_update(&s, (const unsigned char *)m->preprocessing, public_text);
    }
    (void)crypto_generichash_final(&s, m->hash, sizeof m->hash);
    sodium_memzero(&s, sizeof s);
}

/* ---- making ---- */

static spx_status copy_block(const void *from, size_t n, size_t size, void **out)
{
    SPX_RETURN_IF(spx_calloc(out, n, size));
    memcpy(*out, from, n * size);
    return SPX_OK;
}

static spx_status copy_masks(spx_deploy *m, const spx_deploy_draft *d)
{
    for (int i = 0; i < m->n_ops; i++) {
        if (m->op[i].dropped > 0) {
            void *memory = NULL;
            const size_t n = spx_deploy_mask_bytes(m->value, &m->op[i]);
            SPX_RETURN_IF(copy_block(d->op[i].keep, n, 1, &memory));
            m->op[i].keep = memory;
            m->value[m->op[i].out].is_signed = true;
        }
    }
    return SPX_OK;
}

static spx_status copy_secrets(spx_deploy *m, const spx_deploy_draft *d)
{
    for (int i = 0; i < m->n_ops; i++) {
        spx_deploy_op *op = &m->op[i];
        const spx_deploy_op *from = &d->op[i];
        void *memory = NULL;
        if (op->kind == SPX_DEPLOY_CONV) {
            const size_t n = spx_deploy_weight_count(m->value, op);
            const spx_conv2d_ring_shape shape =
                spx_deploy_conv_shape(&m->value[op->in], &m->value[op->out], op);
            spx_conv2d_ring *filter;
            SPX_RETURN_IF(copy_block(from->weights, n, sizeof *op->weights, &memory));
            op->weights = memory;
            SPX_RETURN_IF(spx_conv2d_ring_create(&filter, &shape, op->weights));
            op->filter = filter;
        } else if (op->kind == SPX_DEPLOY_BIAS) {
            const size_t n = spx_deploy_bias_count(m->value, op);
            SPX_RETURN_IF(copy_block(from->bias, n, sizeof *op->bias, &memory));
            op->bias = memory;
        }
    }
    return SPX_OK;
}

static spx_status copy_structure(spx_deploy *m, const spx_deploy_draft *d)
{
    const char *about = d->about != NULL && m->has_weights ? d->about : "{}";
    const char *preprocessing = d->preprocessing != NULL ? d->preprocessing : "";
    void *memory = NULL;
    SPX_RETURN_IF(SPX_NEW(m->value, (size_t)d->n_values));
    for (int v = 0; v < d->n_values; v++) {
        int32_t row[SPX_DEPLOY_VALUE_FIELDS];
        spx_deploy_value_row(&d->value[v], row); /* what is derived stays zero */
        spx_deploy_value_parse(row, &m->value[v]);
    }
    m->n_values = d->n_values;
    SPX_RETURN_IF(SPX_NEW(m->op, (size_t)d->n_ops));
    for (int i = 0; i < d->n_ops; i++) {
        int32_t row[SPX_DEPLOY_OP_FIELDS];
        spx_deploy_op_row(&d->op[i], row);
        spx_deploy_op_parse(row, &m->op[i]);
        m->n_segments += d->op[i].kind == SPX_DEPLOY_RELU;
    }
    m->n_ops = d->n_ops;
    m->n_segments++;
    SPX_RETURN_IF(SPX_NEW(m->relu, (size_t)m->n_segments));
    SPX_RETURN_IF(copy_block(about, strlen(about) + 1, 1, &memory));
    m->about = memory;
    SPX_RETURN_IF(copy_block(preprocessing, strlen(preprocessing) + 1, 1, &memory));
    m->preprocessing = memory;
    m->logits = d->logits;
    m->logit_scale = d->logit_scale;
    return SPX_OK;
}

spx_status spx_deploy_create(spx_deploy **out, const spx_deploy_draft *d,
                             const unsigned char *public_hash)
{
    spx_deploy *m;
    int *conv_depth;
    spx_status st;
    *out = NULL;
    SPX_RETURN_IF(spx_deploy_check(d, public_hash == NULL));
    SPX_RETURN_IF(spx_deploy_check_masks(d));
    SPX_RETURN_IF(SPX_NEW(m, 1));
    m->has_weights = public_hash == NULL;
    SPX_TRY(st, copy_structure(m, d), fail);
    SPX_TRY(st, copy_masks(m, d), fail);
    SPX_TRY(st, SPX_NEW(conv_depth, (size_t)m->n_values), fail);
    derive_rings(m);
    derive_segments(m);
    derive_depths(m, conv_depth);
    st = derive_exchanges(m, conv_depth);
    spx_free(conv_depth);
    if (st != SPX_OK) {
        goto fail;
    }
    if (m->has_weights) {
        SPX_TRY(st, copy_secrets(m, d), fail);
        make_hash(m);
    } else {
        memcpy(m->hash, public_hash, sizeof m->hash);
    }
    *out = m;
    return SPX_OK;
fail:
    spx_deploy_destroy(m);
    return st;
}

void spx_deploy_destroy(spx_deploy *m)
{
    if (m == NULL) {
        return;
    }
    for (int i = 0; i < m->n_ops; i++) {
        spx_deploy_op *op = &m->op[i];
        if (op->weights != NULL) {
            sodium_memzero((void *)(uintptr_t)op->weights,
                           spx_deploy_weight_count(m->value, op) * sizeof *op->weights);
            spx_free((void *)(uintptr_t)op->weights);
        }
        if (op->bias != NULL) {
            sodium_memzero((void *)(uintptr_t)op->bias,
                           spx_deploy_bias_count(m->value, op) * sizeof *op->bias);
            spx_free((void *)(uintptr_t)op->bias);
        }
        spx_free((void *)(uintptr_t)op->keep);
        spx_conv2d_ring_destroy((spx_conv2d_ring *)(uintptr_t)op->filter);
    }
    spx_free(m->value);
    spx_free(m->op);
    spx_free(m->relu);
    spx_free(m->exchange);
    spx_free(m->memory);
    spx_free(m->preprocessing);
    spx_free(m->about);
    spx_free(m);
}
