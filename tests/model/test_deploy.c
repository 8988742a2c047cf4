/* Deployed models: structure, executor, shares, files. Integers: every comparison is exact. */
#include "tests/model/deploy_fixture.h"
#include "tests/support/spx_scratch.h"

#include "host/h5/h5_file.h"
#include "host/model/deploy.h"
#include "kernels/base/alloc.h"
#include "kernels/base/file.h"

/* ---- the executor against the definition of each op ---- */

static int64_t at(const spx_deploy_value *v, const int64_t *x, int64_t c, int64_t i, int64_t j)
{
    return i < 0 || j < 0 || i >= v->h || j >= v->w ? 0 : x[(c * v->h + i) * v->w + j];
}

static int64_t pool_element(const spx_deploy *m, const spx_deploy_op *op, const int64_t *x,
                            int64_t c, int64_t i, int64_t j)
{
    const spx_deploy_value *in = &m->value[op->in];
    int64_t sum = 0, rows = 0, columns = 0;
    for (int64_t a = 0; a < op->size; a++) {
        const int64_t row = i * op->stride + a - op->pad, column = j * op->stride + a - op->pad;
        rows += row >= 0 && row < in->h;
        columns += column >= 0 && column < in->w;
        for (int64_t b = 0; b < op->size; b++) {
            sum += at(in, x, c, row, j * op->stride + b - op->pad);
        }
    }
    return sum * (op->denominator / rows) * (op->denominator / columns);
}

static void plain_op(const spx_deploy *m, const spx_deploy_op *op, const int64_t *x, int64_t *y)
{
    const spx_deploy_value *in = &m->value[op->in < 0 ? 0 : op->in], *out = &m->value[op->out];
    if (op->kind == SPX_DEPLOY_CONV) {
        const spx_conv2d_ring_shape d = spx_deploy_conv_shape(in, out, op);
        spx_conv2d_ring_ref(&d, op->weights, x, y);
        return;
    }
    for (int64_t n = 0; n < out->c * out->h * out->w; n++) {
        const int64_t c = n / (out->h * out->w), i = n / out->w % out->h, j = n % out->w;
        if (op->kind == SPX_DEPLOY_BIAS) {
            y[n] += op->bias[n];
        } else if (op->kind == SPX_DEPLOY_POOL) {
            y[n] += pool_element(m, op, x, c, i, j);
        } else if (op->kind == SPX_DEPLOY_RELU) {
            const double v = floor(ldexp((double)x[n], -op->shift)); /* below 2^53: exact */
            const int64_t low = spx_deploy_keeps(op, (size_t)n) ? 0 : -256;
            y[n] = v < (double)low ? low : v > 255 ? 255 : (int64_t)v;
        } else if (c >= op->out_first && c < op->out_first + op->channels) {
            y[n] += at(in, x, op->in_first + c - op->out_first, i * op->stride + op->offset,
                       j * op->stride + op->offset) *
                    ((int64_t)1 << op->shift);
        }
    }
}

static int64_t *plain_values(deploy_fixture *f, const spx_deploy *m, const uint8_t *image)
{
    int64_t *values = pile_bytes(&f->pile, spx_deploy_total(m) * sizeof *values);
    for (size_t i = 0; i < spx_deploy_count(m, 0); i++) {
        values[i] = image[i];
    }
    for (int i = 0; i < m->n_ops; i++) {
        const spx_deploy_op *op = &m->op[i];
        plain_op(m, op, values + spx_deploy_begin(m, op->in < 0 ? 0 : op->in),
                 values + spx_deploy_begin(m, op->out));
    }
    return values;
}

SPX_TEST(the_executor_gives_the_definitions_values_on_every_instruction_set)
{
    SPX_UNUSED;
    for (uint64_t seed = 1; seed <= 8; seed++) {
        deploy_fixture f;
        spx_deploy *m = fixture_model_of(&f, seed, seed > 5);
        const uint8_t *image = fixture_image(&f, m);
        const size_t n = spx_deploy_total(m);
        const int64_t *expected = plain_values(&f, m, image);
        int64_t *values = pile_bytes(&f.pile, n * sizeof *values);
        for (int isa = 0; isa <= (int)SPX_ISA_AVX2; isa++) {
            assert_int_equal(setenv("SPHYNX_ISA", spx_isa_name((spx_isa)isa), 1), 0);
            CHECK_OK(spx_deploy_run_values(m, NULL, image, values));
            assert_memory_equal(values, expected, n * sizeof *values);
        }
        assert_int_equal(unsetenv("SPHYNX_ISA"), 0);
        spx_deploy_destroy(m);
        fixture_clear(&f);
    }
}

