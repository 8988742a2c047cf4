/*
 * Models as files and the public part of one as bytes. In a file:
 *   /         attributes format = "sphynx-deployed", schema, logits, logit_scale
 *   /values   i32 (n, 5), /ops i32 (n, 15): rows as in deploy_private.h
 *   /weights/I  i32 [k][c][size][size] of CONV op I;  /bias/I  i64 [c][h][w] of BIAS op I
 *   /mask/I   u8 [(c h w + 7) / 8] of RELU op I where it drops elements (schema 3)
 *   /about    u8 [n]: JSON;  /preprocessing u8 [n]: JSON, public; absent in schema 1
 *   /hash     u8 [32]
 */
#define _POSIX_C_SOURCE 200809L /* S_ISDIR */
#include "host/h5/h5_file.h"
#include "host/model/deploy_private.h"
#include "kernels/base/wire.h"

#include <assert.h>
#include <jansson.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define FORMAT "sphynx-deployed"
#define MAKE_ONE "make one of a training: sphynx export --model %s -o deployed.h5"
#define MAX_ABOUT ((size_t)1 << 22)

/* ---- writing ---- */

static spx_status add_tables(spx_h5_out *w, const spx_deploy *m)
{
    const int64_t value_dims[] = {m->n_values, SPX_DEPLOY_VALUE_FIELDS};
    const int64_t op_dims[] = {m->n_ops, SPX_DEPLOY_OP_FIELDS};
    int32_t *rows;
    spx_status st;
    SPX_RETURN_IF(SPX_NEW(
        rows, (size_t)(m->n_values * SPX_DEPLOY_VALUE_FIELDS + m->n_ops * SPX_DEPLOY_OP_FIELDS)));
    for (int v = 0; v < m->n_values; v++) {
        spx_deploy_value_row(&m->value[v], rows + v * SPX_DEPLOY_VALUE_FIELDS);
    }
    SPX_TRY(st, spx_h5_add(w, "values", SPX_H5_I32, 2, value_dims, rows), end);
    for (int i = 0; i < m->n_ops; i++) {
        spx_deploy_op_row(&m->op[i], rows + i * SPX_DEPLOY_OP_FIELDS);
    }
    SPX_TRY(st, spx_h5_add(w, "ops", SPX_H5_I32, 2, op_dims, rows), end);
    SPX_TRY(st, spx_h5_add_text(w, "values", "columns", "kind c h w bits"), end);
    st = spx_h5_add_text(w, "ops", "columns",
                         "kind in out size stride dilation pad denominator in_first out_first "
                         "channels offset shift bits width");
end:
    spx_free(rows);
    return st;
}

/* Weights, biases and masks. */
static spx_status add_arrays(spx_h5_out *w, const spx_deploy *m)
{
    for (int i = 0; i < m->n_ops; i++) {
        const spx_deploy_op *op = &m->op[i];
        const spx_deploy_value *out = &m->value[op->out];
        char name[32];
        if (op->kind == SPX_DEPLOY_CONV) {
            const int64_t dims[] = {out->c, m->value[op->in].c, op->size, op->size};
            (void)snprintf(name, sizeof name, "weights/%d", i);
            SPX_RETURN_IF(spx_h5_add(w, name, SPX_H5_I32, 4, dims, op->weights));
        } else if (op->kind == SPX_DEPLOY_BIAS) {
            const int64_t dims[] = {out->c, out->h, out->w};
            (void)snprintf(name, sizeof name, "bias/%d", i);
            SPX_RETURN_IF(spx_h5_add(w, name, SPX_H5_I64, 3, dims, op->bias));
        } else if (op->dropped > 0) {
            const int64_t bytes = (int64_t)spx_deploy_mask_bytes(m->value, op);
            (void)snprintf(name, sizeof name, "mask/%d", i);
            SPX_RETURN_IF(spx_h5_add(w, name, SPX_H5_U8, 1, &bytes, op->keep));
        }
    }
    return SPX_OK;
}

