/* Garbled ReLUs: the result, the bytes, the lengths, what the evaluator sees. */
#define _POSIX_C_SOURCE 200809L
#include "host/secure/ot/ot.h"
#include "tests/secure/gc_case.h"
#include "tests/secure/gc_twin.h"
#include "tests/support/crypto_isas.h"

static spx_prg prg;

static void check_outputs(const gc_case *t)
{
    for (size_t i = 0; i < t->b.n; i++) {
        const uint64_t relu = gc_twin_relu(&t->b.params, t->c[i], t->s[i]);
        if (t->out[i] + t->r[i] != relu) {
            fail_msg("l %d f %d a %d, %zu of %zu: c %#lx s %#lx gives %#lx, expected %#lx",
                     t->b.params.l, t->b.params.f, t->b.params.a, i, t->b.n, (unsigned long)t->c[i],
                     (unsigned long)t->s[i], (unsigned long)(t->out[i] + t->r[i]),
                     (unsigned long)relu);
        }
    }
}

static const spx_gc_params shapes[] = {
    {2, 0, 1},   {2, 0, 8},   {3, 1, 1},   {8, 0, 8},   {16, 4, 8},  {17, 16 - 1, 1},
    {36, 19, 8}, {37, 12, 8}, {37, 20, 8}, {37, 0, 8},  {48, 31, 8}, {53, 36, 8},
    {58, 41, 6}, {64, 0, 1},  {64, 0, 32}, {64, 62, 8}, {64, 40, 8}};
#define SHAPES (sizeof shapes / sizeof *shapes)

SPX_TEST(bytes_equal_those_of_the_slow_twin_on_every_instruction_set)
{
    static const size_t counts[] = {1, 8, 63, 64, 65, 150};
    SPX_UNUSED;
    for (size_t k = 0; k < SHAPES; k++) {
        const size_t n = counts[k % 6];
        gc_case t;
        uint8_t *tables;
        uint64_t out[150];
        gc_case_make(&t, &prg, shapes[k], n);
        tables = gc_case_memory(t.bytes);
        gc_twin_garble(&t.b, &t.key, t.zero, t.c, t.r, tables);
        FOR_EACH_CRYPTO_ISA(isa)
        {
            memset(t.tables, 0, t.bytes);
            gc_case_run(&t);
            assert_memory_equal(t.tables, tables, t.bytes);
            check_outputs(&t);
        }
        gc_twin_evaluate(&t.b, t.key.start, t.labels, t.tables, out);
        assert_memory_equal(out, t.out, n * sizeof *out);
        spx_free(tables);
        gc_case_clear(&t);
    }
}

/* Accumulators around every place where the result changes, in shares that carry and do not. */
SPX_TEST(outputs_are_the_clamped_shift_at_every_boundary)
{
    SPX_UNUSED;
    for (size_t k = 0; k < SHAPES; k++) {
        const spx_gc_params *p = &shapes[k];
        const uint64_t one = 1, top = one << (p->l - 1);
        const uint64_t most = p->f + p->a < 64 ? one << (p->f + p->a) : 0;
        const uint64_t edges[] = {0, one << p->f, most, top, top - (one << p->f), top / 2};
        gc_case t;
        gc_case_make(&t, &prg, *p, 6 * 9 * 4);
        for (size_t i = 0; i < t.b.n; i++) {
            const uint64_t x = edges[i % 6] + i / 6 % 9 - 4, shares[] = {0, 1, UINT64_MAX, t.c[i]};
            t.c[i] = shares[i / 54];
            t.s[i] = x - t.c[i];
        }
        gc_case_run(&t);
        check_outputs(&t);
        gc_case_clear(&t);
    }
}

