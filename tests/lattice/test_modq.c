#include "tests/lattice/lattice_fixture.h"

#include "kernels/crypto/modq.h"

/* The largest, the smallest and a middling modulus in use. */
static uint64_t modulus(int i)
{
    return i == 0 ? spx_modq_prime(46, 8192, 0)
                  : (i == 1 ? spx_modq_prime(20, 64, 0) : spx_modq_prime(36, 4096, 1));
}

/* a * b mod q by doubling and adding: another route. */
static uint64_t slow_mul(uint64_t a, uint64_t b, uint64_t q)
{
    uint64_t r = 0;
    for (a %= q; b != 0; b >>= 1) {
        r = b & 1 ? (r + a) % q : r;
        a = 2 * a % q;
    }
    return r;
}

SPX_TEST(wide_products_agree_with_schoolbook)
{
    spx_rng r;
    SPX_UNUSED;
    spx_rng_init(&r, 1, SPX_RNG_TEST, 0);
    for (int i = 0; i < 1000; i++) {
        const uint64_t a = i == 0 ? UINT64_MAX : lattice_u64(&r);
        const uint64_t b = i == 0 ? UINT64_MAX : lattice_u64(&r);
        const uint64_t a0 = a & 0xffffffffU, a1 = a >> 32, b0 = b & 0xffffffffU, b1 = b >> 32;
        const uint64_t mid = a1 * b0 + (a0 * b0 >> 32), other = a0 * b1 + (mid & 0xffffffffU);
        const spx_u128 p = spx_mul_wide(a, b);
        assert_true(p.lo == a * b);
        assert_true(p.hi == a1 * b1 + (mid >> 32) + (other >> 32));
    }
}

SPX_TEST(reductions_agree_with_division)
{
    spx_rng r;
    SPX_UNUSED;
    spx_rng_init(&r, 2, SPX_RNG_TEST, 0);
    for (int i = 0; i < 3; i++) {
        spx_modq m;
        const uint64_t q = modulus(i);
        spx_modq_init(&m, q);
        for (int j = 0; j < 2000; j++) {
            const uint64_t edge[] = {0, 1, q - 1, q, q + 1, 2 * q - 1, UINT64_MAX};
            const uint64_t x = j < 7 ? edge[j] : lattice_u64(&r), y = lattice_u64(&r);
            const uint64_t w = y % q, shoup = spx_modq_shoup(w, q);
            const int64_t s = (int64_t)(x & INT64_MAX);
            assert_true(spx_modq_reduce(x, &m) == x % q);
            assert_true(spx_modq_mul_shoup(x, w, shoup, q) == slow_mul(x, w, q));
            assert_true(spx_modq_mul(x % q, w, &m) == slow_mul(x, w, q));
            assert_true(spx_modq_reduce_wide((spx_u128){y, x}, &m) ==
                        (slow_mul(slow_mul(y, 1ULL << 32, q), 1ULL << 32, q) + x % q) % q);
            assert_true(spx_modq_from_signed(s, &m) == (uint64_t)s % q);
            assert_true(spx_modq_from_signed(-s, &m) == (q - (uint64_t)s % q) % q);
            assert_true(spx_modq_add(x % q, w, q) == (x % q + w) % q);
            assert_true(spx_modq_sub(x % q, w, q) == (x % q + q - w) % q);
        }
    }
}

SPX_TEST(inverses_multiply_to_one)
{
    SPX_UNUSED;
    for (int i = 0; i < 3; i++) {
        spx_modq m;
        spx_modq_init(&m, modulus(i));
        for (uint64_t a = 1; a < 100; a++) {
            assert_true(spx_modq_mul(a, spx_modq_inverse(a, &m), &m) == 1);
        }
    }
}

SPX_TEST(the_primes_are_the_largest_of_their_form)
{
    SPX_UNUSED;
    uint64_t want[3];
    int found = 0;
    for (uint64_t p = (1U << 22) - 127; found < 3; p -= 128) { /* 1 (mod 128) below 2^22 */
        uint64_t d = 2;
        while (d * d <= p && p % d != 0) {
            d++;
        }
        if (d * d > p) {
            want[found++] = p;
        }
    }
    for (int i = 0; i < 3; i++) {
        assert_true(spx_modq_prime(22, 64, i) == want[i]);
    }
    assert_true(spx_modq_prime(20, 1 << 15, 100) == 0); /* 8 candidates there are */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(wide_products_agree_with_schoolbook),
        SPX_UNIT(reductions_agree_with_division),
        SPX_UNIT(inverses_multiply_to_one),
        SPX_UNIT(the_primes_are_the_largest_of_their_form),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