spx_status spx_deploy_write(const spx_deploy *m, const char *path)
{
    const int64_t text = (int64_t)strlen(m->preprocessing);
    const int32_t schema = spx_deploy_schema(m), logits = m->logits;
    const int64_t about = (int64_t)strlen(m->about), hash = sizeof m->hash;
    spx_h5_out *w;
    spx_status st;
    if (!m->has_weights) {
        return SPX_FAIL(SPX_EINVAL, "%s: a model without weights", path);
    }
    SPX_RETURN_IF(spx_h5_create(&w));
    spx_h5_secret(w); /* the weights are what private inference keeps from the other party */
    SPX_TRY(st, spx_h5_add_text(w, "", "format", FORMAT), end);
    SPX_TRY(st, spx_h5_add_attr(w, "", "schema", SPX_H5_I32, 1, &schema), end);
    SPX_TRY(st, spx_h5_add_attr(w, "", "logits", SPX_H5_I32, 1, &logits), end);
    SPX_TRY(st, spx_h5_add_attr(w, "", "logit_scale", SPX_H5_F64, 1, &m->logit_scale), end);
    SPX_TRY(st, spx_h5_add(w, "hash", SPX_H5_U8, 1, &hash, m->hash), end);
    SPX_TRY(st, spx_h5_add(w, "about", SPX_H5_U8, 1, &about, m->about), end);
    if (text > 0) {
        SPX_TRY(st, spx_h5_add(w, "preprocessing", SPX_H5_U8, 1, &text, m->preprocessing), end);
    }
    SPX_TRY(st, add_tables(w, m), end);
    SPX_TRY(st, add_arrays(w, m), end);
    st = spx_h5_commit(w, path);
end:
    spx_h5_discard(w);
    return st;
}

/* ---- reading ---- */

/* A draft whose arrays are its own. */
typedef struct parts {
    spx_deploy_draft d;
    spx_deploy_value *value;
    spx_deploy_op *op;
    char *about, *preprocessing;
} parts;

static void parts_clear(parts *p)
{
    spx_deploy_ops_free(p->op, p->d.n_ops); /* no copies stay behind: create wiped none */
    spx_free(p->value);
    spx_free(p->about);
    spx_free(p->preprocessing);
}

static spx_status parts_alloc(parts *p, int64_t n_values, int64_t n_ops)
{
    if (n_values < 1 || n_values > SPX_DEPLOY_MAX_VALUES || n_ops < 1 ||
        n_ops > SPX_DEPLOY_MAX_OPS) {
        return SPX_FAIL(SPX_EFORMAT, "deployed model: %lld values, %lld ops, at most %d and %d",
                        (long long)n_values, (long long)n_ops, SPX_DEPLOY_MAX_VALUES,
                        SPX_DEPLOY_MAX_OPS);
    }
    SPX_RETURN_IF(SPX_NEW(p->value, (size_t)n_values));
    SPX_RETURN_IF(SPX_NEW(p->op, (size_t)n_ops));
    p->d.value = p->value;
    p->d.op = p->op;
    p->d.n_values = (int)n_values;
    p->d.n_ops = (int)n_ops;
    return SPX_OK;
}

static spx_status read_rows(const spx_h5 *f, const char *name, int fields, int64_t max,
                            int32_t **rows, int64_t *n)
{
    spx_h5_info info;
    void *memory = NULL;
    spx_status st;
    SPX_RETURN_IF(spx_h5_stat(f, name, &info));
    if (info.rank != 2 || info.dims[1] != fields || info.dims[0] < 1 || info.dims[0] > max) {
        return SPX_FAIL(SPX_EFORMAT, "%s: %s: a table of %d columns expected", spx_h5_name(f), name,
                        fields);
    }
    SPX_RETURN_IF(spx_calloc(&memory, info.count, sizeof **rows));
    st = spx_h5_read(f, name, SPX_H5_I32, memory, info.count);
    if (st != SPX_OK) {
        spx_free(memory);
        return st;
    }
    *rows = memory;
    *n = info.dims[0];
    return SPX_OK;
}