SPX_TEST(outputs_are_right_for_all_shares_of_few_bits)
{
    SPX_UNUSED;
    for (int l = 2; l <= 6; l++) {
        for (int f = 0; f <= l - 2; f++) {
            for (int a = 1; a <= l - 1 - f; a++) {
                const size_t n = (size_t)1 << 2 * l;
                gc_case t;
                gc_case_make(&t, &prg, (spx_gc_params){l, f, a}, n);
                for (size_t i = 0; i < n; i++) {
                    t.c[i] = i & (((size_t)1 << l) - 1); /* random high bits make no difference */
                    t.s[i] = (i >> l) | t.s[i] << l;
                }
                gc_case_run(&t);
                check_outputs(&t);
                gc_case_clear(&t);
            }
        }
    }
}

SPX_TEST(outputs_of_random_shares_are_right)
{
    SPX_UNUSED;
    for (size_t k = 0; k < SHAPES; k++) {
        gc_case t;
        gc_case_make(&t, &prg, shapes[k], 3000);
        gc_case_run(&t);
        check_outputs(&t);
        gc_case_clear(&t);
    }
}

SPX_TEST(a_layer_may_be_cut_and_spread_over_threads)
{
    const spx_gc_params p = {37, 20, 8};
    const size_t n = 64 * 7 + 5, cut = 64 * 3, wires = spx_gc_wires(&p, cut);
    gc_case t;
    spx_gc_batch part;
    spx_pool *pool;
    uint8_t *tables;
    SPX_UNUSED;
    gc_case_make(&t, &prg, p, n);
    gc_case_run(&t);
    tables = gc_case_memory(t.bytes);
    part = t.b;
    part.n = cut;
    CHECK_OK(spx_gc_garble(&part, &t.key, t.zero, t.c, t.r, tables));
    part.first += cut;
    part.n = n - cut;
    CHECK_OK(spx_gc_garble(&part, &t.key, t.zero + wires, t.c + cut, t.r + cut,
                           tables + spx_gc_table_bytes(&p, cut)));
    assert_memory_equal(tables, t.tables, t.bytes);
    CHECK_OK(spx_pool_create(&pool, 3));
    t.b.pool = pool;
    memset(t.tables, 0, t.bytes);
    gc_case_run(&t);
    assert_memory_equal(tables, t.tables, t.bytes);
    check_outputs(&t);
    spx_pool_destroy(pool);
    spx_free(tables);
    gc_case_clear(&t);
}

SPX_TEST(lengths_are_as_promised)
{
    static const struct {
        spx_gc_params p;
        size_t ands, bytes;
    } v[] = {{{36, 19, 8}, 43, 1512},
             {{48, 31, 8}, 55, 1896},
             {{53, 36, 8}, 60, 2056},
             {{58, 41, 8}, 65, 2216}};
    const spx_gc_params p = {37, 20, 8};
    SPX_UNUSED;
    for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
        assert_int_equal(spx_gc_ands(&v[i].p), v[i].ands);
        assert_int_equal(spx_gc_table_bytes(&v[i].p, 64), 64 * v[i].bytes);
        assert_int_equal(spx_gc_table_bytes(&v[i].p, 57), 64 * v[i].bytes);
        assert_int_equal(spx_gc_wires(&v[i].p, 64), 64 * v[i].p.l);
    }
    assert_int_equal(spx_gc_wires(&p, 1), 8 * 37);
    assert_int_equal(spx_gc_wires(&p, 65), 72 * 37);
    assert_int_equal(spx_gc_wires(&p, SIZE_MAX), 0);
    assert_int_equal(spx_gc_table_bytes(&p, SIZE_MAX / 2), 0);
}