SPX_TEST(many_images_on_several_threads_give_each_images_logits)
{
    SPX_UNUSED;
    enum { IMAGES = 7, CLASSES = 10 };
    deploy_fixture f;
    spx_deploy *m = fixture_model(&f, 3);
    const size_t pixels = spx_deploy_count(m, 0);
    uint8_t *images = pile_bytes(&f.pile, IMAGES * pixels);
    int64_t logits[IMAGES * CLASSES];
    spx_pool *pool;
    CHECK_OK(spx_pool_create(&pool, 3));
    for (int i = 0; i < IMAGES; i++) {
        memcpy(images + (size_t)i * pixels, fixture_image(&f, m), pixels);
    }
    CHECK_OK(spx_deploy_run_integer(m, pool, IMAGES, images, logits));
    for (int i = 0; i < IMAGES; i++) {
        const int64_t *values = plain_values(&f, m, images + (size_t)i * pixels);
        assert_memory_equal(logits + i * CLASSES, values + spx_deploy_begin(m, m->logits),
                            CLASSES * sizeof *logits);
    }
    spx_pool_destroy(pool);
    spx_deploy_destroy(m);
    fixture_clear(&f);
}

/* ---- shares ---- */

static uint64_t low_bits(int64_t v, int bits)
{
    return (uint64_t)v << (64 - bits) >> (64 - bits);
}

/*
 * Each linear op is applied to the shares of two parties (the client: public ops alone; then what
 * the server's ops give is split anew, as the offline phase does). The shares add up to the value.
 */
SPX_TEST(ops_on_shares_add_up_to_the_value_modulo_its_ring)
{
    SPX_UNUSED;
    deploy_fixture f;
    spx_deploy *m = fixture_model(&f, 4);
    const uint8_t *image = fixture_image(&f, m);
    const size_t n = spx_deploy_total(m);
    const int64_t *value = plain_values(&f, m, image);
    int64_t *share[2];
    void *scratch;
    CHECK_OK(spx_alloc(&scratch, spx_deploy_scratch(m)));
    for (int p = 0; p < 2; p++) {
        share[p] = pile_bytes(&f.pile, n * sizeof(int64_t));
    }
    for (int i = 0; i < m->n_ops; i++) {
        const spx_deploy_op *op = &m->op[i];
        const size_t in = spx_deploy_begin(m, op->in < 0 ? 0 : op->in);
        if (op->kind == SPX_DEPLOY_RELU) {
            continue;
        }
        for (size_t j = 0; op->in >= 0 && j < spx_deploy_count(m, op->in); j++) {
            const int64_t mask = (int64_t)((uint64_t)spx_rng_u32(&f.rng) << 40 ^
                                           (uint64_t)spx_rng_u32(&f.rng) << 16);
            share[0][in + j] = (int64_t)low_bits(value[in + j] - mask, m->value[op->in].ring);
            share[1][in + j] = (int64_t)low_bits(mask, m->value[op->in].ring);
        }
        int64_t *sum[2];
        for (int p = 0; p < 2; p++) { /* linear: both shares through the same op, BIAS but once */
            sum[p] = pile_bytes(&f.pile, spx_deploy_count(m, op->out) * sizeof(int64_t));
            if (p == 0 || op->kind != SPX_DEPLOY_BIAS) {
                spx_deploy_apply(m, i, share[p] + in, sum[p], scratch, NULL);
            }
        }
        int64_t *alone = pile_bytes(&f.pile, spx_deploy_count(m, op->out) * sizeof(int64_t));
        plain_op(m, op, value + in, alone);
        for (size_t j = 0; j < spx_deploy_count(m, op->out); j++) {
            const int ring = m->value[op->out].ring;
            assert_int_equal(low_bits(sum[0][j] + sum[1][j], ring), low_bits(alone[j], ring));
        }
    }
    spx_free(scratch);
    spx_deploy_destroy(m);
    fixture_clear(&f);
}