static spx_status read_tables(const spx_h5 *f, parts *p)
{
    int32_t *values = NULL, *ops = NULL;
    int64_t n_values, n_ops;
    spx_status st;
    SPX_TRY(
        st,
        read_rows(f, "values", SPX_DEPLOY_VALUE_FIELDS, SPX_DEPLOY_MAX_VALUES, &values, &n_values),
        end);
    SPX_TRY(st, read_rows(f, "ops", SPX_DEPLOY_OP_FIELDS, SPX_DEPLOY_MAX_OPS, &ops, &n_ops), end);
    SPX_TRY(st, parts_alloc(p, n_values, n_ops), end);
    for (int v = 0; v < p->d.n_values; v++) {
        spx_deploy_value_parse(values + v * SPX_DEPLOY_VALUE_FIELDS, &p->value[v]);
    }
    for (int i = 0; i < p->d.n_ops; i++) {
        spx_deploy_op_parse(ops + i * SPX_DEPLOY_OP_FIELDS, &p->op[i]);
    }
end:
    spx_free(values);
    spx_free(ops);
    return st;
}

/* Any one-dimensional or larger dataset of an integer type, at most max elements. */
static spx_status read_block(const spx_h5 *f, const char *name, spx_h5_type as, size_t size,
                             size_t expected, void **out)
{
    spx_h5_info info;
    spx_status st;
    if (!spx_h5_has(f, name)) {
        return SPX_FAIL(SPX_EFORMAT, "%s: %s is missing", spx_h5_name(f), name);
    }
    SPX_RETURN_IF(spx_h5_stat(f, name, &info));
    if (info.count != expected) {
        return SPX_FAIL(SPX_EFORMAT, "%s: %s: %zu elements, %zu expected", spx_h5_name(f), name,
                        info.count, expected);
    }
    SPX_RETURN_IF(spx_calloc(out, info.count, size));
    st = spx_h5_read(f, name, as, *out, info.count);
    if (st != SPX_OK) {
        spx_free(*out);
        *out = NULL;
    }
    return st;
}

/* The structure has been checked, so the counts are those of real shapes. */
static spx_status read_arrays(const spx_h5 *f, parts *p)
{
    for (int i = 0; i < p->d.n_ops; i++) {
        spx_deploy_op *op = &p->op[i];
        void *memory = NULL;
        char name[32];
        if (op->kind == SPX_DEPLOY_CONV) {
            (void)snprintf(name, sizeof name, "weights/%d", i);
            SPX_RETURN_IF(read_block(f, name, SPX_H5_I32, sizeof *op->weights,
                                     spx_deploy_weight_count(p->value, op), &memory));
            op->weights = memory;
        } else if (op->kind == SPX_DEPLOY_BIAS) {
            (void)snprintf(name, sizeof name, "bias/%d", i);
            SPX_RETURN_IF(read_block(f, name, SPX_H5_I64, sizeof *op->bias,
                                     spx_deploy_bias_count(p->value, op), &memory));
            op->bias = memory;
        } else if (op->dropped > 0) {
            (void)snprintf(name, sizeof name, "mask/%d", i);
            SPX_RETURN_IF(
                read_block(f, name, SPX_H5_U8, 1, spx_deploy_mask_bytes(p->value, op), &memory));
            op->keep = memory;
        }
    }
    return SPX_OK;
}

static bool is_object(const char *text, size_t bytes)
{
    json_t *j = strlen(text) == bytes ? json_loads(text, 0, NULL) : NULL;
    const bool object = json_is_object(j);
    json_decref(j);
    return object;
}

/* A JSON object as text; *out is the caller's, also on failure. */
static spx_status read_object(const spx_h5 *f, const char *name, size_t max, char **out)
{
    spx_h5_info info;
    SPX_RETURN_IF(spx_h5_stat(f, name, &info));
    if (info.count > max) {
        return SPX_FAIL(SPX_EFORMAT, "%s: %s: %zu bytes", spx_h5_name(f), name, info.count);
    }
    SPX_RETURN_IF(SPX_NEW(*out, info.count + 1));
    SPX_RETURN_IF(spx_h5_read(f, name, SPX_H5_U8, *out, info.count));
    return is_object(*out, info.count)
               ? SPX_OK
               : SPX_FAIL(SPX_EFORMAT, "%s: %s: a JSON object expected", spx_h5_name(f), name);
}

