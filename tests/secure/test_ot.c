/* Correlated oblivious transfers against their definition, and what each side sees. */
#define _POSIX_C_SOURCE 200809L
#include "host/secure/ot/ot.h"
#include "kernels/base/alloc.h"
#include "kernels/crypto/ct.h"
#include "tests/support/crypto_isas.h"
#include "tests/support/prg_seeded.h"
#include "tests/support/spx_test.h"

#include <stdlib.h>

static const uint8_t session[SPX_OT_SESSION_BYTES] = "a session";

/* Both sides and all messages of a setup. */
typedef struct pair {
    spx_prg prg[2];
    spx_block delta;
    spx_ot_sender *s;
    spx_ot_receiver *r;
    uint8_t hello[SPX_OT_HELLO_BYTES], points[SPX_OT_POINTS_BYTES], trees[SPX_OT_TREES_BYTES];
} pair;

/* What an extension by n gave. */
typedef struct batch {
    size_t n;
    spx_block *m0, *m;
    uint8_t *choices, *message;
} batch;

static void begin(pair *p, uint64_t seed)
{
    memset(p, 0, sizeof *p);
    spx_prg_seed(&p->prg[0], seed, 1);
    spx_prg_seed(&p->prg[1], seed, 2);
    spx_prg_bytes(&p->prg[0], &p->delta, sizeof p->delta);
    p->delta.w[0] |= 1;
}

static void set_up(pair *p, uint64_t seed)
{
    begin(p, seed);
    CHECK_OK(spx_ot_receiver_create(&p->r, session, &p->prg[1], p->hello));
    CHECK_OK(spx_ot_sender_create(&p->s, session, p->delta, &p->prg[0], p->hello, sizeof p->hello,
                                  p->points));
    CHECK_OK(spx_ot_receiver_setup(p->r, p->points, sizeof p->points, p->trees));
    CHECK_OK(spx_ot_sender_setup(p->s, p->trees, sizeof p->trees));
}

static void end(pair *p)
{
    spx_ot_sender_destroy(p->s);
    spx_ot_receiver_destroy(p->r);
}

static void *block_of(size_t bytes)
{
    void *p;
    CHECK_OK(spx_calloc(&p, bytes, 1));
    return p;
}

static void extend(pair *p, batch *b, size_t n)
{
    b->n = n;
    b->m0 = block_of(spx_ot_room(n) * sizeof *b->m0);
    b->m = block_of(spx_ot_room(n) * sizeof *b->m);
    b->choices = block_of(spx_ot_room(n) / 8);
    b->message = block_of(spx_ot_bytes(n));
    CHECK_OK(spx_ot_receiver_extend(p->r, n, b->choices, b->m, b->message));
    CHECK_OK(spx_ot_sender_extend(p->s, n, b->message, spx_ot_bytes(n), b->m0));
}

static void release(batch *b)
{
    spx_free(b->m0);
    spx_free(b->m);
    spx_free(b->choices);
    spx_free(b->message);
}

static uint64_t bit(const uint8_t *packed, size_t j)
{
    return packed[j / 8] >> (j % 8) & 1;
}

static void check_definition(const pair *p, const batch *b)
{
    for (size_t j = 0; j < b->n; j++) {
        const uint64_t mask = 0 - bit(b->choices, j);
        const spx_block expected = spx_block_xor(b->m0[j], spx_block_and(p->delta, mask));
        assert_memory_equal(&b->m[j], &expected, sizeof expected);
    }
}

SPX_TEST(a_million_keys_differ_by_delta_where_the_choice_is_one)
{
    SPX_UNUSED;
    FOR_EACH_CRYPTO_ISA(isa)
    {
        pair p;
        batch b;
        set_up(&p, 1);
        extend(&p, &b, isa == SPX_CRYPTO_PORTABLE ? (size_t)1 << 15 : (size_t)1 << 20);
        check_definition(&p, &b);
        release(&b);
        end(&p);
    }
}

