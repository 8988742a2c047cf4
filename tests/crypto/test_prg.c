/* Random bytes: streams, forks, uniformity. */
#define _POSIX_C_SOURCE 200809L
#include "kernels/crypto/prg.h"
#include "tests/support/crypto_isas.h"
#include "tests/support/prg_seeded.h"
#include "tests/support/spx_test.h"

#include <sys/wait.h>
#include <unistd.h>

SPX_TEST(a_stream_is_aes_in_counter_mode_and_no_block_serves_twice)
{
    uint8_t out[77 * 16];
    spx_block expected[80], key = {{7, 9}};
    spx_aes_key k;
    spx_prg p;
    SPX_UNUSED;
    FOR_EACH_CRYPTO_ISA(isa)
    {
        spx_prg_seed(&p, 7, 9);
        spx_aes_expand(&k, &key, 1);
        spx_aes_ctr(&k, 0, 0, expected, 80);
        spx_prg_bytes(&p, out + 1, 40); /* blocks 0..2, to an odd address */
        assert_memory_equal(out + 1, expected, 40);
        spx_prg_bytes(&p, out, 0);
        spx_prg_bytes(&p, out, 77 * 16);
        assert_memory_equal(out, expected + 3, 77 * 16);
        assert_true(spx_prg_u64(&p) != expected[79].w[1]);
    }
}

SPX_TEST(every_generator_has_a_key_of_its_own)
{
    spx_prg a, b;
    SPX_UNUSED;
    CHECK_OK(spx_prg_init(&a));
    CHECK_OK(spx_prg_init(&b));
    assert_true(spx_prg_u64(&a) != spx_prg_u64(&b));
    spx_prg_clear(&a);
    assert_true(a.key.round[0].w[0] == 0 && a.key.round[10].w[1] == 0);
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
        SPX_UNIT(a_stream_is_aes_in_counter_mode_and_no_block_serves_twice),
        SPX_UNIT(every_generator_has_a_key_of_its_own),
        SPX_UNIT(a_child_does_not_repeat_its_parents_stream),
        SPX_UNIT(bits_are_balanced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