static spx_status read_texts(const spx_h5 *f, parts *p, int schema)
{
    SPX_RETURN_IF(read_object(f, "about", MAX_ABOUT, &p->about));
    p->d.about = p->about;
    if (schema == 2 || spx_h5_has(f, "preprocessing")) {
        SPX_RETURN_IF(
            read_object(f, "preprocessing", SPX_DEPLOY_MAX_PREPROCESSING, &p->preprocessing));
        p->d.preprocessing = p->preprocessing;
    }
    return SPX_OK;
}

static spx_status check_head(const spx_h5 *f, int32_t *schema)
{
    char *format = NULL;
    spx_status st = spx_h5_read_text(f, "", "format", &format);
    if (st == SPX_OK && strcmp(format, "sphynx-model") == 0) {
        st = SPX_FAIL(SPX_EFORMAT, "%s: not a deployed model; " MAKE_ONE, spx_h5_name(f),
                      spx_h5_name(f));
    } else if (st != SPX_OK || strcmp(format, FORMAT) != 0) {
        st = SPX_FAIL(SPX_EFORMAT, "%s: not a deployed model (sphynx export makes one)",
                      spx_h5_name(f));
    }
    spx_free(format);
    SPX_RETURN_IF(st);
    SPX_RETURN_IF(spx_h5_read_attr(f, "", "schema", SPX_H5_I32, schema, 1, NULL));
    return *schema >= 1 && *schema <= SPX_DEPLOY_SCHEMA
               ? SPX_OK
               : SPX_FAIL(SPX_EFORMAT,
                          "%s: deployed model of schema %d, this program reads 1 to %d",
                          spx_h5_name(f), (int)*schema, SPX_DEPLOY_SCHEMA);
}

static spx_status read_parts(const spx_h5 *f, parts *p, unsigned char *hash)
{
    int32_t logits = 0, schema = 0;
    SPX_RETURN_IF(check_head(f, &schema));
    SPX_RETURN_IF(spx_h5_read_attr(f, "", "logits", SPX_H5_I32, &logits, 1, NULL));
    SPX_RETURN_IF(spx_h5_read_attr(f, "", "logit_scale", SPX_H5_F64, &p->d.logit_scale, 1, NULL));
    SPX_RETURN_IF(spx_h5_read(f, "hash", SPX_H5_U8, hash, SPX_DEPLOY_HASH_BYTES));
    SPX_RETURN_IF(read_tables(f, p));
    p->d.logits = logits;
    SPX_RETURN_IF(spx_fail_context(spx_deploy_check(&p->d, false), "%s", spx_h5_name(f)));
    SPX_RETURN_IF(read_texts(f, p, schema));
    return read_arrays(f, p);
}

spx_status spx_deploy_read(spx_deploy **out, const char *path)
{
    struct stat s;
    spx_h5 *f;
    spx_status st;
    *out = NULL;
    if (stat(path, &s) == 0 && S_ISDIR(s.st_mode)) {
        return SPX_FAIL(SPX_EINVAL, "%s: a folder, not a deployed model; " MAKE_ONE, path, path);
    }
    SPX_RETURN_IF(spx_h5_open(&f, path, SPX_H5_CHECKED));
    st = spx_deploy_read_open(out, f);
    spx_h5_close(f);
    return st;
}

spx_status spx_deploy_read_open(spx_deploy **out, const spx_h5 *f)
{
    unsigned char hash[SPX_DEPLOY_HASH_BYTES];
    parts p = {0};
    spx_status st;
    *out = NULL;
    SPX_TRY(st, read_parts(f, &p, hash), end);
    SPX_TRY(st, spx_fail_context(spx_deploy_create(out, &p.d, NULL), "%s", spx_h5_name(f)), end);
    if (memcmp(hash, (*out)->hash, sizeof hash) != 0) {
        st = SPX_FAIL(SPX_EFORMAT, "%s: the model's hash does not match its content",
                      spx_h5_name(f));
        spx_deploy_destroy(*out);
        *out = NULL;
    }
end:
    parts_clear(&p);
    return st;
}