SPX_TEST(a_transfer_costs_31_bits)
{
    SPX_UNUSED;
    assert_int_equal(spx_ot_bytes(1 << 20) * 8, (size_t)31 << 20);
    assert_int_equal(spx_ot_bytes(1), 31 * 64);
    assert_int_equal(spx_ot_room(1), 512);
    assert_int_equal(spx_ot_room(513), 1024);
}

SPX_TEST(every_count_works_and_follows_the_one_before)
{
    static const size_t counts[] = {1, 511, 512, 513, 2048, 2049, 5000, 7};
    pair p;
    SPX_UNUSED;
    set_up(&p, 2);
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        batch b;
        extend(&p, &b, counts[i]);
        check_definition(&p, &b);
        release(&b);
    }
    end(&p);
}

/* The same bytes on every instruction set: a message may cross between two that differ. */
SPX_TEST(instruction_sets_agree)
{
    pair first, p;
    batch a, b;
    SPX_UNUSED;
    set_up(&first, 3);
    extend(&first, &a, 3000);
    FOR_EACH_CRYPTO_ISA(isa)
    {
        set_up(&p, 3);
        extend(&p, &b, 3000);
        assert_memory_equal(first.trees, p.trees, sizeof p.trees);
        assert_memory_equal(a.message, b.message, spx_ot_bytes(3000));
        assert_memory_equal(a.m0, b.m0, 3000 * sizeof *a.m0);
        assert_memory_equal(a.choices, b.choices, 3000 / 8);
        release(&b);
        end(&p);
    }
    release(&a);
    end(&first);
}

SPX_TEST(an_answer_gives_the_label_of_the_receivers_input)
{
    enum { N = 1000 };
    static spx_block label[N], k[N], got[N];
    static uint8_t c[N / 8], d[N / 8];
    pair p;
    batch b;
    SPX_UNUSED;
    set_up(&p, 4);
    extend(&p, &b, N);
    spx_prg_bytes(&p.prg[0], label, sizeof label);
    spx_prg_bytes(&p.prg[1], c, sizeof c);
    for (size_t i = 0; i < sizeof d; i++) {
        d[i] = b.choices[i] ^ c[i];
    }
    spx_ot_xor(N, label, b.m0, k);
    spx_ot_answer(N, k, d, p.delta, k);
    spx_ot_xor(N, k, b.m, got);
    for (size_t j = 0; j < N; j++) {
        const spx_block expected = spx_block_xor(label[j], spx_block_and(p.delta, 0 - bit(c, j)));
        assert_memory_equal(&got[j], &expected, sizeof expected);
    }
    release(&b);
    end(&p);
}

/* Of n fair bits fewer than n/2 + 6 standard deviations (sqrt(n)/2) are set, but once in 1e9. */
static void check_fair(size_t set, size_t n, const char *what, size_t number)
{
    const double off = fabs((double)set - 0.5 * (double)n);
    if (!(off < 3 * sqrt((double)n))) {
        fail_msg("%s %zu: %zu of %zu bits are set", what, number, set, n);
    }
}

static size_t count(const uint8_t *a, const uint8_t *b, size_t bytes)
{
    size_t set = 0;
    for (size_t i = 0; i < bytes; i++) {
        set += (size_t)__builtin_popcount((unsigned)(a[i] ^ (b == NULL ? 0 : b[i])));
    }
    return set;
}

