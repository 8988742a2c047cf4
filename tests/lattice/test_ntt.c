#include "tests/lattice/lattice_fixture.h"

typedef struct size_case {
    size_t n;
    int bits;
} size_case;

/* Both lengths in use with the widest primes, and every other length. */
static const size_case sizes[] = {{64, 46},   {128, 22},  {256, 46},  {512, 30},  {1024, 46},
                                  {2048, 40}, {4096, 36}, {4096, 46}, {8192, 40}, {8192, 46}};
#define SIZES (sizeof sizes / sizeof sizes[0])

static spx_ntt *table(const size_case *c)
{
    spx_ntt *t;
    CHECK_OK(spx_ntt_create(&t, c->n, spx_modq_prime(c->bits, c->n, 0)));
    return t;
}

static void check_equal(const char *what, const uint64_t *got, const uint64_t *want, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (got[i] != want[i]) {
            fail_msg("%s, %s, length %zu: [%zu] = %llu, expected %llu", spx_ntt_variant(), what, n,
                     i, (unsigned long long)got[i], (unsigned long long)want[i]);
        }
    }
}

static size_t bit_reverse(size_t i, size_t n)
{
    size_t r = 0;
    for (size_t b = 1; b < n; b *= 2) {
        r = 2 * r + (i & b ? 1 : 0);
    }
    return r;
}

/* f(psi^(2 bitrev(i) + 1)) by Horner's rule. */
static uint64_t value_at(const spx_modq *m, const uint64_t *f, size_t n, size_t i)
{
    uint64_t psi = 0, x, y = 0;
    for (uint64_t g = 2; psi == 0; g++) {
        const uint64_t p = spx_modq_pow(g, (m->q - 1) / (2 * n), m);
        psi = spx_modq_pow(p, n, m) == m->q - 1 ? p : 0;
    }
    x = spx_modq_pow(psi, 2 * bit_reverse(i, n) + 1, m);
    for (size_t j = n; j-- > 0;) {
        y = (spx_modq_mul(y, x, m) + f[j]) % m->q;
    }
    return y;
}

static void values_at_roots(void *unused)
{
    (void)unused;
    for (size_t s = 0; s < SIZES; s++) {
        const size_t n = sizes[s].n;
        spx_ntt *t = table(&sizes[s]);
        const spx_modq *m = spx_ntt_modulus(t);
        spx_rng r;
        spx_rng_init(&r, s, SPX_RNG_TEST, 1);
        uint64_t *f = lattice_residues(&r, n, m->q), *v = lattice_residues(&r, n, m->q);
        memcpy(v, f, n * sizeof *f);
        spx_ntt_forward(t, v);
        for (size_t k = 0; k < 16; k++) {
            const size_t i = k < 8 ? k : spx_rng_below(&r, (uint32_t)n);
            assert_true(v[i] == value_at(m, f, n, i));
        }
        spx_ntt_inverse(t, v);
        check_equal("there and back", v, f, n);
        spx_free(f);
        spx_free(v);
        spx_ntt_destroy(t);
    }
}

SPX_TEST(values_are_those_at_the_odd_powers_of_psi_and_the_inverse_undoes_it)
{
    SPX_UNUSED;
    lattice_on_every_isa(values_at_roots, NULL);
}

/* Products modulo X^n + 1, O(n^2). */
static void schoolbook(const spx_modq *m, size_t n, const uint64_t *a, const uint64_t *b,
                       uint64_t *out)
{
    memset(out, 0, n * sizeof *out);
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < n; j++) {
            const uint64_t p = spx_modq_mul(a[i], b[j], m);
            uint64_t *o = &out[(i + j) % n];
            *o = i + j < n ? spx_modq_add(*o, p, m->q) : spx_modq_sub(*o, p, m->q);
        }
    }
}

static void products(void *unused)
{
    (void)unused;
    for (size_t s = 0; s < SIZES && sizes[s].n <= 1024; s++) {
        const size_t n = sizes[s].n;
        spx_ntt *t = table(&sizes[s]);
        const spx_modq *m = spx_ntt_modulus(t);
        spx_rng r;
        spx_rng_init(&r, s, SPX_RNG_TEST, 2);
        uint64_t *a = lattice_residues(&r, n, m->q), *b = lattice_residues(&r, n, m->q);
        uint64_t *want = lattice_residues(&r, n, m->q), *got = lattice_residues(&r, n, m->q);
        const uint64_t *x[] = {a}, *w[] = {b};
        schoolbook(m, n, a, b, want);
        spx_ntt_forward(t, a);
        spx_ntt_forward(t, b);
        memset(got, 0, n * sizeof *got);
        spx_ntt_dot(t, got, 1, x, w);
        spx_ntt_inverse(t, got);
        check_equal("product", got, want, n);
        spx_free(a);
        spx_free(b);
        spx_free(want);
        spx_free(got);
        spx_ntt_destroy(t);
    }
}

SPX_TEST(products_of_values_are_schoolbook_products_modulo_x_to_the_n_plus_one)
{
    SPX_UNUSED;
    lattice_on_every_isa(products, NULL);
}

/* Extremes drive lazy values to their bounds: all q - 1, alternating, single ones. */
static void fill(uint64_t *x, size_t n, uint64_t q, int kind, spx_rng *r)
{
    for (size_t i = 0; i < n; i++) {
        const uint64_t any = lattice_u64(r) % q;
        x[i] = kind == 0   ? q - 1
               : kind == 1 ? (i & 1 ? q - 1 : 0)
               : kind == 2 ? (i == n - 1 ? q - 1 : 0)
               : kind == 3 ? (lattice_u64(r) & 1 ? q - 1 : 1)
                           : any;
    }
}