SPX_TEST(a_relu_looks_at_its_width_alone_and_saturates)
{
    SPX_UNUSED;
    deploy_fixture f;
    spx_deploy *m = fixture_model(&f, 1);
    const int i = m->relu[0];
    const int l = m->op[i].width, shift = m->op[i].shift;
    const int64_t top = ((int64_t)1 << (l - 1)) - 1, noise = (int64_t)5 << l;
    const int64_t in[] = {0,
                          -1,
                          top + noise,
                          (-top - 1) + noise,
                          (int64_t)255 << shift,
                          ((int64_t)256 << shift) - 1,
                          ((int64_t)256 << shift) + noise,
                          (int64_t)1 << shift,
                          ((int64_t)1 << shift) - 1};
    const int64_t expected[] = {0, 0, 255, 0, 255, 255, 255, 1, 0};
    int64_t out[9];
    spx_deploy_relu(m, i, 9, in, out);
    assert_memory_equal(out, expected, sizeof expected);
    spx_deploy_destroy(m);
    fixture_clear(&f);
}

SPX_TEST(a_dropped_element_keeps_its_sign_within_one_bit_more)
{
    SPX_UNUSED;
    deploy_fixture f;
    spx_deploy *m = fixture_model_of(&f, 1, true);
    const int i = m->relu[0];
    const spx_deploy_op *op = &m->op[i];
    const size_t n = spx_deploy_count(m, op->out);
    const int64_t one = (int64_t)1 << op->shift, noise = (int64_t)5 << op->width;
    const int64_t in[] = {0, -1, one, -one, 255 * one, 256 * one, -256 * one, -257 * one + noise};
    const int64_t kept[] = {0, 0, 1, 0, 255, 255, 0, 0};
    const int64_t dropped[] = {0, -1, 1, -1, 255, 255, -256, -256};
    int64_t *x = pile_bytes(&f.pile, n * sizeof *x), *y = pile_bytes(&f.pile, n * sizeof *y);
    size_t seen[2] = {0};
    for (int k = 0; k < 8; k++) {
        for (size_t j = 0; j < n; j++) {
            x[j] = in[k];
        }
        spx_deploy_relu(m, i, n, x, y);
        for (size_t j = 0; j < n; j++) {
            const bool keeps = spx_deploy_keeps(op, j);
            assert_int_equal(y[j], (keeps ? kept : dropped)[k]);
            seen[keeps]++;
        }
    }
    assert_int_equal(seen[0], 8 * op->dropped);
    assert_int_equal(spx_deploy_interactive(m) - spx_deploy_relus(m),
                     op->dropped + m->op[m->relu[1]].dropped);
    assert_true(m->value[op->out].is_signed);
    spx_deploy_destroy(m);
    fixture_clear(&f);
}

/* ---- what is derived ---- */

SPX_TEST(exchanges_hold_every_convolution_once_and_read_what_lies_before)
{
    SPX_UNUSED;
    deploy_fixture f;
    spx_deploy *m = fixture_model(&f, 1);
    int seen[FIXTURE_MAX] = {0};
    assert_int_equal(m->n_segments, 3);
    assert_int_equal(m->max_depth, 3);
    assert_int_equal(m->value[1].segment, 0); /* the stem serves the first segment first */
    for (int e = 0; e < m->n_exchanges; e++) {
        const spx_deploy_exchange *x = &m->exchange[e];
        for (int k = 0; k < x->n_conv; k++) {
            seen[x->conv[k]]++;
            assert_int_equal(m->value[m->op[x->conv[k]].out].segment, x->segment);
        }
        for (int k = 0; k < x->n_in; k++) {
            assert_true(m->value[x->in[k]].depth < x->depth);
        }
    }
    for (int i = 0; i < m->n_ops; i++) {
        assert_int_equal(seen[i], m->op[i].kind == SPX_DEPLOY_CONV);
        if (m->op[i].kind == SPX_DEPLOY_CONV || m->op[i].kind == SPX_DEPLOY_POOL) {
            assert_true(m->value[m->op[i].in].ring >= m->value[m->op[i].out].ring);
        } else if (m->op[i].kind == SPX_DEPLOY_RELU) {
            assert_true(m->value[m->op[i].in].ring >= m->op[i].width);
        }
    }
    spx_deploy_destroy(m);
    fixture_clear(&f);
}