SPX_TEST(choices_are_fair_and_the_sender_sees_fair_bits_unrelated_to_them)
{
    enum { N = 1 << 18, SLICE = 2048 };
    pair p;
    batch b;
    SPX_UNUSED;
    set_up(&p, 5);
    extend(&p, &b, N);
    check_fair(count(b.choices, NULL, N / 8), N, "choices", 0);
    check_fair(count(b.choices, b.choices + 1, N / 8 - 1), N - 8, "choices a byte on", 0);
    for (size_t row = 0; row < 31; row++) {
        size_t set = 0, with = 0;
        for (size_t slice = 0; slice < N / SLICE; slice++) {
            const uint8_t *told = b.message + (31 * slice + row) * (SLICE / 8);
            set += count(told, NULL, SLICE / 8);
            with += count(told, b.choices + slice * (SLICE / 8), SLICE / 8);
        }
        check_fair(set, N, "message row", row);
        check_fair(with, N, "message row against choices", row);
    }
    for (size_t i = 0; i < 128; i++) { /* the sender's keys, bit by bit */
        size_t set = 0, with = 0;
        for (size_t j = 0; j < N; j++) {
            const uint64_t x = b.m0[j].w[i / 64] >> (i % 64) & 1;
            set += x;
            with += x ^ bit(b.choices, j);
        }
        check_fair(set, N, "key bit", i);
        check_fair(with, N, "key bit against choices", i);
    }
    release(&b);
    end(&p);
}

static int by_words(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(spx_block));
}

SPX_TEST(no_key_is_zero_or_anothers_not_even_in_the_next_extension)
{
    enum { N = 1 << 15 };
    static spx_block all[2 * N];
    pair p;
    batch a, b;
    SPX_UNUSED;
    set_up(&p, 6);
    extend(&p, &a, N);
    extend(&p, &b, N);
    memcpy(all, a.m0, N * sizeof *all);
    memcpy(all + N, b.m0, N * sizeof *all);
    qsort(all, 2 * (size_t)N, sizeof *all, by_words);
    assert_true((all[0].w[0] | all[0].w[1]) != 0);
    for (size_t j = 1; j < 2 * (size_t)N; j++) {
        assert_memory_not_equal(&all[j - 1], &all[j], sizeof *all);
    }
    release(&a);
    release(&b);
    end(&p);
}

SPX_TEST(keys_are_bound_to_the_session_and_to_every_setup)
{
    static const uint8_t other[SPX_OT_SESSION_BYTES] = "another session";
    pair p, q;
    batch b;
    size_t wrong = 0;
    SPX_UNUSED;
    begin(&p, 7);
    CHECK_OK(spx_ot_receiver_create(&p.r, other, &p.prg[1], p.hello));
    CHECK_OK(
        spx_ot_sender_create(&p.s, session, p.delta, &p.prg[0], p.hello, sizeof p.hello, p.points));
    CHECK_OK(spx_ot_receiver_setup(p.r, p.points, sizeof p.points, p.trees));
    CHECK_OK(spx_ot_sender_setup(p.s, p.trees, sizeof p.trees));
    extend(&p, &b, 512);
    for (size_t j = 0; j < 512; j++) {
        const spx_block m1 = spx_block_xor(b.m0[j], p.delta);
        wrong += memcmp(&b.m[j], &b.m0[j], 16) != 0 && memcmp(&b.m[j], &m1, 16) != 0;
    }
    assert_int_equal(wrong, 512);
    release(&b);
    set_up(&q, 8);
    assert_memory_not_equal(p.hello, q.hello, sizeof p.hello);
    for (size_t i = 0; i < 128; i++) {
        assert_memory_not_equal(p.points + 32 * i, q.points + 32 * i, 32);
    }
    end(&p);
    end(&q);
}