bool spx_deploy_is(const spx_h5 *f)
{
    char *format = NULL;
    const bool is =
        spx_h5_read_text(f, "", "format", &format) == SPX_OK && strcmp(format, FORMAT) == 0;
    spx_free(format);
    return is;
}

/* ---- the public part as bytes ---- */

#define MAGIC "SPXPUB02"
#define MAGIC_MASKED "SPXPUB03" /* masks, in the order of their ops, stand before the text */

enum {
    /* magic, counts and logits, scale, bytes of preprocessing (which ends the message), hash */
    HEAD_BYTES = 8 + 3 * 4 + 8 + 4 + SPX_DEPLOY_HASH_BYTES,
    VALUE_BYTES = 4 * SPX_DEPLOY_VALUE_FIELDS,
    OP_BYTES = 4 * SPX_DEPLOY_OP_FIELDS
};

/* What stands before the rows. */
typedef struct public_head {
    char magic[8];
    uint32_t n_values, n_ops, logits, text; /* text: bytes of preprocessing */
    uint64_t scale;                         /* bits of a double */
    unsigned char hash[SPX_DEPLOY_HASH_BYTES];
} public_head;

static void head_fields(spx_wire *w, public_head *h)
{
    spx_wire_bytes(w, h->magic, sizeof h->magic);
    spx_wire_u32(w, &h->n_values);
    spx_wire_u32(w, &h->n_ops);
    spx_wire_u32(w, &h->logits);
    spx_wire_u64(w, &h->scale);
    spx_wire_u32(w, &h->text);
    spx_wire_bytes(w, h->hash, sizeof h->hash);
}

static void row_fields(spx_wire *w, int32_t *row, int n)
{
    for (int i = 0; i < n; i++) {
        uint32_t bits = (uint32_t)row[i];
        spx_wire_u32(w, &bits);
        row[i] = (int32_t)bits;
    }
}

/* Bytes of all masks, of checked ops. */
static size_t masks_bytes(const spx_deploy_value *value, const spx_deploy_op *op, int n)
{
    size_t bytes = 0;
    for (int i = 0; i < n; i++) {
        bytes += op[i].dropped > 0 ? spx_deploy_mask_bytes(value, &op[i]) : 0;
    }
    return bytes;
}

spx_status spx_deploy_encode_public(const spx_deploy *m, void **data, size_t *size)
{
    int32_t row[SPX_DEPLOY_OP_FIELDS];
    const size_t text = strlen(m->preprocessing), masks = masks_bytes(m->value, m->op, m->n_ops);
    public_head h = {.n_values = (uint32_t)m->n_values,
                     .n_ops = (uint32_t)m->n_ops,
                     .logits = (uint32_t)m->logits,
                     .text = (uint32_t)text};
    memcpy(h.magic, masks > 0 ? MAGIC_MASKED : MAGIC, sizeof h.magic);
    memcpy(&h.scale, &m->logit_scale, sizeof h.scale);
    memcpy(h.hash, m->hash, sizeof h.hash);
    *size =
        HEAD_BYTES + (size_t)m->n_values * VALUE_BYTES + (size_t)m->n_ops * OP_BYTES + masks + text;
    SPX_RETURN_IF(spx_alloc(data, *size));
    spx_wire w = spx_wire_to(*data, *size - masks - text);
    head_fields(&w, &h);
    for (int v = 0; v < m->n_values; v++) {
        spx_deploy_value_row(&m->value[v], row);
        row_fields(&w, row, SPX_DEPLOY_VALUE_FIELDS);
    }
    for (int i = 0; i < m->n_ops; i++) {
        spx_deploy_op_row(&m->op[i], row);
        row_fields(&w, row, SPX_DEPLOY_OP_FIELDS);
    }
    assert(spx_wire_done(&w));
    unsigned char *at = (unsigned char *)*data + w.at;
    for (int i = 0; i < m->n_ops; i++) {
        if (m->op[i].dropped > 0) {
            const size_t n = spx_deploy_mask_bytes(m->value, &m->op[i]);
            memcpy(at, m->op[i].keep, n);
            at += n;
        }
    }
    memcpy(at, m->preprocessing, text);
    return SPX_OK;
}