/* ---- files ---- */

static void check_same(deploy_fixture *f, const spx_deploy *a, const spx_deploy *b)
{
    const uint8_t *image = fixture_image(f, a);
    int64_t x[10], y[10];
    assert_memory_equal(a->hash, b->hash, sizeof a->hash);
    assert_string_equal(a->about, b->about);
    assert_true(a->logit_scale == b->logit_scale);
    CHECK_OK(spx_deploy_run_integer(a, NULL, 1, image, x));
    CHECK_OK(spx_deploy_run_integer(b, NULL, 1, image, y));
    assert_memory_equal(x, y, sizeof x);
}

SPX_TEST(a_file_holds_the_whole_model)
{
    SPX_UNUSED;
    deploy_fixture f, other;
    spx_scratch s;
    spx_deploy *differs = fixture_model(&other, 2);
    assert_int_equal(spx_scratch_make(&s), 0);
    const char *path = spx_scratch_path(&s, "m.h5");
    for (int masked = 0; masked < 2; masked++) {
        spx_deploy *m = fixture_model_of(&f, 1, masked == 1), *read;
        CHECK_OK(spx_deploy_write(m, path));
        CHECK_OK(spx_deploy_read(&read, path));
        check_same(&f, m, read);
        assert_int_equal(spx_deploy_schema(read), masked == 1 ? 3 : 1);
        assert_memory_not_equal(m->hash, differs->hash, sizeof m->hash);
        spx_deploy_destroy(m);
        spx_deploy_destroy(read);
        if (masked == 0) {
            fixture_clear(&f);
        }
    }
    spx_deploy_destroy(differs);
    fixture_clear(&f);
    fixture_clear(&other);
    spx_scratch_remove(&s);
}

SPX_TEST(truncated_and_flipped_files_are_refused)
{
    SPX_UNUSED;
    deploy_fixture f;
    spx_scratch s;
    spx_deploy *m = fixture_model(&f, 1), *read;
    void *data;
    size_t size;
    assert_int_equal(spx_scratch_make(&s), 0);
    const char *path = spx_scratch_path(&s, "m.h5");
    CHECK_OK(spx_deploy_write(m, path));
    CHECK_OK(spx_file_read(path, (size_t)1 << 30, &data, &size));
    for (int i = 0; i < 60; i++) {
        unsigned char *bytes = data;
        const size_t byte = (size_t)spx_rng_u32(&f.rng) % size;
        const bool cut = i % 3 == 0;
        bytes[byte] ^= (unsigned char)(1 << i % 8);
        assert_int_equal(spx_scratch_write(path, data, cut ? byte : size), 0);
        bytes[byte] ^= (unsigned char)(1 << i % 8);
        /* The trailer's 16 zero bytes are checked too, so that no byte is free. */
        CHECK_FAILS(SPX_EFORMAT, spx_deploy_read(&read, path));
        assert_null(read);
    }
    spx_free(data);
    spx_deploy_destroy(m);
    fixture_clear(&f);
    spx_scratch_remove(&s);
}

/* Copies every dataset of a file, with `word` of dataset `which` replaced, under
 * a good checksum. */