SPX_TEST(wrong_messages_are_refused_and_leave_the_party_usable)
{
    uint8_t bad[SPX_OT_POINTS_BYTES];
    spx_ot_sender *none = NULL;
    spx_block even;
    pair p;
    batch b;
    SPX_UNUSED;
    begin(&p, 9);
    even = p.delta;
    even.w[0] ^= 1;
    CHECK_OK(spx_ot_receiver_create(&p.r, session, &p.prg[1], p.hello));
    CHECK_FAILS(SPX_EINVAL,
                spx_ot_sender_create(&none, session, even, &p.prg[0], p.hello, 32, bad));
    CHECK_FAILS(SPX_EFORMAT,
                spx_ot_sender_create(&none, session, p.delta, &p.prg[0], p.hello, 31, bad));
    memset(bad, 0, sizeof bad); /* the neutral element */
    CHECK_FAILS(SPX_EFORMAT,
                spx_ot_sender_create(&none, session, p.delta, &p.prg[0], bad, 32, p.points));
    memset(bad, 0xff, sizeof bad); /* no element */
    CHECK_FAILS(SPX_EFORMAT,
                spx_ot_sender_create(&none, session, p.delta, &p.prg[0], bad, 32, p.points));
    assert_null(none);
    CHECK_OK(spx_ot_sender_create(&p.s, session, p.delta, &p.prg[0], p.hello, 32, p.points));
    CHECK_FAILS(SPX_EINVAL, spx_ot_receiver_extend(p.r, 512, bad, NULL, bad)); /* not set up */
    CHECK_FAILS(SPX_EINVAL, spx_ot_sender_extend(p.s, 512, bad, 31 * 64, NULL));
    CHECK_FAILS(SPX_EFORMAT, spx_ot_receiver_setup(p.r, p.points, sizeof p.points - 1, p.trees));
    memcpy(bad, p.points, sizeof bad);
    memset(bad + 32 * 127, 0xff, 32);
    CHECK_FAILS(SPX_EFORMAT, spx_ot_receiver_setup(p.r, bad, sizeof bad, p.trees));
    memset(bad + 32 * 127, 0, 32);
    CHECK_FAILS(SPX_EFORMAT, spx_ot_receiver_setup(p.r, bad, sizeof bad, p.trees));
    CHECK_OK(spx_ot_receiver_setup(p.r, p.points, sizeof p.points, p.trees));
    CHECK_FAILS(SPX_EINVAL, spx_ot_receiver_setup(p.r, p.points, sizeof p.points, p.trees));
    CHECK_FAILS(SPX_EFORMAT, spx_ot_sender_setup(p.s, p.trees, sizeof p.trees - 16));
    CHECK_FAILS(SPX_EFORMAT, spx_ot_sender_setup(p.s, p.trees, 0));
    CHECK_OK(spx_ot_sender_setup(p.s, p.trees, sizeof p.trees));
    CHECK_FAILS(SPX_EINVAL, spx_ot_sender_setup(p.s, p.trees, sizeof p.trees));
    CHECK_FAILS(SPX_EINVAL, spx_ot_receiver_extend(p.r, 0, bad, NULL, bad));
    CHECK_FAILS(SPX_EINVAL, spx_ot_sender_extend(p.s, SPX_OT_MAX + 1, bad, 0, NULL));
    CHECK_FAILS(SPX_EFORMAT, spx_ot_sender_extend(p.s, 600, bad, spx_ot_bytes(600) - 1, NULL));
    CHECK_FAILS(SPX_EFORMAT, spx_ot_sender_extend(p.s, 600, bad, spx_ot_bytes(600) + 64, NULL));
    extend(&p, &b, 600);
    check_definition(&p, &b);
    release(&b);
    end(&p);
    spx_ot_sender_destroy(NULL);
    spx_ot_receiver_destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(a_million_keys_differ_by_delta_where_the_choice_is_one),
        SPX_UNIT(a_transfer_costs_31_bits),
        SPX_UNIT(every_count_works_and_follows_the_one_before),
        SPX_UNIT(instruction_sets_agree),
        SPX_UNIT(an_answer_gives_the_label_of_the_receivers_input),
        SPX_UNIT(choices_are_fair_and_the_sender_sees_fair_bits_unrelated_to_them),
        SPX_UNIT(no_key_is_zero_or_anothers_not_even_in_the_next_extension),
        SPX_UNIT(keys_are_bound_to_the_session_and_to_every_setup),
        SPX_UNIT(wrong_messages_are_refused_and_leave_the_party_usable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