SPX_TEST(bad_arguments_are_refused)
{
    static const spx_gc_params bad[] = {{1, 0, 8},   {65, 0, 8},  {37, -1, 8},
                                        {37, 36, 8}, {37, 20, 0}, {37, 20, 33}};
    gc_case t;
    SPX_UNUSED;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK_FAILS(SPX_EINVAL, spx_gc_check(&bad[i]));
    }
    gc_case_make(&t, &prg, (spx_gc_params){37, 20, 8}, 70);
    gc_case_run(&t);
    CHECK_FAILS(SPX_EFORMAT,
                spx_gc_evaluate(&t.b, t.key.start, t.labels, t.tables, t.bytes - 1, t.out));
    CHECK_FAILS(SPX_EFORMAT, spx_gc_evaluate(&t.b, t.key.start, t.labels, t.tables, 0, t.out));
    CHECK_FAILS(SPX_EINVAL,
                spx_gc_evaluate(&t.b, t.key.start, t.labels, t.tables + 8, t.bytes, t.out));
    t.b.first = 32;
    CHECK_FAILS(SPX_EINVAL, spx_gc_garble(&t.b, &t.key, t.zero, t.c, t.r, t.tables));
    t.b.first = 0;
    t.key.delta.w[0] ^= 1;
    CHECK_FAILS(SPX_EINVAL, spx_gc_garble(&t.b, &t.key, t.zero, t.c, t.r, t.tables));
    t.key.delta.w[0] ^= 1;
    t.b.n = 0;
    CHECK_OK(spx_gc_garble(&t.b, &t.key, t.zero, t.c, t.r, t.tables));
    gc_case_clear(&t);
}

SPX_TEST(a_fresh_delta_ends_in_one_and_differs)
{
    spx_gc_key a, b;
    SPX_UNUSED;
    for (int i = 0; i < 100; i++) {
        spx_gc_key_draw(&a, &prg);
        spx_gc_key_draw(&b, &prg);
        assert_int_equal(a.delta.w[0] & 1, 1);
        assert_memory_not_equal(&a.delta, &b.delta, sizeof a.delta);
        assert_memory_not_equal(&a.start, &b.start, sizeof a.start);
    }
}

/*
 * What the evaluator holds: labels of its inputs, tables, outputs. For extreme and for random
 * secrets of the client each must look uniform. Byte counts of n uniform bytes: chi-square with 255
 * degrees of freedom, mean 255, deviation 22.6; below 255 + 8 * 22.6 but once in 1e10.
 */
static void check_uniform(const void *data, size_t bytes, const char *what, int secret)
{
    size_t seen[256] = {0};
    double chi2 = 0;
    for (size_t i = 0; i < bytes; i++) {
        seen[((const uint8_t *)data)[i]]++;
    }
    for (int v = 0; v < 256; v++) {
        const double expected = (double)bytes / 256, d = (double)seen[v] - expected;
        chi2 += d * d / expected;
    }
    if (!(chi2 < 255 + 8 * 22.6)) {
        fail_msg("%s of secret %d: chi-square %.0f", what, secret, chi2);
    }
}

/* Bits at one place over all ReLUs, in blocks of 16 bytes: 6 standard deviations, sqrt(n) / 2. */
static void check_fair(const spx_block *x, size_t n, const char *what, int secret)
{
    for (size_t i = 0; i < 128; i++) {
        size_t set = 0;
        for (size_t j = 0; j < n; j++) {
            set += x[j].w[i / 64] >> (i % 64) & 1;
        }
        if (!(fabs((double)set - 0.5 * (double)n) < 3 * sqrt((double)n))) {
            fail_msg("%s of secret %d, bit %zu: %zu of %zu", what, secret, i, set, n);
        }
    }
}

SPX_TEST(what_the_evaluator_sees_is_uniform_whatever_the_secrets_are)
{
    enum { N = 64 * 40 };
    const spx_gc_params p = {20, 6, 8};
    const size_t rows = spx_gc_table_bytes(&p, 8) / 8 / 16;
    static spx_block row[N];
    size_t length = 0;
    SPX_UNUSED;
    for (int secret = 0; secret < 4; secret++) { /* 3: random */
        gc_case t;
        gc_case_make(&t, &prg, p, N);
        for (size_t i = 0; i < N && secret < 3; i++) {
            t.c[i] = secret == 0 ? 0 : secret == 1 ? UINT64_MAX : 1 << 19;
            t.s[i] = secret == 2 ? 0 : 1000; /* and a fixed share: labels must hide it too */
        }
        gc_case_run(&t);
        check_outputs(&t);
        assert_true(length == 0 || length == t.bytes);
        length = t.bytes;
        check_uniform(t.tables, t.bytes, "tables", secret);
        check_uniform(t.labels, t.wires * 16, "labels", secret);
        check_uniform(t.out, N * 8, "outputs", secret);
        check_fair(t.labels, t.wires, "labels", secret);
        for (size_t k = 0; k < rows; k++) { /* row k of every ReLU */
            for (size_t g = 0; g < N / 64; g++) {
                memcpy(row + 64 * g, t.tables + g * (length / (N / 64)) + 64 * 16 * k, 64 * 16);
            }
            check_fair(row, N, "table's row", secret);
        }
        gc_case_clear(&t);
    }
}