static void rewrite(const spx_h5 *f, const char *path, const char *which, size_t word, int32_t by)
{
    static const char *const attr[] = {"schema", "logits"};
    spx_h5_out *w;
    spx_h5_names names;
    double scale;
    CHECK_OK(spx_h5_create(&w));
    CHECK_OK(spx_h5_add_text(w, "", "format", "sphynx-deployed"));
    for (int i = 0; i < 2; i++) {
        int32_t v;
        CHECK_OK(spx_h5_read_attr(f, "", attr[i], SPX_H5_I32, &v, 1, NULL));
        CHECK_OK(spx_h5_add_attr(w, "", attr[i], SPX_H5_I32, 1, &v));
    }
    CHECK_OK(spx_h5_read_attr(f, "", "logit_scale", SPX_H5_F64, &scale, 1, NULL));
    CHECK_OK(spx_h5_add_attr(w, "", "logit_scale", SPX_H5_F64, 1, &scale));
    CHECK_OK(spx_h5_list(f, "", &names));
    for (size_t i = 0; i < names.count; i++) {
        spx_h5_info info;
        CHECK_OK(spx_h5_stat(f, names.name[i], &info));
        void *data = calloc(info.count, sizeof(int64_t));
        assert_non_null(data);
        CHECK_OK(spx_h5_read(f, names.name[i], info.type, data, info.count));
        if (strcmp(names.name[i], which) == 0) {
            ((int32_t *)data)[word % info.count] = by;
        }
        CHECK_OK(spx_h5_add(w, names.name[i], info.type, info.rank, info.dims, data));
        free(data);
    }
    spx_h5_names_clear(&names);
    CHECK_OK(spx_h5_commit(w, path));
    spx_h5_discard(w);
}

/* A good checksum over bad content: structure is checked, and the content's own hash. */
SPX_TEST(forged_files_are_refused)
{
    SPX_UNUSED;
    static const int32_t words[] = {0, -1, INT32_MAX, INT32_MIN, 1 << 20, 65, 7};
    static const char *const tables[] = {"values", "ops", "weights/0"};
    deploy_fixture f;
    spx_scratch s;
    spx_h5 *file;
    spx_deploy *m = fixture_model_of(&f, 1, true), *read;
    int refused = 0;
    assert_int_equal(spx_scratch_make(&s), 0);
    const char *good = spx_scratch_path(&s, "good.h5"), *bad = spx_scratch_path(&s, "bad.h5");
    CHECK_OK(spx_deploy_write(m, good));
    CHECK_OK(spx_h5_open(&file, good, SPX_H5_CHECKED));
    for (int i = 0; i < 90; i++) {
        rewrite(file, bad, tables[i % 3], spx_rng_u32(&f.rng), words[i % 7]);
        const spx_status st = spx_deploy_read(&read, bad);
        assert_true(st == SPX_EFORMAT || st == SPX_OK); /* OK: the word was that already */
        if (st == SPX_OK) {
            assert_memory_equal(read->hash, m->hash, sizeof m->hash);
        }
        refused += st != SPX_OK;
        spx_deploy_destroy(read);
    }
    assert_true(refused > 40);
    spx_h5_close(file);
    spx_deploy_destroy(m);
    fixture_clear(&f);
    spx_scratch_remove(&s);
}

SPX_TEST(the_public_part_has_the_structure_and_no_weights)
{
    SPX_UNUSED;
    deploy_fixture f;
    spx_deploy *m = fixture_model_of(&f, 1, true), *p;
    void *data;
    size_t size;
    int64_t logits[10];
    CHECK_OK(spx_deploy_encode_public(m, &data, &size));
    CHECK_OK(spx_deploy_decode_public(&p, data, size));
    assert_int_equal(spx_deploy_relus(p), spx_deploy_relus(m));
    assert_false(p->has_weights);
    assert_memory_equal(p->hash, m->hash, sizeof p->hash);
    assert_int_equal(p->n_exchanges, m->n_exchanges);
    assert_memory_equal(p->value, m->value, (size_t)m->n_values * sizeof *m->value);
    for (int i = 0; i < p->n_ops; i++) {
        assert_null(p->op[i].weights);
        assert_null(p->op[i].bias);
        assert_int_equal(p->op[i].keep != NULL, m->op[i].dropped > 0);
        for (size_t j = 0; m->op[i].dropped > 0 && j < spx_deploy_count(m, m->op[i].out); j++) {
            assert_int_equal(spx_deploy_keeps(&p->op[i], j), spx_deploy_keeps(&m->op[i], j));
        }
    }
    CHECK_FAILS(SPX_EINVAL, spx_deploy_run_integer(p, NULL, 1, fixture_image(&f, m), logits));
    CHECK_FAILS(SPX_EINVAL, spx_deploy_write(p, "/nonexistent/m.h5"));
    spx_deploy_destroy(p);
    spx_free(data);
    spx_deploy_destroy(m);
    fixture_clear(&f);
}

