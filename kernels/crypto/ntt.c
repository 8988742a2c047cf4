#include "kernels/crypto/ntt.h"

#include "kernels/base/alloc.h"
#include "kernels/base/cpu.h"
#include "kernels/crypto/ntt_private.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static const ntt_ops *ops(void)
{
#if defined(SPX_HAVE_IFMA)
    if (spx_cpu_isa() >= SPX_ISA_AVX512VL && __builtin_cpu_supports("avx512ifma")) {
        return &ntt_ops_ifma;
    }
#endif
#if defined(SPX_HAVE_AVX2)
    if (spx_cpu_isa() >= SPX_ISA_AVX2) {
        return &ntt_ops_avx2;
    }
#endif
    return &ntt_ops_ref;
}

static size_t bit_reverse(size_t x, int bits)
{
    size_t r = 0;
    for (int i = 0; i < bits; i++) {
        r |= (x >> i & 1) << (bits - 1 - i);
    }
    return r;
}

/* The least generator's power of order 2n; 0 if q is not 1 (mod 2n) or not prime enough. */
static uint64_t find_psi(const spx_modq *m, size_t n)
{
    for (uint64_t g = 2; g < 1000; g++) {
        const uint64_t psi = spx_modq_pow(g, (m->q - 1) / (2 * n), m);
        if (spx_modq_pow(psi, n, m) == m->q - 1) {
            return psi;
        }
    }
    return 0;
}

static uint64_t real_bits(double x)
{
    uint64_t b;
    memcpy(&b, &x, sizeof b);
    return b;
}

static void set_root(spx_ntt *t, bool inverse, size_t i, uint64_t w)
{
    const uint64_t shoup = spx_modq_shoup(w, t->m.q);
    ntt_roots *word = inverse ? &t->word.inverse : &t->word.forward;
    ntt_roots *ifma = inverse ? &t->ifma.inverse : &t->ifma.forward;
    ntt_roots *real = inverse ? &t->real.inverse : &t->real.forward;
    word->w[i] = w;
    word->ratio[i] = shoup;
    ifma->ratio[i] = shoup >> 12; /* the floor of a floor */
    real->w[i] = real_bits((double)w);
    real->ratio[i] = real_bits((double)w / (double)t->m.q);
}

static void set_tables(spx_ntt *t, uint64_t psi)
{
    const uint64_t psi_inverse = spx_modq_inverse(psi, &t->m);
    const uint64_t n_inverse = spx_modq_inverse(t->n % t->m.q, &t->m);
    const uint64_t shoup = spx_modq_shoup(n_inverse, t->m.q);
    uint64_t a = 1, b = 1;
    for (size_t i = 0; i < t->n; i++) {
        const size_t at = bit_reverse(i, t->log_n);
        set_root(t, false, at, a);
        set_root(t, true, at, b);
        a = spx_modq_mul(a, psi, &t->m);
        b = spx_modq_mul(b, psi_inverse, &t->m);
    }
    t->word.n_inverse = t->ifma.n_inverse = n_inverse;
    t->word.n_ratio = shoup;
    t->ifma.n_ratio = shoup >> 12;
    t->real.n_inverse = real_bits((double)n_inverse);
    t->real.n_ratio = real_bits((double)n_inverse / (double)t->m.q);
}

spx_status spx_ntt_create(spx_ntt **out, size_t n, uint64_t q)
{
    spx_ntt *t;
    spx_status st;
    uint64_t *at, psi;
    *out = NULL;
    if (n < SPX_NTT_MIN_N || n > SPX_NTT_MAX_N || (n & (n - 1)) != 0 ||
        q >> SPX_MODQ_MAX_BITS != 0 || q % (2 * n) != 1 || q == 1) {
        return SPX_FAIL(SPX_EINVAL, "no transform of length %zu modulo %llu", n,
                        (unsigned long long)q);
    }
    t = calloc(1, sizeof *t);
    if (t == NULL) {
        return SPX_FAIL(SPX_ENOMEM, "transform: %zu bytes", sizeof *t);
    }
    t->n = n;
    while ((size_t)1 << t->log_n < n) {
        t->log_n++;
    }
    spx_modq_init(&t->m, q);
    psi = find_psi(&t->m, n);
    if (psi == 0) {
        free(t);
        return SPX_FAIL(SPX_EINVAL, "no transform modulo %llu: not a prime", (unsigned long long)q);
    }
    st = spx_alloc(&t->block, 10 * n * sizeof *at);
    if (st != SPX_OK) {
        free(t);
        return st;
    }
    at = t->block;
    t->word.forward = (ntt_roots){at, at + n};
    t->word.inverse = (ntt_roots){at + 2 * n, at + 3 * n};
    t->ifma.forward = (ntt_roots){at, at + 4 * n};
    t->ifma.inverse = (ntt_roots){at + 2 * n, at + 5 * n};
    t->real.forward = (ntt_roots){at + 6 * n, at + 7 * n};
    t->real.inverse = (ntt_roots){at + 8 * n, at + 9 * n};
    set_tables(t, psi);
    *out = t;
    return SPX_OK;
}

void spx_ntt_destroy(spx_ntt *t)
{
    if (t != NULL) {
        spx_free(t->block);
        free(t);
    }
}

const spx_modq *spx_ntt_modulus(const spx_ntt *t)
{
    return &t->m;
}

const char *spx_ntt_variant(void)
{
    return ops()->name;
}

void spx_ntt_forward(const spx_ntt *t, uint64_t *x)
{
    ops()->forward(t, x);
}

void spx_ntt_inverse(const spx_ntt *t, uint64_t *x)
{
    ops()->inverse(t, x);
}

void spx_ntt_dot(const spx_ntt *t, uint64_t *sum, size_t terms, const uint64_t *const x[],
                 const uint64_t *const w[])
{
    ops()->dot(t, sum, terms, x, w);
}