SPX_TEST(labels_from_transfers_give_the_clamped_shift)
{
    static const uint8_t session[SPX_OT_SESSION_BYTES] = "both";
    uint8_t hello[SPX_OT_HELLO_BYTES], points[SPX_OT_POINTS_BYTES], trees[SPX_OT_TREES_BYTES];
    uint8_t *choices, *message;
    spx_block *m0, *m;
    spx_ot_sender *s;
    spx_ot_receiver *r;
    gc_case t;
    SPX_UNUSED;
    gc_case_make(&t, &prg, (spx_gc_params){37, 20, 8}, 500);
    CHECK_OK(spx_ot_receiver_create(&r, session, &prg, hello));
    CHECK_OK(spx_ot_sender_create(&s, session, t.key.delta, &prg, hello, sizeof hello, points));
    CHECK_OK(spx_ot_receiver_setup(r, points, sizeof points, trees));
    CHECK_OK(spx_ot_sender_setup(s, trees, sizeof trees));
    m0 = gc_case_memory(spx_ot_room(t.wires) * sizeof *m0);
    m = gc_case_memory(spx_ot_room(t.wires) * sizeof *m);
    choices = gc_case_memory(spx_ot_room(t.wires) / 8);
    message = gc_case_memory(spx_ot_bytes(t.wires));
    CHECK_OK(spx_ot_receiver_extend(r, t.wires, choices, m, message));
    CHECK_OK(spx_ot_sender_extend(s, t.wires, message, spx_ot_bytes(t.wires), m0));
    CHECK_OK(spx_gc_garble(&t.b, &t.key, t.zero, t.c, t.r, t.tables));
    spx_ot_xor(t.wires, t.zero, m0, m0);
    /* online: d one way, answers the other */
    spx_gc_input_bits(&t.b.params, t.b.n, t.s, t.bits);
    for (size_t i = 0; i < t.wires / 8; i++) {
        t.bits[i] ^= choices[i];
    }
    spx_ot_answer(t.wires, m0, t.bits, t.key.delta, m0);
    spx_ot_xor(t.wires, m0, m, t.labels);
    CHECK_OK(spx_gc_evaluate(&t.b, t.key.start, t.labels, t.tables, t.bytes, t.out));
    check_outputs(&t);
    spx_free(m0);
    spx_free(m);
    spx_free(choices);
    spx_free(message);
    spx_ot_sender_destroy(s);
    spx_ot_receiver_destroy(r);
    gc_case_clear(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(bytes_equal_those_of_the_slow_twin_on_every_instruction_set),
        SPX_UNIT(outputs_are_the_clamped_shift_at_every_boundary),
        SPX_UNIT(outputs_are_right_for_all_shares_of_few_bits),
        SPX_UNIT(outputs_of_random_shares_are_right),
        SPX_UNIT(a_layer_may_be_cut_and_spread_over_threads),
        SPX_UNIT(lengths_are_as_promised),
        SPX_UNIT(bad_arguments_are_refused),
        SPX_UNIT(a_fresh_delta_ends_in_one_and_differs),
        SPX_UNIT(what_the_evaluator_sees_is_uniform_whatever_the_secrets_are),
        SPX_UNIT(labels_from_transfers_give_the_clamped_shift),
    };
    spx_prg_seed(&prg, 1, 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
