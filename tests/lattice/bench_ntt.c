/* Microseconds a transform, and nanoseconds a product of spx_ntt_dot, in every variant. */
#include "tests/lattice/lattice_fixture.h"

#include "kernels/base/clock.h"

#define ROUNDS 200
#define TERMS 8

static double best(double *t, size_t n)
{
    double least = t[0];
    for (size_t i = 1; i < n; i++) {
        least = t[i] < least ? t[i] : least;
    }
    return least;
}

static void bench(size_t n, int bits)
{
    double time[3][ROUNDS];
    spx_ntt *t;
    spx_rng r;
    uint64_t *x[TERMS];
    if (spx_ntt_create(&t, n, spx_modq_prime(bits, n, 0)) != SPX_OK) {
        return;
    }
    spx_rng_init(&r, 0, SPX_RNG_BENCH, 0);
    uint64_t *sum = lattice_residues(&r, n, spx_ntt_modulus(t)->q);
    for (size_t i = 0; i < TERMS; i++) {
        x[i] = lattice_residues(&r, n, spx_ntt_modulus(t)->q);
    }
    for (int i = 0; i < ROUNDS; i++) {
        const double a = spx_seconds();
        for (size_t j = 0; j < TERMS; j++) {
            spx_ntt_forward(t, x[j]);
        }
        const double b = spx_seconds();
        for (size_t j = 0; j < TERMS; j++) {
            spx_ntt_inverse(t, x[j]);
        }
        const double c = spx_seconds();
        spx_ntt_dot(t, sum, TERMS, (const uint64_t *const *)x, (const uint64_t *const *)x);
        time[0][i] = (b - a) / TERMS;
        time[1][i] = (c - b) / TERMS;
        time[2][i] = (spx_seconds() - c) / TERMS;
    }
    printf("%-9s n %5zu, %d bits: forward %6.2f us, inverse %6.2f us, dot %.3f ns a product\n",
           spx_ntt_variant(), n, bits, 1e6 * best(time[0], ROUNDS), 1e6 * best(time[1], ROUNDS),
           1e9 * best(time[2], ROUNDS) / (double)n);
    for (size_t i = 0; i < TERMS; i++) {
        spx_free(x[i]);
    }
    spx_free(sum);
    spx_ntt_destroy(t);
}

int main(void)
{
    for (int isa = 0; isa < (int)SPX_ISA_COUNT; isa++) {
        if (setenv("SPHYNX_ISA", spx_isa_name((spx_isa)isa), 1) == 0 && (int)spx_cpu_isa() == isa) {
            bench(4096, 36);
            bench(8192, 46);
        }
    }
    return 0;
}
