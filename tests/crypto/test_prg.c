/* Random bytes: streams, forks, uniformity. */
#define _POSIX_C_SOURCE 200809L
#include "kernels/crypto/prg.h"
#include "tests/support/crypto_isas.h"
#include "tests/support/prg_seeded.h"
#include "tests/support/spx_test.h"

#include <sys/wait.h>
#include <unistd.h>

SPX_TEST(a_call_is_aes_in_counter_mode_and_ends_with_the_next_ones_seed)
{
    uint8_t out[77 * 16];
    spx_block expected[80], next[2];
    spx_aes_key k;
    spx_prg p;
    SPX_UNUSED;
    FOR_EACH_CRYPTO_ISA(isa)
    {
        spx_seed seed = spx_seed_fixed(7, 9);
        const spx_block start = {{UINT64_MAX - 3, 5}}; /* its counter comes round */
        memcpy(seed.byte + sizeof start, &start, sizeof start);
        spx_prg_from(&p, &seed);
        memcpy(next, seed.byte, sizeof next);
        for (size_t n = 1; n <= sizeof out; n = n == 1 ? 40 : n + 1192) { /* 1, 40, 1232 */
            const size_t blocks = (n + 15) / 16;
            spx_aes_expand(&k, &next[0], 1);
            for (size_t i = 0; i < blocks + 2; i++) {
                expected[i] = (spx_block){{next[1].w[0] + i, next[1].w[1]}};
            }
            spx_aes_encrypt(&k, expected, expected, blocks + 2);
            spx_prg_bytes(&p, out, 0); /* draws nothing */
            spx_prg_bytes(&p, out + (n == 40), n);
            assert_memory_equal(out + (n == 40), expected, n);
            memcpy(next, expected + blocks, sizeof next);
            spx_aes_expand(&k, &next[0], 1);
            assert_memory_equal(&p.stream.key, &k, sizeof k);
        }
    }
}

/* Under one key, streams of unlike starts have nothing in common: no guess serves for both. */
SPX_TEST(streams_begin_at_blocks_of_their_own)
{
    spx_prg a, b;
    SPX_UNUSED;
    CHECK_OK(spx_prg_init(&a));
    CHECK_OK(spx_prg_init(&b));
    assert_true(a.stream.start.w[0] != b.stream.start.w[0]);
    assert_true(a.stream.start.w[1] != b.stream.start.w[1]);
    b.stream.key = a.stream.key;
    assert_true(spx_prg_u64(&a) != spx_prg_u64(&b));
    assert_true(a.stream.start.w[0] != 0 && a.stream.start.w[1] != 0); /* and after a draw */
    spx_prg_clear(&a);
    spx_prg_clear(&b);
}

SPX_TEST(derived_seeds_are_apart_by_purpose_context_and_parent)
{
    const spx_seed one = spx_seed_fixed(1, 0), two = spx_seed_fixed(2, 0);
    const uint64_t number[2] = {0, 1};
    spx_seed s[6];
    spx_block block[2][3];
    spx_keystream k;
    SPX_UNUSED;
    spx_seed_derive(&s[0], &one, "a", NULL, 0);
    spx_seed_derive(&s[1], &one, "b", NULL, 0);
    spx_seed_derive(&s[2], &two, "a", NULL, 0);
    spx_seed_derive(&s[3], &one, "a", &number[0], sizeof *number);
    spx_seed_derive(&s[4], &one, "a", &number[1], sizeof *number);
    s[5] = one;
    spx_seed_derive(&s[5], &s[5], "c", NULL, 0); /* in place */
    for (int i = 0; i < 6; i++) {
        for (int j = 0; j < i; j++) {
            assert_memory_not_equal(s[i].byte, s[j].byte, 16);
            assert_memory_not_equal(s[i].byte + 16, s[j].byte + 16, 16);
        }
    }
    spx_keystream_open(&k, &s[0]);
    spx_keystream_blocks(&k, 7, 0, block[0], 3);
    spx_keystream_blocks(&k, 7, 1, block[1], 2);
    assert_memory_equal(&block[0][1], block[1], 2 * sizeof(spx_block));
    spx_keystream_blocks(&k, 8, 0, block[1], 3);
    assert_memory_not_equal(block[0], block[1], sizeof block[0]);
}

SPX_TEST(every_generator_has_a_key_of_its_own)
{
    spx_prg a, b;
    SPX_UNUSED;
    CHECK_OK(spx_prg_init(&a));
    CHECK_OK(spx_prg_init(&b));
    assert_true(spx_prg_u64(&a) != spx_prg_u64(&b));
    spx_prg_clear(&a);
    assert_true(a.stream.key.round[0].w[0] == 0 && a.stream.key.round[10].w[1] == 0);
    spx_prg_clear(&b);
    spx_prg_clear(NULL);
}

SPX_TEST(a_child_does_not_repeat_its_parents_stream)
{
    int ends[2];
    uint64_t child = 0, parent;
    spx_prg p;
    pid_t id;
    SPX_UNUSED;
    CHECK_OK(spx_prg_init(&p));
    (void)spx_prg_u64(&p);
    assert_int_equal(pipe(ends), 0);
    id = fork();
    if (id == 0) {
        child = spx_prg_u64(&p);
        _exit(write(ends[1], &child, sizeof child) == sizeof child ? 0 : 1);
    }
    parent = spx_prg_u64(&p);
    assert_int_equal(read(ends[0], &child, sizeof child), sizeof child);
    assert_int_equal(waitpid(id, NULL, 0), id);
    (void)close(ends[0]);
    (void)close(ends[1]);
    assert_true(child != parent);
    spx_prg_clear(&p);
}

/* 2^22 bits are set with probability 1/2: a standard deviation is 2^10 of them, six allowed. */
SPX_TEST(bits_are_balanced)
{
    static uint8_t out[1 << 19];
    long set = 0;
    spx_prg p;
    SPX_UNUSED;
    CHECK_OK(spx_prg_init(&p));
    spx_prg_bytes(&p, out, sizeof out);
    for (size_t i = 0; i < sizeof out; i++) {
        set += __builtin_popcount(out[i]);
    }
    assert_true(labs(set - (1L << 21)) < 6 * (1L << 10));
    spx_prg_clear(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(a_call_is_aes_in_counter_mode_and_ends_with_the_next_ones_seed),
        SPX_UNIT(streams_begin_at_blocks_of_their_own),
        SPX_UNIT(derived_seeds_are_apart_by_purpose_context_and_parent),
        SPX_UNIT(every_generator_has_a_key_of_its_own),
        SPX_UNIT(a_child_does_not_repeat_its_parents_stream),
        SPX_UNIT(bits_are_balanced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
