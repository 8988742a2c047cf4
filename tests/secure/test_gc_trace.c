/*
 * Every hash the garbler makes, told by a build of host/secure/gc with SPX_GC_TRACE: no (key,
 * input) repeats under one delta, no key serves two gates, no input is constant.
 */
#include "host/secure/gc/gc_private.h"
#include "tests/secure/gc_case.h"

#include <stdlib.h>

typedef struct hashed {
    spx_block key, input;
} hashed;

static struct {
    hashed *at;
    size_t n, room;
} told;

void spx_gc_trace(const spx_block *key, const spx_block *input, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (told.n == told.room) {
            told.room = told.room == 0 ? 1024 : 2 * told.room;
            told.at = realloc(told.at, told.room * sizeof *told.at);
            assert_non_null(told.at);
        }
        told.at[told.n++] = (hashed){*key, input[i]};
    }
}

static int by_both(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(hashed));
}

static int by_input(const void *a, const void *b)
{
    return memcmp(&((const hashed *)a)->input, &((const hashed *)b)->input, sizeof(spx_block));
}

/* What a look at all hashes made under one delta finds. */
typedef struct findings {
    size_t repeated, most_of_a_key, keys, labels;
} findings;

static findings look(void)
{
    findings f = {0};
    size_t of_key = 0;
    qsort(told.at, told.n, sizeof *told.at, by_both);
    for (size_t i = 0; i < told.n; i++) {
        const bool same = i > 0 && memcmp(&told.at[i - 1].key, &told.at[i].key, 16) == 0;
        f.repeated += i > 0 && by_both(&told.at[i - 1], &told.at[i]) == 0;
        f.keys += !same;
        of_key = same ? of_key + 1 : 1;
        f.most_of_a_key = of_key > f.most_of_a_key ? of_key : f.most_of_a_key;
    }
    qsort(told.at, told.n, sizeof *told.at, by_input);
    for (size_t i = 0; i < told.n; i++) {
        f.labels += i == 0 || by_input(&told.at[i - 1], &told.at[i]) != 0;
    }
    return f;
}

static spx_prg prg;

static void garble(gc_case *t)
{
    CHECK_OK(spx_gc_garble(&t->b, &t->key, t->zero, t->c, t->r, t->tables));
}

static const spx_gc_params shapes[] = {{2, 0, 1},   {3, 0, 2},   {8, 0, 8}, {20, 6, 8},
                                       {37, 20, 8}, {37, 28, 8}, {64, 0, 1}};
#define SHAPES (sizeof shapes / sizeof *shapes)

/* Wires of a ReLU that are hashed, some more than once: sums and carries of bits 1..l-2, the first
 * input, the sign, and what the gates of "in range" give. */
static size_t wires_of(const spx_gc_params *p)
{
    const int most = p->l - 1 - p->f, t = most - (p->a < most ? p->a : most);
    return (size_t)(2 * (p->l - 2) + 1 + 1 + t);
}

SPX_TEST(no_hash_repeats_no_key_serves_two_gates_no_label_is_anothers)
{
    SPX_UNUSED;
    for (size_t k = 0; k < SHAPES; k++) {
        const spx_gc_params *p = &shapes[k];
        const int most = p->l - 1 - p->f, a = p->a < most ? p->a : most;
        const size_t keys = (size_t)(1 + 2 * (p->l - 2 + most - a) + a + 2);
        findings f;
        gc_case t;
        gc_case_make(&t, &prg, *p, 130); /* 64 + 64 + 8 lanes */
        told.n = 0;
        garble(&t);
        assert_int_equal(told.n, keys * 136 * 2);
        f = look();
        assert_int_equal(f.repeated, 0);
        assert_int_equal(f.keys, keys * 3);
        assert_int_equal(f.most_of_a_key, 64 * 2);
        assert_int_equal(f.labels, wires_of(p) * 136 * 2);
        for (size_t i = 0; i < told.n; i++) {
            const spx_block x = told.at[i].input, d = spx_block_xor(x, t.key.delta);
            assert_true((x.w[0] | x.w[1]) != 0 && (d.w[0] | d.w[1]) != 0);
        }
        gc_case_clear(&t);
    }
}

/* The batches of one delta: layers of several widths and lengths, cut and whole. */
SPX_TEST(no_hash_repeats_across_layers_batches_files_and_restarts)
{
    spx_gc_key key;
    findings f;
    size_t keys = 0;
    SPX_UNUSED;
    spx_gc_key_draw(&key, &prg);
    told.n = 0;
    for (uint64_t domain = 0; domain < 12; domain++) {
        const spx_gc_params *p = &shapes[domain % SHAPES];
        const int most = p->l - 1 - p->f, a = p->a < most ? p->a : most;
        for (size_t part = 0; part < 3; part++) {
            gc_case t;
            gc_case_make(&t, &prg, *p, part == 2 ? 9 : 128);
            t.key = key;
            t.b.domain = domain < 6 ? domain : domain << 40; /* high bits count too */
            t.b.first = 128 * part;
            garble(&t);
            keys += (size_t)(1 + 2 * (p->l - 2 + most - a) + a + 2) * (part == 2 ? 1 : 2);
            gc_case_clear(&t);
        }
    }
    f = look();
    assert_int_equal(f.repeated, 0);
    assert_int_equal(f.keys, keys);
    assert_int_equal(f.most_of_a_key, 64 * 2);
}

SPX_TEST(a_layer_garbled_twice_or_a_domain_used_twice_is_found)
{
    gc_case t;
    SPX_UNUSED;
    gc_case_make(&t, &prg, shapes[4], 64);
    told.n = 0;
    garble(&t);
    spx_prg_bytes(&prg, t.zero, t.wires * sizeof *t.zero); /* other labels, the same tweaks */
    garble(&t);
    assert_int_equal(look().repeated, 0);
    assert_true(look().most_of_a_key > 64 * 2);
    told.n = 0;
    garble(&t);
    garble(&t);
    assert_true(look().repeated > 0);
    gc_case_clear(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(no_hash_repeats_no_key_serves_two_gates_no_label_is_anothers),
        SPX_UNIT(no_hash_repeats_across_layers_batches_files_and_restarts),
        SPX_UNIT(a_layer_garbled_twice_or_a_domain_used_twice_is_found),
    };
    int failed;
    spx_prg_seed(&prg, 2, 0);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    free(told.at);
    return failed;
}