typedef struct results {
    uint64_t *want[2]; /* of forward and inverse by the reference */
    const uint64_t *in;
    spx_ntt *t;
    size_t n;
} results;

static void same_as_reference(void *ctx)
{
    const results *c = ctx;
    spx_rng r;
    spx_rng_init(&r, 0, SPX_RNG_TEST, 0);
    uint64_t *x = lattice_words(&r, c->n);
    for (int way = 0; way < 2; way++) {
        memcpy(x, c->in, c->n * sizeof *x);
        (way ? spx_ntt_inverse : spx_ntt_forward)(c->t, x);
        check_equal(way ? "inverse" : "forward", x, c->want[way], c->n);
    }
    spx_free(x);
}

SPX_TEST(variants_equal_the_reference_bit_for_bit_on_extremes)
{
    SPX_UNUSED;
    for (size_t s = 0; s < SIZES; s++) {
        const size_t n = sizes[s].n;
        spx_ntt *t = table(&sizes[s]);
        const uint64_t q = spx_ntt_modulus(t)->q;
        spx_rng r;
        spx_rng_init(&r, s, SPX_RNG_TEST, 3);
        for (int kind = 0; kind < 6; kind++) {
            uint64_t *in = lattice_words(&r, n);
            results c = {{lattice_words(&r, n), lattice_words(&r, n)}, in, t, n};
            fill(in, n, q, kind, &r);
            memcpy(c.want[0], in, n * sizeof *in);
            memcpy(c.want[1], in, n * sizeof *in);
            assert_int_equal(setenv("SPHYNX_ISA", "portable", 1), 0);
            spx_ntt_forward(t, c.want[0]);
            spx_ntt_inverse(t, c.want[1]);
            lattice_on_every_isa(same_as_reference, &c);
            spx_free(in);
            spx_free(c.want[0]);
            spx_free(c.want[1]);
        }
        spx_ntt_destroy(t);
    }
}

static void dots(void *unused)
{
    (void)unused;
    for (size_t terms = 0; terms <= SPX_NTT_DOT_MAX; terms += terms < 3 ? 1 : 61) {
        spx_ntt *t = table(&sizes[2]);
        const size_t n = sizes[2].n;
        const spx_modq *m = spx_ntt_modulus(t);
        uint64_t *x[SPX_NTT_DOT_MAX], *w[SPX_NTT_DOT_MAX];
        spx_rng r;
        spx_rng_init(&r, terms, SPX_RNG_TEST, 4);
        uint64_t *sum = lattice_residues(&r, n, m->q), *want = lattice_residues(&r, n, m->q);
        fill(sum, n, m->q, 0, &r);
        memcpy(want, sum, n * sizeof *sum);
        for (size_t i = 0; i < terms; i++) {
            x[i] = lattice_words(&r, n);
            w[i] = lattice_words(&r, n);
            fill(x[i], n, m->q, i % 3 == 2 ? 4 : 0, &r);
            fill(w[i], n, m->q, i % 3 == 2 ? 4 : 0, &r);
            for (size_t k = 0; k < n; k++) {
                want[k] = spx_modq_add(want[k], spx_modq_mul(x[i][k], w[i][k], m), m->q);
            }
        }
        spx_ntt_dot(t, sum, terms, (const uint64_t *const *)x, (const uint64_t *const *)w);
        check_equal("dot", sum, want, n);
        for (size_t i = 0; i < terms; i++) {
            spx_free(x[i]);
            spx_free(w[i]);
        }
        spx_free(sum);
        spx_free(want);
        spx_ntt_destroy(t);
    }
}

SPX_TEST(sums_of_products_are_exact_at_the_largest_values_and_counts)
{
    SPX_UNUSED;
    lattice_on_every_isa(dots, NULL);
}

SPX_TEST(lengths_and_moduli_without_a_transform_are_refused)
{
    spx_ntt *t;
    SPX_UNUSED;
    CHECK_FAILS(SPX_EINVAL, spx_ntt_create(&t, 32, spx_modq_prime(30, 64, 0)));
    CHECK_FAILS(SPX_EINVAL, spx_ntt_create(&t, 16384, spx_modq_prime(30, 8192, 0)));
    CHECK_FAILS(SPX_EINVAL, spx_ntt_create(&t, 96, 193));
    CHECK_FAILS(SPX_EINVAL, spx_ntt_create(&t, 64, (1ULL << 46) + 1));
    CHECK_FAILS(SPX_EINVAL, spx_ntt_create(&t, 64, 1));
    CHECK_FAILS(SPX_EINVAL, spx_ntt_create(&t, 64, 131)); /* prime, 3 (mod 128) */
    spx_ntt_destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(values_are_those_at_the_odd_powers_of_psi_and_the_inverse_undoes_it),
        SPX_UNIT(products_of_values_are_schoolbook_products_modulo_x_to_the_n_plus_one),
        SPX_UNIT(variants_equal_the_reference_bit_for_bit_on_extremes),
        SPX_UNIT(sums_of_products_are_exact_at_the_largest_values_and_counts),
        SPX_UNIT(lengths_and_moduli_without_a_transform_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