/* No checksum protects a message: whatever it says, it is refused or it is a model that can run. */
SPX_TEST(hostile_public_parts_are_refused_or_harmless)
{
    SPX_UNUSED;
    deploy_fixture f;
    spx_deploy *m = fixture_model_of(&f, 1, true), *p;
    void *data;
    size_t size;
    int refused = 0;
    CHECK_OK(spx_deploy_encode_public(m, &data, &size));
    unsigned char *copy = pile_bytes(&f.pile, size);
    for (size_t cut = 0; cut < size; cut += 1 + size / 97) {
        memcpy(copy, data, cut);
        CHECK_FAILS(SPX_EFORMAT, spx_deploy_decode_public(&p, copy, cut));
    }
    for (int i = 0; i < 20000; i++) {
        static const uint32_t words[] = {0,          1,          0x7FFFFFFF, 0x80000000,
                                         0xFFFFFFFF, 0xFFFFFFFE, 64,         4096};
        memcpy(copy, data, size);
        for (uint32_t changes = 1 + spx_rng_below(&f.rng, 3); changes > 0; changes--) {
            const size_t word = spx_rng_below(&f.rng, (uint32_t)(size / 4)) * 4;
            const uint32_t v = words[spx_rng_below(&f.rng, 8)];
            memcpy(copy + word, &v, sizeof v);
        }
        const spx_status st = spx_deploy_decode_public(&p, copy, size);
        assert_true(st == SPX_OK || st == SPX_EFORMAT || st == SPX_ENOMEM);
        refused += st != SPX_OK;
        spx_deploy_destroy(p);
    }
    assert_true(refused > 10000);
    spx_free(data);
    spx_deploy_destroy(m);
    fixture_clear(&f);
}

/* As many segments, depths and ops as the format has room for, all of one element: a walk over the
 * ops for each pair of them would take minutes, and the alarm ends the test. */
SPX_TEST(the_largest_legal_structure_is_derived_at_once)
{
    SPX_UNUSED;
    enum { RELUS = 1020, DEEP = 2040, OPS = 16000 };
    const unsigned char hash[SPX_DEPLOY_HASH_BYTES] = {1};
    spx_deploy_value *value = calloc(SPX_DEPLOY_MAX_VALUES, sizeof *value);
    spx_deploy_op *op = calloc(SPX_DEPLOY_MAX_OPS, sizeof *op);
    spx_deploy_draft d = {.value = value, .op = op, .logit_scale = 1};
    spx_deploy *m;
    assert_true(value != NULL && op != NULL);
    for (int v = 0; v <= 2 * RELUS + DEEP; v++) {
        const bool active = v > 0 && v <= 2 * RELUS && v % 2 == 0;
        value[v] = (spx_deploy_value){.kind = v == 0   ? SPX_DEPLOY_IMAGE
                                              : active ? SPX_DEPLOY_ACTIVATION
                                                       : SPX_DEPLOY_LINEAR,
                                      .c = 1,
                                      .h = 1,
                                      .w = 1,
                                      .bits = active || v == 0 ? 8 : 16};
        if (v > 0) {
            op[d.n_ops++] = active ? (spx_deploy_op){.kind = SPX_DEPLOY_RELU,
                                                     .in = v - 1,
                                                     .out = v,
                                                     .shift = 4,
                                                     .bits = 8,
                                                     .width = 16}
                                   : (spx_deploy_op){.kind = SPX_DEPLOY_CONV,
                                                     .in = v - 1,
                                                     .out = v,
                                                     .size = 1,
                                                     .stride = 1,
                                                     .dilation = 1,
                                                     .width = 8};
        }
    }
    d.n_values = 2 * RELUS + DEEP + 1;
    d.logits = d.n_values - 1;
    for (const spx_deploy_op last = op[d.n_ops - 1]; d.n_ops < OPS; d.n_ops++) {
        op[d.n_ops] = last;
        op[d.n_ops].in = d.n_ops % (2 * RELUS);
    }
    (void)alarm(60);
    CHECK_OK(spx_deploy_create(&m, &d, hash));
    (void)alarm(0);
    assert_int_equal(m->n_exchanges, RELUS + DEEP);
    assert_int_equal(m->max_depth, DEEP);
    int convs = 0;
    for (int i = 0; i < m->n_exchanges; i++) {
        convs += m->exchange[i].n_conv;
    }
    assert_int_equal(convs, OPS - RELUS);
    spx_deploy_destroy(m);
    free(value);
    free(op);
}