/* From a peer: an object of a bounded size, or nothing. */
static spx_status decode_text(const unsigned char *from, size_t size, parts *p)
{
    if (size == 0) {
        return SPX_OK;
    }
    SPX_RETURN_IF(SPX_NEW(p->preprocessing, size + 1));
    p->d.preprocessing = p->preprocessing;
    memcpy(p->preprocessing, from, size);
    return is_object(p->preprocessing, size)
               ? SPX_OK
               : SPX_FAIL(SPX_EFORMAT, "public model: preprocessing: a JSON object expected");
}

/* What stands behind the rows: masks, of which there are `size` bytes. The ops are not checked yet,
 * and masks have the lengths that these say. */
static spx_status decode_masks(const unsigned char *from, size_t size, parts *p)
{
    SPX_RETURN_IF(spx_deploy_check(&p->d, false));
    const size_t masks = masks_bytes(p->value, p->op, p->d.n_ops);
    if (masks != size) {
        return SPX_FAIL(SPX_EFORMAT, "public model: %zu bytes of masks, %zu expected", size, masks);
    }
    for (int i = 0; i < p->d.n_ops; i++) {
        if (p->op[i].dropped > 0) {
            void *memory = NULL;
            const size_t n = spx_deploy_mask_bytes(p->value, &p->op[i]);
            SPX_RETURN_IF(spx_alloc(&memory, n));
            memcpy(memory, from, n);
            p->op[i].keep = memory;
            from += n;
        }
    }
    return SPX_OK;
}

static spx_status decode(const unsigned char *data, size_t size, parts *p, unsigned char *hash)
{
    int32_t row[SPX_DEPLOY_OP_FIELDS] = {0};
    spx_wire w = spx_wire_from(data, size);
    public_head h;
    head_fields(&w, &h);
    const bool masked = memcmp(h.magic, MAGIC_MASKED, sizeof h.magic) == 0;
    if (w.failed || (!masked && memcmp(h.magic, MAGIC, sizeof h.magic) != 0)) {
        return SPX_FAIL(SPX_EFORMAT, "public model: malformed beginning");
    }
    memcpy(hash, h.hash, sizeof h.hash);
    SPX_RETURN_IF(parts_alloc(p, h.n_values, h.n_ops));
    const size_t least =
        HEAD_BYTES + (size_t)h.n_values * VALUE_BYTES + (size_t)h.n_ops * OP_BYTES + h.text;
    if (size < least || (!masked && size != least) || h.text > SPX_DEPLOY_MAX_PREPROCESSING ||
        h.logits >= h.n_values) {
        return SPX_FAIL(SPX_EFORMAT, "public model: %zu bytes for %u values and %u ops", size,
                        h.n_values, h.n_ops);
    }
    memcpy(&p->d.logit_scale, &h.scale, sizeof h.scale);
    p->d.logits = (int)h.logits;
    for (uint32_t v = 0; v < h.n_values; v++) {
        row_fields(&w, row, SPX_DEPLOY_VALUE_FIELDS);
        spx_deploy_value_parse(row, &p->value[v]);
    }
    for (uint32_t i = 0; i < h.n_ops; i++) {
        row_fields(&w, row, SPX_DEPLOY_OP_FIELDS);
        spx_deploy_op_parse(row, &p->op[i]);
    }
    SPX_RETURN_IF(decode_masks(data + w.at, size - least, p));
    return decode_text(data + size - h.text, h.text, p);
}

spx_status spx_deploy_decode_public(spx_deploy **out, const void *data, size_t size)
{
    unsigned char hash[SPX_DEPLOY_HASH_BYTES];
    parts p = {0};
    spx_status st;
    *out = NULL;
    SPX_TRY(st, decode(data, size, &p, hash), end);
    st = spx_deploy_create(out, &p.d, hash);
end:
    parts_clear(&p);
    return st;
}