SPX_TEST(drafts_that_are_no_models_are_refused)
{
    SPX_UNUSED;
    deploy_fixture f;
    spx_deploy *m = fixture_model(&f, 1), *bad;
    const spx_deploy_draft good = {.value = f.value,
                                   .op = f.op,
                                   .n_values = f.n_values,
                                   .n_ops = f.n_ops,
                                   .logits = m->logits,
                                   .logit_scale = 1};
    const int relu = m->relu[0];
    CHECK_OK(spx_deploy_create(&bad, &good, NULL));
    spx_deploy_destroy(bad);
#define REFUSED(field, value)                                                                      \
    do {                                                                                           \
        const deploy_fixture kept_ = f;                                                            \
        f.field = value;                                                                           \
        CHECK_FAILS(SPX_EFORMAT, spx_deploy_create(&bad, &good, NULL));                            \
        f = kept_;                                                                                 \
    } while (0)
    REFUSED(value[0].bits, 9);
    REFUSED(value[1].kind, SPX_DEPLOY_IMAGE);
    REFUSED(value[1].c, (int64_t)1 << 40);
    REFUSED(op[0].in, 3);    /* read before it is written */
    REFUSED(op[0].out, 0);   /* the image is the client's */
    REFUSED(op[0].width, 7); /* a weight that does not fit */
    REFUSED(op[0].weights, NULL);
    REFUSED(op[1].bias, NULL);
    REFUSED(op[relu].width, f.value[f.op[relu].in].bits - 1); /* narrower than what is proven */
    REFUSED(op[relu].shift, f.op[relu].width - 8);
    REFUSED(op[relu].bits, 9);
    REFUSED(op[relu].kind, SPX_DEPLOY_BIAS);
    REFUSED(op[f.n_ops - 1].out, f.n_values);
    REFUSED(op[f.n_ops - 2].kind, SPX_DEPLOY_OP_KINDS);
    const uint8_t keep[512] = {0};
    REFUSED(op[relu].dropped, 1); /* without a mask */
    REFUSED(op[relu].dropped, -1);
    REFUSED(op[relu].dropped, (int64_t)1 << 40);
    f.op[relu].keep = keep; /* it drops them all, so it is not one that drops all but one */
    f.op[relu].width = 64;
    REFUSED(op[relu].dropped, (int64_t)spx_deploy_count(m, f.op[relu].out) - 1);
    f.op[relu].dropped = (int64_t)spx_deploy_count(m, f.op[relu].out);
    CHECK_OK(spx_deploy_create(&bad, &good, NULL));
    spx_deploy_destroy(bad);
    REFUSED(op[relu].width, f.op[relu].shift + 9); /* one bit short */
    f.op[relu].dropped = 0;
    spx_deploy_draft no_scale = good;
    no_scale.logit_scale = NAN;
    CHECK_FAILS(SPX_EFORMAT, spx_deploy_create(&bad, &no_scale, NULL));
    spx_deploy_destroy(m);
    fixture_clear(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(the_executor_gives_the_definitions_values_on_every_instruction_set),
        SPX_UNIT(many_images_on_several_threads_give_each_images_logits),
        SPX_UNIT(ops_on_shares_add_up_to_the_value_modulo_its_ring),
        SPX_UNIT(a_relu_looks_at_its_width_alone_and_saturates),
        SPX_UNIT(a_dropped_element_keeps_its_sign_within_one_bit_more),
        SPX_UNIT(exchanges_hold_every_convolution_once_and_read_what_lies_before),
        SPX_UNIT(a_file_holds_the_whole_model),
        SPX_UNIT(truncated_and_flipped_files_are_refused),
        SPX_UNIT(forged_files_are_refused),
        SPX_UNIT(the_public_part_has_the_structure_and_no_weights),
        SPX_UNIT(hostile_public_parts_are_refused_or_harmless),
        SPX_UNIT(the_largest_legal_structure_is_derived_at_once),
        SPX_UNIT(drafts_that_are_no_models_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
